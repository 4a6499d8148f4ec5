"""What is promised, in the words of the documentation alone: which contents are to be there.

- Every content that a backup found at the source stays until retention lets it go.
- Retention keeps the newest, the last N, and all that the file was during the last days; all of
  it is judged as of the last good backup. A content that came back counts each time that it came.
- After a recovery nothing goes before a backup has ended well.
- A file that is gone at the source stays for the days of the trash, then goes with all it was.
- What a person erases is gone at once.

A content that only an interrupted run can have seen is not promised, and may be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Rules:
    """`everything`, or the `last` versions and those of the last `days`; `trash` in days."""

    everything: bool = True
    last: int = 0
    days: int = 0
    trash: int = 30


@dataclass
class Span:
    """From when on a file had a content; `sure`: a backup that ended well found it."""

    since: datetime
    revision: str
    sure: bool


@dataclass
class Known:
    """One file."""

    spans: list[Span] = field(default_factory=list)
    gone_at: datetime | None = None

    def contents(self, *, sure: bool = False) -> set[str]:
        return {span.revision for span in self.spans if span.sure or not sure}


@dataclass
class Promises:
    """All files that a backup has ever seen, by their ids."""

    files: dict[str, Known] = field(default_factory=dict)
    as_of: datetime | None = None
    pruned: set[str] = field(default_factory=set)  # contents that were let go, and must be gone
    perhaps: set[str] = field(default_factory=set)  # may be there or not

    def glimpsed(self, there: Mapping[str, str], at: datetime) -> None:
        """A run that was interrupted may have seen these contents."""
        for file_id, revision in there.items():
            known = self.files.setdefault(file_id, Known())
            if not known.spans or known.spans[-1].revision != revision:
                known.spans.append(Span(at, revision, sure=False))

    def backed_up(self, there: Mapping[str, str], at: datetime) -> None:
        """A backup that ended well has found exactly these contents."""
        for file_id, revision in there.items():
            known = self.files.setdefault(file_id, Known())
            if known.spans and known.spans[-1].revision == revision:
                known.spans[-1].sure = True
            else:
                known.spans.append(Span(at, revision, sure=True))
            known.gone_at = None
            self.pruned.discard(revision)
            self.perhaps.discard(revision)
        for file_id in self.files.keys() - there.keys():
            known = self.files[file_id]
            known.gone_at = known.gone_at or at
        self.as_of = at

    def recovered(self) -> None:
        """The database was lost, and with it what is known of backups."""
        self.as_of = None

    def prune(self, rules: Rules) -> None:
        """What may go goes. What only goes if a content was seen that perhaps was not, perhaps."""
        if self.as_of is None:
            return
        for file_id, known in list(self.files.items()):
            if known.gone_at and known.gone_at <= self.as_of - timedelta(days=rules.trash):
                surely = perhaps = known.contents()
                del self.files[file_id]
            else:
                perhaps = known.contents() - self._kept(known.spans, rules)
                sure = _once([span for span in known.spans if span.sure])
                surely = known.contents(sure=True) - self._kept(sure, rules)
                known.spans = [s for s in known.spans if s.revision not in perhaps]
            self.perhaps |= perhaps - surely
            self.pruned |= surely

    def _kept(self, spans: list[Span], rules: Rules) -> set[str]:
        if rules.everything or self.as_of is None:
            return {span.revision for span in spans}
        kept = {span.revision for span in spans[-max(rules.last, 1) :]}
        if rules.days:
            since = self.as_of - timedelta(days=rules.days)
            ends = [span.since for span in spans[1:]] + [self.as_of]
            kept |= {s.revision for s, end in zip(spans, ends, strict=True) if end > since}
        return kept

    def erased(self, file_id: str) -> set[str]:
        """Nothing of it is promised any more; its contents."""
        known = self.files.pop(file_id, Known())
        return known.contents()

    def allowed(self) -> set[str]:
        """Contents that may be there."""
        seen = {r for known in self.files.values() for r in known.contents()}
        return seen | self.perhaps

    def promised(self) -> dict[str, str]:
        """Contents that must be there, with the file each is of."""
        return {
            revision: file_id
            for file_id, known in self.files.items()
            for revision in known.contents(sure=True)
        }


def _once(spans: list[Span]) -> list[Span]:
    """If nothing was seen between two spells of one content, they are but one."""
    befores = [None, *(span.revision for span in spans)]
    return [s for s, before in zip(spans, befores, strict=False) if s.revision != before]
