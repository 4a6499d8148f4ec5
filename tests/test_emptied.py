"""Between tests the database is as after migrating: not even the triggers' notes are left."""

from __future__ import annotations

import pytest

from accounts.models import GoogleAccount, User
from syncapp.models import Change, File, Source
from tests.servers.database import _counts, _empty


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("more", [0, 1], ids=["table by table", "flushed"])
def test_no_note_of_the_emptying_itself_is_left(more: int) -> None:
    kept = _counts()
    assert not Change.objects.exists()
    owner = User.objects.create_user("owner", "o@example.org", "a long passphrase")
    account = GoogleAccount.objects.create(user=owner, uid="1")
    source = Source.objects.create(owner=owner, account=account, name="D", slug="d")
    File.objects.create(source=source, remote_id="f", name="f")
    assert Change.objects.exists()
    _empty({name: count + more for name, count in kept.items()})
    assert _counts() == kept
