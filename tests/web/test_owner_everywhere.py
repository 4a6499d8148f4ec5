"""Every address there is, asked for with another's ids: a new one that nobody thought of fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from accounts.models import User
from syncapp.models import Canary, Erasure, Restore, Run
from tests.web.baked import Owned

LogIn = Callable[[User], Client]
HUGE = 10**25  # beyond any database's numbers

# What an id in an address is of; "free": no secret of anybody's.
OF: dict[str, Callable[[Owned], object]] = {
    "event_id": lambda o: o.alert.pk,
    "run_id": lambda o: o.run.pk,
    "source_id": lambda o: o.source.pk,
    "account_id": lambda o: o.account.pk,
    "destination_id": lambda o: o.destinations[0].pk,
    "file_id": lambda o: o.file.pk,
    "version_id": lambda o: o.version.pk,
    "erasure_id": lambda o: Erasure.objects.get(owner=o.user).pk,
}
FREE = {"account_setup", "destination_add"}  # a one-time token; a kind
# Without ids: each shows or does what is one's own (test_access.py, and below for what is chosen
# by a query).
OWN = {
    *(
        "dashboard",
        "failures",
        "refused",
        "retry_all",
        "events",
        "files",
        "search",
        "log",
        "policy",
    ),
    *("erase", "erasures", "restore", "restore_check", "restore_start", "restores"),
    *("destination_kinds", "google_accounts", "account_change_password"),
}
NOBODYS = {  # there before anybody has logged in, or proven by a secret of their own
    *("healthz", "healthz_worker", "google_drive_push", "account_login", "account_logout"),
    *("account_inactive", "account_reauthenticate", "google_login", "google_callback"),
    *("socialaccount_connections", "socialaccount_login_cancelled", "socialaccount_login_error"),
}


def addresses(
    patterns: list[URLPattern | URLResolver] | None = None,
) -> Iterator[tuple[str, list[str]]]:
    """Name and ids of every address of ours; the administration has permissions of its own."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            if pattern.app_name != "admin":
                yield from addresses(pattern.url_patterns)
        elif pattern.name:
            yield pattern.name, list(pattern.pattern.converters)


WITH_IDS = {name: ids for name, ids in addresses() if ids and name not in FREE}


@pytest.fixture
def whole(owner: Owned) -> Owned:
    """An owner with a restore and an erasure as well."""
    Run.objects.filter(pk=owner.run.pk).update(kind=Run.Kind.RESTORE)
    Restore.objects.create(run=owner.run, target="folder", options={"path": "/x"})
    Erasure.objects.create(
        owner=owner.user, source=owner.source, source_name="x", what="x", files=[owner.file.pk]
    )
    return owner


def test_every_address_is_known_here() -> None:
    without = {name for name, ids in addresses() if not ids}
    assert without == OWN | NOBODYS
    assert {one for ids in WITH_IDS.values() for one in ids} == set(OF)


@pytest.mark.parametrize("name", WITH_IDS)
def test_with_anothers_ids_nothing_is_there_and_nothing_happens(
    name: str, whole: Owned, teammate: Owned, outsider: User, log_in: LogIn
) -> None:
    address = reverse(name, args=[OF[one](whole) for one in WITH_IDS[name]])
    before = _state(whole)
    for somebody in (log_in(teammate.user), log_in(outsider)):
        answers = {somebody.get(address).status_code, somebody.post(address).status_code}
        assert answers in ({404}, {404, 405})
    for answer in (Client().get(address), Client().post(address)):
        assert answer["Location"].startswith(reverse("account_login"))
    assert _state(whole) == before


@pytest.mark.parametrize("name", [name for name, ids in WITH_IDS.items() if len(ids) > 1])
def test_anothers_file_is_not_there_under_ones_own_source(
    name: str, whole: Owned, teammate: Owned, log_in: LogIn
) -> None:
    ids = WITH_IDS[name]
    for at in range(len(ids)):
        args = [OF[one](whole if i == at else teammate) for i, one in enumerate(ids)]
        address, client = reverse(name, args=args), log_in(teammate.user)
        assert {client.get(address).status_code, client.post(address).status_code} <= {404, 405}


