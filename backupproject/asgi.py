"""ASGI entry point: the web server proper, because event streams need it."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backupproject.settings")
application = get_asgi_application()
