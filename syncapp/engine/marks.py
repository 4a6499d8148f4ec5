"""Whose place a destination is: a mark beside the catalog, so that two installations (that is, two
databases) never write over each other at one place.

Written when a destination is tested and when segments are written, looked at by each lane before it
sends or moves anything. A mark of another installation stops the destination until a person has
chosen another folder, or has said that this installation takes the other one's place; `recover`
says so by itself. A place without a mark stops nobody. A database that was put back from its own
backup is the same installation.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Collection

import orjson
from django.utils import timezone

from syncapp.destinations.base import Destination as Store
from syncapp.engine.adapters import destination_for
from syncapp.engine.segment_format import FOLDER
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    NotFound,
    TransientError,
)
from syncapp.models import Destination, Installation
from syncapp.types import ObjectMeta, Part

log = logging.getLogger(__name__)
KEY = f"{FOLDER}/installation.json"
OTHER = "other_installation"
_MOST_BYTES = 4096


class OtherInstallation(ConfigurationError):
    """Another database's backups lie at this place."""

    code = OTHER

    def __init__(self) -> None:
        super().__init__(
            "Another installation of this program keeps its backups in this very place, and the two"
            " would write over each other. Choose another folder (prefix) here; or, if that"
            " installation is gone for good, let this one take its place."
        )


def ours(destination: Destination) -> list[str]:
    """The mark of this installation, and, as long as that never lay there, those of the ones whose
    place it has taken elsewhere: a recovery meets them at each destination of old."""
    row, _ = Installation.objects.get_or_create(pk=Installation.ONLY)
    return [row.mark] if destination.marked_at else [row.mark, *row.succeeds]


def found(store: Store) -> str:
    """The mark that lies there, "" if none does."""
    try:
        with store.read(KEY, end=_MOST_BYTES) as chunks:
            told = orjson.loads(b"".join(chunks))
    except NotFound:
        return ""
    except orjson.JSONDecodeError:
        return "unreadable"
    return str(told.get("installation", "")) if isinstance(told, dict) else "unreadable"


def check(store: Store, known: Collection[str]) -> None:
    """OtherInstallation if the mark that lies there is none of ours. No database."""
    mark = found(store)
    if mark and mark not in known:
        raise OtherInstallation


def claim(destination: Destination, *, take_over: bool = False) -> None:
    """Leave our mark there (the row need not be saved). OtherInstallation if there is another's,
    unless its place is to be taken: then it is known as one that this installation succeeds."""
    at_hand = {**destination.options, "storage_class": ""}  # to be read without a thaw
    row = Destination(kind=destination.kind, options=at_hand, secrets=destination.secrets)
    store, known = destination_for(row), ours(destination)
    mark = found(store)
    if mark and mark not in known:
        if not take_over:
            raise OtherInstallation
        _succeed(mark)
    if mark != known[0]:
        _write(store, known[0])
    if destination.marked_at is None:
        destination.marked_at = timezone.now()
        Destination.objects.filter(pk=destination.pk).update(marked_at=destination.marked_at)


def _succeed(mark: str) -> None:
    row = Installation.objects.get(pk=Installation.ONLY)
    row.succeeds = [*row.succeeds, mark]
    row.save(update_fields=["succeeds"])


def _write(store: Store, mark: str) -> None:
    now = timezone.now()
    data = orjson.dumps({"format": "backup-installation", "installation": mark, "since": now})
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    part = Part.of(1, data, md5, hashlib.sha256(data).digest())
    store.put(KEY, part, ObjectMeta(now, "", "application/json"))


class Guard:
    """Called before each request of a lane to one destination: `before`, and once the mark.

    Used by several threads; no database. What hinders only this look hinders nothing else.
    """

    def __init__(self, store: Store, known: Collection[str], before: Callable[[], None]) -> None:
        self._store, self._known, self._before = store, known, before
        self._lock = threading.Lock()
        self._seen = False

    def __call__(self) -> None:
        self._before()
        if self._seen:
            return
        with self._lock:
            if not self._seen:
                self._look()
                self._seen = True

    def _look(self) -> None:
        try:
            check(self._store, self._known)
        except (ConfigurationError, TransientError):
            raise
        except BackupError as error:
            log.warning("mark.not_seen code=%s", error.code)
