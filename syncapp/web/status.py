"""One sentence on how things are: the worst state wins. Pure: a situation in, a judgement out.

A backup that stored nothing is never good, and neither is one that nobody is working on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncapp.words import counted

OVERDUE = timedelta(days=7)
WORKER_COMMAND = "manage.py runworkers"


@dataclass(frozen=True, slots=True)
class Named:
    """A thing and what is wrong with it."""

    name: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the sentence is made from. Counts are None while a large catalog is being counted."""

    now: datetime
    worker_alive: bool = True
    accounts: int = 0
    sources: int = 0
    destinations: int = 0
    used_destinations: int = 0
    to_reconnect: Sequence[Named] = ()
    blocked_destinations: Sequence[Named] = ()
    blocked_sources: Sequence[Named] = ()
    unreachable: Sequence[Named] = ()  # destinations, and Google for a source; tried by themselves
    failed_runs: Sequence[Named] = ()
    running: Sequence[Named] = ()  # backups that go on
    waits_for_person: Sequence[Named] = ()  # runs that somebody must let go on
    stopped_erasures: Sequence[Named] = ()
    paused: Sequence[Named] = ()
    never_backed_up: Sequence[Named] = ()
    without_destination: Sequence[Named] = ()
    found_nothing: Sequence[Named] = ()
    unread: Sequence[Named] = ()
    failed_files: int = 0
    failed_reason: str = ""
    refused_files: int = 0
    damaged: int | None = None
    waiting: int | None = None
    stored: int | None = None
    verified: int | None = None
    last_backup_at: datetime | None = None  # of the source whose last backup is the oldest


@dataclass(frozen=True, slots=True)
class Status:
    """The sentence; `level` is ok, info, warning or danger. `link` names a page that helps."""

    level: str
    sentence: str
    detail: str = ""
    link: str = ""
    link_label: str = ""


def judge(situation: Situation) -> Status:
    """The first rule that applies, worst first."""
    for rule in _RULES:
        status = rule(situation)
        if status is not None:
            return status
    return _all_good(situation)


def _names(things: Sequence[Named]) -> str:
    shown = ", ".join(thing.name for thing in things[:3])
    return shown if len(things) <= 3 else f"{shown} and {len(things) - 3} more"


def _no_worker(s: Situation) -> Status | None:
    if s.worker_alive or not s.sources:
        return None
    return Status("danger", "No worker is running", f"Start it with: {WORKER_COMMAND}")


def _reconnect(s: Situation) -> Status | None:
    if not s.to_reconnect:
        return None
    sentence = f"Reconnect {_names(s.to_reconnect)}"
    return Status(
        "danger", sentence, s.to_reconnect[0].reason, "google_accounts", "Google accounts"
    )


def _blocked_destination(s: Situation) -> Status | None:
    if not s.blocked_destinations:
        return None
    verb = "takes" if len(s.blocked_destinations) == 1 else "take"
    reason = s.blocked_destinations[0].reason
    return Status(
        "danger", f"{_names(s.blocked_destinations)} {verb} no files at the moment", reason
    )


def _blocked_source(s: Situation) -> Status | None:
    if not s.blocked_sources:
        return None
    sentence = f"{_names(s.blocked_sources)} can't be backed up at the moment"
    return Status("danger", sentence, s.blocked_sources[0].reason)


def _damaged(s: Situation) -> Status | None:
    if not s.damaged:
        return None
    verb = "is" if s.damaged == 1 else "are"
    sentence = f"{counted(s.damaged, 'stored copy', 'stored copies')} {verb} damaged"
    return Status("danger", sentence, "A verification or the next backup makes them anew.")


def _failed_files(s: Situation) -> Status | None:
    if not s.failed_files:
        return None
    return Status(
        "danger",
        f"{counted(s.failed_files, 'file')} failed",
        s.failed_reason,
        "failures",
        "All failures",
    )


def _failed_run(s: Situation) -> Status | None:
    if not s.failed_runs:
        return None
    return Status(
        "danger", f"The last backup of {_names(s.failed_runs)} failed", s.failed_runs[0].reason
    )


def _not_set_up(s: Situation) -> Status | None:
    if s.sources and s.used_destinations:
        return None
    if not s.accounts:
        return Status("info", "Nothing is backed up yet", "Link a Google account to begin.")
    if not s.destinations:
        return Status("info", "Nothing is backed up yet", "Add a destination for the copies.")
    return Status("info", "Nothing is backed up yet", "Choose what goes where, and start.")


