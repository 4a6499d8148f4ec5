"""Settings, all of them. What may differ between installations comes from `environment.py`.

Traps obeyed here: SQLite needs IMMEDIATE transactions and no ATOMIC_REQUESTS (every GET would
take the write lock); django-q2 must keep its results (`save_limit=-1` skips the pruning query)
and acknowledge failures, because attempts are counted in the catalog and not in the queue.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF

from backupproject import environment, private

BASE_DIR = Path(__file__).resolve().parent.parent
ENV = environment.read()

# --- Core -------------------------------------------------------------------------------------
SECRET_KEY: str = ENV["SECRET_KEY"]
FIELD_KEYS: list[str] = ENV["FIELD_KEYS"]
DEBUG: bool = ENV["DEBUG"]
PUBLIC_URL: str = ENV["PUBLIC_URL"].rstrip("/")
_public = urlsplit(PUBLIC_URL)
ALLOWED_HOSTS: list[str] = [_public.hostname or "", "127.0.0.1", "localhost", *ENV["ALLOWED_HOSTS"]]
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]
DATA_DIR = (BASE_DIR / ENV["DATA_DIR"]).resolve()
private.make_folder(DATA_DIR, BASE_DIR)
CACHE_DIR = DATA_DIR / "cache"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.google",
    "django_q",
    "django_eventstream",
    "csp",
    "accounts",
    "syncapp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
ROOT_URLCONF = "backupproject.urls"
WSGI_APPLICATION = "backupproject.wsgi.application"
ASGI_APPLICATION = "backupproject.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {"formats": "syncapp.web.formats", "cells": "syncapp.admin.cells"},
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
FORMS_URLFIELD_ASSUME_HTTPS = True

# --- Database ---------------------------------------------------------------------------------
# A connection to a database that has gone is noticed within a minute, and does not hang.
_POSTGRESQL_OPTIONS = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    # The server's side: no lock of a host that was cut off stays longer.
    "options": (
        "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 "
        "-c tcp_user_timeout=30000 -c idle_in_transaction_session_timeout=60000"
    ),
}
_SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": (
        "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;"
        "PRAGMA busy_timeout=20000;PRAGMA cache_size=-20000;"
    ),
}
# A worker keeps its connection; the web (ASGI) would leak one a thread.
IS_WORKER = len(sys.argv) > 1 and sys.argv[1] in {"runworkers", "qcluster"}


def _database(configured: dict[str, Any] | None) -> dict[str, Any]:
    chosen = configured or {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(DATA_DIR / "backup.sqlite3"),
    }
    chosen["CONN_MAX_AGE"] = None if IS_WORKER else 0
    if chosen["ENGINE"].endswith("sqlite3"):
        private.make_database(chosen["NAME"])
        chosen["OPTIONS"] = {**_SQLITE_OPTIONS}
        return chosen
    chosen["OPTIONS"] = {**_POSTGRESQL_OPTIONS, **chosen.get("OPTIONS", {})}
    if not IS_WORKER:
        chosen["OPTIONS"]["pool"] = {"max_size": 12, "timeout": 10}
        # After the server's restart the pool is full of dead connections.
        chosen["CONN_HEALTH_CHECKS"] = True
    return chosen


DATABASES = {"default": _database(ENV["DATABASE_URL"])}


def _cache(redis_url: str) -> dict[str, Any]:
    """One cache for all processes: log-in throttling and the queue's monitor count in it."""
    if redis_url:
        return {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}
    return {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": str(CACHE_DIR),
        # Beyond it entries go at random: nobody shall flood out the count of failed log-ins.
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }


CACHES = {"default": _cache(ENV["REDIS_URL"])}

# --- People -----------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_FORMS = {
    "login": "accounts.forms.LogInForm",
    "change_password": "accounts.forms.PasswordForm",
    "reauthenticate": "accounts.forms.ConfirmForm",
}
ACCOUNT_EMAIL_VERIFICATION = "none"
ALLAUTH_TRUSTED_PROXY_COUNT: int = ENV["TRUSTED_PROXIES"]
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key"}
SOCIALACCOUNT_ADAPTER = "accounts.adapters.SocialAccountAdapter"
SOCIALACCOUNT_STORE_TOKENS = False  # plain text there; accounts.models keeps them encrypted
SOCIALACCOUNT_ONLY = False

