"""`manage.py status`: one sentence, the worst first, then what it rests on.

Exit: 0 healthy, 1 something failed or is kept nowhere, 4 no worker is running, 5 nothing failed,
but something is blocked or waits for a person.

JSON, stable: {sentence, exit_code, worker_alive, findings: [{level, code, message, source,
destination}], sources: [{id, slug, name, account, paused, blocked_code, blocked_reason, files,
stored, waiting, failed, refused, trashed, last_backup: run | null, last_verify: run | null,
protection: {score, band (red, amber, green), proven_at, share_read, reasons: [{code, points,
message, todo}]}, copies: [{destination, stored, verified, waiting, failed, damaged}]}],
destinations: [{id, name, kind, enabled, blocked_code, blocked_reason, down_until (the next try of
one that is not reachable), bwlimit}], workers: [{host, pid, started_at, heartbeat_at}],
active_runs: [run]}.
Levels: ok, note, unprotected, failed, blocked, no_worker. `files`: present at the source, folders
aside. `stored` of copies includes the verified ones. A run's keys: `management/outcome.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from syncapp.engine.breakers import destination_key
from syncapp.engine.health import Finding, Health, Level, SourceHealth, examine
from syncapp.engine.protection import Protection
from syncapp.engine.protection_facts import protections
from syncapp.management.base import START_WORKERS, Exit, ReportCommand, add_json
from syncapp.management.outcome import run_document
from syncapp.management.output import moment, printable, table
from syncapp.models import Copy, Destination, Run, Source
from syncapp.types import JsonObject

State = Copy.State
Proofs = Mapping[int, Protection]
SOURCE_HEADINGS = (
    *("ID", "NAME", "STATE", "LAST BACKUP", "FILES", "STORED", "WAITING", "FAILED", "REFUSED"),
    "TRASHED",
)
COPY_HEADINGS = (
    *("SOURCE", "DESTINATION", "STATE", "STORED", "VERIFIED", "WAITING", "FAILED"),
    "DAMAGED",
)
PROOF_HEADINGS = ("SOURCE", "SCORE", "BAND", "LAST PROVEN", "READ BACK")
RUN_HEADINGS = ("RUN", "SOURCE", "KIND", "STAGE", "DONE", "OF", "SINCE")


class Command(ReportCommand):
    """How things stand."""

    help = "Say in one sentence whether everything is backed up, then in detail."
    examples = (
        "",
        "--json",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Only --json."""
        add_json(parser)

    def answer(self, options: dict[str, Any]) -> Exit:
        """Examine and tell."""
        health = examine()
        code = verdict(health)
        proofs = protections([state.source for state in health.sources], timezone.now())
        if options["json"]:
            self.give(_document(health, proofs, code))
            return code
        findings = health.findings
        style = self.style.SUCCESS if code is Exit.OK else self.style.ERROR
        self.say(style(printable(health.sentence)))
        if code is Exit.NO_WORKER:
            self.say(START_WORKERS)
        for finding in findings[1:]:
            self.say(f"  {printable(finding.message)}")
        for title, text in _sections(health, proofs):
            self.say(f"\n{title}\n{text}")
        for state in health.sources:
            for reason in proofs[state.source.pk].reasons:
                message = f"{reason.message} {reason.todo} (−{reason.points})"
                self.say(f"  {printable(state.source.name)}: {printable(message)}")
        return code


def verdict(health: Health) -> Exit:
    """What a script should conclude."""
    levels = {finding.level for finding in health.findings}
    codes = {
        Level.NO_WORKER: Exit.NO_WORKER,
        Level.FAILED: Exit.FAILED,
        Level.BLOCKED: Exit.BLOCKED,
        Level.UNPROTECTED: Exit.FAILED,
    }
    return next((code for level, code in codes.items() if level in levels), Exit.OK)


def _sections(health: Health, proofs: Proofs) -> Iterator[tuple[str, str]]:
    active = [run for state in health.sources for run in state.active]
    sections: dict[str, tuple[Sequence[str], list[Sequence[object]]]] = {
        "Sources": (SOURCE_HEADINGS, [_source_row(state) for state in health.sources]),
        "Destinations": (
            COPY_HEADINGS,
            [row for state in health.sources for row in _copy_rows(state)],
        ),
        "Protection": (
            PROOF_HEADINGS,
            [_proof_row(state.source, proofs[state.source.pk]) for state in health.sources],
        ),
        "Active runs": (RUN_HEADINGS, [_run_row(run) for run in active]),
        "Workers": (
            ("HOST", "PID", "LAST HEARD OF"),
            [(w.host, str(w.pid), moment(w.heartbeat_at)) for w in health.workers],
        ),
    }
    for title, (headings, rows) in sections.items():
        if rows:
            yield title, table(headings, rows)


