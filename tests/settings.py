"""Settings of the tests: a throw-away environment, then the product's own settings."""

import os
import tempfile

os.environ.update(
    {
        "ENV_FILE": "",
        "SECRET_KEY": "test-" + "k" * 60,
        "FIELD_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "DATA_DIR": os.environ.get("TEST_DATA_DIR") or tempfile.mkdtemp(prefix="backup-test-"),
        "ALLOW_PRIVATE_ENDPOINTS": "true",
        "GOOGLE_CLIENT_ID": "test-client.apps.googleusercontent.com",
        "GOOGLE_CLIENT_SECRET": "test-secret",
        # The stand-in has no quota unless a test gives it one.
        "GOOGLE_UNITS_PER_MINUTE": "0",
        "GOOGLE_UNITS_PER_MINUTE_PROJECT": "0",
        "GOOGLE_WRITES_PER_SECOND": "0",
        "LOG_LEVEL": "WARNING",
    }
)

from backupproject.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The manifest of the real storage needs `collectstatic`, which tests/servers/web.py runs.
STORAGES = {
    **STORAGES,  # noqa: F405
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# A file, not memory: threads of a test share the database as the product's threads do.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # noqa: F405