@pytest.mark.parametrize("name", WITH_IDS)
def test_a_number_that_no_row_can_have_is_not_found(name: str, whole: Owned, log_in: LogIn) -> None:
    ids, client = WITH_IDS[name], log_in(whole.user)
    for at in range(len(ids)):
        args = [HUGE if i == at else OF[one](whole) for i, one in enumerate(ids)]
        address = reverse(name, args=args)
        assert {client.get(address).status_code, client.post(address).status_code} <= {404, 405}


@pytest.mark.parametrize("name", sorted(OWN))
def test_pages_of_ones_own_are_for_people_who_have_logged_in(name: str, db: None) -> None:
    for answer in (Client().get(reverse(name)), Client().post(reverse(name))):
        if answer.status_code == 302:
            assert answer["Location"].startswith(reverse("account_login"))
        else:
            assert answer.status_code in (401, 405)


@pytest.mark.parametrize("name", ["restore", "restore_check", "restore_start", "erase"])
def test_what_is_chosen_in_the_address_must_be_ones_own(
    name: str, whole: Owned, teammate: Owned, log_in: LogIn
) -> None:
    client, address = log_in(teammate.user), reverse(name)
    mine = {"source": teammate.source.pk}
    form = {"target": "folder", "path": "/x", "typed": whole.source.name, "origin": "fastest"}
    for chosen in ({"source": whole.source.pk}, {**mine, "file": whole.file.pk}, {"source": HUGE}):
        asked = {client.get(address, chosen).status_code}
        asked.add(client.post(address, {**chosen, **form}).status_code)
        assert asked <= {404, 405}
    assert Restore.objects.count() == Erasure.objects.count() == 1


def test_an_archive_holds_no_file_of_anothers(whole: Owned, teammate: Owned, log_in: LogIn) -> None:
    address = reverse("archive", args=[teammate.source.pk])
    assert log_in(teammate.user).get(address, {"file": whole.file.pk}).status_code == 404


def test_a_restore_goes_to_no_place_of_anothers(
    whole: Owned, teammate: Owned, log_in: LogIn
) -> None:
    """Neither to a destination, nor to a Drive, nor from a destination of somebody else's."""
    client = log_in(teammate.user)
    mine = {"source": teammate.source.pk, "collision": "skip", "origin": "fastest"}
    others = whole.destinations[0].pk
    for wish in (
        {"target": "destination", "destination": others},
        {"target": "drive", "account": whole.account.pk},
        {"target": "folder", "path": "/somewhere", "origin": others},
    ):
        client.post(reverse("restore_start"), {**mine, **wish})
    assert Restore.objects.count() == 1


def test_a_pin_of_anothers_is_not_taken_away(whole: Owned, teammate: Owned, log_in: LogIn) -> None:
    pin = Canary.objects.create(source=whole.source, file=whole.file)
    client = log_in(teammate.user)
    client.post(reverse("source_unpin", args=[teammate.source.pk]), {"canary": pin.pk})
    client.post(reverse("source_pin", args=[teammate.source.pk]), {"file": whole.file.pk})
    assert list(Canary.objects.all()) == [pin]


def _state(of: Owned) -> list[object]:
    """What an action of somebody else's might have changed."""
    of.source.refresh_from_db()
    of.run.refresh_from_db()
    of.alert.refresh_from_db()
    return [
        (of.source.paused, of.source.next_at, of.source.blocked_code, of.source.name),
        (of.run.ended_at, of.run.paused, of.run.stage),
        of.alert.acknowledged_at,
        list(of.user.destinations.values_list("pk", "enabled")),
        Run.objects.filter(source=of.source, ended_at__isnull=True, created_at__lt=timezone.now())
        .exclude(pk=of.run.pk)
        .count(),
        Canary.objects.count(),
    ]