def _source_row(state: SourceHealth) -> Sequence[object]:
    source, last = state.source, state.last_backup
    ended = f"{moment(last.ended_at)} {last.get_outcome_display()}" if last else "never"
    condition = "blocked" if source.blocked_code else "paused" if source.paused else "active"
    counts = state.files, state.stored, state.waiting, state.failed, state.refused, state.trashed
    return source.pk, source.name, condition, ended, *counts


def _proof_row(source: Source, proof: Protection) -> Sequence[object]:
    share = "–" if proof.share_read is None else f"{proof.share_read:.0%}"
    return source.name, proof.score, proof.band.value, moment(proof.proven_at), share


def _copy_rows(state: SourceHealth) -> Iterator[Sequence[object]]:
    for destination in state.destinations:
        counts = _copy_counts(state.copies.get(destination.pk, Counter()))
        yield state.source.name, destination.name, _condition(destination), *counts.values()


def _copy_counts(copies: Counter[str]) -> dict[str, int]:
    return {
        "stored": copies[State.STORED] + copies[State.VERIFIED],
        "verified": copies[State.VERIFIED],
        "waiting": copies[State.PENDING],
        "failed": copies[State.FAILED],
        "damaged": copies[State.DAMAGED],
    }


def _condition(destination: Destination) -> str:
    if not destination.enabled:
        return "disabled"
    return "blocked" if destination.blocked_code else "enabled"


def _run_row(run: Run) -> Sequence[object]:
    kind, stage = run.get_kind_display(), run.get_stage_display()
    since = moment(run.started_at or run.created_at)
    return (
        run.pk,
        run.source.name,
        kind,
        stage,
        run.files_settled,
        f"{run.files_total:,} {run.unit}",
        since,
    )


def _document(health: Health, proofs: Proofs, code: Exit) -> JsonObject:
    return {
        "sentence": health.sentence,
        "exit_code": int(code),
        "worker_alive": health.worker_alive,
        "findings": [_finding_document(finding) for finding in health.findings],
        "sources": [_source_document(state, proofs[state.source.pk]) for state in health.sources],
        "destinations": [_destination_document(d, health) for d in health.destinations],
        "workers": [
            {
                "host": worker.host,
                "pid": worker.pid,
                "started_at": worker.started_at,
                "heartbeat_at": worker.heartbeat_at,
            }
            for worker in health.workers
        ],
        "active_runs": [run_document(run) for state in health.sources for run in state.active],
    }


def _finding_document(finding: Finding) -> JsonObject:
    return {
        "level": finding.level.name.lower(),
        "code": finding.code,
        "message": finding.message,
        "source": finding.source_id,
        "destination": finding.destination_id,
    }


def _source_document(state: SourceHealth, proof: Protection) -> JsonObject:
    source = state.source
    return {
        "id": source.pk,
        "slug": source.slug,
        "name": source.name,
        "account": source.account.email,
        "paused": source.paused,
        "blocked_code": source.blocked_code,
        "blocked_reason": source.blocked_reason,
        "files": state.files,
        "stored": state.stored,
        "waiting": state.waiting,
        "failed": state.failed,
        "refused": state.refused,
        "trashed": state.trashed,
        "last_backup": run_document(state.last_backup) if state.last_backup else None,
        "last_verify": run_document(state.last_verify) if state.last_verify else None,
        "protection": {
            "score": proof.score,
            "band": proof.band.value,
            "proven_at": proof.proven_at,
            "share_read": proof.share_read,
            "reasons": [
                {
                    "code": reason.code,
                    "points": reason.points,
                    "message": reason.message,
                    "todo": reason.todo,
                }
                for reason in proof.reasons
            ],
        },
        "copies": [
            {"destination": d.name, **_copy_counts(state.copies.get(d.pk, Counter()))}
            for d in state.destinations
        ],
    }


def _destination_document(destination: Destination, health: Health) -> JsonObject:
    down = health.down.get(destination_key(destination.pk))
    return {
        "id": destination.pk,
        "name": destination.name,
        "kind": destination.kind,
        "enabled": destination.enabled,
        "blocked_code": destination.blocked_code,
        "blocked_reason": destination.blocked_reason,
        "down_until": down.retry_at if down else None,
        "bwlimit": destination.bwlimit,
    }
