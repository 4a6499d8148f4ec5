"""What the dashboard says of each source and destination, and of the whole. Reads, never writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from accounts.models import GoogleAccount, User
from syncapp.engine import breakers, erasure_report, health, takeup
from syncapp.engine.protection import Protection
from syncapp.engine.when import current_at, is_unread, next_look
from syncapp.models import Breaker, Copy, Destination, Run, Source
from syncapp.web import queries
from syncapp.web.progress import Progress, progress_of
from syncapp.web.protected import protections_of
from syncapp.web.status import Named, Situation
from syncapp.web.totals import Stored, Totals, totals_of

PRESENT = (Copy.State.STORED, Copy.State.VERIFIED)


@dataclass(frozen=True, slots=True)
class SourceCard:
    """A source: how it is, what is under way, what is stored of it."""

    source: Source
    state: str
    label: str
    reason: str
    again: str  # when a backup that failed is begun again by itself
    under_way: Sequence[Progress]  # whatever its kind
    last: Run | None  # the last backup that came to an end of its own
    good: Run | None  # the last one that succeeded
    empty: bool  # the last whole listing saw no file, and no change log has named one since
    stored: int | None
    size_bytes: int | None
    next: str
    protection: Protection | None = None  # None while a large catalog is judged the first time

    @property
    def backup(self) -> Progress | None:
        """The backup under way."""
        return self._of_kind(Run.Kind.BACKUP)

    @property
    def verification(self) -> Progress | None:
        """The verification under way."""
        return self._of_kind(Run.Kind.VERIFY)

    @property
    def failed(self) -> Run | None:
        """The last backup, if it failed."""
        return self.last if self.last and self.last.outcome == Run.Outcome.FAILED else None

    def _of_kind(self, kind: str) -> Progress | None:
        return next((one for one in self.under_way if one.run.kind == kind), None)


@dataclass(frozen=True, slots=True)
class DestinationCard:
    """A destination: where it is, and how many copies are in which state."""

    destination: Destination
    place: str
    state: str
    label: str
    stored: int | None
    verified: int | None
    failed: int | None
    waiting: int | None
    size_bytes: int | None
    trouble: str = ""  # why it is not reachable just now, and when it is tried next


@dataclass(frozen=True, slots=True)
class Step:
    """One step of setting up."""

    label: str
    done: bool
    link: str
    help: str


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the dashboard shows of a person's set-up."""

    sources: Sequence[SourceCard]
    destinations: Sequence[DestinationCard]
    accounts: Sequence[GoogleAccount]
    totals: Totals | None

    @property
    def backed_up_at(self) -> datetime | None:
        """When a backup last succeeded."""
        return max(
            (c.good.ended_at for c in self.sources if c.good and c.good.ended_at), default=None
        )

    @property
    def failed_at(self) -> datetime | None:
        """When a backup last failed, if none has succeeded since."""
        failed = [c.failed.ended_at for c in self.sources if c.failed and c.failed.ended_at]
        newest = max(failed, default=None)
        good = self.backed_up_at
        return newest if newest and (good is None or newest > good) else None


def overview(user: User, now: datetime) -> Overview:
    """A fixed number of queries, whatever the number of sources, destinations and files."""
    totals = totals_of(user)
    latest = queries.latest_runs(user)
    destinations, accounts = list(queries.destinations_of(user)), list(queries.accounts_of(user))
    down = breakers.open_of([d.pk for d in destinations], [a.pk for a in accounts])
    sources = list(queries.sources_of(user))
    judged = protections_of(user, sources)
    return Overview(
        [
            replace(
                _source_card(source, latest, totals, now, down), protection=judged.get(source.pk)
            )
            for source in sources
        ],
        [destination_card(found, totals, down) for found in destinations],
        accounts,
        totals,
    )


