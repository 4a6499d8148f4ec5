"""The proof page: the score with its reasons, findings, drills, and what a person can begin."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from model_bakery import baker

from accounts.models import User
from syncapp.engine import findings
from syncapp.models import Canary, Copy, Finding, Restore, RestoreItem, Run
from tests.web import baked
from tests.web.baked import Owned

LogIn = Callable[[User], Client]


def page_of(owner: Owned, log_in: LogIn, query: str = "") -> str:
    address = reverse("source_proof", args=[owner.source.pk])
    return log_in(owner.user).get(address + query).content.decode()


def found(owner: Owned, number: int = 1, **fields: object) -> None:
    copy = owner.version.copies.first()
    for _ in range(number):
        baker.make(
            Finding,
            source=owner.source,
            destination=owner.destinations[0],
            run=owner.run,
            **{"copy": copy, "kind": "missing", "object_key": baked.HOSTILE, **fields},
        )


def test_the_page_says_what_lacks_and_what_to_do(owner: Owned, log_in: LogIn) -> None:
    page = page_of(owner, log_in)
    assert "Not protected" not in page
    assert "It was never proven that a restore works" in page
    assert "Begin a drill." in page
    assert "Nothing: everything that was checked is as it was stored." in page
    assert "No drill so far" in page
    card = log_in(owner.user).get(reverse("dashboard")).content.decode()
    assert reverse("source_proof", args=[owner.source.pk]) in card
    assert "Protected in part" in card


def test_findings_are_shown_open_and_healed_with_harmless_names(
    owner: Owned, log_in: LogIn
) -> None:
    found(owner, message="<b>gone</b>")
    found(owner, healed_at=timezone.now(), healed_from="Cellar", message="healed since")
    found(owner, copy=None, kind="foreign", message="not ours")
    page, healed = page_of(owner, log_in), page_of(owner, log_in, "?healed=1")
    assert "<script>alert" not in page
    assert "&lt;b&gt;gone" in page
    assert "not ours" in page
    assert "healed since" not in page
    assert "from Cellar" in healed
    assert "healed since" in healed


def test_a_foreign_object_that_is_known_is_no_warning_any_more(
    owner: Owned, teammate: Owned, log_in: LogIn
) -> None:
    found(owner, copy=None, kind="foreign")
    found(owner)
    foreign, missing = Finding.objects.get(kind="foreign"), Finding.objects.get(kind="missing")
    assert "Not ours, at the destinations: 1 object." in page_of(owner, log_in)
    theirs = reverse("source_leave", args=[teammate.source.pk])
    log_in(teammate.user).post(theirs, {"finding": foreign.pk})
    assert findings.unknown(owner.source).exists()
    for finding in (foreign, missing):
        mine = reverse("source_leave", args=[owner.source.pk])
        log_in(owner.user).post(mine, {"finding": finding.pk})
    page = page_of(owner, log_in)
    assert not findings.unknown(owner.source).exists()
    assert "You know it since" in page
    foreign.refresh_from_db()
    missing.refresh_from_db()
    assert (foreign.known_at is not None, foreign.healed_at, missing.known_at) == (True, None, None)


def test_the_last_drill_is_shown_with_each_file(owner: Owned, log_in: LogIn) -> None:
    drill = baker.make(
        Run, source=owner.source, kind=Run.Kind.DRILL, stage="done", outcome="failed",
        ended_at=timezone.now(), error_message="It can't be restored.",
    )  # fmt: skip
    wish = Restore.objects.create(run=drill, target=Restore.Target.SCRATCH)
    RestoreItem.objects.create(
        restore=wish, file=owner.file, version=owner.version, path=baked.HOSTILE, state="failed",
        origin=owner.destinations[1], error_message="other bytes",
    )  # fmt: skip
    page = page_of(owner, log_in)
    assert "other bytes" in page
    assert "The last drill failed" in page
    assert "Not protected" in page
    assert "<script>alert" not in page


def test_a_drill_and_a_whole_reading_can_be_begun(owner: Owned, log_in: LogIn) -> None:
    client = log_in(owner.user)
    client.post(reverse("source_drill", args=[owner.source.pk]))
    client.post(reverse("source_verify", args=[owner.source.pk]), {"all": "1"})
    begun = {run.kind: run for run in owner.source.runs.filter(ended_at=None)}
    assert begun["verify"].read_before is not None
    assert begun["drill"].requested_by == owner.user


def test_files_are_pinned_by_their_path_and_unpinned(owner: Owned, log_in: LogIn) -> None:
    client, pin = log_in(owner.user), reverse("source_pin", args=[owner.source.pk])
    client.post(pin, {"path": "Letters/broken.bin"})
    assert Canary.objects.get().file.name == "broken.bin"
    assert "broken.bin" in page_of(owner, log_in)
    client.post(pin, {"path": "Letters"})
    client.post(pin, {"path": "Letters/nothing here"})
    client.post(pin, {"file": str(owner.file.pk)})
    assert Canary.objects.count() == 2
    for canary in Canary.objects.all():
        unpin = reverse("source_unpin", args=[owner.source.pk])
        client.post(unpin, {"canary": canary.pk})
    assert not Canary.objects.exists()


def test_a_file_that_is_not_stored_is_not_pinned(owner: Owned, log_in: LogIn) -> None:
    why = {"problem": "cannot_download", "problem_message": "Its owner does not allow it."}
    file = baked.file(owner.source, "no", owner.folder.remote_id, "refused.pdf", **why)
    client, pin = log_in(owner.user), reverse("source_pin", args=[owner.source.pk])
    page = client.post(pin, {"file": str(file.pk)}, follow=True).content.decode()
    assert "no drill can restore it. Its owner does not allow it." in page
    assert not Canary.objects.exists()


def test_nobody_pins_or_unpins_anothers_files(owner: Owned, teammate: Owned, log_in: LogIn) -> None:
    client = log_in(teammate.user)
    client.post(reverse("source_pin", args=[teammate.source.pk]), {"file": str(owner.file.pk)})
    assert not Canary.objects.exists()
    canary = Canary.objects.create(source=owner.source, file=owner.file)
    client.post(reverse("source_unpin", args=[teammate.source.pk]), {"canary": canary.pk})
    assert Canary.objects.exists()


@pytest.mark.django_db
def test_the_number_of_queries_is_fixed(owner: Owned, log_in: LogIn) -> None:
    found(owner)
    client, address = log_in(owner.user), reverse("source_proof", args=[owner.source.pk])

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(address)
        return len(captured)

    count()
    before = count()
    found(owner, 40)
    for n in range(5):
        made = baked.file(owner.source, f"p{n}", "folder", f"p{n}")
        Canary.objects.create(source=owner.source, file=made)
    assert count() <= before + 2  # the pinned files' folders


def test_a_drill_from_cold_storage_is_offered_with_its_price_and_asked_for_by_its_owner(
    owner: Owned, teammate: Owned, log_in: LogIn
) -> None:
    Copy.objects.filter(version__source=owner.source).update(error_code="archived")
    page = page_of(owner, log_in)
    assert "Drill from cold storage" in page
    assert "It takes hours, up to two days." in page
    address = reverse("source_drill", args=[owner.source.pk])
    assert log_in(teammate.user).post(address, {"cold": "1"}).status_code == 404
    log_in(owner.user).post(address, {"cold": "1"})
    assert Restore.objects.get(run__source=owner.source, run__kind="drill").options == {
        "from_cold": True
    }
