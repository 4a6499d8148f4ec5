"""WSGI entry point. Pages work; live event streams need ASGI (see asgi.py)."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backupproject.settings")
application = get_wsgi_application()
