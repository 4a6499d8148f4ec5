"""`manage.py keys`: a new key, rotation of every encrypted column, the check."""

from __future__ import annotations

from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import rotation
from accounts.fields import UndecryptableValue
from accounts.models import GoogleAccount
from syncapp.models import Destination

pytestmark = pytest.mark.django_db
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def _keys(*what: str) -> str:
    out = StringIO()
    call_command("keys", *what, stdout=out)
    return out.getvalue()


@pytest.fixture
def values(owner, settings, monkeypatch) -> None:
    """Five accounts and a destination under the old key, more than one batch of them."""
    monkeypatch.setattr(rotation, "_BATCH", 2)
    settings.FIELD_KEYS = [OLD]
    for number in range(5):
        GoogleAccount.objects.create(
            user=owner, uid=str(number), email="a@example.com", refresh_token=f"token {number}"
        )
    Destination.objects.create(owner=owner, name="B", kind="s3", secrets="credentials")


def test_a_new_key_is_one_that_can_be_used(settings):
    Fernet(_keys("new").strip())


def test_every_encrypted_column_is_found_upper_layers_included():
    labels = {f"{model._meta.label}.{field}" for model, field in rotation.encrypted_columns()}
    assert labels >= {
        "accounts.GoogleAccount.access_token",
        "accounts.GoogleAccount.refresh_token",
        "syncapp.Destination.secrets",
    }


@pytest.mark.usefixtures("values")
def test_after_a_rotation_the_old_key_is_not_needed_any_more(settings):
    settings.FIELD_KEYS = [NEW, OLD]
    report = _keys("rotate")
    assert "accounts.GoogleAccount.refresh_token: 5 re-encrypted, 0 with the first key" in report
    assert "syncapp.Destination.secrets: 1 re-encrypted" in report
    settings.FIELD_KEYS = [NEW]
    tokens = GoogleAccount.objects.order_by("uid").values_list("refresh_token", flat=True)
    assert list(tokens) == [f"token {number}" for number in range(5)]
    assert Destination.objects.get().secrets == "credentials"


@pytest.mark.usefixtures("values")
def test_a_second_rotation_changes_nothing(settings):
    settings.FIELD_KEYS = [NEW, OLD]
    _keys("rotate")
    report = _keys("rotate")
    assert "GoogleAccount.refresh_token: 0 re-encrypted, 5 with the first key" in report


@pytest.mark.usefixtures("values")
def test_the_check_counts_what_still_needs_the_old_key(settings):
    settings.FIELD_KEYS = [NEW, OLD]
    report = _keys("check")
    assert "GoogleAccount.refresh_token: 5 with an older key, 0 with the first key" in report
    assert "GoogleAccount.access_token: 0 with an older key, 0 with the first key" in report


@pytest.mark.parametrize("what", ["check", "rotate"])
@pytest.mark.usefixtures("values")
def test_values_that_no_key_opens_are_counted_kept_and_fail(settings, what):
    settings.FIELD_KEYS = [NEW]
    with pytest.raises(CommandError, match="6 values can't be decrypted"):
        _keys(what)
    settings.FIELD_KEYS = [OLD]
    assert Destination.objects.get().secrets == "credentials"


@pytest.mark.usefixtures("values")
def test_a_token_stored_during_the_rotation_is_not_overwritten(settings, monkeypatch):
    settings.FIELD_KEYS = [NEW, OLD]
    decrypt, written = rotation.decrypt, []

    def decrypt_while_a_worker_stores(stored: str) -> str:
        if not written:
            written.append(GoogleAccount.objects.filter(uid="0").update(refresh_token="newer"))
        return decrypt(stored)

    monkeypatch.setattr(rotation, "decrypt", decrypt_while_a_worker_stores)
    rotation.rotate(GoogleAccount, "refresh_token")
    assert GoogleAccount.objects.get(uid="0").refresh_token == "newer"


@pytest.mark.usefixtures("values")
def test_no_key_and_no_value_is_printed(settings):
    settings.FIELD_KEYS = [NEW, OLD]
    printed = _keys("check") + _keys("rotate")
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM syncapp_destination")
        stored = cursor.fetchone()[0]
    assert not [value for value in (NEW, OLD, stored, "credentials") if value in printed]


@pytest.mark.usefixtures("values")
def test_what_no_key_opens_is_forgotten_only_when_that_is_confirmed(settings):
    settings.FIELD_KEYS = [NEW]
    fresh = GoogleAccount.objects.defer("access_token", "refresh_token").get(uid="0")
    GoogleAccount.objects.filter(pk=fresh.pk).update(refresh_token="of the new key")
    with pytest.raises(CommandError, match="5 values would be forgotten"):
        _keys("forget")
    with pytest.raises(UndecryptableValue):
        Destination.objects.get()

    assert "5 values forgotten" in _keys("forget", "--yes")

    assert Destination.objects.get().secrets == ""
    tokens = GoogleAccount.objects.order_by("uid").values_list("refresh_token", flat=True)
    assert list(tokens) == ["of the new key", "", "", "", ""]
    assert "0 unreadable" in _keys("check")
