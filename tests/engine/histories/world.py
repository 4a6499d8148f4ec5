"""One source with a folder and a bucket that keeps versions, and the engine in this process."""

from __future__ import annotations

import gzip
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management.color import no_style
from django.db import connection
from django.utils import timezone

from accounts.models import GoogleAccount, User
from syncapp import destinations as kinds
from syncapp.engine import (
    breakers,
    dispatch,
    erase,
    fetch,
    guard,
    lane,
    live,
    marks,
    moment,
    recovery,
    recovery_setup,
    restoring,
    runs,
    scanning,
    segment_store,
    segments,
)
from syncapp.engine.adapters import destination_for
from syncapp.engine.occupied import STORED
from syncapp.engine.origins import Origins
from syncapp.models import (
    Change,
    Copy,
    Destination,
    Erasure,
    File,
    Lane,
    Policy,
    RestoreItem,
    Run,
    Source,
    Version,
)
from tests.engine.histories.account import Account
from tests.engine.histories.bucket import BUCKETS
from tests.engine.histories.kill import Killed, Reaper
from tests.engine.histories.promises import Rules

_KEPT_TABLES = {"django_migrations", "django_content_type", "auth_permission"}
_SILENCE = timedelta(seconds=90)  # after which a lane counts as dead

DAMAGES = MISSING, FLIPPED, CUT = "missing", "flipped", "cut"


