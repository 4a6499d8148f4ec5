"""Settings of the tests: a throw-away environment, then the product's own settings."""

import atexit
import os
import shutil
import sys
import tempfile


def _own_folder() -> str:
    """This process's own, in the folder of the test run, which the run's first process removes."""
    if "mypy" in sys.modules:
        return "var/check"  # it reads the settings too, and calls no exit handlers
    made = tempfile.mkdtemp(prefix="backup-test-", dir=os.environ.get("TEST_RUN_FOLDER"))
    if "TEST_RUN_FOLDER" not in os.environ:
        os.environ["TEST_RUN_FOLDER"] = made
        atexit.register(_remove, made, os.getpid())
    return made


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # not a fork of it
        shutil.rmtree(folder, ignore_errors=True)


os.environ.update(
    {
        "ENV_FILE": "",
        "SECRET_KEY": "test-" + "k" * 60,
        "FIELD_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "DATA_DIR": os.environ.get("TEST_DATA_DIR") or _own_folder(),
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

from backupproject.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The manifest of the real storage needs `collectstatic`, which tests/servers/web.py runs.
STORAGES = {
    **STORAGES,  # noqa: F405
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Nor are its files listed at the start: a test of the commands may just be writing them anew.
WHITENOISE_AUTOREFRESH = True
# A file, not memory: threads of a test share the database as the product's threads do.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # noqa: F405
