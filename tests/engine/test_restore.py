"""Restores to folders and other destinations: whole, with the right names and times."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncapp.destinations.local import LocalDestination
from syncapp.destinations.local_files import mtime
from syncapp.engine import restore_folders, restore_report, restoring, runs
from syncapp.engine.adapters import destination_for
from syncapp.engine.restore_estimate import estimate
from syncapp.engine.restore_plan import Names
from syncapp.errors import ConfigurationError
from syncapp.models import Copy, Destination, Event, RestoreFolder, RestoreItem, Run, Version
from tests.engine.restores import one_lane, out, request, tree, vault, work
from tests.engine.vault import MODIFIED, SEEN, Vault

__all__ = ["out", "vault"]


def test_a_whole_source_comes_back_with_names_times_and_empty_folders(
    vault: Vault, out: Path
) -> None:
    top = vault.folder("My Drive")
    deep = vault.folder("Reports", top.remote_id)
    vault.folder("Nothing here", top.remote_id)
    vault.file("a.txt", b"alpha", top.remote_id)
    vault.file("b.bin", os.urandom(3_000_000), deep.remote_id)
    vault.file("empty", b"", deep.remote_id)

    run = work(request(vault, out))

    assert (run.outcome, run.files_done, run.files_failed) == ("ok", 4, 0)
    found = tree(out)
    assert set(found) == {
        *("My Drive", "My Drive/Nothing here", "My Drive/Reports", "My Drive/a.txt"),
        *("My Drive/Reports/b.bin", "My Drive/Reports/empty"),
    }
    assert found["My Drive/a.txt"] == b"alpha"
    assert {mtime((out / path).stat()) for path in found} == {MODIFIED}, "folders too"
    assert run.bytes_done == run.bytes_total == 3_000_005


def test_the_end_of_a_restore_tells_files_and_empty_folders_apart(vault: Vault, out: Path) -> None:
    top = vault.folder("My Drive")
    vault.folder("Nothing here", top.remote_id)
    vault.file("a.txt", b"alpha", top.remote_id)
    run = work(request(vault, out))
    told = Event.objects.get(run=run, code="run_ok").message
    assert "1 file and 1 empty folder restored, each byte" in told


def test_folders_get_their_times_though_a_kill_comes_between_them(
    vault: Vault, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = ""
    for number in range(5):
        above = vault.folder(f"f{number}", above).remote_id
        vault.file("a.txt", b"alpha", above)
    monkeypatch.setattr(restore_folders, "BATCH", 2)
    run, real, batches = request(vault, out), restore_folders._settle, iter(range(1))

    def killed(*arguments: Any) -> None:
        if next(batches, None) is None:
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(restore_folders, "_settle", killed)
        with pytest.raises(KeyboardInterrupt):
            one_lane(run)
    assert RestoreFolder.objects.filter(done=True).count() == 2
    assert (work(run).outcome, run.files_done) == ("ok", 5)
    assert {mtime((out / path).stat()) for path in tree(out)} == {MODIFIED}


def test_a_folder_that_was_changed_after_the_moment_gets_no_time_of_later(
    vault: Vault, out: Path
) -> None:
    folder = vault.folder("later")
    vault.file("a.txt", b"alpha", folder.remote_id)
    folder.remote_modified_at = SEEN + timedelta(days=2)
    folder.save()
    assert work(request(vault, out, at=SEEN + timedelta(days=1))).outcome == "ok"
    assert mtime((out / "later").stat()) > SEEN + timedelta(days=3)


def test_an_independent_program_finds_every_checksum_right(vault: Vault, out: Path) -> None:
    versions = [vault.file(f"f{n}.bin", os.urandom(1000 * n + n)) for n in range(20)]
    work(request(vault, out))
    lines = "".join(f"{v.sha256}  {v.file.name}\n" for v in versions)

    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet"],
        input=lines, cwd=out, capture_output=True, text=True,
    )  # fmt: skip

    assert (checked.returncode, checked.stdout) == (0, "")


def test_names_from_outside_are_written_safely_and_apart(vault: Vault, out: Path) -> None:
    top = vault.folder("..")
    names = ["a/b", "..", ".", "x\ny", "same.txt", "same.txt", "Same.TXT", "é", "e\u0301", ""]
    names += ["\u202egpj.exe", "n" * 300 + ".txt", "/etc/passwd", "nul\x01"]
    for number, name in enumerate(names):
        vault.file(name, b"%d" % number, top.remote_id)

    run = work(request(vault, out))

    assert run.outcome == "ok"
    found = {path: data for path, data in tree(out).items() if data is not None}
    assert sorted(found.values()) == sorted(b"%d" % n for n in range(len(names)))
    assert all(path.startswith("．．/") and path.count("/") == 1 for path in found)
    folds = {path.casefold() for path in found}
    assert len(folds) == len(found)


def test_many_chosen_files_and_folders_come_from_the_chosen_level_down(
    vault: Vault, out: Path
) -> None:
    top = vault.folder("My Drive")
    deep = vault.folder("Reports", top.remote_id)
    vault.file("in.txt", b"in", deep.remote_id)
    chosen = vault.file("chosen.txt", b"chosen", top.remote_id)
    vault.file("other.txt", b"other", top.remote_id)

    work(request(vault, out, deep, chosen.file))

    assert set(tree(out)) == {"Reports", "Reports/in.txt", "chosen.txt"}


def test_a_deleted_folder_comes_back_with_what_went_along_with_it(vault: Vault, out: Path) -> None:
    top = vault.folder("My Drive")
    deep = vault.folder("Reports", top.remote_id)
    below = vault.folder("2026", deep.remote_id)
    gone_at = SEEN + timedelta(days=9)
    stays = vault.file("moved away.txt", b"stays", deep.remote_id).file
    vault.leave(stays, SEEN + timedelta(days=1), to=top.remote_id)
    early = vault.file("deleted long before.txt", b"early", deep.remote_id).file
    vault.leave(early, SEEN + timedelta(days=2))
    for seconds, file in (
        (-30, vault.file("in.txt", b"in", deep.remote_id).file),
        (0, deep),
        (0, below),
        (45, vault.file("lower.txt", b"lower", below.remote_id).file),
    ):
        vault.leave(file, gone_at + timedelta(seconds=seconds))

    work(request(vault, out, deep))

    files = {path: data for path, data in tree(out).items() if data is not None}
    assert files == {"Reports/in.txt": b"in", "Reports/2026/lower.txt": b"lower"}


def test_the_content_of_an_earlier_moment_comes_back(vault: Vault, out: Path) -> None:
    version = vault.file("a.txt", b"first")
    vault.version(version.file, b"second", seen=SEEN + timedelta(days=10))

    work(request(vault, out, at=SEEN + timedelta(days=5)))

    assert tree(out) == {"a.txt": b"first"}


def test_a_second_restore_finds_everything_whole_and_reads_nothing(
    vault: Vault, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        vault.file(f"{number}.txt", b"data %d" % number)
    work(request(vault, out))
    monkeypatch.setattr(LocalDestination, "read", lambda *_, **__: pytest.fail("it was read"))

    run = work(request(vault, out))

    assert (run.outcome, run.files_done, run.files_there) == ("ok", 0, 5)
    assert "5 there already, byte for byte the same" in Event.objects.latest("pk").message


@pytest.mark.parametrize(
    ("collision", "expected", "end"),
    [
        ("skip", {"a.txt": b"mine"}, ("warnings", 0, 1)),
        ("rename", {"a.txt": b"mine", "a (2).txt": b"backup"}, ("ok", 1, 0)),
        ("overwrite", {"a.txt": b"backup"}, ("ok", 1, 0)),
    ],
)
def test_what_else_has_a_name_is_treated_as_asked(
    vault: Vault, out: Path, collision: str, expected: dict[str, bytes], end: tuple[str, int, int]
) -> None:
    vault.file("a.txt", b"backup")
    out.mkdir()
    (out / "a.txt").write_bytes(b"mine")

    run = work(request(vault, out, collision=collision))

    assert tree(out) == expected
    assert (run.outcome, run.files_done, run.files_skipped) == end
    assert run.files_there == 0


def test_a_paused_source_holds_up_no_restore(vault: Vault, out: Path) -> None:
    vault.file("a.txt", b"alpha")
    runs.pause(vault.source)

    assert work(request(vault, out)).outcome == "ok"


def test_everything_goes_to_another_destination_below_restored(
    vault: Vault, tmp_path: Path
) -> None:
    other = vault.add_folder(tmp_path / "other", "other")
    vault.destinations.pop()
    top = vault.folder("My Drive")
    vault.file("a.txt", b"alpha", top.remote_id)
    vault.file("big.bin", os.urandom(9_000_000), top.remote_id)

    run = work(request(vault, other))

    assert (run.outcome, run.files_done) == ("ok", 2)
    keys = [info.key for info in destination_for(other).objects("restored/")]
    assert keys == ["restored/back/My Drive/a.txt", "restored/back/My Drive/big.bin"]


def test_a_dry_run_adds_up_files_bytes_cost_and_time(vault: Vault, out: Path) -> None:
    top = vault.folder("My Drive")
    vault.folder("empty", top.remote_id)
    aws = Destination.objects.create(
        owner=vault.source.owner,
        name="aws",
        kind="s3",
        options={"provider": "aws", "storage_class": "STANDARD_IA"},
    )
    for number in range(3):
        version = vault.file(f"{number}.bin", b"x" * 1000, top.remote_id, at=[])
        Version.objects.filter(pk=version.pk).update(size=10**9)
        Copy.objects.create(
            version=version, destination=aws, state="stored", object_key="k", stored_at=SEEN
        )
    vault.file("lost.txt", b"lost", top.remote_id, at=[])

    found = estimate(vault.source)

    assert (found.files, found.folders, found.missing) == (3, 1, 1)
    assert found.bytes == 3 * 10**9
    assert found.cost == "0.30 USD"
    assert found.seconds > 10
    assert found.origins == {"aws": 3}
    assert not RestoreItem.objects.exists()


def test_a_price_that_nobody_confirmed_is_told_as_about(vault: Vault) -> None:
    made = Destination.objects.create(
        owner=vault.source.owner, name="cloud", kind="s3", options={"provider": "exoscale"}
    )
    version = vault.file("a.bin", b"x", at=[])
    Version.objects.filter(pk=version.pk).update(size=10**9)
    Copy.objects.create(
        version=version, destination=made, state="stored", object_key="k", stored_at=SEEN
    )
    assert estimate(vault.source).cost == "about 0.02 EUR"
    made.options = {"provider": "hetzner"}
    made.save()
    assert estimate(vault.source).cost == "0.00 EUR"


def test_a_dry_run_tells_what_lies_in_cold_storage(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(150):  # more than are asked about
        vault.file(f"{number}.bin", b"x")
    real = LocalDestination.head
    cold = {root["path"] for root in Destination.objects.values_list("options", flat=True)}

    def head(self: LocalDestination, key: str, **more: Any) -> Any:
        found = real(self, key, **more)
        frozen = self.root in cold
        return replace(found, frozen=frozen, storage_class="DEEP_ARCHIVE") if found else None

    monkeypatch.setattr(LocalDestination, "head", head)

    found = estimate(vault.source)
    cold.pop()
    half = estimate(vault.source)

    assert (found.frozen, found.thaw_seconds) == (150, 12 * 3600)
    assert (half.frozen, half.thaw_seconds) == (0, 0)


def test_the_report_tells_each_item_its_hash_origin_and_result(vault: Vault, out: Path) -> None:
    good = vault.file("good\n.txt", b"good", at=vault.destinations[:1])
    vault.file("lost.txt", b"lost", at=[])
    run = work(request(vault, out))

    told = json.loads("".join(restore_report.as_json(run.restore)))
    text = "".join(restore_report.text(run.restore))

    assert run.outcome == "warnings"
    by_path = {item["path"]: item for item in told["items"]}
    item = by_path["good␊.txt"]
    assert (item["sha256"], item["origin"], item["result"]) == (good.sha256, "one", "done")
    assert by_path["lost.txt"]["error_code"] == "not_stored"
    assert good.sha256 in text
    assert "# at: the latest\n" in text
    assert f"# to: Folder {out} on this server\n" in text
    assert "None" not in text
    assert "{" not in text
    assert "[not_stored]" in text


@pytest.mark.parametrize(
    "path",
    ["relative", "/", "/a\0b", "{disk}", "{disk}/below", "{above}", "/proc/x", "/a/" + "n" * 300],
)
def test_folders_that_hold_backups_or_the_program_or_can_not_be_are_refused(
    vault: Vault, tmp_path: Path, path: str
) -> None:
    wanted = path.format(disk=tmp_path / "one", above=tmp_path)
    with pytest.raises(ConfigurationError):
        restoring.request_restore(vault.source, target="folder", options={"path": wanted})
    assert not Run.objects.exists()


def test_people_restore_below_a_folder_of_their_own_name_only(
    vault: Vault, tmp_path: Path, settings: Any
) -> None:
    owner, root = vault.source.owner, tmp_path / "restored"
    mine, others = root / owner.username / "today", root / "another" / "today"

    def ask(path: Path) -> Run:
        return restoring.request_restore(
            vault.source, target="folder", options={"path": str(path)}, by=owner
        )

    with pytest.raises(ConfigurationError, match="only administrators"):
        ask(mine)
    settings.RESTORE_ROOTS = [str(root)]
    for path in (others, root, mine / ".." / ".." / "another"):
        with pytest.raises(ConfigurationError, match="choose"):
            ask(path)
    vault.file("a.txt")
    ask(mine)


@pytest.mark.parametrize("prefix", ["../x", "a//b", "files", "restored/files/x", ".trash", "a\0"])
def test_folders_of_a_destination_that_hold_backups_are_refused(vault: Vault, prefix: str) -> None:
    options = {"destination": vault.destinations[0].pk, "prefix": prefix}
    with pytest.raises(ConfigurationError):
        restoring.request_restore(vault.source, target="destination", options=options)


def test_only_the_owners_own_files_and_destinations_are_taken(vault: Vault, tmp_path: Path) -> None:
    other = Vault.make(tmp_path / "other", owner="outsider")
    foreign = other.file("theirs.txt", b"secret")

    with pytest.raises(ConfigurationError):
        request(vault, tmp_path / "out", foreign.file)
    with pytest.raises(ConfigurationError):
        request(vault, other.destinations[0])
    with pytest.raises(ConfigurationError):
        request(vault, tmp_path / "out", prefer="named", origin=other.destinations[0])


def test_written_names_are_apart_in_each_folder_and_the_same_each_time() -> None:
    paths = [("A", "x"), ("A", "X"), ("a", "x"), ("B",), ("b", "y"), ("b", "Y")]
    names = Names()
    given = [names.of(path) for path in paths]

    assert given[0] == "A/x"
    assert len({name.casefold() for name in given}) == len(paths)
    again = Names()
    assert [again.of(path) for path in paths] == given
    assert Names(exact=True).of(("a/b", "n" * 300)) == "a／b/" + "n" * 300


def test_what_failed_is_tried_again_in_the_same_restore(vault: Vault, out: Path) -> None:
    vault.file("good.txt", b"good")
    bad = vault.file("bad.txt", b"hello")
    copies = [vault.path(bad, destination) for destination in vault.destinations]
    for path in copies:
        path.write_bytes(b"hallo")
    run = work(request(vault, out))
    assert (run.outcome, run.files_done, run.files_failed) == ("failed", 1, 1)

    for path in copies:
        path.write_bytes(b"hello")
    Copy.objects.update(state=Copy.State.STORED)
    assert restoring.retry(run) == 1
    run = work(run)

    assert (run.outcome, run.files_done, run.files_failed) == ("ok", 2, 0)
    assert tree(out) == {"good.txt": b"good", "bad.txt": b"hello"}
    assert restoring.retry(run) == 0
