"""What was erased and still lies at the source: known by its id alone, never backed up again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from django.db.models import Q, QuerySet

from syncapp.models import Erased
from syncapp.types import Content, RemoteFile

ERASED = "erased"
NAME = "(erased)"
_MESSAGE = "It was erased on a person's wish and is not backed up any more."


def digest(remote_id: str) -> str:
    """How a tombstone names a file."""
    return hashlib.sha256(remote_id.encode()).hexdigest()


def is_erased(source_id: int, remote_id: str) -> bool:
    """Whether a person has had this file erased."""
    return _decided(source_id).filter(digest=digest(remote_id)).exists()


def _decided(source_id: int) -> QuerySet[Erased]:
    # One that is only being looked at is not decided yet.
    decided = Q(erasure__isnull=True) | Q(erasure__marked_at__isnull=False)
    return Erased.objects.filter(decided, source_id=source_id)


def redact(source_id: int, files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """The files as they may be written down: of an erased one, nothing but its id and place."""
    digests = {digest(file.remote_id): file.remote_id for file in files}
    rows = _decided(source_id).filter(digest__in=digests)
    gone = {digests[found] for found in rows.values_list("digest", flat=True)}
    return [_redacted(file) if file.remote_id in gone else file for file in files]


def _redacted(file: RemoteFile) -> RemoteFile:
    # A folder stays one: what is put into it later has its place there.
    content = file.content if file.content is Content.FOLDER else Content.UNSUPPORTED
    return replace(
        file,
        name=NAME,
        mime_type="",
        content=content,
        revision="",
        size=None,
        md5=None,
        sha256=None,
        created_at=None,
        modified_at=None,
        owner="",
        modified_by="",
        extension="",
        problem="" if content is Content.FOLDER else ERASED,
        problem_message="" if content is Content.FOLDER else _MESSAGE,
        extra={},
        metadata={},
    )
