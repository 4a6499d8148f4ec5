"""What only a folder promises: durable names, true times, no way out, no unmounted disk filled."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncapp.destinations.local import MARKER, LocalDestination
from syncapp.errors import BackupError, ConfigurationError, Unavailable
from tests.destinations.samples import (
    MIB,
    digest_of,
    meta_of,
    part_of,
    put,
    random_bytes,
    read,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def store(root: Path) -> LocalDestination:
    made = LocalDestination.create({"path": str(root)}, {})
    made.prepare()
    return made


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_the_file_has_the_name_time_and_rights_a_person_expects(
    store: LocalDestination, root: Path
) -> None:
    store.put("Letters/héllo.txt", part_of(b"hello"), meta_of(b"hello"))

    path = root / "Letters" / "héllo.txt"
    about = path.stat()
    assert path.read_bytes() == b"hello"
    assert about.st_mtime_ns == 1354068505123456000
    assert stat.S_IMODE(about.st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_time_before_1970_is_kept(store: LocalDestination, root: Path) -> None:
    old = datetime(1965, 3, 1, 12, 0, 0, 5, tzinfo=UTC)

    store.put("old.txt", part_of(b"x"), meta_of(b"x", mtime=old))

    assert [info.modified_at for info in store.objects()] == [old]


def test_hashes_are_kept_beside_the_bytes(store: LocalDestination, root: Path) -> None:
    store.put("a.txt", part_of(b"hello"), meta_of(b"hello"))

    assert os.getxattr(root / "a.txt", "user.sha256").decode() == digest_of(b"hello").sha256
    assert os.getxattr(root / "a.txt", "user.remote-id") == b"1AbC-id_9"


def test_a_file_system_without_attributes_still_stores(
    store: LocalDestination, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*args: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", unsupported)
    monkeypatch.setattr(os, "listxattr", unsupported)

    put(store, "a.txt", b"hello")

    info = store.head("a.txt")
    assert info is not None
    assert info.metadata == {}
    assert read(store, "a.txt") == b"hello"


def test_an_unmounted_disk_is_not_written_to(store: LocalDestination, root: Path) -> None:
    put(store, "a.txt", b"x")
    root.rename(root.parent / "elsewhere")
    root.mkdir()

    for call in (
        lambda: put(store, "b.txt", b"x"),
        lambda: store.head("a.txt"),
        lambda: list(store.objects()),
        lambda: store.delete("a.txt"),
    ):
        with pytest.raises(ConfigurationError, match="not mounted") as caught:
            call()
        assert caught.value.code == "not_mounted"

    assert os.listdir(root) == []


def test_a_missing_root_is_not_created_by_a_put(tmp_path: Path) -> None:
    store = LocalDestination.create({"path": str(tmp_path / "none")}, {})

    with pytest.raises(ConfigurationError):
        put(store, "a.txt", b"x")

    assert os.listdir(tmp_path) == []


def test_a_check_claims_a_new_folder_but_not_one_that_was_claimed_before(tmp_path: Path) -> None:
    settings = {"path": str(tmp_path / "disk")}
    known = LocalDestination.create(settings | {"_prepared": "1"}, {})

    assert [line.level for line in known.check()] == ["error"]
    assert os.listdir(tmp_path) == []
    assert "error" not in [line.level for line in LocalDestination.create(settings, {}).check()]
    assert set(os.listdir(tmp_path / "disk")) == {MARKER, ".partial"}
    assert "error" not in [line.level for line in known.check()]


def test_a_disk_unmounted_during_an_upload_gets_no_file(
    store: LocalDestination, root: Path
) -> None:
    upload = store.start_upload("a.bin", meta_of(), part_size=10)
    upload.send(part_of(b"0123456789"))
    root.rename(root.parent / "elsewhere")
    root.mkdir()

    with pytest.raises(ConfigurationError):
        upload.finish(digest_of(b"0123456789"))
    upload.abort()

    assert os.listdir(root) == []
    assert files(root.parent / "elsewhere") == [MARKER]


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOSPC, ConfigurationError, "destination_full"),
        (errno.EDQUOT, ConfigurationError, "destination_full"),
        (errno.EROFS, ConfigurationError, "configuration"),
        (errno.EACCES, ConfigurationError, "configuration"),
        (errno.EIO, Unavailable, "unavailable"),
        (errno.ESTALE, Unavailable, "unavailable"),
    ],
)
def test_faults_of_the_disk_name_who_must_act(
    store: LocalDestination,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[BackupError],
    code: str,
) -> None:
    def fails(*args: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", fails)
        with pytest.raises(kind, match=str(root)) as caught:
            put(store, "a.txt", b"x")

    assert caught.value.code == code
    assert files(root) == [MARKER]


def test_a_disk_that_really_fills_up_is_told(tmp_path: Path) -> None:
    """On a file system of 3 MiB, in a mount namespace that ends with its process."""
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from syncapp.destinations.local import LocalDestination
from syncapp.errors import ConfigurationError
from tests.destinations.samples import put
store = LocalDestination.create({{"path": {str(tmp_path)!r}}}, {{}})
store.prepare()
put(store, "a.bin", bytes(2 * 1024**2))
try:
    put(store, "b.bin", bytes(2 * 1024**2))
except ConfigurationError as error:
    print(error.code, sorted(info.key for info in store.objects()))
"""
    script = f'mount -t tmpfs -o size=3m none {tmp_path} && exec "$0" -c "$1"'
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-r", "--mount"]
    if subprocess.run([*own, "true"], capture_output=True).returncode != 0:
        return  # no namespaces here; the fault itself is tested above

    done = subprocess.run(
        [*own, "sh", "-c", script, sys.executable, program], capture_output=True, text=True
    )

    assert done.stdout == "destination_full ['a.bin']\n", done.stderr