# --- Google: only these addresses tell the real one from the stand-in --------------------------
DRIVE_SCOPE = "https://www.googleapis.com/auth/drive.readonly"
FORMS_RESPONSES_SCOPE = "https://www.googleapis.com/auth/forms.responses.readonly"
GOOGLE_CLIENT_ID: str = ENV["GOOGLE_CLIENT_ID"]
GOOGLE_CLIENT_SECRET: str = ENV["GOOGLE_CLIENT_SECRET"]
GOOGLE_TOKEN_URL: str = ENV["GOOGLE_TOKEN_URL"]
GOOGLE_REVOKE_URL: str = ENV["GOOGLE_REVOKE_URL"]
GOOGLE_DRIVE_URL: str = ENV["GOOGLE_DRIVE_URL"]
GOOGLE_FORMS_URL: str = ENV["GOOGLE_FORMS_URL"]
GOOGLE_UNITS_PER_MINUTE: int = ENV["GOOGLE_UNITS_PER_MINUTE"]
GOOGLE_UNITS_PER_MINUTE_PROJECT: int = ENV["GOOGLE_UNITS_PER_MINUTE_PROJECT"]
GOOGLE_WRITES_PER_SECOND: int = ENV["GOOGLE_WRITES_PER_SECOND"]
SOCIALACCOUNT_PROVIDERS = {
    "google": {
        "APPS": [
            {
                "client_id": GOOGLE_CLIENT_ID,
                "secret": GOOGLE_CLIENT_SECRET,
                "key": "",
            }
        ],
        "SCOPE": ["openid", "email", "profile", DRIVE_SCOPE, FORMS_RESPONSES_SCOPE],
        "AUTH_PARAMS": {
            "access_type": "offline",
            "prompt": "consent select_account",
            "include_granted_scopes": "true",
        },
        "OAUTH_PKCE_ENABLED": True,
        "FETCH_USERINFO": True,
        "AUTHORIZE_URL": ENV["GOOGLE_AUTHORIZE_URL"],
        "ACCESS_TOKEN_URL": GOOGLE_TOKEN_URL,
        "CERTS_URL": ENV["GOOGLE_CERTS_URL"],
        "IDENTITY_URL": ENV["GOOGLE_IDENTITY_URL"],
        "ID_TOKEN_ISSUER": ENV["GOOGLE_ID_TOKEN_ISSUER"],
    }
}

# --- Engine -----------------------------------------------------------------------------------
WORKERS: int = ENV["WORKERS"]
FILES_IN_FLIGHT: int = ENV["FILES_IN_FLIGHT"]
# One lane at a time restores on each host: it may ask for as much at once as a backup there does.
RESTORES_IN_FLIGHT = WORKERS * FILES_IN_FLIGHT
DOWNLOAD_STREAMS: int = ENV["DOWNLOAD_STREAMS"]
LEASE_SECONDS: int = ENV["LEASE_SECONDS"]
LANE_SECONDS = 600  # a lane ends itself after this; far below the queue's time-out
POLL_SECONDS: int = ENV["POLL_SECONDS"]
PUSH: str = ENV["PUSH"]
SPOOL_DIR = Path(ENV["SPOOL_DIR"] or DATA_DIR / "spool")
SPOOL_BUDGET: int = ENV["SPOOL_BUDGET"]
SPOOL_MEMORY: int = ENV["SPOOL_MEMORY"]
ALLOW_PRIVATE_ENDPOINTS: bool = ENV["ALLOW_PRIVATE_ENDPOINTS"]
LOCAL_DESTINATION_ROOTS: list[str] = ENV["LOCAL_DESTINATION_ROOTS"]
RESTORE_ROOTS: list[str] = ENV["RESTORE_ROOTS"]
REDIS_URL: str = ENV["REDIS_URL"]
# Hands of each queue on a host (syncapp/engine/queues.py).
QUEUES = {"transfer": WORKERS, "scan": 2, "verify": 2, "restore": 1}
# A lane ends with its last file, and one file may take days on a slow line; ended in its middle it
# would begin to read anew each time. A scan's lane ends after LANE_SECONDS wherever it is.
_SCANS = {"timeout": 3600, "retry": 7200}
_QUEUE_IN_DATABASE = {"orm": "default", "broker_class": "syncapp.engine.broker.Queue"}
Q_CLUSTER: dict[str, Any] = {
    "name": "backup",
    "cluster_name": "transfer",
    "workers": WORKERS,
    "ALT_CLUSTERS": {
        name: {"workers": hands, **(_SCANS if name == "scan" else {})}
        for name, hands in QUEUES.items()
        if name != "transfer"
    },
    "timeout": 14 * 86_400,
    "retry": 15 * 86_400,
    "queue_limit": 1,
    "bulk": 1,
    "save_limit": -1,
    "catch_up": False,
    "max_attempts": 1,
    "ack_failures": True,
    "poll": 0.2,
    "label": "Queue",
    "guard_cycle": 2,  # how soon a process that died has a successor; a status lives three seconds
    **({"redis": REDIS_URL} if REDIS_URL else _QUEUE_IN_DATABASE),
}
EVENTSTREAM_STORAGE_CLASS = "syncapp.engine.live.BoundedStorage"
EVENTSTREAM_CHANNELMANAGER_CLASS = "syncapp.web.events.OwnerChannels"

# --- Security ---------------------------------------------------------------------------------
_https = _public.scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = _https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _https
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        # Linking starts as a form here and is redirected to Google's consent page.
        "form-action": [
            SELF,
            "{0.scheme}://{0.netloc}".format(urlsplit(ENV["GOOGLE_AUTHORIZE_URL"])),
        ],
    }
}

# --- Language, static files, log --------------------------------------------------------------
LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = ["backupproject.formats"]
TIME_ZONE: str = ENV["TIME_ZONE"]
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": ENV["LOG_LEVEL"]},
    "loggers": {"botocore": {"level": "WARNING"}, "googleapiclient": {"level": "WARNING"}},
}
