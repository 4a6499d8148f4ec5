"""The tests' database, sooner than by Django's own way.

Made: one process of a run migrates, the others copy what it made. Emptied after a test that
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
        config = _make(folder)
        kept = _counts()

    def empty(_: TransactionTestCase) -> None:
        _empty(kept)

    with mock.patch.object(TransactionTestCase, "_fixture_teardown", empty):
        yield
    with django_db_blocker.unblock():
        teardown_databases(config, verbosity=0)


def _make(folder: Path) -> Any:
    """Migrate, or copy what another process of the run has migrated."""
    copy, keep = (_copy_file, _keep_file) if connection.vendor == "sqlite" else (_copy, _keep)
    note = folder / "migrated"
    with locked(folder / "migrated.lock"):
        if note.exists():
            return copy(note.read_text())
        config = setup_databases(0, interactive=False, serialized_aliases=set())
        note.write_text(keep(folder))
        return config


def _keep_file(folder: Path) -> str:
    model = folder / "migrated.sqlite3"
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(model)])
    return str(model)


def _copy_file(model: str) -> Any:
    shutil.copy(model, connection.settings_dict["TEST"]["NAME"])
    return setup_databases(0, interactive=False, keepdb=True, serialized_aliases=set())


def _keep(_: Path) -> str:
    name = connection.settings_dict["NAME"]
    connection.close()
    connection.close_pool()
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}_model"')
        cursor.execute(f'CREATE DATABASE "{name}_model" TEMPLATE "{name}"')
    return f"{name}_model"


def _copy(model: str) -> Any:
    connection.settings_dict["TEST"]["TEMPLATE"] = model
    return setup_databases(0, interactive=False, serialized_aliases=set())


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
        found = {CHANGES: 0}
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = replica")  # no trigger, no check
        for name in [*(found.keys() - kept.keys() - {CHANGES}), CHANGES]:
            cursor.execute(f"DELETE FROM {name}")
