"""Reading stored versions back, from wherever they are: what restores, previews and drills use.

Where one destination fails, another goes on at the same offset. Whole reads are held against the
catalog's size and SHA-256, stretches are not (their length is). A copy that turns out to be missing
or different is reported as `Damage` and read no more. Memory: a file of up to HELD_BYTES is held
until it was found right, so that its reader never sees a wrong byte; of larger ones one chunk is.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from syncapp.engine import damage
from syncapp.engine.damage import Damage
from syncapp.engine.occupied import STORED
from syncapp.engine.origins import Origins, Place
from syncapp.engine.sets import chunks as in_chunks
from syncapp.errors import BackupError, IntegrityError, NotFound, PermanentError, Unavailable
from syncapp.models import Copy, Finding, Restore, Run, Version
from syncapp.types import sha256_of

HELD_BYTES = 1024**2
TRIES = 2  # of each destination in a row, without a byte
_ARCHIVED = "archived"


class Archived(PermanentError):
    """Every copy that is left must be thawed first; `places` has them."""

    code = _ARCHIVED

    def __init__(self, message: str, places: Collection[Place]) -> None:
        super().__init__(message)
        self.places = list(places)


@dataclass(frozen=True, slots=True)
class Stored:
    """A version that can be read: what it must be, and every place where it lies."""

    version_id: int
    size: int
    sha256: str
    content_type: str
    places: tuple[Place, ...]


def locate(version_ids: Collection[int]) -> dict[int, Stored]:
    """Those of the versions that are stored somewhere, by id; a query for 500."""
    found: dict[int, Stored] = {}
    for some in in_chunks(version_ids, 500):
        places: dict[int, list[Place]] = {}
        rows = Copy.objects.filter(version_id__in=some, state__in=STORED)
        for version_id, pk, destination_id, key, store_version in rows.order_by("pk").values_list(
            "version_id", "pk", "destination_id", "object_key", "store_version"
        ):
            place = Place(pk, destination_id, key, store_version)
            places.setdefault(version_id, []).append(place)
        about = Version.objects.filter(pk__in=places)
        for pk, size, sha256, kind in about.values_list("pk", "size", "sha256", "content_type"):
            if size is not None:
                found[pk] = Stored(pk, size, sha256, kind, tuple(places[pk]))
    return found


@contextmanager
def open_version(
    version_id: int,
    *,
    start: int = 0,
    end: int | None = None,
    prefer: str = Restore.Prefer.FASTEST,
    origin_id: int | None = None,
    run: Run | None = None,
) -> Iterator[Reading]:
    """The bytes [start, end) of a stored version, to be iterated once; see `Reading`.

    Damage that was met is noted at the end, also where the reader fails. PermanentError
    "not_stored" if no destination has it.
    """
    origins = Origins(prefer, origin_id)
    stored = locate([version_id]).get(version_id)
    if stored is None:
        raise not_stored()
    origins.load(place.destination_id for place in stored.places)
    reading = Reading(stored, origins, start=start, end=end)
    try:
        yield reading
    finally:
        damage.note(reading.damages, run)


def not_stored() -> PermanentError:
    """What is raised for a version that no destination has."""
    return PermanentError("No destination has a good copy of this file.", code="not_stored")


@dataclass
class Reading:
    """One version on its way back: iterate once for its chunks of at most 1 MiB. No database.

    Raises Archived, PermanentError "not_stored", Unavailable when every place has failed for now,
    and IntegrityError when what was handed out turned out wrong at the end: whoever can begins
    again, for the copy to blame is known by then (`damages`) and is not read again.
    """

    stored: Stored
    origins: Origins
    start: int = 0
    end: int | None = None
    damages: list[Damage] = field(default_factory=list)
    origin_id: int | None = None  # where the last byte came from

    def __post_init__(self) -> None:
        self._stop = self.size if self.end is None else min(self.end, self.size)
        self._places = self.origins.order(self.stored.places, max(self._stop - self.start, 0))
        self._archived: list[Place] = []
        self._last: BackupError | None = None
        self._from: list[Place] = []  # every place that has given bytes

    @property
    def size(self) -> int:
        """Of the whole version, in bytes."""
        return self.stored.size

    @property
    def is_whole(self) -> bool:
        """Whether the hash will be compared."""
        return self.start == 0 and self._stop == self.size

    def __iter__(self) -> Iterator[bytes]:
        if not self.is_whole:
            yield from self._flow()
        elif self.size > HELD_BYTES:
            yield from self._verified()
        else:
            yield from self._held()

    def _held(self) -> Iterator[bytes]:
        """A small file, given out only when right."""
        while True:
            data = b"".join(self._flow())
            if self._is_right(hashlib.sha256(data).hexdigest()):
                break
        if data:
            yield data

    def _verified(self) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for chunk in self._flow():
            digest.update(chunk)
            yield chunk
        if not self._is_right(digest.hexdigest()):
            raise IntegrityError("The stored bytes are not those that were backed up.")

    def _is_right(self, sha256: str) -> bool:
        """Compare; if it differs, find out which of the places is to blame."""
        if sha256 == self.stored.sha256:
            return True
        used = list(dict.fromkeys(self._from))
        blamed = used if len(used) == 1 else [place for place in used if self._differs(place)]
        for place in blamed:
            self._damaged(place, Finding.Kind.CONTENT, "The object's bytes have changed.")
        self._from.clear()
        if not blamed and used:
            raise Unavailable("The bytes of two destinations do not fit together.")
        return False

    def _differs(self, place: Place) -> bool:
        try:
            return sha256_of(self._read(place, 0, self.size + 1)) != self.stored.sha256
        except BackupError as error:
            self._last = error
            return False

    def _flow(self) -> Iterator[bytes]:
        """The bytes from `start` to `_stop`, from one place after the other."""
        at, fruitless = self.start, 0
        if at >= self._stop and not self.is_whole:
            return
        while self._places and fruitless < TRIES * len(self._places):
            place, before = self._places[0], at
            try:
                for chunk in self._read(place, at, self._stop + self.is_whole):
                    self._note_origin(place)
                    keep = chunk[: self._stop - at]
                    at += len(chunk)
                    if keep:
                        yield keep
                if self._has_ended(place, at):
                    return
            except NotFound:
                self._damaged(place, Finding.Kind.MISSING, "The object is not there any more.")
            except BackupError as error:
                self._failed(place, error)
            fruitless = 0 if at > before else fruitless + 1
        raise self._nowhere()

    def _read(self, place: Place, start: int, end: int) -> Iterator[bytes]:
        """From one place, its speed measured: what the destination takes, not its reader."""
        store = self.origins.store(place.destination_id)
        size, waited, began = 0, 0.0, time.monotonic()
        with store.read(place.key, version_id=place.store_version, start=start, end=end) as chunks:
            for chunk in chunks:
                size += len(chunk)
                waited += time.monotonic() - began
                yield chunk
                began = time.monotonic()
        self.origins.measured(place.destination_id, size, waited)

    def _note_origin(self, place: Place) -> None:
        self.origin_id = place.destination_id
        if not self._from or self._from[-1] is not place:
            self._from.append(place)

    def _has_ended(self, place: Place, at: int) -> bool:
        """Whether all is there. An object of another length is damaged, whatever was read of it."""
        if at != self._stop:
            there = "more" if at > self._stop else f"{at}"
            message = f"The object has {there} bytes where {self.size} were stored."
            self._damaged(place, Finding.Kind.SIZE, message)
        if at == self._stop == 0:
            self._note_origin(place)
        return at >= self._stop

    def _damaged(self, place: Place, kind: Finding.Kind, message: str) -> None:
        self.damages.append(Damage(place, kind, message))
        self._places = [other for other in self._places if other is not place]

    def _failed(self, place: Place, error: BackupError) -> None:
        """Others first; what is archived is not asked again."""
        self._last = error
        rest = [other for other in self._places if other is not place]
        if error.code == _ARCHIVED:
            self._archived.append(place)
            self._places = rest
            return
        self.origins.failed(place.destination_id)
        self._places = [*rest, place]

    def _nowhere(self) -> BackupError:
        if self._archived and not self._places:
            names = ", ".join(self.origins.name(p.destination_id) for p in self._archived)
            return Archived(f"It lies in cold storage ({names}).", self._archived)
        if self._places and self._last:
            return Unavailable(f"It can't be read now: {self._last.message}", code=self._last.code)
        return not_stored()
