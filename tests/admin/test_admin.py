"""The administrators' pages: everything to look at, little to change, no secret to see."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from model_bakery import baker

from accounts.models import User
from syncapp.admin import base, catalog
from syncapp.models import Channel, Copy, Destination, Event, File, Run, Source, Version
from tests.servers.process import free_port
from tests.web import baked
from tests.web.baked import Owned

MODELS = [
    model for model in apps.get_app_config("syncapp").get_models() if not model._meta.auto_created
]
READ_ONLY = {
    *("file", "version", "copy", "run", "attempt", "event", "worker", "lane", "installation"),
}
SECRET = "never-to-be-seen-again"


@pytest.fixture
def owner(db: None) -> Owned:
    return baked.owned("ana")


@pytest.fixture
def root(db: None) -> User:
    return baked.person("root", is_superuser=True, is_staff=True)


@pytest.fixture
def client(root: User) -> Client:
    made = Client()
    made.force_login(root)
    return made


def changelist(name: str) -> str:
    return reverse(f"admin:syncapp_{name}_changelist")


def act(client: Client, name: str, action: str, *rows: Any) -> str:
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(changelist(name), data, follow=True).content.decode()


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m._meta.model_name)
def test_every_model_can_be_looked_at_and_searched(
    model: Any, client: Client, owner: Owned
) -> None:
    name = model._meta.model_name
    address = changelist(name)
    assert client.get(address).status_code == 200
    assert client.get(address, {"q": "x"}).status_code == 200
    page = admin.site._registry[model]
    assert page.list_filter
    assert page.search_fields
    row = model.objects.first()
    if row is not None:
        change = reverse(f"admin:syncapp_{name}_change", args=[row.pk])
        assert client.get(change).status_code == 200


@pytest.mark.parametrize("name", sorted(READ_ONLY))
def test_history_and_catalog_are_only_read(name: str, client: Client, owner: Owned) -> None:
    model = apps.get_model("syncapp", name)
    assert client.get(reverse(f"admin:syncapp_{name}_add")).status_code == 403
    row = model.objects.first() or baker.make(model)
    change = reverse(f"admin:syncapp_{name}_change", args=[row.pk])
    assert client.post(change, {}).status_code == 403
    assert client.post(reverse(f"admin:syncapp_{name}_delete", args=[row.pk])).status_code == 403
    assert model.objects.filter(pk=row.pk).exists()


def test_each_cell_of_a_list_bears_its_columns_title(client: Client, owner: Owned) -> None:
    page = client.get(changelist("source")).content.decode()
    cells = re.findall(r'<t[dh] data-label="([^"]+)" class="field-', page)
    assert cells == [
        *("Name", "Owner", "Account", "Kind", "Mode", "Paused", "Blocked code"),
        *("Next at", "Polled at", "Scanned at"),
    ]
    assert "app/admin.css" in page


def test_no_administrator_can_have_any_function_run(client: Client) -> None:
    assert client.get("/admin/django_q/schedule/add/").status_code == 404


@pytest.mark.parametrize("name", ["file", "version", "copy", "attempt", "event"])
def test_a_large_table_is_never_counted_whole(
    name: str, client: Client, owner: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "ROWS_COUNTED", 7)
    with CaptureQueriesContext(connection) as captured:
        client.get(changelist(name))
    counts = [q["sql"] for q in captured if "COUNT(" in q["sql"]]
    assert counts
    assert all("LIMIT 7" in sql for sql in counts), counts


@pytest.mark.parametrize("name", sorted(READ_ONLY | {"source", "destination"}))
def test_the_number_of_queries_of_a_list_is_fixed(name: str, client: Client, owner: Owned) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(changelist(name))
        return len(captured)

    baker.make(apps.get_model("syncapp", "lane"), run=owner.run)
    baked.worker()
    count()
    before = count()
    for number in range(5):
        # Other people's, so that every relation of a row is a different one.
        other = baked.owned(f"other{number}")
        baker.make(apps.get_model("syncapp", "lane"), run=other.run)
        baker.make(apps.get_model("syncapp", "worker"), host=f"h{number}", pid=number)
    assert count() == before


def test_files_of_all_sources_are_found_by_the_index_of_names(
    client: Client, owner: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "_MOST_SECONDS", 60)
    other = baked.owned("bob")
    made = [
        baker.make(File, source=who.source, name=f"Cafe\u0301 report {n}", remote_id=f"id-{n}")
        for n, who in enumerate((owner, other))
    ]
    for file in made:
        baker.make("syncapp.Place", source=file.source, file=file, name="Once \u00dcber")

    def shown(name: str, **asked: Any) -> str:
        return client.get(changelist(name), asked).content.decode()

    page = shown("file", q="REPORT caf\u00e9")
    assert "report 0" in page
    assert "report 1" in page
    assert "are not all" not in page
    page = shown("file", q="report", source__id__exact=owner.source.pk)
    assert "report 0" in page
    assert "report 1" not in page
    assert "report 1" in shown("file", q="id-1")
    assert shown("place", q="once").count("Once") >= 2
    assert shown("place", q="id-1").count(">Once") == 1
    assert "report" not in shown("file", q="%%%%")
    assert "are not all" in shown("file", q="re")
    monkeypatch.setattr(catalog, "MOST_FOUND", 1)
    assert "are not all" in shown("file", q="report")


def test_a_hostile_name_steers_nothing(client: Client, owner: Owned) -> None:
    pages = [
        client.get(changelist("file")),
        client.get(reverse("admin:syncapp_file_change", args=[owner.file.pk])),
        client.get(changelist("version")),
        client.get(changelist("copy")),
    ]
    for page in pages:
        text = page.content.decode()
        assert "\u202e" not in text
        assert "<script>alert" not in text
    assert "[U+202E]" in pages[0].content.decode()


def test_pages_have_no_inline_code(client: Client, owner: Owned) -> None:
    for address in (
        changelist("source"),
        reverse("admin:syncapp_source_change", args=[owner.source.pk]),
        reverse("admin:syncapp_destination_add"),
    ):
        answer = client.get(address)
        text = answer.content.decode()
        assert not re.search(r"<script(?![^>]*(\bsrc=|application/json))", text)
        assert not re.search(r"\son[a-z]+=", text)
        assert "'self'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("action", "check"),
    [
        ("sync_now", lambda s: s.runs.filter(kind=Run.Kind.BACKUP, ended_at=None).exists()),
        ("verify", lambda s: s.runs.filter(kind=Run.Kind.VERIFY, ended_at=None).exists()),
        ("pause", lambda s: s.paused),
        ("resume", lambda s: not s.paused),
        ("retry_failed", lambda s: not s.versions.filter(state=Version.State.FAILED).exists()),
    ],
)
def test_actions_do_what_they_say_and_are_kept_as_events(
    action: str, check: Any, client: Client, owner: Owned
) -> None:
    Source.objects.update(paused=action == "resume")
    act(client, "source", action, owner.source)
    owner.source.refresh_from_db()
    assert check(owner.source)
    event = Event.objects.filter(owner=owner.user, message__contains="administrator root").get()
    assert event.source == owner.source


def test_retry_failed_starts_the_backup_that_tries_again(client: Client, owner: Owned) -> None:
    act(client, "source", "retry_failed", owner.source)
    assert owner.source.runs.filter(ended_at=None).count() == 1


def test_what_is_asked_of_a_paused_source_is_refused(client: Client, owner: Owned) -> None:
    Source.objects.update(paused=True)
    for action in ("sync_now", "verify", "retry_failed"):
        act(client, "source", action, owner.source)
    assert not owner.source.runs.filter(ended_at=None).exists()
    assert owner.source.versions.filter(state=Version.State.FAILED).exists()


def test_a_source_leads_to_nothing_of_anybody_else(client: Client, owner: Owned) -> None:
    theirs = baked.owned("ben")
    address = reverse("admin:syncapp_source_change", args=[owner.source.pk])
    data = {"name": "x", "destinations": [theirs.destinations[0].pk]}
    assert "belongs to somebody else" in client.post(address, data).content.decode()
    data = {
        "owner": owner.user.pk,
        "account": theirs.account.pk,
        "name": "x",
        "kind": "google_drive",
        "destinations": [],
    }
    page = client.post(reverse("admin:syncapp_source_add"), data).content.decode()
    assert "belongs to somebody else" in page


def test_a_source_made_here_gets_a_slug_of_its_own(client: Client, owner: Owned) -> None:
    Copy.objects.all().delete()
    Source.objects.all().delete()
    data = {
        "owner": owner.user.pk,
        "account": owner.account.pk,
        "name": "Made here",
        "kind": "google_drive",
        "destinations": [],
        "mode": "realtime",
        "reconcile_days": 7,
    }
    assert client.post(reverse("admin:syncapp_source_add"), data).status_code == 302
    assert Source.objects.get().slug == "ana-gmail-example"


def test_a_mode_that_is_changed_here_acts_at_once(client: Client, owner: Owned) -> None:
    address = reverse("admin:syncapp_source_change", args=[owner.source.pk])
    data = {"name": "x", "destinations": [], "mode": "scheduled", "reconcile_days": 7}
    page = client.post(address, {**data, "cron": "never"}).content.decode()
    assert "A schedule has 5 fields" in page
    page = client.post(address, {**data, "reconcile_days": 9_999_999}).content.decode()
    assert "less than or equal to 365" in page
    assert client.post(address, {**data, "cron": "30 4 * * *"}).status_code == 302
    owner.source.refresh_from_db()
    assert (owner.source.next_at.hour, owner.source.next_at.minute) == (4, 30)


def test_the_token_of_a_push_channel_is_shown_by_nothing(client: Client, owner: Owned) -> None:
    channel = Channel.objects.create(
        source=owner.source, scope="user", channel_id="c-1", token=SECRET
    )
    for address in (
        changelist("channel"),
        reverse("admin:syncapp_channel_change", args=[channel.pk]),
    ):
        answer = client.get(address)
        assert answer.status_code == 200
        assert SECRET not in answer.content.decode()


def test_what_holds_anything_is_not_deleted(client: Client, owner: Owned) -> None:
    for name, row in (("source", owner.source), ("destination", owner.destinations[0])):
        address = reverse(f"admin:syncapp_{name}_delete", args=[row.pk])
        assert client.post(address, {"post": "yes"}).status_code == 403
        assert "delete_selected" not in client.get(changelist(name)).content.decode()
    for model in (File, Run, Event):
        model.objects.all().delete()
    address = reverse("admin:syncapp_source_delete", args=[owner.source.pk])
    assert client.post(address, {"post": "yes"}).status_code == 302


def s3(owner: User, **changes: str) -> dict[str, Any]:
    return {
        "owner": owner.pk,
        "kind": "s3",
        "name": "Cloud",
        "enabled": "on",
        "option_provider": "other",
        "option_endpoint": f"http://127.0.0.1:{free_port()}",
        "option_region": "eu",
        "option_bucket": "kept",
        "option_checksum": "auto",
        "option_access_key_id": "AKIAEXAMPLE",
        "option_secret_access_key": SECRET,
        **changes,
    }


def test_a_secret_goes_in_and_never_comes_out(client: Client, owner: Owned) -> None:
    answer = client.post(reverse("admin:syncapp_destination_add"), s3(owner.user))
    assert answer.status_code == 302, answer.content.decode()
    made = Destination.objects.get(name="Cloud")
    assert json.loads(made.secrets)["secret_access_key"] == SECRET
    address = reverse("admin:syncapp_destination_change", args=[made.pk])
    history = reverse("admin:syncapp_destination_history", args=[made.pk])
    text = "".join(
        client.get(a).content.decode() for a in (address, history, changelist("destination"))
    )
    assert SECRET not in text
    assert 'type="password" name="option_secret_access_key"' in text
    changed = s3(owner.user, option_bucket="other", option_secret_access_key="")
    assert client.post(address, changed).status_code == 302
    made.refresh_from_db()
    assert made.options["bucket"] == "other"
    assert json.loads(made.secrets)["secret_access_key"] == SECRET
    codes = set(Event.objects.filter(destination=made).values_list("code", flat=True))
    assert codes == {"destination_made", "destination_changed"}


def test_a_kind_shows_its_own_options(client: Client, owner: Owned) -> None:
    add = reverse("admin:syncapp_destination_add")
    assert "option_bucket" in client.get(add).content.decode()
    local = client.get(add, {"kind": "local"}).content.decode()
    assert "option_path" in local
    assert "option_bucket" not in local


def test_an_owner_has_each_name_once(client: Client, owner: Owned) -> None:
    page = client.post(reverse("admin:syncapp_destination_add"), s3(owner.user, name="Attic"))
    assert page.status_code == 200
    assert Destination.objects.filter(name="Attic").count() == 1


def test_a_destination_is_tested_for_real(client: Client, owner: Owned, tmp_path: Path) -> None:
    good, bad = owner.destinations
    Destination.objects.filter(pk=good.pk).update(options={"path": str(tmp_path / "kept")})
    Destination.objects.filter(pk=bad.pk).update(options={"path": "relative"})
    page = act(client, "destination", "test", good, bad)
    assert "Attic works." in page
    assert "is not an absolute path" in page
    bad.refresh_from_db()
    assert bad.blocked_code
    assert Event.objects.filter(code="destination_tested").count() == 2


def test_staff_without_permissions_sees_and_does_nothing(owner: Owned) -> None:
    staff = Client()
    staff.force_login(baked.person("staff", is_staff=True))
    assert staff.get(changelist("source")).status_code == 403
    data = {"action": "pause", "_selected_action": [owner.source.pk]}
    assert staff.post(changelist("source"), data).status_code == 403
    owner.source.refresh_from_db()
    assert not owner.source.paused


def test_times_say_their_zone_and_lists_have_the_whole_width(client: Client, owner: Owned) -> None:
    with timezone.override("Europe/Paris"):
        Run.objects.update(created_at=datetime(2026, 3, 29, 1, 0, 7, tzinfo=UTC))
        page = client.get(changelist("run")).content.decode()
    assert "2026-03-29 03:00:07 CEST" in page
    assert 'id="nav-sidebar"' not in page
