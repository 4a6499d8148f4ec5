"""The administration of people and Google accounts shows no secret."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client

from accounts.models import GoogleAccount, User

pytestmark = pytest.mark.django_db
SECRETS = {"access_token": "ya29.secret", "refresh_token": "1//0secret"}


@pytest.fixture
def account(owner) -> GoogleAccount:
    return GoogleAccount.objects.create(user=owner, uid="1", email="ada@example.com", **SECRETS)


@pytest.fixture
def client(db) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_no_page_of_an_account_shows_a_token(account, client):
    pages = ["", f"{account.pk}/change/", f"{account.pk}/history/"]
    for page in pages:
        answer = client.get(f"/admin/accounts/googleaccount/{page}")
        html = answer.content.decode()
        assert answer.status_code == 200
        assert "ada@example.com" in html
        assert not [secret for secret in SECRETS.values() if secret in html]


def test_posting_to_an_account_changes_nothing(account, client):
    form = {"email": "evil@example.com", "state": "reconnect", "access_token": "x"}
    client.post(f"/admin/accounts/googleaccount/{account.pk}/change/", form)
    account.refresh_from_db()
    assert (account.email, account.state) == ("ada@example.com", "connected")
    assert account.access_token == SECRETS["access_token"]


def test_accounts_can_not_be_added_or_deleted_there(account, client):
    assert client.get("/admin/accounts/googleaccount/add/").status_code == 403
    assert client.post(f"/admin/accounts/googleaccount/{account.pk}/delete/").status_code == 403


def test_an_administrator_can_ask_for_a_new_consent(account, client):
    form = {"action": "mark_for_reconnect", "_selected_action": [account.pk]}
    client.post("/admin/accounts/googleaccount/", form)
    account.refresh_from_db()
    assert account.state == GoogleAccount.State.RECONNECT
    assert "administrator asked" in account.state_reason


@pytest.mark.parametrize("who", ["owner", "teammate", "outsider"])
def test_people_without_the_permission_see_no_accounts(account, who, request):
    client = Client()
    client.force_login(request.getfixturevalue(who))
    answer = client.get("/admin/accounts/googleaccount/", follow=True)
    assert answer.status_code == 403
    assert "ada@example.com" not in answer.content.decode()


def test_allauths_own_tables_are_not_shown():
    shown = {model._meta.label for model in admin.site._registry}
    hidden = {"SocialApp", "SocialToken", "SocialAccount"}
    assert not shown & {f"socialaccount.{name}" for name in hidden}
    assert "account.EmailAddress" not in shown


def test_a_person_can_be_added(client):
    form = {"username": "new", "password1": "correct horse battery"}
    form |= {"password2": form["password1"], "usable_password": "true"}
    client.post("/admin/accounts/user/add/", form)
    assert User.objects.get(username="new").check_password(form["password1"])
