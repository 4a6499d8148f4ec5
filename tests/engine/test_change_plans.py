"""How PostgreSQL notes changed files: by a plan that suits a single row and thousands alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone

from syncapp.models import Change, Copy, Span
from tests.engine.vault import Vault

pytestmark = pytest.mark.database("postgresql")  # the other has no such plans


def test_no_note_of_changes_compares_each_row_with_every_other(db: None) -> None:
    """A session plans a trigger's statement once, for as many rows as there were then."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.proname, p.proconfig FROM pg_proc p JOIN pg_trigger t "
            "ON t.tgfoid = p.oid WHERE p.prosrc LIKE '%new_rows%old_rows%'"
        )
        found = dict(cursor.fetchall())
    assert found
    wanted = ["enable_nestloop=off", "enable_seqscan=off", "jit=off"]
    assert all(settings == wanted for settings in found.values())


@pytest.fixture
def vault(db: None, tmp_path: Path) -> Vault:
    return Vault.make(tmp_path)


def test_a_change_of_a_few_copies_reads_no_table_as_a_whole(vault: Vault) -> None:
    """However many versions there are, and however few there were when it was planned."""
    kept = [vault.file(f"{n}.txt") for n in range(3)]
    with transaction.atomic():
        before = read_whole()
        copies = Copy.objects.filter(version__in=[version.pk for version in kept])
        copies.filter(pk__in=list(copies.values_list("pk", flat=True))).update(etag="other")
        Span.objects.filter(version_id=kept[0].pk).update(until_at=timezone.now())
        copies.order_by("pk")[0].delete()
        changed = set(Change.objects.values_list("file_id", flat=True))
        assert {version.file_id for version in kept} <= changed
        assert read_whole() == before


def read_whole() -> int:
    """How often this transaction has read all versions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'syncapp_version'"
        )
        return int(cursor.fetchone()[0])
