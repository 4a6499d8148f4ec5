"""How well a source is protected: 0 to 100, why not more, and what to do. Pure: facts are given.

Each thing that lacks costs points and says so. Red is whatever would lose files if one thing more
went wrong, or has lost some; green needs a proof: a drill that brought everything back lately, and
copies that were read back. No number of good figures stands in for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from syncapp.words import counted

GREEN_FROM, RED_BELOW = 85, 50
RECENT, OLD = timedelta(days=2), timedelta(days=7)
BY_HAND = 5  # a source backed up only when asked may be so many times older
DRILLED = timedelta(days=60)  # where no drills are wanted, one of so long ago counts still


class Band(StrEnum):
    """The colour."""

    RED = "red"
    AMBER = "amber"
    GREEN = "green"


@dataclass(frozen=True, slots=True)
class Place:
    """A destination that is in use. `spot` is equal for two that one accident may take; `in_eu`
    None where nobody has told. Counts are of the source's copies there; `since`: of the oldest."""

    name: str
    spot: str
    in_eu: bool | None = None
    trouble: str = ""  # why it takes nothing just now
    catalog: bool = True  # whether the catalog lies beside the data
    present: int = 0  # of the files' present contents
    readable: int = 0
    read: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one source; counts are of files, or of copies where that is said."""

    places: Sequence[Place] = ()
    blocked: str = ""
    paused: bool = False
    by_hand: bool = False
    current_at: datetime | None = None  # when it was last known that all was backed up
    since: datetime | None = None  # when the first copy can have been made
    waiting: int = 0
    failed: int = 0
    refused: int = 0
    copies: int = 0  # stored
    read: int = 0  # of those, read back within `verify_days`
    archived: int = 0  # of those, in cold storage
    damaged: int = 0  # findings that are open
    lost: int = 0  # of those, what has no good copy anywhere and Google has no more
    covered: int = 0  # by other objects, not yet mended
    foreign: int = 0
    verify_days: int = 90
    drill_days: int = 30
    proven_at: datetime | None = None
    drill_failed: str = ""  # why the last drill failed


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that lacks: what it costs, what it is, what to do. `code` is stable."""

    code: str
    points: int
    message: str
    todo: str
    band: Band = Band.AMBER


@dataclass(frozen=True, slots=True)
class Protection:
    """The judgement; reasons the dearest first. `share_read` is of the copies, None of none."""

    score: int
    band: Band
    reasons: Sequence[Reason] = field(default_factory=list)
    proven_at: datetime | None = None
    share_read: float | None = None

    @property
    def label(self) -> str:
        """The band as a person says it."""
        return _LABELS[self.band]


_LABELS = {
    Band.RED: "Not protected",
    Band.AMBER: "Protected in part",
    Band.GREEN: "Protected and proven",
}


def judge(facts: Facts, now: datetime) -> Protection:
    """All reasons, and what they make together."""
    reasons = sorted(_reasons(facts, now), key=lambda reason: -reason.points)
    score = max(100 - sum(reason.points for reason in reasons), 0)
    proven = is_proven(facts, now)
    if not proven:
        score = min(score, GREEN_FROM - 1)
    if score < RED_BELOW or any(reason.band is Band.RED for reason in reasons):
        band, score = Band.RED, min(score, RED_BELOW - 1)
    else:
        band = Band.GREEN if score >= GREEN_FROM else Band.AMBER
    share = facts.read / facts.copies if facts.copies else None
    return Protection(score, band, reasons, facts.proven_at, share)


def is_proven(facts: Facts, now: datetime) -> bool:
    """Whether a restore was tried lately with success, and copies were read back."""
    drilled = facts.proven_at is not None and now - facts.proven_at <= _drill_limit(facts)
    readable = facts.copies - facts.archived
    return drilled and not facts.drill_failed and (facts.read > 0 or readable <= 0)


def _drill_limit(facts: Facts) -> timedelta:
    return timedelta(days=2 * facts.drill_days) if facts.drill_days else DRILLED


def _reasons(facts: Facts, now: datetime) -> Iterator[Reason]:
    yield from _of_places(facts)
    yield from _of_backups(facts, now)
    yield from _of_damage(facts)
    yield from _of_reading(facts, now)
    yield from _of_drills(facts, now)


def _of_places(facts: Facts) -> Iterator[Reason]:
    places = facts.places
    if not places:
        message = "It is kept nowhere."
        yield Reason("no_destination", 100, message, "Choose a destination for it.", Band.RED)
        return
    if len(places) == 1:
        message = f"There is one copy only, in {places[0].name}."
        yield Reason("one_copy", 20, message, "Add a second destination, somewhere else.")
    elif len({place.spot for place in places}) == 1:
        message = "All copies lie in one place: one accident may take them all."
        yield Reason("one_place", 12, message, "Add a destination somewhere else.")
    if places and all(place.in_eu is False for place in places):
        message = "No copy lies in the European Union."
        yield Reason("outside_eu", 3, message, "If the law asks for it, add one that does.")
    for place in places:
        if place.trouble:
            message = f"{place.name} takes nothing: {place.trouble}"
            yield Reason("destination_stopped", 15, message, "Mend it, then test it.")
    yield from _of_what_lacks(places, facts.failed)
    bare = [place.name for place in places if not place.catalog]
    if bare and facts.copies:
        message = f"The catalog does not lie beside the data yet in {', '.join(bare)}."
        todo = (
            "It is written by itself while a worker runs; it rebuilds everything if this is lost."
        )
        yield Reason("no_catalog", 5, message, todo)


