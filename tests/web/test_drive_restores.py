"""The page of a restore to Drive: where it went, and what Google has to allow first."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import GoogleAccount
from accounts.scopes import DRIVE_FILE
from syncapp.engine.drive_restore import KeptIds
from syncapp.models import Restore, Run
from tests.engine.vault import Vault


@pytest.fixture
def restore(vault: Vault) -> Restore:
    run = Run.objects.create(source=vault.source, kind=Run.Kind.RESTORE, paused=True)
    return Restore.objects.create(run=run, target="drive")


def test_a_restore_that_waits_for_a_consent_offers_it_and_comes_back(
    restore: Restore, visitor: Client
) -> None:
    address = reverse("restore_run", args=[restore.run_id])
    page = visitor.get(address).content.decode()
    assert reverse("google_write", args=[restore.run.source.account_id]) in page
    assert f'name="next" value="{address}"' in page
    GoogleAccount.objects.update(scopes=[DRIVE_FILE])
    page = visitor.get(address).content.decode()
    assert "Allow restoring to Drive" not in page


def test_the_new_folder_is_named_and_linked_once_it_is_there(
    restore: Restore, visitor: Client
) -> None:
    address = reverse("restore_run", args=[restore.run_id])
    ids = KeptIds(restore.pk)
    ids.of_folder((), lambda: "1TheFolder")
    page = visitor.get(address).content.decode()
    assert "Restored 20" in page
    assert "1TheFolder" not in page
    ids.made(())
    page = visitor.get(address).content.decode()
    assert "https://drive.google.com/drive/folders/1TheFolder" in page
