"""The demo's table: what there is, what lies where, what Google refuses and why, how long."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.demo.proof import Verdict
from syncapp.management.output import duration, size, table
from syncapp.words import counted

MOST_SHOWN = 20


def lines(verdict: Verdict, *, account: str, read_files: int, seconds: float) -> Iterator[str]:
    """The report, line by line. `read_files` is how many Google was asked for in this run."""
    documents = counted(verdict.documents, "exported document")
    yield f"{account}: {counted(verdict.files, 'file')}, of them {documents}."
    yield ""
    headings = ("DESTINATION", "STORED", "VERIFIED", "PROVED EQUAL", "BYTES")
    yield table(
        headings,
        [
            (name, tally.stored, tally.verified, tally.proved, size(tally.bytes))
            for name, tally in verdict.tallies.items()
        ],
    )
    yield ""
    if verdict.refused:
        yield "Not backed up, because Google refuses:"
        rows = [(count, *reason) for reason, count in sorted(verdict.refused.items())]
        yield table(("FILES", "LISTED AS", "GOOGLE'S REASON"), rows)
        yield ""
    if verdict.trashed:
        yield f"{counted(verdict.trashed, 'file')} in Google's trash left out, as the rule says."
    yield from _wrong(verdict)
    yield (
        f"Read {counted(read_files, 'file')} from Google this time; "
        f"backup and verification took {duration(seconds)}."
    )


def _wrong(verdict: Verdict) -> Iterator[str]:
    for problem in verdict.wrong[:MOST_SHOWN]:
        yield f"WRONG: {problem}"
    if len(verdict.wrong) > MOST_SHOWN:
        yield f"WRONG: {len(verdict.wrong) - MOST_SHOWN} more"