class Clock:
    """Ours alone: time stands where the test puts it, and goes on from there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta(0)
        clock = self

        class Shifted(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.now(tz) + clock.ahead

        monkeypatch.setattr("django.utils.timezone.datetime", Shifted)


class World:
    """Everything that outlives a history's worker; `reset` begins anew."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
        self.clock, self.reaper, self.folder = Clock(monkeypatch), Reaper(monkeypatch), folder
        self.account = Account()
        monkeypatch.setitem(kinds.KINDS, "memory", "tests.engine.histories.bucket:MemoryBucket")
        for module in (scanning, lane):
            monkeypatch.setattr(module, "source_for", lambda *_, **__: self.account)
        monkeypatch.setattr(guard, "FEWEST", 4)
        monkeypatch.setattr(live, "publish", lambda *_: 0)  # nobody looks on
        monkeypatch.setattr(breakers, "OPENS_AFTER", 10**6)
        self._tables = [
            name
            for name in connection.introspection.django_table_names(only_existing=True)
            if name not in _KEPT_TABLES
        ]

    def reset(self) -> None:
        """A new account, empty destinations, nothing in the database."""
        self.reaper.revive()
        self.empty_database()
        BUCKETS.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.account = Account()
        self.clock.ahead = timedelta(0)
        self._set_up()

    def empty_database(self) -> None:
        with connection.constraint_checks_disabled():
            flush = connection.ops.sql_flush(no_style(), self._tables)
            connection.ops.execute_sql_flush(flush)
        Change.objects.all().delete()

    def _set_up(self) -> None:
        owner = User.objects.create(username="owner", email="owner@example.org")
        linked = GoogleAccount.objects.create(user=owner, uid="1", email="a@b.example", scopes=[])
        self.source = Source.objects.create(
            owner=owner, account=linked, name="Drive", slug="drive", mode="manual"
        )
        for name, kind, options in (
            ("Folder", "local", {"path": str(self.folder / "disk")}),
            ("Bucket", "memory", {"name": "bucket"}),
        ):
            row = Destination.objects.create(owner=owner, name=name, kind=kind, options=options)
            if kind == "local":
                destination_for(row).prepare()  # type: ignore[attr-defined]
            self.source.destinations.add(row)
        Policy.objects.create(owner=owner, source=self.source, guard_percent=60)

    def destinations(self) -> list[Destination]:
        return list(self.source.destinations.order_by("name"))

    def advance(self, by: timedelta) -> None:
        self.clock.ahead += by

    def keep(self, rules: Rules) -> None:
        Policy.objects.filter(source=self.source).update(
            keep="all" if rules.everything else "rules",
            keep_last=rules.last,
            keep_days=rules.days,
            trash_days=rules.trash,
        )

    def work(self, run: Run, kill_after: int | None, between: Callable[[], None]) -> bool:
        """Lane after lane until the run has ended; whether the worker was killed in it."""
        killed = False
        if kill_after is not None:
            self.reaper.kill_after(kill_after)
        for _ in range(40):
            try:
                self._lane(run)
            except Killed:
                killed = True
            if self.reaper.dead:
                killed = True
                self._bury()
                between()
            run.refresh_from_db()
            if run.ended_at or run.paused:
                self.reaper.revive()
                return killed
        raise AssertionError(f"the run did not end: {run.stage} {run.error_message}")

    def _lane(self, run: Run) -> None:
        if run.retry_at and run.retry_at > timezone.now():
            self.advance(run.retry_at - timezone.now())
        Version.objects.filter(source=self.source, lease_owner="").update(due_at=timezone.now())
        RestoreItem.objects.filter(restore__run=run).update(due_at=timezone.now())
        dispatch.tick()
        for row in Lane.objects.filter(run=run, owner="", ended_at__isnull=True):
            dispatch.work(row.pk)

    def _bury(self) -> None:
        """The process is gone: its connections too. Its lane is silent for long enough."""
        self.reaper.revive()
        connection.close()
        self.advance(_SILENCE)

    def back_up(self, *, full: bool, kill_after: int | None, between: Callable[[], None]) -> None:
        """Until one has ended well; what the guard asks is agreed to."""
        run, _ = runs.request_backup(self.source, full=full)
        self.work(run, kill_after, between)
        if run.error_code == "mass_change":
            self.source.refresh_from_db()
            approved = guard.approve(self.source)
            assert approved is not None
            run = approved
            self.work(run, None, between)
        assert run.outcome in runs.GOOD, run.error_message

    def erase(self, file_id: str) -> Run:
        """Of a file that the catalog knows."""
        file = File.objects.get(source=self.source, remote_id=file_id)
        wish = Erasure.objects.create(
            owner=self.source.owner,
            source=self.source,
            source_name=self.source.name,
            what=file.name,
            files=[file.pk],
        )
        return erase.request_erasure(self.source, wish)

    def check_unsaid(self, file_id: str) -> None:
        """No catalog beside the data, in no version of its objects, names the file."""
        for destination in self.destinations():
            store = destination_for(destination)
            for info in list(store.versions(".catalog/")):
                if info.marker or info.key == marks.KEY:
                    continue
                with store.read(info.key, version_id=info.version_id) as chunks:
                    told = gzip.decompress(b"".join(chunks))
                assert f'"{file_id}"'.encode() not in told, info.key

    def damage(self, destination: Destination, pick: int, how: str) -> None:
        """An accident of one object that a copy claims."""
        copies = Copy.objects.filter(destination=destination, state__in=STORED).order_by("pk")
        if not copies:
            return
        copy = copies[pick % len(copies)]
        if destination.kind == "local":
            path = self.folder / "disk" / copy.object_key
            data = path.read_bytes()
            path.unlink()  # another name of it may be another object
            if how != MISSING:
                path.write_bytes(_spoilt(data, how))
            return
        versions = BUCKETS["bucket"].keys[copy.object_key]
        at = [held.info.version_id for held in versions].index(copy.store_version)
        held = versions.pop(at)
        if how != MISSING:
            data = _spoilt(held.data, how)
            versions.insert(at, replace(held, data=data, info=replace(held.info, size=len(data))))

    def restore(self, into: Path, at: datetime | None, origin: Destination) -> Run:
        return restoring.request_restore(
            self.source, target="folder", options={"path": str(into)}, files=[], at=at,
            prefer="named", origin=origin,
        )  # fmt: skip

    @contextmanager
    def only(self, destination: Destination) -> Iterator[None]:
        """All others are switched off, and nothing is left of what they hold."""
        others = self.source.destinations.exclude(pk=destination.pk)
        folder, hidden = self.folder / "disk", self.folder / "hidden"
        buckets = dict(BUCKETS)
        if destination.kind == "local":
            BUCKETS.clear()
        else:
            folder.rename(hidden)
        others.update(enabled=False)
        try:
            yield
        finally:
            Destination.objects.update(enabled=True)
            if destination.kind == "local":
                BUCKETS.update(buckets)
            else:
                hidden.rename(folder)

    def recover(self, destination: Destination) -> None:
        """The database is lost; this destination gives it back."""
        at_hand = Destination(
            kind=destination.kind, options=destination.options, name=destination.name
        )
        self.empty_database()
        (chain,) = recovery.look(segment_store.catalog_store(at_hand))
        owner = recovery_setup.owner_of(chain.header, "")
        row = recovery.destination_row(at_hand, owner, chain)
        rebuilt = recovery.rebuild(chain, row, owner, lambda _: None)
        recovery.compare(rebuilt.source, row, lambda _: None)
        recovery.settle_place(row, take_over=True)
        self.source = rebuilt.source
        GoogleAccount.objects.update(state=GoogleAccount.State.CONNECTED)
        Source.objects.update(blocked_code="", blocked_reason="")
        self.source.refresh_from_db()

    def write_segments(self) -> None:
        segments.write(self.source.pk)

    def readable(self, destination: Destination) -> set[bytes]:
        """What the product gives back of each version that it says is stored there."""
        copies = Copy.objects.filter(destination=destination, state__in=STORED)
        stored = fetch.locate(copies.values_list("version_id", flat=True))
        origins = Origins("named", destination.pk)
        origins.load([destination.pk])
        return {b"".join(fetch.Reading(found, origins)) for found in stored.values()}

    def contents_at(self, at: datetime) -> dict[str, str]:
        """SHA-256 of each file at the moment, as a restore would bring it back, by remote ids."""
        names = dict(File.objects.values_list("pk", "remote_id"))
        return {
            names[one.file_id]: one.sha256
            for some in moment.descend(self.source.pk, [], at)
            for one in some
            if one.version_id is not None
        }

    def all_bytes(self, destination: Destination) -> dict[str, bytes]:
        """Every object, all versions of it, that lies in the source's area, by key and version."""
        store = destination_for(destination)
        found = {}
        for info in store.versions("drive/"):
            if not info.marker:
                with store.read(info.key, version_id=info.version_id) as chunks:
                    found[f"{info.key} {info.version_id}"] = b"".join(chunks)
        return found


def _spoilt(data: bytes, how: str) -> bytes:
    return data[:-1] if how == CUT else bytes([data[0] ^ 1]) + data[1:]
