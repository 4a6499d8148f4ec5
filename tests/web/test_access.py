"""Whose pages are whose: the owner sees them; for a teammate and an outsider they don't exist."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from syncapp.models import Run, Source
from tests.web.baked import Owned

LogIn = Callable[[User], Client]

PAGES: dict[str, Callable[[Owned], list[object]]] = {
    "run": lambda o: [o.run.pk],
    "source_edit": lambda o: [o.source.pk],
    "source_files": lambda o: [o.source.pk],
    "source_proof": lambda o: [o.source.pk],
    "file": lambda o: [o.source.pk, o.file.pk],
    "destination": lambda o: [o.destinations[0].pk],
    "destination_edit": lambda o: [o.destinations[0].pk],
}
ACTIONS: dict[str, Callable[[Owned], list[object]]] = {
    "run_cancel": lambda o: [o.run.pk],
    "source_backup": lambda o: [o.source.pk],
    "source_verify": lambda o: [o.source.pk],
    "source_drill": lambda o: [o.source.pk],
    "source_pin": lambda o: [o.source.pk],
    "source_leave": lambda o: [o.source.pk],
    "source_unpin": lambda o: [o.source.pk],
    "source_pause": lambda o: [o.source.pk],
    "source_resume": lambda o: [o.source.pk],
    "source_retry": lambda o: [o.source.pk],
    "acknowledge": lambda o: [o.alert.pk],
    "destination_switch": lambda o: [o.destinations[0].pk],
    "destination_remove": lambda o: [o.destinations[0].pk],
}
EVERYBODYS = ["dashboard", "failures", "refused", "log", "files", "destination_kinds"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_there_for_its_owner_and_for_nobody_else(
    name: str, owner: Owned, teammate: Owned, outsider: User, log_in: LogIn
) -> None:
    address = reverse(name, args=PAGES[name](owner))
    assert log_in(owner.user).get(address).status_code == 200
    # The teammate is an administrator, too: the admin is where those look at others' things.
    assert log_in(teammate.user).get(address).status_code == 404
    assert log_in(outsider).get(address).status_code == 404
    assert Client().get(address)["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_is_there_for_its_owner_by_post_and_for_nobody_else(
    name: str, owner: Owned, teammate: Owned, outsider: User, log_in: LogIn
) -> None:
    address = reverse(name, args=ACTIONS[name](owner))
    assert log_in(teammate.user).post(address).status_code == 404
    assert log_in(outsider).post(address).status_code == 404
    assert Client().post(address)["Location"].startswith(reverse("account_login"))
    assert not Run.objects.filter(ended_at=None).exists()
    assert log_in(owner.user).get(address).status_code == 405
    assert log_in(owner.user).post(address).status_code == 302


@pytest.mark.parametrize("name", ACTIONS)
def test_who_logs_in_at_an_action_comes_back_to_the_page_of_its_button(
    name: str, owner: Owned
) -> None:
    owner.user.set_password("secret words")
    owner.user.save()
    browser, action = Client(), reverse(name, args=ACTIONS[name](owner))
    button = f"http://testserver{reverse('log')}"
    for headers, page in (
        ({"Referer": button}, button),
        ({"Referer": "https://evil.example/"}, "/"),
    ):
        answer = browser.post(action, headers=headers)
        at_login = browser.get(answer["Location"])
        assert "nothing was done" in at_login.content.decode()
        wish = {"login": owner.user.username, "password": "secret words"}
        wish["next"] = parse_qs(urlsplit(answer["Location"]).query)["next"][0]
        after = browser.post(reverse("account_login"), wish)
        assert after["Location"] == page
        assert browser.get(page).status_code == 200
        browser.logout()


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_needs_the_token_of_its_form(name: str, owner: Owned) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner.user)
    answer = strict.post(reverse(name, args=ACTIONS[name](owner)))
    assert answer.status_code == 403
    assert "Not allowed" in answer.content.decode()


@pytest.mark.parametrize("name", EVERYBODYS)
def test_shared_pages_show_only_ones_own(
    name: str, owner: Owned, teammate: Owned, log_in: LogIn
) -> None:
    page = log_in(teammate.user).get(reverse(name), follow=True).content.decode()
    assert owner.source.name not in page
    assert owner.account.email not in page
    assert owner.alert.message not in page
    assert Client().get(reverse(name)).status_code == 302


def test_a_log_filtered_by_anothers_source_is_empty(
    owner: Owned, teammate: Owned, log_in: LogIn
) -> None:
    page = log_in(teammate.user).get(reverse("log"), {"source": owner.source.pk}).content.decode()
    assert owner.alert.message not in page


def test_anothers_account_cannot_be_set_up(owner: Owned, outsider: User, log_in: LogIn) -> None:
    address = reverse("source_setup", args=[owner.account.pk])
    assert log_in(outsider).get(address).status_code == 404


def test_a_file_is_not_shown_under_another_source(
    owner: Owned, teammate: Owned, log_in: LogIn
) -> None:
    address = reverse("file", args=[teammate.source.pk, owner.file.pk])
    assert log_in(teammate.user).get(address).status_code == 404


def test_retry_all_leaves_others_files_alone(owner: Owned, teammate: Owned, log_in: LogIn) -> None:
    log_in(teammate.user).post(reverse("retry_all"))
    assert not Run.objects.filter(source=owner.source, ended_at=None).exists()
    assert Run.objects.filter(source=teammate.source, ended_at=None).exists()


def test_after_an_action_nobody_is_sent_to_another_site(owner: Owned, log_in: LogIn) -> None:
    address = reverse("source_pause", args=[owner.source.pk])
    for target in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        answer = log_in(owner.user).post(address, {"next": target})
        assert answer["Location"] == reverse("dashboard")
    assert Source.objects.get(pk=owner.source.pk).paused
