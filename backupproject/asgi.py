"""ASGI entry point: the web server proper, because event streams need it."""

import os
import warnings

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backupproject.settings")
# WhiteNoise gives static files as plain iterators; they are small.
warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous iterators")
application = get_asgi_application()
