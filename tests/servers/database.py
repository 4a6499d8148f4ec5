"""The tests' database, sooner than by Django's own way.

Made: one process of a run migrates on SQLite, the others copy its file. Emptied after a test that
commits: only the tables that have rows. Django would empty every
table and make content types and permissions anew, which takes longer than most tests.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import TransactionTestCase
from django.test.utils import setup_databases, teardown_databases

from syncapp.models import Change
from tests.servers.shared import locked, run_folder

CHANGES = Change._meta.db_table  # the last to be emptied: triggers note there what is deleted


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None,
    django_db_blocker: Any,
    django_db_modify_db_settings: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """In the place of pytest-django's."""
    folder = run_folder(tmp_path_factory.getbasetemp())
    with django_db_blocker.unblock():
        config = _make(folder) if connection.vendor == "sqlite" else _migrated()
        kept = _counts()

    def empty(_: TransactionTestCase) -> None:
        _empty(kept)

    with mock.patch.object(TransactionTestCase, "_fixture_teardown", empty):
        yield
    with django_db_blocker.unblock():
        teardown_databases(config, verbosity=0)


def _make(folder: Path) -> Any:
    model = folder / "migrated.sqlite3"
    with locked(folder / "migrated.lock"):
        if model.exists():
            shutil.copy(model, connection.settings_dict["TEST"]["NAME"])
            return _migrated(keepdb=True)
        config = _migrated()
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(model)])
        return config


def _migrated(*, keepdb: bool = False) -> Any:
    return setup_databases(verbosity=0, interactive=False, keepdb=keepdb, serialized_aliases=set())


def _counts() -> dict[str, int]:
    """The tables that have rows, and how many."""
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    each = [f"SELECT '{name}', count(*) FROM {name}" for name in names]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(each))
        return {name: count for name, count in cursor.fetchall() if count}


def _empty(kept: dict[str, int]) -> None:
    """Back to what was there after migrating."""
    found = _counts()
    if any(found.get(name) != count for name, count in kept.items()):
        call_command("flush", verbosity=0, interactive=False, reset_sequences=False)
        return
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = replica")  # no trigger, no check
        for name in [*(found.keys() - kept.keys() - {CHANGES}), CHANGES]:
            cursor.execute(f"DELETE FROM {name}")
