"""Versions of files that a page brought: one current Version for each content, and its Copies.

What was waiting and is replaced, or no longer to be had, leaves the work. In sets, idempotent;
called inside the page's transaction.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from syncapp.engine import planning, spans
from syncapp.engine.sets import upsert_many
from syncapp.models import Version
from syncapp.types import Content, RemoteFile

_NO_BYTES = {Content.FOLDER, Content.UNSUPPORTED}
_COLUMNS = [
    "source_id", "file_id", "revision", "current", "declared_size", "declared_md5",
    "declared_sha256", "modified_at", "size", "md5", "sha256", "content_type",
    "checksum_disputed", "state", "due_at", "lease_owner", "leases", "attempts", "error_code",
    "error_message", "modified_by", "first_seen_at", "replaced_at",
]  # fmt: skip


def write(
    source_id: int,
    files: Sequence[RemoteFile],
    pks: Mapping[str, int],
    known: Container[str],
    destinations: Sequence[int],
) -> set[str]:
    """Current Versions of these files, with Copies planned; remote ids of those with new content.

    `pks` are the files' keys; `known` are those that the catalog had before.
    """
    wanted = {
        pks[file.remote_id]: file
        for file in files
        if file.content not in _NO_BYTES and not file.problem and not file.trashed
    }
    before = {pks[f.remote_id] for f in files if f.remote_id in known}
    _refuse(before - wanted.keys())
    again = before & wanted.keys()
    current = _current(again)
    fresh = {pk: f for pk, f in wanted.items() if current.get(pk) != f.revision}
    now = timezone.now()
    _replace(current.keys() & fresh.keys(), now)
    spans.begin_again({pk: fresh[pk].revision for pk in again & fresh.keys()}, now)
    upsert_many(
        Version,
        _COLUMNS,
        [_row(source_id, pk, file, now) for pk, file in fresh.items()],
        unique=["file_id", "revision"],
        update=["current", "replaced_at"],
    )
    _revive(again, now)
    planning.plan_files(list(wanted), destinations)
    if again:
        planning.make_due(again)
    return {file.remote_id for file in fresh.values()}


def _current(file_pks: set[int]) -> dict[int, str]:
    rows = Version.objects.filter(file_id__in=file_pks, current=True)
    return dict(rows.values_list("file_id", "revision")) if file_pks else {}


def _refuse(file_pks: set[int]) -> None:
    """Google gives their bytes no more: what waits is not waited for."""
    if file_pks:
        planning.withdraw(
            Version.objects.filter(file_id__in=file_pks, state=Version.State.PENDING),
            Version.State.REFUSED,
            "refused_by_source",
        )


def _replace(file_pks: set[int], now: datetime) -> None:
    """Another content is current now."""
    if file_pks:
        old = Version.objects.filter(file_id__in=file_pks, current=True)
        planning.withdraw(old.exclude(state=Version.State.STORED), Version.State.SUPERSEDED)
        old.update(current=False, replaced_at=now)


def _revive(file_pks: set[int], now: datetime) -> None:
    """A revision that came back, or one that Google refused before and gives now, is due again."""
    if file_pks:
        Version.objects.filter(
            file_id__in=file_pks,
            current=True,
            state__in=[Version.State.SUPERSEDED, Version.State.REFUSED],
        ).update(state=Version.State.PENDING, attempts=0, due_at=now)


def _row(source_id: int, file_pk: int, file: RemoteFile, now: datetime) -> tuple[Any, ...]:
    size = file.size if file.content is Content.BLOB else None
    return (
        source_id, file_pk, file.revision, True, size, file.md5 or "", file.sha256 or "",
        file.modified_at, None, "", "", "", False, Version.State.PENDING.value, now, "", 0, 0,
        "", "", file.modified_by[:320], now, None,
    )  # fmt: skip
