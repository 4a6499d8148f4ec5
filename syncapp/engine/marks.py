"""Whose place a destination is: a mark beside the catalog, so that two installations (that is, two
databases) never write over each other, nor remove what is the other's, at one place.

Written when a destination is tested and with the segments; held against the database once by each
store that is made to write, before its first change there. A mark of another installation stops the
destination until a person has chosen another folder, or has said that this installation takes the
other one's place. Reading is free. A place without a mark stops nobody. A database that was put
back from its own backup is the same installation.
"""

from __future__ import annotations

import hashlib
import logging
import socket
import threading
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

import orjson
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from syncapp.destinations.base import Destination as Store
from syncapp.engine.segment_format import FOLDER
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    NotFound,
    PermanentError,
    TransientError,
)
from syncapp.models import Destination, Installation
from syncapp.types import ObjectMeta, Part

log = logging.getLogger(__name__)
KEY = f"{FOLDER}/installation.json"
OTHER = "other_installation"
_SEEN_EVERY = timedelta(hours=1)
_MOST_BYTES = 4096
_MOST_NAME = 100  # characters of a host's name that are told
# What writes or removes, of a store's calls.
_CHANGING = frozenset(
    {"put", "start_upload", "resume_upload", "copy", "delete", "purge", "sweep_uploads"}
)


class Mark(NamedTuple):
    """What lies there. The host and the time are only told, never trusted."""

    installation: str
    host: str = ""
    seen: datetime | None = None

    def told(self) -> str:
        """Where that installation runs and when it was there, as far as it says."""
        at = [f"on the host {self.host}"] if self.host else []
        at += [f"last sign of life {self.seen:%Y-%m-%d %H:%M} UTC"] if self.seen else []
        return f" ({', '.join(at)})" if at else ""


class OtherInstallation(ConfigurationError):
    """Another database's backups lie at this place."""

    code = OTHER

    def __init__(self, mark: Mark | None) -> None:
        """`mark` None: the backups there are not ours, and nothing tells whose."""
        told = mark.told() if mark else ""
        super().__init__(
            f"Another installation of this program{told} keeps its backups in this very place, and"
            " the two would write over each other. If that one still runs, choose another folder"
            " (prefix) here. If it is gone for good, let this one take its place: the button on"
            " the destination's page, or `manage.py destination test NAME --take-over`."
        )


def known(destination: Destination) -> list[str]:
    """The mark of this installation, and, as long as that never lay there, those of the ones whose
    place it has taken elsewhere: a recovery meets them at each destination of old."""
    row, _ = Installation.objects.get_or_create(pk=Installation.ONLY)
    return [row.mark] if destination.marked_at else [row.mark, *row.succeeds]


def found(store: Store) -> Mark | None:
    """The mark that lies there; None if none does, or one that says nothing (half written)."""
    try:
        with store.read(KEY, end=_MOST_BYTES) as chunks:
            told = orjson.loads(b"".join(chunks))
    except NotFound:
        return None
    except orjson.JSONDecodeError:
        return None
    told = told if isinstance(told, dict) else {}
    mark, host, seen = (str(told.get(name) or "") for name in ("installation", "host", "seen"))
    return Mark(mark, host[:_MOST_NAME], _moment(seen)) if mark else None


def _moment(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment and timezone.is_aware(moment) else None


def claim(destination: Destination, store: Store, *, take_over: bool = False) -> None:
    """Leave our mark there, by a store that writes what can be read at once (the row need not be
    saved). OtherInstallation if there is another's, unless its place is to be taken: then it is
    known as one that this installation succeeds."""
    ours, mark = known(destination), None
    try:
        mark = found(store)
    except (PermanentError, ConfigurationError):
        if not take_over:
            raise
    if mark and mark.installation not in ours:
        if not take_over:
            raise OtherInstallation(mark)
        _succeed(mark.installation)
    cast("Guarded", store).allow()
    if mark is None or mark.installation != ours[0] or not _is_fresh(mark):
        _write(store, ours[0], over=mark)
    if destination.marked_at is None:
        destination.marked_at = timezone.now()
        Destination.objects.filter(pk=destination.pk).update(marked_at=destination.marked_at)


def hold(destination: Destination, store: Store) -> None:
    """`claim` before something else is written there. Keys that can't read or write the mark alone
    hinder nothing: what is written next says itself what is wrong."""
    try:
        claim(destination, store)
    except (OtherInstallation, TransientError):
        raise
    except BackupError as error:
        log.warning("mark.not_held destination=%d code=%s", destination.pk, error.code)


def _is_fresh(mark: Mark) -> bool:
    return mark.seen is not None and abs(timezone.now() - mark.seen) < _SEEN_EVERY


def _succeed(mark: str) -> None:
    row = Installation.objects.get(pk=Installation.ONLY)
    row.succeeds = [*row.succeeds, mark]
    row.save(update_fields=["succeeds"])


def _write(store: Store, mark: str, *, over: Mark | None) -> None:
    now = timezone.now()
    told = {"installation": mark, "host": socket.gethostname()[:_MOST_NAME], "seen": now}
    data = orjson.dumps({"format": "backup-installation", **told})
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    part = Part.of(1, data, md5, hashlib.sha256(data).digest())
    store.put(KEY, part, ObjectMeta(now, "", "application/json"))
    if over is not None and store.keeps_versions:
        _purge_older(store)


def _purge_older(store: Store) -> None:
    """An hourly sign of life must not leave a version an hour."""
    try:
        for info in [i for i in store.versions(KEY) if i.key == KEY and not i.latest]:
            store.purge(KEY, version_id=info.version_id)
    except BackupError as error:  # protected by a lock, or keys that may not: they stay
        log.info("mark.older_stay code=%s", error.code)


class Guarded:
    """A store that changes nothing at another installation's place: each call that writes or
    removes goes ahead once the mark was looked at. All other calls are the store's own.

    Used by several threads; no database. What hinders only this look hinders nothing else.
    """

    def __init__(self, store: Store, ours: Collection[str]) -> None:
        self._store, self._ours = store, ours
        self._lock = threading.Lock()
        self._seen = threading.Event()
        self._looks = 0  # that have ended
        self._failed: BackupError | None = None  # the last one, if it did

    @property
    def store(self) -> Store:
        """This, to be used as the store itself."""
        return cast("Store", self)

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        return self._after_a_look(call) if name in _CHANGING else call

    def _after_a_look(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*args: Any, **options: Any) -> Any:
            self.look()
            return call(*args, **options)

        return changing

    def allow(self) -> None:
        """It was looked at, or is to be ours."""
        self._seen.set()

    def look(self) -> None:
        """OtherInstallation, now and from now on, if the mark that lies there is none of ours."""
        if self._seen.is_set():
            return
        looks = self._looks
        with self._lock:
            if self._seen.is_set():
                return
            # A refusal stays. While this one waited: a hanging store is waited for once.
            waited = looks != self._looks or isinstance(self._failed, OtherInstallation)
            if waited and self._failed is not None:
                raise self._failed
            self._look()

    def _look(self) -> None:
        self._failed = None
        try:
            mark = found(self._store)
            if mark and mark.installation not in self._ours:
                raise OtherInstallation(mark)
        except (OtherInstallation, TransientError) as error:
            self._failed = error
            raise
        except BackupError as error:
            log.warning("mark.not_seen code=%s", error.code)
        finally:
            self._looks += 1
        self._seen.set()


def check(store: Store) -> None:
    """As `Guarded.look`, for whoever has to know before he begins."""
    cast("Guarded", store).look()
