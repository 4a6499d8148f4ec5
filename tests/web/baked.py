"""A person with a source, two destinations, files, runs and events; and two other people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone
from model_bakery import baker

from accounts.models import GoogleAccount, User
from syncapp.models import Attempt, Copy, Destination, Event, File, Run, Source, Version, Worker
from syncapp.types import Content

PASSWORD = "a long enough password"
HOSTILE = "invoice\u202efdp.exe\n<script>alert(1)</script>"


@dataclass
class Owned:
    """One person and what is theirs."""

    user: User
    account: GoogleAccount
    source: Source
    destinations: list[Destination]
    folder: File
    file: File
    version: Version
    run: Run
    alert: Event


def person(name: str, **options: Any) -> User:
    return User.objects.create_user(name, f"{name}@example.org", PASSWORD, **options)


def owned(name: str, **options: Any) -> Owned:
    """A person whose last backup was complete but for one file that failed at one destination."""
    user = person(name, **options)
    account = baker.make(GoogleAccount, user=user, uid=name, email=f"{name}@gmail.example")
    source = baker.make(Source, owner=user, account=account, name=f"Drive of {name}", slug=name)
    destinations = [
        baker.make(Destination, owner=user, name=label, kind="local", options={"path": f"/{label}"})
        for label in ("Attic", "Cellar")
    ]
    source.destinations.set(destinations)
    run = baker.make(
        Run,
        source=source,
        stage=Run.Stage.DONE,
        outcome=Run.Outcome.OK,
        requested_by=user,
        started_at=timezone.now() - timedelta(minutes=9),
        transfer_started_at=timezone.now() - timedelta(minutes=8),
        ended_at=timezone.now() - timedelta(minutes=5),
        files_seen=3,
        files_total=3,
        files_done=2,
        files_failed=1,
        bytes_total=3_000_000,
        bytes_done=2_000_000,
    )
    root = file(source, "root", "", "My Drive", content=Content.FOLDER)
    folder = file(source, "folder", root.remote_id, "Letters", content=Content.FOLDER)
    kept = file(source, "kept", folder.remote_id, HOSTILE)
    version = stored(kept, destinations)
    failed(file(source, "broken", folder.remote_id, "broken.bin"), destinations, run)
    alert = baker.make(
        Event,
        owner=user,
        source=source,
        run=run,
        level=Event.Level.ALERT,
        code="files_failed",
        message=f"One file of {name} failed.",
    )
    return Owned(user, account, source, destinations, folder, kept, version, run, alert)


def file(source: Source, remote_id: str, parent_id: str, name: str, **fields: Any) -> File:
    made: File = baker.make(
        File,
        source=source,
        remote_id=remote_id,
        parent_id=parent_id,
        name=name,
        mime_type="text/plain",
        remote_modified_at=timezone.now() - timedelta(days=40),
        **{
            "content": Content.BLOB,
            "key_name": name,
            "key_fold": name.casefold(),
            **fields,
        },
    )
    return made


def stored(of: File, destinations: list[Destination], **fields: Any) -> Version:
    version: Version = baker.make(
        Version,
        source=of.source,
        file=of,
        size=1_000_000,
        sha256="ab" * 32,
        modified_at=of.remote_modified_at,
        **{"revision": "1", "state": Version.State.STORED, **fields},
    )
    for destination in destinations:
        baker.make(
            Copy,
            version=version,
            destination=destination,
            state=Copy.State.VERIFIED,
            object_key=f"{of.source.slug}/files/{of.key_name}",
            stored_at=timezone.now(),
            verified_at=timezone.now(),
        )
    return version


def failed(of: File, destinations: list[Destination], run: Run) -> Version:
    version = stored(of, destinations[:1], state=Version.State.FAILED, attempts=5)
    refusing = destinations[1]
    reason = f"{refusing.name} refuses the key: it may not write there."
    baker.make(
        Copy,
        version=version,
        destination=refusing,
        state=Copy.State.FAILED,
        error_code="access_denied",
        error_message=reason,
    )
    baker.make(
        Attempt,
        version=version,
        run=run,
        number=5,
        destination=refusing,
        error_code="access_denied",
        error_message=reason,
        started_at=timezone.now(),
        seconds=1.0,
    )
    return version


def worker() -> Worker:
    made: Worker = baker.make(Worker, host="here", pid=1)
    return made
