"""Finding what a person means."""

from __future__ import annotations

import pytest
from django.core.management.base import CommandError

from accounts.models import GoogleAccount, User
from syncapp.management import lookup
from syncapp.models import Destination, Source


@pytest.fixture
def namesake(owner: User) -> Source:
    """Another source of the same name, slug and name apart."""
    account = GoogleAccount.objects.create(user=owner, uid="2", email="ada@work.example")
    return Source.objects.create(owner=owner, account=account, name="Ada's Drive", slug="work")


def test_an_id_a_slug_or_a_name_will_do(source: Source) -> None:
    for text in (str(source.pk), "ada", "Ada's Drive"):
        assert lookup.find_source(text) == source


def test_a_name_of_two_lists_both(source: Source, namesake: Source) -> None:
    with pytest.raises(CommandError, match="fits several") as caught:
        lookup.find_source("Ada's Drive")
    assert "ada@gmail.example" in str(caught.value)
    assert "ada@work.example" in str(caught.value)
    assert caught.value.returncode == 2


def test_an_id_wins_over_a_name_that_looks_like_one(source: Source, namesake: Source) -> None:
    Source.objects.filter(pk=namesake.pk).update(name=str(source.pk))
    assert lookup.find_source(str(source.pk)) == source


def test_what_does_not_exist_lists_what_does(source: Source, folder: Destination) -> None:
    with pytest.raises(CommandError, match=r"ada@gmail\.example"):
        lookup.find_source("bob")
    with pytest.raises(CommandError, match="Shelf"):
        lookup.find_destination("bob")


def test_two_people_may_have_destinations_of_one_name(folder: Destination) -> None:
    eve = User.objects.create_user("eve")
    other = Destination.objects.create(owner=eve, name="Shelf", kind="local")
    with pytest.raises(CommandError, match="of eve"):
        lookup.find_destination("Shelf")
    assert lookup.find_destination(str(other.pk)) == other


def test_a_number_beyond_any_id_is_simply_not_found(owner: User) -> None:
    for text in ("9" * 30, "²", "٣"):
        with pytest.raises(CommandError, match="There is none yet"):
            lookup.find_source(text)