def _source_card(
    source: Source,
    latest: queries.LatestRuns,
    totals: Totals | None,
    now: datetime,
    down: Mapping[str, Breaker],
) -> SourceCard:
    active, last = latest.active.get(source.pk, []), latest.tried.get(source.pk)
    good, listed = latest.good.get(source.pk), latest.listed.get(source.pk)
    backup = next((run for run in active if run.kind == Run.Kind.BACKUP), None)
    state, label, reason = _source_state(source, backup, last)
    outage = down.get(breakers.account_key(source.account_id))
    if outage and state == "running":
        state, label, reason = "down", "Can't be read just now", health.told(outage)
    again = _again(source, now) if state == Run.Outcome.FAILED else ""
    stored = size = None
    if totals is not None:
        stored, size = totals.stored.get(source.pk, Stored())
    running = [progress_of(run, now) for run in active]
    when = next_look(source, now)
    empty = listed is not None and not listed.files_seen
    return SourceCard(
        source, state, label, reason, again, running, last, good, empty, stored, size, when
    )


def _again(source: Source, now: datetime) -> str:
    at = takeup.taken_up_at(source)
    if at is None:
        return ""
    when = "in a moment" if at <= now else f"at {breakers.moment(at)}"
    return f"It is begun again by itself {when}."


def _source_state(source: Source, backup: Run | None, last: Run | None) -> tuple[str, str, str]:
    if source.account.state == GoogleAccount.State.RECONNECT:
        return "blocked", "Reconnect needed", source.account.state_reason
    if source.blocked_code:
        return "blocked", "Blocked", source.blocked_reason
    if source.paused:
        return "paused", "Paused", ""
    if backup:
        return "running", backup.get_stage_display(), ""
    if last is None:
        return "idle", "Never backed up", ""
    reason = last.error_message if last.outcome == Run.Outcome.FAILED else ""
    return last.outcome, last.get_outcome_display(), reason


def destination_card(
    destination: Destination, totals: Totals | None, down: Mapping[str, Breaker]
) -> DestinationCard:
    """What is known of one destination; `down` are the breakers that are open."""
    state, label, trouble = "ok", "Ready", ""
    outage = down.get(breakers.destination_key(destination.pk))
    if not destination.enabled:
        state, label = "paused", "Switched off"
    elif destination.blocked_code:
        state, label = "blocked", "Blocked"
    elif outage:
        state, label, trouble = "down", outage.get_state_display(), health.told(outage)

    def count(*states: str) -> int | None:
        return totals.files(*states, destination=destination.pk) if totals else None

    return DestinationCard(
        destination,
        place_of(destination),
        state,
        label,
        stored=count(*PRESENT),
        verified=count(Copy.State.VERIFIED),
        failed=count(Copy.State.FAILED, Copy.State.DAMAGED),
        waiting=count(Copy.State.PENDING),
        size_bytes=totals.size_bytes(*PRESENT, destination=destination.pk) if totals else None,
        trouble=trouble,
    )


def place_of(destination: Destination) -> str:
    """Bucket or folder, and the folder within, as a person knows them."""
    options = destination.options
    parts = [str(options.get(name, "")) for name in ("bucket", "path", "prefix")]
    place = "/".join(part.rstrip("/") for part in parts if part)
    host = str(options.get("endpoint", "")).rpartition("//")[2]
    return f"{place} at {host}" if host else place


def steps(seen: Overview) -> list[Step]:
    """What remains to be done before there is a backup; what was recovered is one too."""
    unused = next((a for a in seen.accounts if not has_source(a, seen)), None)
    setup = f"setup:{unused.pk}" if unused else ""
    backed_up = any(card.good for card in seen.sources)
    backed_up = backed_up or any(card.stored for card in seen.destinations)
    return [
        Step(
            "Link a Google account",
            bool(seen.accounts),
            "google_accounts",
            "You choose on Google's own page what may be read.",
        ),
        Step(
            "Add a destination",
            bool(seen.destinations),
            "destination_kinds",
            "A bucket or a folder of your own; two in different places are better.",
        ),
        Step(
            "Back up now",
            backed_up,
            "" if seen.sources else setup,
            "Choose what goes where, and start the first backup.",
        ),
    ]


