"""A content that comes back was the file's content several times, and each moment is told right."""

from __future__ import annotations

import random
import runpy
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from syncapp.engine import moment, policies, prunable, search, segment_rows
from syncapp.engine.absorb import Absorber
from syncapp.engine.prunable import Terms
from syncapp.engine.segment_intake import Intake
from syncapp.models import Change, File, Source, Span, Version
from syncapp.retention import Rules
from syncapp.types import ItemPage
from tests.engine.paged_reader import PagedReader, blob
from tests.engine.test_scan import ROOT, listed, source, store_everything

__all__ = ["source"]
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HALF_A_DAY = timedelta(hours=12)
SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "restore_without_app.py"))
Contents = dict[str, str]  # by file


@dataclass
class History:
    """A source to which something happens every day, and is seen at once."""

    source: Source
    monkeypatch: pytest.MonkeyPatch
    now: datetime = BEGAN
    reader: PagedReader = field(default_factory=lambda: PagedReader.of(ROOT))
    days: list[tuple[datetime, Contents]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.monkeypatch.setattr(timezone, "now", lambda: self.now)

    def day(self, *, seen: bool = True) -> None:
        if seen:
            listed(self.source, self.reader)
            store_everything(self.source)
            for version in Version.objects.filter(source=self.source, sha256=""):
                digest = f"{version.file.remote_id} {version.revision}"
                Version.objects.filter(pk=version.pk).update(sha256=digest)
        files = self.reader.items.values()
        there = {f.remote_id: f.revision for f in files if f.remote_id != "root" and not f.trashed}
        self.days.append((self.now, there))
        self.now += DAY

    def of(self, remote_id: str, revisions: str) -> History:
        """Each day another content: a dot is a day in the trash."""
        self.reader.put(blob(remote_id))
        for revision in revisions:
            gone = {"trashed": True, "problem": "in_trash"}
            there = {"trashed": False, "problem": "", "revision": revision}
            self.reader.change(remote_id, **(gone if revision == "." else there))
            self.day()
        return self

    def at_random(self, seed: int) -> History:
        pick = random.Random(seed)
        for number in range(4):
            self.reader.put(blob(f"f{number}"))
        for _ in range(10):
            for one in [i for i in self.reader.items if i != "root"]:
                if pick.random() < 0.6:
                    gone = pick.random() < 0.2
                    problem = "in_trash" if gone else ""
                    revision = pick.choice("ABC")
                    self.reader.change(one, revision=revision, trashed=gone, problem=problem)
            self.day()
        return self

    def check(self, told: Callable[[Source, datetime], Contents]) -> None:
        """What is told of each moment is what was there: at the very begin of a day and later."""
        for at, there in self.days:
            assert told(self.source, at) == there, at
            assert told(self.source, at + HALF_A_DAY) == there, at


@pytest.fixture
def history(source: Source, monkeypatch: pytest.MonkeyPatch) -> History:
    return History(source, monkeypatch)


def restored(source: Source, at: datetime) -> Contents:
    """As a restore of everything would bring it back."""
    names = dict(File.objects.filter(source=source).values_list("pk", "remote_id"))
    revisions = dict(Version.objects.filter(source=source).values_list("pk", "revision"))
    return {
        names[one.file_id]: revisions[one.version_id] if one.version_id else "nothing"
        for some in moment.descend(source.pk, [], at)
        for one in some
        if one.content != "folder"
    }


def found(source: Source, at: datetime) -> Contents:
    """As a search at the moment finds it."""
    hits = search.search(search.Wanted([source.pk], at=at)).hits
    return {
        hit.file.remote_id: hit.version.revision if hit.version else "nothing"
        for hit in hits
        if hit.file.content != "folder"
    }


def without_the_app(source: Source, at: datetime) -> Contents:
    """As the script tells it from the catalog beside the data."""
    then, told = SCRIPT["chosen"](at.isoformat()), {}
    for line in lines(source):
        if line["content"] != "folder" and SCRIPT["place"](line, then):
            version = SCRIPT["version_of"](line, then)
            told[line["file"]] = version["revision"] if version else "nothing"
    return told


def lines(source: Source) -> list[Any]:
    rows = File.objects.filter(source=source).order_by("pk")
    made = segment_rows.lines(list(rows.values_list("pk", flat=True)))
    return [orjson.loads(orjson.dumps(line)) for line in made]


def recover(source: Source) -> None:
    """The catalog to segments' lines and back."""
    written = lines(source)
    pks = list(source.destinations.values_list("pk", flat=True))
    with transaction.atomic():
        intake = Intake(source.pk, {pk: pk for pk in pks})
        assert sum(intake.clear(written)) == len(written)
        assert not Span.objects.exists()
        sum(intake.fill(deepcopy(written), among_others=False))
    assert lines(source) == written


WAYS = [restored, found, without_the_app]


def test_a_content_that_comes_and_goes_is_told_at_each_moment(history: History) -> None:
    history.of("f1", "ABABA").of("f2", "AB.BA").of("f3", "AA..A")

    for told in WAYS:
        history.check(told)
    versions = Version.objects.filter(file__remote_id="f1").order_by("pk")
    assert list(versions.values_list("revision", "current")) == [("A", True), ("B", False)]
    assert Span.objects.filter(version__file__remote_id="f1").count() == 3
    assert not Span.objects.filter(version__file__remote_id="f3").exists()


@pytest.mark.parametrize("seed", range(2))
def test_whatever_comes_and_goes_is_told_at_each_moment_and_from_segments(
    history: History, seed: int
) -> None:
    history.at_random(seed)

    history.check(restored)
    recover(history.source)
    for told in WAYS:
        history.check(told)


@pytest.mark.parametrize("contents", ["ABABA", "CCABA", "ABCABCAA", "DABBACAC"])
def test_each_time_that_it_was_the_content_counts_for_what_is_kept(
    history: History, contents: str
) -> None:
    history.of("f1", contents)
    spells = [c for i, c in enumerate(contents) if i == 0 or contents[i - 1] != c]

    for last, days, daily in [(2, 0, 0), (4, 0, 0), (0, 3, 0), (0, 0, 4), (2, 5, 0)]:
        rules = Rules(everything=False, last=last, days=days, daily=daily)
        kept = set(spells[-max(last, 1) :])
        kept |= set(contents[-days - 1 :] if days else "")
        kept |= set(contents[-daily:] if daily else "")
        assert set(judged(history, rules)) == set(contents) - kept, rules


def judged(history: History, rules: Rules) -> list[str]:
    """Revisions that a pruning would let go six hours after the last change, the same day."""
    source = history.source
    at = frozenset(source.destinations.values_list("pk", flat=True))
    policy = replace(policies.effective(source), rules=rules)
    terms = Terms(source, policy, history.now - 3 * HALF_A_DAY / 2, at, at)
    gone = prunable.judge(terms, list(File.objects.values_list("pk", flat=True)))
    versions = Version.objects.in_bulk([one.version_id for one in gone])
    return [version.revision for version in versions.values()]


def test_a_page_that_comes_twice_or_is_cut_off_leaves_one_spell(history: History) -> None:
    history.of("f1", "AB")
    reverted = blob("f1", "A")
    page = ItemPage("user", ["f1"], [7], lambda _: reverted, trusted=False)
    absorber = Absorber(history.source, history.source.planned_for)

    def die() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        absorber.absorb(page, then=die)
    assert not Span.objects.exists()
    absorber.absorb(page)
    history.now += DAY
    absorber.absorb(page)

    span = Span.objects.get()
    assert (span.version.revision, span.from_at, span.until_at) == ("A", BEGAN, BEGAN + DAY)
    version = Version.objects.get(revision="A")
    assert (version.returned_at, version.replaced_at) == (BEGAN + 2 * DAY, None)


def test_new_files_and_new_contents_cost_at_most_a_query_for_spells(history: History) -> None:
    history.of("f1", "A")
    history.reader.put(*(blob(f"n{number}") for number in range(3)))

    assert spans_queried(lambda: listed(history.source, history.reader)) == 0
    history.reader.change("f1", revision="B")
    assert spans_queried(lambda: listed(history.source, history.reader)) == 1
    store_everything(history.source)
    assert spans_queried(lambda: restored(history.source, history.now)) == 0


def spans_queried(call: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        call()
    return sum("syncapp_span" in query["sql"] for query in queries)


def test_a_spell_that_changes_is_written_to_the_catalog_beside_the_data(history: History) -> None:
    history.of("f1", "ABA")

    def noted() -> bool:
        found = Change.objects.filter(file_id=File.objects.get(remote_id="f1").pk)
        return bool(found.delete()[0])

    assert noted()
    assert not noted()
    span = Span.objects.get()
    Span.objects.update(until_at=history.now)
    assert noted()
    Span.objects.create(version=span.version, from_at=BEGAN, until_at=BEGAN)
    assert noted()
    span.delete()
    assert noted()


def test_what_is_removed_takes_its_spells_along(history: History) -> None:
    history.of("f1", "ABA").of("f2", "ABA")

    Version.objects.filter(file__remote_id="f1").delete()

    assert {span.version.file.remote_id for span in Span.objects.all()} == {"f2"}
    history.source.delete()
    assert not Span.objects.exists()
