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
    """The mark that lies there; "" if none does, or one that says nothing (half written)."""
    try:
        with store.read(KEY, end=_MOST_BYTES) as chunks:
            told = orjson.loads(b"".join(chunks))
    except NotFound:
        return ""
    except orjson.JSONDecodeError:
        return ""
    mark = told.get("installation") if isinstance(told, dict) else None
    return mark if isinstance(mark, str) else ""


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


def hold(destination: Destination) -> None:
    """`claim` before something else is written there. Keys that can't read or write the mark alone
    hinder nothing: what is written next says itself what is wrong."""
    try:
        claim(destination)
    except (OtherInstallation, TransientError):
        raise
    except BackupError as error:
        log.warning("mark.not_held destination=%d code=%s", destination.pk, error.code)


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
        self._looks = 0  # that have ended
        self._failed: BackupError | None = None  # the last one, if it did

    def renew(self, store: Store, known: Collection[str]) -> None:
        """Settings or keys may have changed: look once more, with those of now."""
        with self._lock:
            self._store, self._known, self._seen = store, known, False

    def __call__(self) -> None:
        self._before()
        if self._seen:
            return
        looks = self._looks
        with self._lock:
            if self._seen:
                return
            if looks != self._looks and self._failed is not None:
                raise self._failed  # while this one waited: a hanging store is waited for once
            self._look()

    def _look(self) -> None:
        self._failed = None
        try:
            check(self._store, self._known)
        except (OtherInstallation, TransientError) as error:
            self._failed = error
            raise
        except BackupError as error:
            log.warning("mark.not_seen code=%s", error.code)
        finally:
            self._looks += 1
        self._seen = True
