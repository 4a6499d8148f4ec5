"""A history: what people do to an account, what the engine does about it, and where it dies."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TypeVar

from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from syncapp.engine import runs
from syncapp.errors import ConfigurationError
from syncapp.models import Destination, Run, SegmentCopy
from syncapp.types import Content, RemoteFile
from tests.engine.histories.account import ROOT
from tests.engine.histories.promises import Promises, Rules
from tests.engine.histories.world import DAMAGES, World

T = TypeVar("T")
NAMES = ["a.txt", "A.txt", "b", "b.txt", "\u00e9", "e\u0301", "..", "x/y", "long " + "w" * 270]
MOST_FILES, MOST_FOLDERS = 9, 4
names = st.sampled_from(NAMES)
sizes = st.sampled_from([0, 1, 700])
picks = st.integers(0, 30)
DOINGS = [
    "create", "create", "create_folder", "edit", "edit", "edit", "revert", "rename", "move",
    "swap_names", "trash", "untrash", "delete",
]  # fmt: skip
doings = st.tuples(st.sampled_from(DOINGS), picks, picks, names, sizes)
kills = st.one_of(st.none(), st.integers(1, 25), st.integers(26, 250))
policies = st.builds(
    Rules,
    everything=st.booleans(),
    last=st.integers(0, 3),
    days=st.sampled_from([0, 2, 6]),
    trash=st.sampled_from([0, 3, 30]),
)


class History(RuleBasedStateMachine):
    """`world` is set by whoever makes one; it is begun anew for each."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.world.reset()
        self.promises = Promises()
        self.rules = Rules()
        self.killed = False
        self.erased: set[str] = set()
        self.snapshots: list[tuple[datetime, dict[str, str]]] = []

    # What people do at the source.

    @initialize(sizes=st.lists(sizes, min_size=1, max_size=3))
    def begin(self, sizes: list[int]) -> None:
        for number, size in enumerate(sizes):
            self.world.account.create(ROOT, f"first {number}", size)
        self.back_up(full=False, kill=None, pick=0, edits=False, doings=[])

    def files(self, *, trashed: bool = False) -> list[RemoteFile]:
        found = self.world.account.items.values()
        return [f for f in found if f.content is not Content.FOLDER and f.trashed == trashed]

    def folders(self) -> list[RemoteFile]:
        found = self.world.account.items.values()
        return [f for f in found if f.content is Content.FOLDER and not f.trashed]

    def things(self, *, trashed: bool = False) -> list[RemoteFile]:
        found = self.world.account.items.values()
        return [f for f in found if f.remote_id != ROOT and f.trashed == trashed]

    def create(self, pick: int, other: int, name: str, size: int) -> None:
        if len(self.world.account.items) < MOST_FILES + MOST_FOLDERS:
            self.world.account.create(chosen(self.folders(), pick).remote_id, name, size)

    def create_folder(self, pick: int, other: int, name: str, size: int) -> None:
        folders = self.folders()
        if len(folders) < MOST_FOLDERS:
            self.world.account.create_folder(chosen(folders, pick).remote_id, name)

    def edit(self, pick: int, other: int, name: str, size: int) -> None:
        if files := self.files():
            self.world.account.edit(chosen(files, pick).remote_id, size)

    def revert(self, pick: int, other: int, name: str, size: int) -> None:
        if files := self.files():
            file = chosen(files, pick)
            known = self.promises.files.get(file.remote_id)
            older = sorted({s.revision for s in known.spans} if known else ()) or [file.revision]
            self.world.account.revert(file.remote_id, chosen(older, other))

    def rename(self, pick: int, other: int, name: str, size: int) -> None:
        if things := self.things():
            self.world.account.change(chosen(things, pick).remote_id, name=name)

    def move(self, pick: int, other: int, name: str, size: int) -> None:
        if things := self.things():
            thing = chosen(things, pick)
            inside = {f.remote_id for f in self.world.account.with_all_below(thing.remote_id)}
            parents = [f for f in self.folders() if f.remote_id not in inside]
            parent = chosen(parents, other).remote_id
            self.world.account.change(thing.remote_id, parent_id=parent)

    def swap_names(self, pick: int, other: int, name: str, size: int) -> None:
        if files := self.files():
            one, two = chosen(files, pick), chosen(files, other)
            self.world.account.change(one.remote_id, name=two.name, parent_id=two.parent_id)
            self.world.account.change(two.remote_id, name=one.name, parent_id=one.parent_id)

    def trash(self, pick: int, other: int, name: str, size: int) -> None:
        if things := self.things():
            self.world.account.trash(chosen(things, pick).remote_id, trashed=True)

    def untrash(self, pick: int, other: int, name: str, size: int) -> None:
        items = self.world.account.items
        found = [f for f in self.things(trashed=True) if not items[f.parent_id].trashed]
        if found:
            self.world.account.trash(chosen(found, pick).remote_id, trashed=False)

    def delete(self, pick: int, other: int, name: str, size: int) -> None:
        if things := self.things():
            self.world.account.delete(chosen(things, pick).remote_id)

    @rule(doings=st.lists(doings, min_size=1, max_size=4))
    def people(self, doings: list[tuple[str, int, int, str, int]]) -> None:
        for what, pick, other, name, size in doings:
            getattr(self, what)(pick, other, name, size)

    @rule(days=st.integers(1, 9))
    def wait(self, days: int) -> None:
        """Never whole days, so that nothing happens on the very edge of a rule."""
        self.world.advance(timedelta(days=days + 0.37))

    @rule(rules=policies)
    def set_policy(self, rules: Rules) -> None:
        self.rules = rules
        self.world.keep(rules)

    # What the engine does.

    def there(self) -> dict[str, str]:
        return {f.remote_id: f.revision for f in self.files() if f.remote_id not in self.erased}

    @rule(
        full=st.booleans(),
        kill=kills,
        pick=picks,
        edits=st.booleans(),
        doings=st.lists(doings, max_size=3),
    )
    def back_up(
        self,
        full: bool,
        kill: int | None,
        pick: int,
        edits: bool,
        doings: list[tuple[str, int, int, str, int]],
    ) -> None:
        self.people(doings)
        edited = False

        def between() -> None:
            nonlocal edited
            self.killed = True
            self.promises.glimpsed(self.there(), timezone.now())
            if edits and self.files():
                edited = True
                self.world.account.edit(chosen(self.files(), pick).remote_id, 5)

        self.world.back_up(full=full, kill_after=kill, between=between)
        if edited:  # after the scan, or even after the end
            self.promises.glimpsed(self.there(), timezone.now())
            self.world.back_up(full=False, kill_after=None, between=between)
        self.promises.backed_up(self.there(), timezone.now())
        self.snapshots.append((timezone.now(), self.there()))
        self.check()

    @rule(kill=kills)
    def prune(self, kill: int | None) -> None:
        run, _ = runs.request_prune(self.world.source)
        self.world.work(run, kill, self.die)
        assert run.outcome == Run.Outcome.OK, run.error_message
        self.promises.prune(self.rules)
        self.forget_what_is_not_promised()
        self.check()
        if not self.killed:  # what a dead worker has sent without a note stays as foreign
            self.check_gone(self.promises.pruned)

    @rule(pick=picks, origin=st.integers(0, 1), kill=kills)
    def restore(self, pick: int, origin: int, kill: int | None) -> None:
        """Everything as it was at a moment, from one destination alone."""
        at, files = chosen(self.snapshots, pick)
        destination = self.world.destinations()[origin]
        into = self.world.folder / "restored"
        with self.world.only(destination):
            try:
                run = self.world.restore(into, at, destination)
            except ConfigurationError:
                assert not files  # a restore of nothing is refused
                return
            self.world.work(run, kill, self.die)
        got = [path.read_bytes() for path in into.rglob("*") if path.is_file()]
        shutil.rmtree(into, ignore_errors=True)
        for file_id, revision in files.items():
            of_file = {data for data in got if is_of(file_id, data)}
            assert of_file == {self.world.account.contents[revision]}

    @rule(pick=picks, kill=kills)
    def erase(self, pick: int, kill: int | None) -> None:
        known = sorted(self.promises.files)
        if known:
            file_id = chosen(known, pick)
            contents = self.promises.erased(file_id)
            self.erased.add(file_id)
            self.forget_what_is_not_promised()
            run = self.world.erase(file_id)
            self.world.work(run, kill, self.die)
            assert run.outcome == Run.Outcome.OK, run.error_message
            self.check()
            self.check_gone(contents)
            self.world.check_unsaid(file_id)

    @rule(pick=picks, where=st.integers(0, 1), how=st.sampled_from(DAMAGES), kill=kills)
    def damage_and_verify(self, pick: int, where: int, how: str, kill: int | None) -> None:
        """What an accident does to an object is found, and made good."""
        self.world.damage(self.world.destinations()[where], pick, how)
        run, _ = runs.request_verify(self.world.source, everything=True)
        self.world.work(run, kill, self.die)
        self.world.back_up(full=False, kill_after=None, between=self.die)
        self.promises.backed_up(self.there(), timezone.now())
        self.check()
        # An older catalog names the spoilt version in a bucket: nothing but reading tells.
        self.world.write_segments()

    def die(self) -> None:
        self.killed = True

    @rule(pick=st.integers(0, 1))
    def recover(self, pick: int) -> None:
        """The database is lost right after the catalog was written; one destination is left."""
        self.world.write_segments()
        destination = self.world.destinations()[pick]
        with self.world.only(destination):
            self.world.recover(destination)
            (row,) = Destination.objects.filter(kind=destination.kind)
            self.check_one(row)
        self.promises.recovered()
        self.check()
        self.check_moments()

    def forget_what_is_not_promised(self) -> None:
        """Of moments past: should it come back one day, it is not told that it was there before."""
        promised = self.promises.promised()
        for _, files in self.snapshots:
            for file_id, revision in list(files.items()):
                if promised.get(revision) != file_id:
                    del files[file_id]

    # What must hold.

    def check(self) -> None:
        for destination in self.world.destinations():
            self.check_one(destination)

    def check_one(self, destination: Destination) -> None:
        """All that is promised is given back, and nothing else is claimed."""
        given = self.world.readable(destination)
        assert not self.bytes_of(self.promises.promised()) - given, "promised, not to be had"
        allowed = self.bytes_of(self.promises.allowed())
        assert not given - allowed, "claimed, and not promised"

    def check_moments(self) -> None:
        """At each moment at which a backup ended each file has the content that it had."""
        for at, files in self.snapshots:
            data = self.world.account.contents
            wanted = {i: sha256(data[revision]).hexdigest() for i, revision in files.items()}
            assert wanted.items() <= self.world.contents_at(at).items(), at

    def check_gone(self, revisions: Iterable[str]) -> None:
        """They lie nowhere, in no version of any object."""
        gone = self.bytes_of(revisions)
        for destination in self.world.destinations():
            for key, data in self.world.all_bytes(destination).items():
                assert data not in gone, key

    def bytes_of(self, revisions: Iterable[str]) -> set[bytes]:
        return {self.world.account.contents[revision] for revision in revisions}

    def teardown(self) -> None:
        """Each destination alone gives back all, even if nothing else is left at all."""
        if not self.snapshots:
            return
        self.check_moments()
        for row in self.world.destinations():
            if not SegmentCopy.objects.filter(destination=row).exists():
                self.world.write_segments()
        for destination in self.world.destinations():
            with self.world.only(destination):
                self.world.recover(destination)
                (row,) = Destination.objects.filter(kind=destination.kind)
                self.check_one(row)


def is_of(file_id: str, data: bytes) -> bool:
    return data.startswith(f"<{file_id}#".encode())


def chosen(found: list[T], pick: int) -> T:
    return found[pick % len(found)]