def _of_what_lacks(places: Sequence[Place], failed: int) -> Iterator[Reason]:
    """A place that was only just chosen, or that nothing reaches, is no second copy. What failed
    is told by itself."""
    most = max(place.present for place in places)
    for place in places:
        lacking = most - place.present - failed
        if lacking > most // 20:
            message = f"{place.name} does not hold everything: it lacks {counted(lacking, 'file')}."
            todo = "Let the backup come to its end: until then there is one copy less."
            yield Reason("place_lacks", 20, message, todo)


def _of_backups(facts: Facts, now: datetime) -> Iterator[Reason]:
    if facts.blocked:
        yield Reason(
            "blocked", 35, f"It is stopped: {facts.blocked}", "Do what the message says.", Band.RED
        )
    if facts.paused:
        yield Reason("paused", 10, "It is paused: nothing new is backed up.", "Resume it.")
    if facts.current_at is None:
        yield Reason("no_backup", 60, "No backup has come to its end yet.", "Back it up.", Band.RED)
        return
    age = now - facts.current_at
    times = BY_HAND if facts.by_hand else 1
    if age > OLD * times:
        message = f"The last good backup is {age.days} days old."
        yield Reason("old_backup", 30, message, "See why the last runs failed.", Band.RED)
    elif age > RECENT * times:
        message = f"The last good backup is {age.days} days old."
        yield Reason("stale_backup", 12, message, "Back it up, or see why runs fail.")
    if facts.failed:
        message = f"Not stored everywhere because they failed: {counted(facts.failed, 'file')}."
        points = 16 if facts.failed > facts.copies // 20 else 15
        yield Reason("files_failed", points, message, "See the failures, then try them again.")
    if facts.waiting > max(facts.copies // 20, 100):
        message = f"Waiting to be stored: {counted(facts.waiting, 'file')}."
        yield Reason("files_waiting", 10, message, "Let the backup come to its end.")
    if facts.refused:
        message = f"Google refuses {counted(facts.refused, 'file')}; the list has the reasons."
        yield Reason("files_refused", 2, message, "Look at the list: some can be shared or moved.")


def _of_damage(facts: Facts) -> Iterator[Reason]:
    if facts.lost:
        message = f"Without a good copy anywhere: {counted(facts.lost, 'version')}."
        todo = "See the findings: what an archive or another backup may still have."
        yield Reason("lost", 40, message, todo, Band.RED)
    if facts.damaged:
        message = f"Missing or different: {counted(facts.damaged, 'object')}."
        todo = "A verification or the next backup makes them anew; see the findings."
        yield Reason("damaged", 20, message, todo)
    if facts.covered:
        message = f"Covered or hidden by other objects: {counted(facts.covered, 'object')}."
        yield Reason("covered", 8, message, "The next verification puts the copies on top again.")
    if facts.foreign:
        message = f"Not ours, at the destinations: {counted(facts.foreign, 'object')}."
        yield Reason(
            "foreign",
            1,
            message,
            "See who else writes there, or say on the proof page that you know it.",
        )


def _of_reading(facts: Facts, now: datetime) -> Iterator[Reason]:
    readable = facts.copies - facts.archived
    if facts.archived:
        objects = counted(facts.archived, "object")
        message = f"In cold storage: listed, but not read back: {objects}."
        yield Reason("archived", 1, message, "Drill from it now and then: a few files cost cents.")
    if readable <= 0:
        if facts.archived and not is_proven(facts, now):
            message = "All copies lie in cold storage, and none was brought back from it lately."
            todo = "Drill from cold storage, or allow a sum a month for that in the policy."
            yield Reason("all_archived", 10, message, todo)
        return
    share = facts.read / readable
    if not facts.read:
        message = f"No copy was read back in the last {facts.verify_days} days."
        yield Reason("nothing_read", 15, message, "Verify it; a share is read every day.")
        return
    for place in facts.places:
        old = place.since is not None and now - place.since > timedelta(days=facts.verify_days)
        if old and place.readable > 0 and not place.read:
            message = f"Nothing in {place.name} was read back in {facts.verify_days} days."
            yield Reason("place_unread", 16, message, "Read everything once, or see what fails.")
    # What was begun lately can't have been read whole: half of what a day's share makes by now.
    days = (now - facts.since).days if facts.since else facts.verify_days
    expected = min(days / max(facts.verify_days, 1), 1.0) * (
        0.95 if days > facts.verify_days else 0.5
    )
    if share < expected:
        message = f"{share:.0%} of the copies were read back in the last {facts.verify_days} days."
        todo = "Verifications fall behind: allow more bytes a day, or read everything once."
        yield Reason("little_read", 10, message, todo)


def _of_drills(facts: Facts, now: datetime) -> Iterator[Reason]:
    if facts.drill_failed:
        message = f"The last drill failed: {facts.drill_failed}"
        yield Reason("drill_failed", 30, message, "See the drill, mend it, drill again.", Band.RED)
    elif facts.proven_at is None:
        message = "It was never proven that a restore works."
        yield Reason("never_proven", 16, message, "Begin a drill.")
    elif now - facts.proven_at > _drill_limit(facts):
        message = f"The last drill was {(now - facts.proven_at).days} days ago."
        yield Reason("old_proof", 16, message, "Begin a drill, or have them come by themselves.")
