"""A run that finds nothing new asks nothing that grows with the catalog."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from model_bakery import baker

from accounts.models import User
from bench.seed import Shape, seed
from syncapp.engine import dispatch, planning, runs, scanning, vanish
from syncapp.engine.absorb import Absorber
from syncapp.engine.seen import Seen
from syncapp.models import Copy, Destination, File, Lane, Run, Source, Version
from syncapp.types import ItemPage
from tests.engine.paged_reader import PagedReader

FILES = 3000
# Indexes with few rows: a whole one may be read.
SMALL = {
    index.name
    for model in (File, Version, Copy)
    for index in model._meta.indexes
    if index.condition is not None and index.name != "copy_by_verified"
}
STEP = re.compile(r"(SCAN|SEARCH) syncapp_(?:file|version|copy)(?: USING .*?INDEX (\w+)(.*))?$")
ONE_SOURCE = re.compile(r"\((?:source_id|destination_id)=\?\)")


@pytest.fixture
def source(transactional_db: None) -> Source:
    owner = baker.make(User)
    made = baker.make(
        Source, owner=owner, account__user=owner, slug="ada", mode="manual", paused=False
    )
    made.destinations.add(*baker.make(Destination, 2, owner=owner, kind="local"))
    seed(made, FILES, Shape(trashed_every=FILES // 2))
    return made


def run_through(source: Source, monkeypatch: pytest.MonkeyPatch) -> Run:
    reader = PagedReader()
    Source.objects.filter(pk=source.pk).update(cursor=reader.start_cursor())
    monkeypatch.setattr(scanning, "source_for", lambda *_: reader)
    run, _ = runs.request_backup(source)
    for _ in range(5):
        dispatch.tick()
        for lane in Lane.objects.filter(run=run, owner="", ended_at=None):
            dispatch.work(lane.pk)
        run.refresh_from_db()
    assert (run.outcome, run.scan) == (Run.Outcome.OK, Run.Scan.CHANGES), run.error_message
    return run


def steps(sql: str) -> list[str]:
    """How SQLite would carry a statement out, a line each."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + sql.replace("%", "%%"))
        return [detail for *_, detail in cursor.fetchall()]


def grows(step: str) -> bool:
    """Whether a step goes through all that a source or a destination has."""
    found = STEP.match(step)
    if found is None or found[2] in SMALL:
        return False
    return found[1] == "SCAN" or bool(ONE_SOURCE.search(found[3] or ""))


def test_no_query_of_such_a_run_reads_the_catalog(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CaptureQueriesContext(connection) as queries:
        run_through(source, monkeypatch)
    assert len(queries) > 50
    if connection.vendor == "sqlite":  # the other takes small tables as a whole, rightly
        slow = {
            query["sql"][:300]: step
            for query in queries.captured_queries
            if query["sql"].startswith(("SELECT", "UPDATE", "DELETE"))
            for step in steps(query["sql"])
            if grows(step)
        }
        assert slow == {}


def test_the_statistics_that_this_takes_are_gathered_after_many_new_files(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered = []
    monkeypatch.setattr(planning, "gather_statistics", lambda: gathered.append(1))
    for new, calls in ((0, 0), (planning.MANY, 1)):
        run = baker.make(Run, source=source, files_new=new, ended_at=timezone.now())
        planning.plan_copies(run, planning.wanted_destinations(source))
        assert len(gathered) == calls


def test_what_is_to_be_made_again_is_found_without_a_plan_of_everything(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    some: QuerySet[Version] = Version.objects.order_by("pk")
    failed, damaged = some[0], some[1]
    Copy.objects.filter(version=failed).update(state="failed", object_key="")
    Version.objects.filter(pk=failed.pk).update(state="failed")
    one = Copy.objects.filter(version=damaged).first()
    assert one is not None
    Copy.objects.filter(pk=one.pk).update(state="damaged")
    monkeypatch.setattr(planning, "plan_lacking", lambda *_: pytest.fail("all was planned"))
    run = baker.make(Run, source=source, ended_at=timezone.now())
    planning.plan_copies(run, planning.wanted_destinations(source))
    assert Copy.objects.filter(state="pending").count() == 3
    waiting = Version.objects.filter(state="pending").values_list("pk", flat=True)
    assert set(waiting) == {failed.pk, damaged.pk}
    run.refresh_from_db()
    assert run.files_total == 2


def test_a_comparison_plans_what_any_destination_lacks_but_nothing_of_what_is_gone(
    source: Source,
) -> None:
    one, two = source.destinations.order_by("pk")
    only_one, neither, gone = Version.objects.order_by("pk")[:3]
    Copy.objects.filter(version=only_one, destination=two).delete()
    Copy.objects.filter(version__in=[neither, gone]).delete()
    File.objects.filter(pk=gone.file_id).update(vanished_at=timezone.now())
    run = baker.make(Run, source=source, scan="full", ended_at=timezone.now())
    planning.plan_copies(run, planning.wanted_destinations(source))
    planned = Copy.objects.filter(state="pending").values_list("version", "destination")
    assert set(planned) == {
        (only_one.pk, two.pk), (neither.pk, one.pk), (neither.pk, two.pk),
    }  # fmt: skip
    waiting = Version.objects.filter(state="pending").values_list("pk", flat=True)
    assert set(waiting) == {only_one.pk, neither.pk}


def test_a_page_of_unchanged_files_costs_one_look_at_one_index(source: Source) -> None:
    ids = list(File.objects.filter(content="blob").values_list("remote_id", flat=True)[:500])
    page = ItemPage("user", ids, [0] * len(ids), lambda _: pytest.fail("translated"), trusted=True)
    absorber = Absorber(source)
    with CaptureQueriesContext(connection) as queries:
        absorber.absorb(page)
    assert len(queries) == 1
    assert (absorber.counts.seen, len(absorber.seen)) == (500, 500)
    if connection.vendor == "sqlite":
        *_, step = steps(queries[0]["sql"])
        assert "COVERING INDEX file_by_mark" in step


def test_every_file_that_no_page_named_is_found_and_no_other(source: Source) -> None:
    named = Seen()
    rows = File.objects.order_by("pk").values_list("remote_id", "pk", "content")
    left_out = set(rows[1000:1600])
    named.add(pk for remote_id, pk, content in rows if (remote_id, pk, content) not in left_out)
    assert set(vanish.unseen(source, named)) == left_out
