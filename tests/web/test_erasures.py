"""The erase pages: nothing by mistake, the reason where it is refused, the proof to keep."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from syncapp.models import Destination, ErasedObject, Erasure, Run
from tests.engine.vault import Vault
from tests.web.baked import person, worker
from tests.web.taking import body


@pytest.fixture
def stopped(vault: Vault) -> Erasure:
    """One that a lock stands in the way of."""
    run = Run.objects.create(
        source=vault.source,
        kind=Run.Kind.ERASE,
        stage="done",
        outcome="failed",
        ended_at=timezone.now(),
        error_message="1 object is protected.",
    )
    made = Erasure.objects.create(
        owner=vault.source.owner, source=vault.source, run=run, source_name="Drive", what="a.txt"
    )
    for number, until in enumerate((None, timezone.now())):
        ErasedObject.objects.create(
            erasure=made,
            destination=vault.destinations[0],
            place="one",
            object_key=f"drive/files/{number}",
            locked_until=until,
            absent_at=None if until else timezone.now(),
        )
    return made


def asked(vault: Vault, **more: Any) -> dict[str, Any]:
    return {"source": vault.source.pk, **more}


def test_nothing_is_erased_before_the_name_is_typed(vault: Vault, visitor: Client) -> None:
    file = vault.file("a.txt").file
    page = visitor.get(reverse("erase"), asked(vault, file=file.pk)).content.decode()
    assert "a.txt" in page
    assert "can't be undone" in page
    for typed in ("", "drive", "yes"):
        again = visitor.post(reverse("erase"), asked(vault, file=file.pk, typed=typed))
        assert again.context["form"].errors
    assert not Erasure.objects.exists()
    answer = visitor.post(reverse("erase"), asked(vault, file=file.pk, typed="Drive"))
    made = Erasure.objects.get()
    assert answer["Location"] == reverse("erasure", args=[made.pk])
    assert (made.files, made.what, made.account) == ([file.pk], "a.txt", False)
    assert made.run is not None
    assert made.run.kind == Run.Kind.ERASE


def test_a_whole_source_may_go_with_its_account(vault: Vault, visitor: Client) -> None:
    wishes = asked(vault, typed="Drive", wishes=["account", "locked"])
    visitor.post(reverse("erase"), wishes)
    made = Erasure.objects.get()
    assert (made.files, made.what, made.account, made.all_but_locked) == (
        [],
        "everything",
        True,
        True,
    )
    file = vault.file("a.txt").file
    some = visitor.post(reverse("erase"), {**wishes, "file": file.pk})
    assert "wishes" in some.context["form"].errors


def test_a_second_one_is_refused_with_the_reason(vault: Vault, visitor: Client) -> None:
    visitor.post(reverse("erase"), asked(vault, typed="Drive"))
    again = visitor.post(reverse("erase"), asked(vault, typed="Drive"))
    assert "not at its end" in again.content.decode()
    assert Erasure.objects.count() == 1


def test_what_is_protected_is_told_and_the_rest_may_be_erased(
    stopped: Erasure, visitor: Client
) -> None:
    page = visitor.get(reverse("erasure", args=[stopped.pk])).content.decode()
    assert "1 object is protected." in page
    assert "Erase all but what is protected" in page
    visitor.post(reverse("erasure_resume", args=[stopped.pk]), {"locked": "1"})
    stopped.refresh_from_db()
    assert stopped.all_but_locked
    assert stopped.run is not None
    assert stopped.run.ended_at is None


def test_the_proof_lists_every_object(stopped: Erasure, visitor: Client) -> None:
    answer = visitor.get(reverse("erasure_report", args=[stopped.pk]))
    assert answer["Content-Disposition"].startswith("attachment")
    proof = body(answer).decode()
    assert "drive/files/0" in proof
    assert "PROTECTED until" in proof
    assert "Erasure" in visitor.get(reverse("erasures")).content.decode()


def test_nobody_else_sees_or_begins_an_erasure(stopped: Erasure, vault: Vault) -> None:
    other = person("other", is_superuser=True, is_staff=True)
    client = Client()
    client.force_login(other)
    for name in ("erasure", "erasure_report"):
        assert client.get(reverse(name, args=[stopped.pk])).status_code == 404
    assert client.post(reverse("erasure_resume", args=[stopped.pk])).status_code == 404
    assert client.post(reverse("erase"), asked(vault, typed="Drive")).status_code == 404
    assert "Nothing was ever erased" in client.get(reverse("erasures")).content.decode()
    assert Erasure.objects.count() == 1


def test_one_that_stopped_stands_in_the_headline_of_the_dashboard(
    stopped: Erasure, vault: Vault, visitor: Client
) -> None:
    vault.file("a.txt")
    worker()
    page = visitor.get(reverse("dashboard")).content.decode()
    assert f"Erasure {stopped.pk} of Drive waits for you" in page
    assert "1 object is protected." in page
    assert f'<a href="{reverse("erasures")}">Erasures</a>' in page
    Erasure.objects.update(proven_at=timezone.now())
    assert "waits for you" not in visitor.get(reverse("dashboard")).content.decode()


def test_a_lost_destination_may_be_given_up_once_it_is_switched_off(
    stopped: Erasure, vault: Vault, visitor: Client
) -> None:
    lost = vault.destinations[0]
    page = reverse("erasure", args=[stopped.pk])
    address = reverse("erasure_resume", args=[stopped.pk])
    assert "Go on without" not in visitor.get(page).content.decode()
    answer = visitor.post(address, {"give_up": lost.pk}, follow=True).content.decode()
    assert "Disable it first" in answer
    theirs = Destination.objects.create(owner=person("other"), name="theirs", kind="local")
    assert visitor.post(address, {"give_up": theirs.pk}).status_code == 404
    assert visitor.post(address, {"give_up": "x"}).status_code == 404
    Destination.objects.filter(pk=lost.pk).update(enabled=False)
    assert "Go on without" in visitor.get(page).content.decode()
    visitor.post(address, {"give_up": lost.pk})
    stopped.refresh_from_db()
    assert [(entry["place"], entry["by"]) for entry in stopped.given_up] == [("one", "owner")]
    assert "NOT ERASED in one: given up by owner" in visitor.get(page).content.decode()
