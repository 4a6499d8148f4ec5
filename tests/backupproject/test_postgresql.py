"""PostgreSQL, which several hosts share: migrations, and the models' own rules, for real."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.servers.postgres import Postgres

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.needs("postgresql")


@pytest.fixture(scope="module")
def migrated(postgres_server: Postgres) -> str:
    """A database with the whole schema."""
    url = postgres_server.new_database()
    manage(url, "migrate", "--verbosity", "0")
    return url


@pytest.fixture
def own_url(postgres_server: Postgres, migrated: str) -> str:
    """A copy of it for one test."""
    return postgres_server.new_database(like=migrated)


def manage(url: str, *arguments: str) -> str:
    """A command of manage.py on that database; what it printed."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": url},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(url: str, code: str) -> str:
    """Python with the product set up on that database; what it printed."""
    return manage(url, "shell", "--no-imports", "--command", textwrap.dedent(code)).strip()


SETUP = """
from django.db import IntegrityError, connection, transaction
from accounts.models import GoogleAccount, User
from syncapp.models import Copy, Destination, File, Source, Version

def refused(make):
    try:
        with transaction.atomic():
            make()
    except IntegrityError:
        return True
    return False

ada = User.objects.create(username="ada")
account = GoogleAccount.objects.create(
    user=ada, uid="1", email="ada@example.org", refresh_token="1//secret"
)
source = Source.objects.create(owner=ada, account=account, name="Drive", slug="drive")
store = Destination.objects.create(owner=ada, name="Bucket", kind="s3", secrets="{}")
"""


def test_migrations_build_the_whole_schema_and_leave_nothing_undone(own_url: str) -> None:
    assert "No changes detected" in manage(own_url, "makemigrations", "--check", "--dry-run")
    vendor = python(own_url, "from django.db import connection; print(connection.vendor)")
    assert vendor == "postgresql"


def test_the_catalog_holds_its_promises_there_too(own_url: str) -> None:
    said = python(
        own_url,
        SETUP
        + """
file = File.objects.create(source=source, remote_id="f", name="a", fingerprint="x")
version = Version.objects.create(source=source, file=file, revision="1")
Copy.objects.create(version=version, destination=store, object_key="drive/files/a")
print(refused(lambda: File.objects.create(
    source=source, remote_id="f", name="b", fingerprint="y")))
print(refused(lambda: Version.objects.create(source=source, file=file, revision="2")))
print(refused(lambda: Copy.objects.create(version=version, destination=store)))
print(Version.objects.filter(pk=version.pk, state="pending").update(state="stored"))
print(Version.objects.filter(pk=version.pk, state="pending").update(state="stored"))
""",
    )

    assert said.split() == ["True", "True", "True", "1", "0"]


def test_secrets_are_encrypted_there_too(own_url: str) -> None:
    said = python(
        own_url,
        SETUP
        + """
with connection.cursor() as cursor:
    cursor.execute("SELECT refresh_token FROM accounts_googleaccount")
    stored = cursor.fetchone()[0]
print(stored.startswith("f1:"), "secret" in stored, GoogleAccount.objects.get().refresh_token)
""",
    )

    assert said == "True False 1//secret"
