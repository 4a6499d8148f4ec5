"""Which segments to rebuild a source from: the newest whole catalog that is undamaged, and then
everything later. Reads every part once to its end; what is lacking or damaged is said in words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from syncapp.destinations.base import Destination as Store
from syncapp.engine import segment_store
from syncapp.engine.segment_format import DamagedSegment, Name, PartReader
from syncapp.errors import IntegrityError, NotFound
from syncapp.types import JsonObject

OnPart = Callable[[Name], None]


@dataclass
class Found:
    """One segment as it lies there: its parts, and what its header says once it was read."""

    names: list[Name]
    header: JsonObject = field(default_factory=dict)
    lines: int = 0

    @property
    def number(self) -> int:
        return self.names[0].number

    @property
    def whole(self) -> bool:
        """Whether it is a whole catalog, not only what changed."""
        return self.names[0].kind == "full"

    @property
    def missing(self) -> int:
        """How many of its parts are not there."""
        return self.names[0].parts - len(self.names)

    @property
    def written_at(self) -> str:
        return str(self.header.get("written_at", "an unknown time"))


@dataclass
class Chain:
    """What a source is rebuilt from, in order; nothing if not a single segment can be used.
    `header` is the newest one; `notes` say what is lost or damaged, for a person."""

    slug: str
    segments: list[Found] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def header(self) -> JsonObject:
        return self.segments[-1].header

    @property
    def damaged(self) -> bool:
        """Whether a segment is lost or damaged, even if nothing is lacking for it."""
        return bool(self.notes)

    @property
    def files_at_most(self) -> int:
        """Lines in all: what there is to do."""
        return sum(found.lines for found in self.segments)


def sources(store: Store) -> dict[str, list[Found]]:
    """Every source that has segments there, and these by ascending number."""
    parts: dict[tuple[str, int, str, int, int], list[Name]] = defaultdict(list)
    for name in segment_store.names(store):
        parts[name.slug, name.number, name.kind, name.parts, name.destination].append(name)
    found: dict[str, list[Found]] = defaultdict(list)
    for key in sorted(parts):
        found[key[0]].append(Found(sorted(parts[key], key=lambda name: name.part)))
    return dict(found)


def chain(store: Store, slug: str, there: list[Found], on_part: OnPart = lambda _: None) -> Chain:
    """The segments to use, each checked."""
    made = Chain(slug)
    start = _newest_whole(store, there, made, on_part)
    at = start.number if start else 0
    if start:
        made.segments.append(start)
    else:
        made.notes.append(
            "No whole catalog is left: only files that changed since are known from the segments. "
            "Others are found by their objects, as far as these tell what they are."
        )
    damaged = ""
    for found in there:
        if found.whole or found.number <= at:
            continue
        why = _damage(store, found, on_part)
        if why:
            damaged = f"{_what(found)}: {why}"
            made.notes.append(damaged)
            continue
        after = found.header.get("after", 0)
        if start and after > at and not damaged:
            damaged = f"Segment {after} is not there."
            made.notes.append(damaged)
        if damaged and start:
            made.notes.append(
                f"Of what changed before {found.written_at}, a part is lost from the catalog."
            )
            damaged = ""
        made.segments.append(found)
        at = found.number
    return made


def part_lines(store: Store, key: str) -> Iterator[JsonObject]:
    """The lines of a part, checked; DamagedSegment at the end if they were not all."""
    with segment_store.fetched(store, key) as chunks:
        yield from PartReader(chunks).lines()


def _newest_whole(store: Store, there: list[Found], made: Chain, on_part: OnPart) -> Found | None:
    for found in reversed(there):
        if not found.whole:
            continue
        why = _damage(store, found, on_part)
        if not why:
            return found
        made.notes.append(f"{_what(found)}: {why} An older one is used, with all later changes.")
    return None


def _damage(store: Store, found: Found, on_part: OnPart) -> str:
    """Read all of a segment; why it can't be used, "" if it can."""
    if found.missing:
        return f"{found.missing} of its {found.names[0].parts} parts are not there."
    lines = 0
    for name in found.names:
        on_part(name)
        try:
            with store.read(name.key) as chunks:
                header = PartReader(chunks).check()
        except (DamagedSegment, IntegrityError, NotFound) as error:
            return f"part {name.part} is damaged ({error.message})"
        if (header.get("number"), header.get("part")) != (name.number, name.part):
            return f"part {name.part} is another one's."
        lines += header["lines"]
    found.header, found.lines = header, lines
    return ""


def _what(found: Found) -> str:
    kind = "Whole catalog" if found.whole else "Segment"
    return f"{kind} {found.number}"