def test_bytes_that_the_disk_changed_are_found_before_the_file_appears(
    store: LocalDestination, root: Path
) -> None:
    upload = store.start_upload("a.bin", meta_of(), part_size=10)
    upload.send(part_of(b"0123456789"))
    upload.send(part_of(b"x", 2))
    (partial,) = (root / ".partial").iterdir()
    with partial.open("r+b") as file:
        file.seek(3)
        file.write(b"?")

    with pytest.raises(BackupError, match="does not read back"):
        upload.finish(digest_of(b"0123456789x"))
    upload.abort()

    assert files(root) == [MARKER]


def test_a_file_that_is_cut_while_it_is_read_is_not_taken_as_whole(
    store: LocalDestination, root: Path
) -> None:
    put(store, "a.bin", random_bytes(2 * MIB))

    with store.read("a.bin") as chunks:
        next(chunks)
        os.truncate(root / "a.bin", MIB)
        with pytest.raises(Unavailable, match="ended 1048576 bytes early"):
            next(chunks)


def test_a_copy_costs_no_space_where_links_exist(store: LocalDestination, root: Path) -> None:
    put(store, "a.txt", b"hello")

    store.copy("a.txt", "trash/a.txt")

    assert (root / "a.txt").stat().st_ino == (root / "trash" / "a.txt").stat().st_ino


def test_a_copy_is_made_of_bytes_where_links_do_not_exist(
    store: LocalDestination, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    store.put("a.txt", part_of(b"hello"), meta_of(b"hello"))

    info = store.copy("a.txt", "trash/a.txt")

    assert read(store, "trash/a.txt") == b"hello"
    assert (root / "trash" / "a.txt").stat().st_mtime_ns == 1354068505123456000
    assert info.metadata["sha256"] == digest_of(b"hello").sha256
    assert list((root / ".partial").iterdir()) == []


def test_emptied_folders_go_and_the_root_stays(store: LocalDestination, root: Path) -> None:
    put(store, "a/b/c/file.txt", b"x")
    put(store, "a/kept.txt", b"x")

    store.delete("a/b/c/file.txt")

    assert not (root / "a" / "b").exists()
    store.delete("a/kept.txt")
    assert sorted(os.listdir(root)) == [MARKER, ".partial"]


def test_writers_and_removers_of_one_folder_do_not_disturb_each_other(
    store: LocalDestination,
) -> None:
    failures: list[BackupError] = []

    def toggle(name: str) -> None:
        try:
            for _ in range(50):
                put(store, f"a/b/{name}", b"x")
                store.delete(f"a/b/{name}")
        except BackupError as error:
            failures.append(error)

    threads = [threading.Thread(target=toggle, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_an_upload_still_being_written_is_not_swept(store: LocalDestination) -> None:
    old = meta_of(mtime=datetime(2001, 1, 1, tzinfo=UTC))
    upload = store.start_upload("a.bin", old, part_size=10)
    upload.send(part_of(b"0123456789"))

    assert store.sweep_uploads(datetime.now(UTC) - timedelta(minutes=5)) == 0
    upload.finish(digest_of(b"0123456789"))

    assert read(store, "a.bin") == b"0123456789"


def test_open_files_do_not_pile_up(store: LocalDestination) -> None:
    put(store, "a/b.txt", b"x")
    before = len(os.listdir("/proc/self/fd"))

    for number in range(20):
        put(store, f"a/{number}.txt", b"x")
        store.copy(f"a/{number}.txt", f"b/{number}.txt")
        read(store, f"a/{number}.txt")
        store.start_upload("never.bin", meta_of(), part_size=10).abort()
        with pytest.raises(BackupError):
            read(store, "a/none.txt")
    list(store.objects())

    assert len(os.listdir("/proc/self/fd")) == before