def _stopped_erasure(s: Situation) -> Status | None:
    if not s.stopped_erasures:
        return None
    verb = "waits" if len(s.stopped_erasures) == 1 else "wait"
    sentence = f"{_names(s.stopped_erasures)} {verb} for you"
    return Status("warning", sentence, s.stopped_erasures[0].reason, "erasures", "Erasures")


def _unreachable(s: Situation) -> Status | None:
    if not s.unreachable:
        return None
    verb = "is" if len(s.unreachable) == 1 else "are"
    sentence = f"{_names(s.unreachable)} {verb} not reachable; the backup goes on by itself"
    return Status("warning", sentence, s.unreachable[0].reason)


def _running(s: Situation) -> Status | None:
    return Status("info", f"Backing up {_names(s.running)}") if s.running else None


def _without_destination(s: Situation) -> Status | None:
    if not s.without_destination:
        return None
    sentence = f"{_names(s.without_destination)} has no destination to go to"
    return Status("warning", sentence, "Choose at least one in its settings.")


def _never(s: Situation) -> Status | None:
    if not s.never_backed_up:
        return None
    return Status("warning", f"{_names(s.never_backed_up)} was never backed up", "Start it below.")


def _nothing_found(s: Situation) -> Status | None:
    if not s.found_nothing:
        return None
    detail = "A backup of nothing is no backup: see whether this is the right account."
    return Status("warning", f"The last backup found no files in {_names(s.found_nothing)}", detail)


def _nothing_stored(s: Situation) -> Status | None:
    if s.stored != 0:
        return None
    detail = "What Google does not hand out stands below, each with its reason."
    return Status("warning", "No file is stored", detail if s.refused_files else "")


def _waits_for_person(s: Situation) -> Status | None:
    if not s.waits_for_person:
        return None
    verb = "waits" if len(s.waits_for_person) == 1 else "wait"
    sentence = f"{_names(s.waits_for_person)} {verb} for you"
    return Status("warning", sentence, s.waits_for_person[0].reason)


def _unread(s: Situation) -> Status | None:
    if not s.unread:
        return None
    sentence = f"Google was not asked for changes of {_names(s.unread)} for more than an hour"
    return Status("warning", sentence, "It may not be reachable; the workers' log has the reason.")


def _waiting(s: Situation) -> Status | None:
    if not s.waiting:
        return None
    verb = "is" if s.waiting == 1 else "are"
    sentence = f"{counted(s.waiting, 'copy', 'copies')} {verb} still to be made"
    return Status("warning", sentence, "The next backup makes them.")


def _paused(s: Situation) -> Status | None:
    if not s.paused:
        return None
    verb = "is" if len(s.paused) == 1 else "are"
    return Status("warning", f"{_names(s.paused)} {verb} paused", "Changes are not backed up.")


def _overdue(s: Situation) -> Status | None:
    if s.last_backup_at is None or s.now - s.last_backup_at < OVERDUE:
        return None
    days = (s.now - s.last_backup_at).days
    return Status("warning", f"The last backup was {days} days ago", "Start one below.")


def _all_good(s: Situation) -> Status:
    where = counted(s.used_destinations, "destination")
    refused = (
        f"Google refuses {counted(s.refused_files, 'file')}; the reasons are below."
        if s.refused_files
        else ""
    )
    if s.stored is None or s.verified is None:
        return Status("ok", f"The last backup to {where} is complete", refused)
    if s.verified == s.stored:
        return Status("ok", f"Everything is stored and verified in {where}", refused)
    share = f"{s.verified * 100 // s.stored} % of the copies were read back and verified."
    return Status(
        "ok", f"Everything is stored in {where}", " ".join(filter(None, [share, refused]))
    )


_RULES: tuple[Callable[[Situation], Status | None], ...] = (
    _no_worker,
    _reconnect,
    _blocked_destination,
    _blocked_source,
    _damaged,
    _failed_files,
    _not_set_up,
    _stopped_erasure,
    _unreachable,
    _running,
    _failed_run,
    _without_destination,
    _never,
    _nothing_found,
    _waits_for_person,
    _unread,
    _waiting,
    _nothing_stored,
    _paused,
    _overdue,
)
