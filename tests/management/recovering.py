"""What tests of recovery share: losing everything, and what came back."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.utils import timezone

from accounts.linking import Consent, keep_consent
from accounts.models import GoogleAccount, User
from syncapp.engine import segment_rows, segments
from syncapp.models import Change, Copy, Destination, File, Installation, Segment, Source
from tests.engine.conftest import Setting
from tests.management.conftest import Answer, Shell


def files() -> list[dict[str, Any]]:
    """The whole catalog, as the lines of a segment have it, but for keys of rows."""
    ids = list(File.objects.order_by("remote_id").values_list("pk", flat=True))
    names = dict(Destination.objects.values_list("pk", "name"))
    lines = [orjson.loads(orjson.dumps(line)) for line in segment_rows.lines(ids)]
    for line in lines:
        for version in line.get("versions", []):
            for copy in version.get("copies", []):
                copy["to"] = names[copy["to"]]
            version.get("copies", []).sort(key=lambda copy: str(copy["to"]))
        line.get("versions", []).sort(key=lambda version: str(version["revision"]))
    return sorted(lines, key=lambda line: str(line["file"]))


def lose_everything() -> None:
    """An empty database."""
    Copy.objects.all().delete()
    for model in (Source, Destination, GoogleAccount, User):
        model.objects.all().delete()
    Change.objects.all().delete()
    Installation.objects.all().delete()
    assert not Segment.objects.exists()


def place(destination: Destination) -> list[str]:
    """How a person names it on the command line."""
    words = ["--kind", destination.kind]
    for name, value in destination.options.items():
        words += ["--set", f"{name}={value}"] if not name.startswith("_") else []
    for name in json.loads(destination.secrets or "{}"):
        words += ["--secret-env", f"{name}=RECOVER_{name.upper()}"]
    return words


def link_again(few: Setting) -> None:
    """What the page "Reconnect" comes to."""
    token, account = few.control.token(), GoogleAccount.objects.get()
    consent = Consent(
        uid=account.uid,
        email=account.email,
        name="",
        scopes=tuple(token["scope"].split()),
        expires_at=timezone.now() + timedelta(seconds=token["expires_in"]),
        access_token=token["access_token"],
        refresh_token=token["refresh_token"],
    )
    keep_consent(account.user, consent)


@pytest.fixture
def keys(few: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in json.loads(few.bucket.secrets).items():
        monkeypatch.setenv(f"RECOVER_{name.upper()}", value)


def recover(shell: Shell, destination: Destination, *more: str, code: int = 0) -> Any:
    answer: Answer = shell("recover", *place(destination), "--json", *more)
    assert answer.code == code, answer.err
    assert ("restore_without_app.py" in answer.err) == (code == 1)
    return answer.document["sources"]


def change_a_lot(few: Setting) -> None:
    """Edits, renames, a folder, deletions: with deltas between."""
    blobs = list(File.objects.filter(content="blob").order_by("pk"))
    few.control.edit(blobs[0].remote_id, b"second content")
    few.control.rename(blobs[1].remote_id, "renamed \x1b[31m\u202e name?.txt")
    few.back_up()
    segments.write(few.source.pk)
    few.control.delete(blobs[2].remote_id)
    few.control.edit(blobs[0].remote_id, b"third content")
    few.back_up()
    segments.write(few.source.pk)