def has_source(account: GoogleAccount, seen: Overview) -> bool:
    """Whether anything of the account is backed up."""
    return any(card.source.account_id == account.pk for card in seen.sources)


def situation(
    user: User,
    seen: Overview,
    refusals: Iterable[queries.Reason],
    *,
    worker_alive: bool,
    now: datetime,
) -> Situation:
    """What the status sentence is made from. Destinations that no source uses don't count."""
    wanted = {d.pk for card in seen.sources for d in card.source.destinations.all() if d.enabled}
    failures, _ = queries.failures(user, size=1)
    totals = seen.totals

    def count(*states: str) -> int | None:
        return sum(totals.files(*states, destination=pk) for pk in wanted) if totals else None

    return replace(
        _of_sources(seen, wanted, now),
        now=now,
        worker_alive=worker_alive,
        used_destinations=len(wanted),
        blocked_destinations=[
            Named(card.destination.name, card.destination.blocked_reason)
            for card in seen.destinations
            if card.state == "blocked" and card.destination.pk in wanted
        ],
        unreachable=[
            *(Named(c.destination.name, c.trouble) for c in seen.destinations if c.trouble),
            *(
                Named(card.source.name, card.reason)
                for card in seen.sources
                if card.state == "down"
            ),
        ],
        stopped_erasures=[
            Named(
                f"Erasure {one.pk} of {one.source_name}", one.run.error_message if one.run else ""
            )
            for one in erasure_report.stopped().filter(owner=user)
        ],
        failed_files=queries.count_failed(user),
        failed_reason=failures[0].reason if failures else "",
        refused_files=sum(r.files for r in refusals if not r.excluded),
        damaged=count(Copy.State.DAMAGED),
        waiting=count(Copy.State.PENDING),
        stored=count(*PRESENT),
        verified=count(Copy.State.VERIFIED),
    )


def _of_sources(seen: Overview, wanted: set[int], now: datetime) -> Situation:
    """The part that accounts, sources and their last runs tell."""
    at_rest = [card for card in seen.sources if not card.backup and not card.source.paused]
    good = [(card, card.good) for card in at_rest if card.good]
    return Situation(
        now=datetime.min,
        accounts=len(seen.accounts),
        sources=len(seen.sources),
        destinations=len(seen.destinations),
        to_reconnect=[
            Named(account.email, account.state_reason)
            for account in seen.accounts
            if account.state == GoogleAccount.State.RECONNECT
        ],
        blocked_sources=_named(
            (card, card.source.blocked_reason) for card in seen.sources if card.source.blocked_code
        ),
        failed_runs=_named((card, card.failed.error_message) for card in at_rest if card.failed),
        running=_named((card, "") for card in seen.sources if card.backup and not card.backup.held),
        waits_for_person=[
            Named(f"{one.run} of {card.source.name}", one.run.error_message)
            for card in seen.sources
            for one in card.under_way
            if one.run.paused and one.run.error_code
        ],
        paused=_named((card, "") for card in seen.sources if card.source.paused),
        never_backed_up=_named((card, "") for card in at_rest if card.last is None),
        without_destination=_named(
            (card, "")
            for card in seen.sources
            if not any(d.pk in wanted for d in card.source.destinations.all())
        ),
        found_nothing=_named((card, "") for card in at_rest if card.empty),
        unread=_named((card, "") for card, run in good if is_unread(card.source, run, now)),
        last_backup_at=min((current_at(card.source, run, now) for card, run in good), default=None),
    )


def _named(cards: Iterable[tuple[SourceCard, str]]) -> list[Named]:
    return [Named(card.source.name, reason) for card, reason in cards]
