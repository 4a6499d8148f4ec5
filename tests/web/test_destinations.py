"""Destinations through the pages: forms from options, real tests, secrets that only go in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from model_bakery import baker

from accounts.models import User
from syncapp.destinations import destination_class
from syncapp.engine.destination_setup import BLOCKED_BY_TEST
from syncapp.models import Destination, Event
from tests.servers.process import free_port
from tests.web import baked
from tests.web.baked import Owned

LogIn = Callable[[User], Client]
SECRET = "wJalrXUtnFEMI-very-secret-key"


@pytest.fixture
def admin(db: None) -> User:
    return baked.person("root", is_superuser=True, is_staff=True)


def local(path: Path | str, name: str = "Attic") -> dict[str, str]:
    return {"name": name, "option_path": str(path), "option_prefix": ""}


def s3(**changes: str) -> dict[str, str]:
    """An S3 server that nobody runs."""
    options = {option.name: option.default for option in destination_class("s3").options}
    options |= {
        "endpoint": f"http://127.0.0.1:{free_port()}",
        "region": "eu",
        "bucket": "kept",
        "access_key_id": "AKIAEXAMPLE",
        "secret_access_key": SECRET,
    }
    return {"name": "Cloud", **{f"option_{k}": v for k, v in {**options, **changes}.items()}}


def test_a_folder_is_added_tested_and_ready(admin: User, log_in: LogIn, tmp_path: Path) -> None:
    client = log_in(admin)
    answer = client.post(reverse("destination_add", args=["local"]), local(tmp_path / "kept"))
    made = Destination.objects.get()
    assert answer["Location"] == reverse("destination", args=[made.pk])
    assert (made.owner, made.options["path"], made.blocked_code) == (
        admin,
        str(tmp_path / "kept"),
        "",
    )
    page = client.get(answer["Location"]).content.decode()
    assert "The test" in page
    assert "free space" in page
    # The test's lines are shown once, right after it.
    assert "The test" not in client.get(answer["Location"]).content.decode()


def test_every_option_of_a_kind_is_a_field(admin: User, log_in: LogIn) -> None:
    page = log_in(admin).get(reverse("destination_add", args=["s3"])).content.decode()
    for option in destination_class("s3").options:
        assert f'name="option_{option.name}"' in page
        assert option.label in page


def test_keys_are_called_optional_only_where_stored_ones_stay(admin: User, log_in: LogIn) -> None:
    client = log_in(admin)
    page = client.get(reverse("destination_add", args=["s3"])).content.decode()
    called = re.findall(r">([^<]+) <span[^>]*>\(optional\)", page)
    assert "Folder in the bucket" in called
    assert not {"Access key", "Secret key", "Endpoint", "Region"} & set(called)
    client.post(reverse("destination_add", args=["s3"]), s3())
    edit = reverse("destination_edit", args=[Destination.objects.get().pk])
    called = re.findall(r">([^<]+) <span[^>]*>\(optional\)", client.get(edit).content.decode())
    assert {"Access key", "Secret key"} <= set(called)


def test_a_destination_that_does_not_work_is_kept_blocked_with_the_reason(
    admin: User, log_in: LogIn
) -> None:
    client = log_in(admin)
    page = client.post(reverse("destination_add", args=["s3"]), s3(), follow=True).content.decode()
    made = Destination.objects.get()
    assert made.blocked_code == BLOCKED_BY_TEST
    assert made.blocked_reason
    assert "Blocked" in page
    assert Event.objects.filter(code="destination_tested", level="warning").exists()


def test_a_secret_is_stored_encrypted_and_never_shown_again(admin: User, log_in: LogIn) -> None:
    client = log_in(admin)
    client.post(reverse("destination_add", args=["s3"]), s3())
    made = Destination.objects.get()
    assert json.loads(made.secrets)["secret_access_key"] == SECRET
    pages = [
        client.get(reverse(name, args=[made.pk])).content.decode()
        for name in ("destination", "destination_edit")
    ] + [client.get(reverse("dashboard")).content.decode()]
    assert SECRET not in "".join(pages)
    assert SECRET not in json.dumps(made.options)
    assert 'placeholder="unchanged"' in pages[1]


def test_an_empty_secret_keeps_the_stored_one_and_a_new_one_replaces_it(
    admin: User, log_in: LogIn
) -> None:
    client = log_in(admin)
    client.post(reverse("destination_add", args=["s3"]), s3())
    made = Destination.objects.get()
    address = reverse("destination_edit", args=[made.pk])
    assert client.post(address, s3(secret_access_key="", bucket="other")).status_code == 302
    made.refresh_from_db()
    assert made.options["bucket"] == "other"
    assert json.loads(made.secrets)["secret_access_key"] == SECRET
    client.post(address, s3(secret_access_key="another-secret"))
    made.refresh_from_db()
    assert json.loads(made.secrets)["secret_access_key"] == "another-secret"


def test_a_refused_form_shows_no_secret(admin: User, log_in: LogIn) -> None:
    answer = log_in(admin).post(reverse("destination_add", args=["s3"]), s3(bucket=""))
    assert answer.status_code == 200
    assert SECRET not in answer.content.decode()
    assert not Destination.objects.exists()


def test_folders_are_for_administrators(outsider: User, log_in: LogIn, tmp_path: Path) -> None:
    client = log_in(outsider)
    assert "Folder on this server" not in client.get(reverse("destination_kinds")).content.decode()
    answer = client.post(reverse("destination_add", args=["local"]), local(tmp_path))
    assert answer.status_code == 404


def test_others_may_use_folders_below_the_roots_and_nowhere_else(
    outsider: User, log_in: LogIn, tmp_path: Path, settings: Any
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "way-out").symlink_to("/etc")
    settings.LOCAL_DESTINATION_ROOTS = [str(root)]
    client, address = log_in(outsider), reverse("destination_add", args=["local"])
    for path in ("/etc/backup", root / ".." / "beside", root / "way-out" / "x"):
        page = client.post(address, local(path)).content.decode()
        assert f"Folder: choose one below {root}." in page
    assert not Destination.objects.exists()
    assert client.post(address, local(root / "mine")).status_code == 302


def test_a_name_is_used_once_a_person(admin: User, log_in: LogIn, tmp_path: Path) -> None:
    client, address = log_in(admin), reverse("destination_add", args=["local"])
    client.post(address, local(tmp_path / "a"))
    page = client.post(address, local(tmp_path / "b")).content.decode()
    assert "There is a destination of this name already." in page


def test_a_name_that_would_turn_what_is_beside_it_is_refused(
    admin: User, log_in: LogIn, tmp_path: Path
) -> None:
    address = reverse("destination_add", args=["local"])
    page = log_in(admin).post(address, local(tmp_path, name="Attic \u202egnp"))
    assert "not seen: Attic [U+202E]gnp." in page.content.decode()
    assert not Destination.objects.exists()


def test_an_unknown_kind_is_not_there(admin: User, log_in: LogIn) -> None:
    assert log_in(admin).get(reverse("destination_add", args=["floppy"])).status_code == 404


def test_the_test_button_frees_a_blocked_destination_that_works_again(
    admin: User, log_in: LogIn, tmp_path: Path
) -> None:
    made = baker.make(
        Destination,
        owner=admin,
        name="Attic",
        kind="local",
        options={"path": str(tmp_path / "kept")},
        blocked_code="not_mounted",
        blocked_reason="It was away.",
    )
    log_in(admin).post(reverse("destination_test", args=[made.pk]))
    made.refresh_from_db()
    assert (made.blocked_code, made.blocked_reason, made.blocked_at) == ("", "", None)


def test_one_with_copies_is_not_removed_but_can_be_switched_off(
    owner: Owned, log_in: LogIn
) -> None:
    client, place = log_in(owner.user), owner.destinations[0]
    page = client.post(reverse("destination_remove", args=[place.pk]), follow=True)
    assert "Switch it off instead" in page.content.decode()
    client.post(reverse("destination_switch", args=[place.pk]), {"enabled": "0"})
    place.refresh_from_db()
    assert not place.enabled
    client.post(reverse("destination_switch", args=[place.pk]), {"enabled": "1"})
    place.refresh_from_db()
    assert place.enabled


def test_an_empty_one_is_removed(admin: User, log_in: LogIn) -> None:
    made = baker.make(Destination, owner=admin, name="Attic", kind="local")
    log_in(admin).post(reverse("destination_remove", args=[made.pk]))
    assert not Destination.objects.exists()
    assert Event.objects.filter(code="destination_removed").exists()
