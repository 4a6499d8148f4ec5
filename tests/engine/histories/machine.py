"""A history: what people do to an account, what the engine does about it, and where it dies."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from syncapp.engine import runs
from syncapp.models import Destination, Run, Segment
from syncapp.types import Content, RemoteFile
from tests.engine.histories.account import ROOT
from tests.engine.histories.promises import Promises, Rules
from tests.engine.histories.world import World

T = TypeVar("T")
NAMES = ["a.txt", "A.txt", "b", "b.txt", "\u00e9", "e\u0301", "..", "x/y", "long " + "w" * 270]
MOST_FILES, MOST_FOLDERS = 9, 4
names = st.sampled_from(NAMES)
sizes = st.sampled_from([0, 1, 700])
picks = st.integers(0, 30)
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
        self.reverted: set[str] = set()
        self.snapshots: list[tuple[datetime, dict[str, str]]] = []

    # What people do at the source.

    @initialize(sizes=st.lists(sizes, min_size=1, max_size=3))
    def begin(self, sizes: list[int]) -> None:
        for number, size in enumerate(sizes):
            self.world.account.create(ROOT, f"first {number}", size)

    def files(self, *, trashed: bool = False) -> list[RemoteFile]:
        found = self.world.account.items.values()
        return [f for f in found if f.content is not Content.FOLDER and f.trashed == trashed]

    def folders(self) -> list[RemoteFile]:
        found = self.world.account.items.values()
        return [f for f in found if f.content is Content.FOLDER and not f.trashed]

    def things(self, *, trashed: bool = False) -> list[RemoteFile]:
        found = self.world.account.items.values()
        return [f for f in found if f.remote_id != ROOT and f.trashed == trashed]

    @rule(name=names, size=sizes, pick=picks)
    def create(self, name: str, size: int, pick: int) -> None:
        if len(self.world.account.items) < MOST_FILES + MOST_FOLDERS:
            self.world.account.create(chosen(self.folders(), pick).remote_id, name, size)

    @rule(name=names, pick=picks)
    def create_folder(self, name: str, pick: int) -> None:
        folders = self.folders()
        if len(folders) < MOST_FOLDERS:
            self.world.account.create_folder(chosen(folders, pick).remote_id, name)

    @precondition(lambda self: self.files())
    @rule(pick=picks, size=sizes)
    def edit(self, pick: int, size: int) -> None:
        self.world.account.edit(chosen(self.files(), pick).remote_id, size)

    @precondition(lambda self: self.files())
    @rule(pick=picks, which=picks)
    def revert(self, pick: int, which: int) -> None:
        file = chosen(self.files(), pick)
        known = self.promises.files.get(file.remote_id)
        if file.remote_id in self.reverted:
            return  # one interval is all that a version has
        self.reverted.add(file.remote_id)
        older = sorted({s.revision for s in known.spans} if known else ()) or [file.revision]
        self.world.account.revert(file.remote_id, older[which % len(older)])

    @precondition(lambda self: self.things())
    @rule(pick=picks, name=names)
    def rename(self, pick: int, name: str) -> None:
        self.world.account.change(chosen(self.things(), pick).remote_id, name=name)

    @precondition(lambda self: self.things())
    @rule(pick=picks, into=picks)
    def move(self, pick: int, into: int) -> None:
        thing = chosen(self.things(), pick)
        inside = {f.remote_id for f in self.world.account.with_all_below(thing.remote_id)}
        parents = [f for f in self.folders() if f.remote_id not in inside]
        parent = chosen(parents, into).remote_id
        self.world.account.change(thing.remote_id, parent_id=parent)

    @precondition(lambda self: len(self.files()) > 1)
    @rule(pick=picks, other=picks)
    def swap_names(self, pick: int, other: int) -> None:
        one, two = chosen(self.files(), pick), chosen(self.files(), other)
        self.world.account.change(one.remote_id, name=two.name, parent_id=two.parent_id)
        self.world.account.change(two.remote_id, name=one.name, parent_id=one.parent_id)

    @precondition(lambda self: self.things())
    @rule(pick=picks)
    def trash(self, pick: int) -> None:
        self.world.account.trash(chosen(self.things(), pick).remote_id, trashed=True)

    @precondition(lambda self: self.things(trashed=True))
    @rule(pick=picks)
    def untrash(self, pick: int) -> None:
        items = self.world.account.items
        found = [f for f in self.things(trashed=True) if not items[f.parent_id].trashed]
        self.world.account.trash(chosen(found, pick).remote_id, trashed=False)

    @precondition(lambda self: self.things())
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        self.world.account.delete(chosen(self.things(), pick).remote_id)

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
        return {file.remote_id: file.revision for file in self.files()}

    @rule(full=st.booleans(), kill=kills, pick=picks, edits=st.booleans())
    def back_up(self, full: bool, kill: int | None, pick: int, edits: bool) -> None:
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

    @precondition(lambda self: self.snapshots)
    @rule(kill=kills)
    def prune(self, kill: int | None) -> None:
        run, _ = runs.request_prune(self.world.source)
        self.world.work(run, kill, lambda: None)
        assert run.outcome == Run.Outcome.OK, run.error_message
        self.promises.prune(self.rules)
        self.check()
        if not self.killed:  # what a dead worker has sent without a note stays as foreign
            self.check_gone()

    @precondition(lambda self: self.snapshots)
    @rule(pick=picks, origin=st.integers(0, 1), kill=kills)
    def restore(self, pick: int, origin: int, kill: int | None) -> None:
        """Everything as it was at a moment, from one destination alone."""
        at, files = chosen(self.snapshots, pick)
        destination = self.world.destinations()[origin]
        into = self.world.folder / "restored"
        with self.world.only(destination):
            run = self.world.restore(into, at, destination)
            self.world.work(run, kill, lambda: None)
        got = {path.read_bytes() for path in into.rglob("*") if path.is_file()}
        shutil.rmtree(into, ignore_errors=True)
        promised = self.promises.promised()
        for file_id, revision in files.items():
            if promised.get(revision) == file_id:
                assert self.world.account.contents[revision] in got

    @rule()
    def write_segments(self) -> None:
        self.world.write_segments()

    @precondition(lambda self: self.snapshots)
    @rule(pick=st.integers(0, 1))
    def recover(self, pick: int) -> None:
        """The database is lost right after the catalog was written; one destination is left."""
        self.world.write_segments()
        destination = self.world.destinations()[pick]
        with self.world.only(destination):
            self.world.recover(destination)
            (row,) = Destination.objects.filter(kind=destination.kind)
            self.check_one(row)
        self.check()

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

    def check_gone(self) -> None:
        """What was let go lies nowhere, in no version of any object."""
        gone = self.bytes_of(self.promises.pruned)
        for destination in self.world.destinations():
            for key, data in self.world.all_bytes(destination).items():
                assert data not in gone, key

    def bytes_of(self, revisions: Iterable[str]) -> set[bytes]:
        return {self.world.account.contents[revision] for revision in revisions}

    def teardown(self) -> None:
        """Each destination alone gives back all, even if nothing else is left at all."""
        if not self.snapshots:
            return
        if not Segment.objects.exists():
            self.world.write_segments()
        for destination in self.world.destinations():
            with self.world.only(destination):
                self.world.recover(destination)
                (row,) = Destination.objects.filter(kind=destination.kind)
                self.check_one(row)


def chosen(found: list[T], pick: int) -> T:
    return found[pick % len(found)]
