"""What is encrypted at rest, and what happens without the key."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.db import connection

from accounts.fields import UndecryptableValue, decrypt, encrypt, is_current
from accounts.models import GoogleAccount
from syncapp.models import Destination

SECRET = "1//0-a-refresh-token"


@pytest.fixture
def account(owner) -> GoogleAccount:
    return GoogleAccount.objects.create(
        user=owner, uid="1", email="a@example.com", refresh_token=SECRET, access_token="ya29.x"
    )


def _stored(table: str, *columns: str) -> tuple[str, ...]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)} FROM {table}")
        return cursor.fetchone()


def test_tokens_are_encrypted_in_the_database_and_clear_in_memory(account):
    stored = _stored("accounts_googleaccount", "refresh_token", "access_token")
    assert all(value.startswith("f1:") for value in stored)
    assert SECRET not in str(stored)
    assert "ya29" not in str(stored)
    assert GoogleAccount.objects.get().refresh_token == SECRET


def test_an_update_of_a_query_encrypts_too(account):
    GoogleAccount.objects.update(refresh_token="another")
    assert "another" not in _stored("accounts_googleaccount", "refresh_token")[0]
    assert GoogleAccount.objects.get().refresh_token == "another"


def test_the_credentials_of_a_destination_are_encrypted_as_well(owner):
    Destination.objects.create(owner=owner, name="B", kind="s3", secrets='{"secret_key": "s3cr3t"}')
    assert "s3cr3t" not in _stored("syncapp_destination", "secrets")[0]


def test_nothing_stays_nothing(owner):
    GoogleAccount.objects.create(user=owner, uid="2", email="b@example.com")
    assert _stored("accounts_googleaccount", "refresh_token") == ("",)


def test_the_same_text_is_stored_differently_each_time(db):
    assert encrypt(SECRET) != encrypt(SECRET)


def test_encrypted_fields_refuse_filters_that_could_never_match(account):
    with pytest.raises(TypeError, match="can't be filtered"):
        GoogleAccount.objects.filter(refresh_token=SECRET).exists()


def test_an_older_key_still_reads_but_is_not_the_current_one(settings):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.FIELD_KEYS = [old]
    stored = encrypt(SECRET)
    settings.FIELD_KEYS = [new, old]
    assert decrypt(stored) == SECRET
    assert not is_current(stored)
    assert is_current(encrypt(SECRET))


def test_a_lost_key_is_told_without_the_value(account, settings):
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(UndecryptableValue, match="put the key that encrypted it back") as caught:
        GoogleAccount.objects.get()
    assert SECRET not in str(caught.value)


def test_clear_text_in_an_encrypted_column_is_refused(account):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_googleaccount SET refresh_token = %s", [SECRET])
    with pytest.raises(UndecryptableValue, match="should be encrypted") as caught:
        GoogleAccount.objects.get()
    assert SECRET not in str(caught.value)
