"""Zip archives made as a stream, held against Python's zipfile, Info-ZIP and libarchive."""

from __future__ import annotations

import io
import os
import subprocess
import unicodedata
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncapp.web import zips
from syncapp.web.zips import DEFLATE, STORE, ZipWriter

WHEN = datetime(2021, 5, 6, 7, 8, 10, tzinfo=UTC)
BIG = os.urandom(3_000_000)
TEXT = b"the same words again and again " * 90_000
NAMES = ("Ünïcødé 文件 🎉.txt", "Ordner/äöü/кириллица.bin", "e\u0301 (combining)")


def archive() -> bytes:
    with ZipWriter() as writer:
        out = [*writer.folder("empty/folder", WHEN), *writer.whole("nothing.txt", WHEN, b"")]
        out += writer.whole("small.jpg", WHEN, b"\xff\xd8 small")
        out += writer.whole("small.txt", WHEN, TEXT[:9000], DEFLATE)
        out += writer.streamed("big.mp4", WHEN, cut(BIG), size=len(BIG), level=STORE)
        out += writer.streamed("big.txt", WHEN, cut(TEXT), size=len(TEXT), level=DEFLATE)
        for name in NAMES:
            out += writer.whole(name, WHEN, name.encode())
        return b"".join([*out, *writer.end()])


def cut(data: bytes, size: int = 70_001) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def test_an_archive_has_every_byte_name_and_folder() -> None:
    with zipfile.ZipFile(io.BytesIO(archive())) as found:
        assert found.testzip() is None
        assert found.read("big.mp4") == BIG
        assert found.read("big.txt") == TEXT
        assert found.read("nothing.txt") == b""
        assert all(found.read(name).decode() == name for name in NAMES)
        assert found.getinfo("empty/folder/").is_dir()


def test_media_is_not_squeezed_and_text_is() -> None:
    with zipfile.ZipFile(io.BytesIO(archive())) as found:
        assert found.getinfo("small.jpg").compress_type == zipfile.ZIP_STORED
        assert found.getinfo("small.txt").compress_size < 900
        assert found.getinfo("big.txt").compress_size < 30_000
        assert 0 <= found.getinfo("big.mp4").compress_size - len(BIG) < 2000


@pytest.mark.needs("archivers")
@pytest.mark.parametrize("tool", ["unzip", "bsdtar"])
def test_other_tools_restore_bytes_names_and_times(tool: str, tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    file.write_bytes(archive())
    into = tmp_path / "into"
    into.mkdir()
    if tool == "unzip":
        command = ["unzip", "-q", str(file), "-d", str(into)]
    else:  # from a pipe: it can't seek to the directory, and goes by what stands at each entry
        command = ["sh", "-c", f"cat {file} | bsdtar -xf - -C {into}"]
    subprocess.run(command, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert (into / "big.mp4").read_bytes() == BIG
    assert (into / "big.txt").read_bytes() == TEXT
    # libarchive composes characters as it reads (NFC).
    kept = [unicodedata.normalize("NFC", n) if tool == "bsdtar" else n for n in NAMES]
    assert [(into / n).read_text() for n in kept] == list(NAMES)
    assert (into / "empty/folder").is_dir()
    assert (into / "small.jpg").stat().st_mtime == WHEN.timestamp()


@pytest.mark.parametrize("year", [1601, 1969, 2039, 2150])
def test_times_that_no_archive_can_have_are_the_nearest(year: int) -> None:
    with ZipWriter() as writer:
        moment = datetime(year, 6, 1, tzinfo=UTC)
        out = b"".join([*writer.whole("a", moment, b"a"), *writer.end()])
    with zipfile.ZipFile(io.BytesIO(out)) as found:
        assert found.getinfo("a").date_time[0] == min(max(year, 1980), 2107)


def test_entries_beyond_4_gb_and_65535_are_found() -> None:
    with ZipWriter() as writer:
        out = [*writer.streamed("wide", WHEN, cut(BIG), size=len(BIG))]
        # The offset is what a hole in a sparse file would make it.
        writer._at += 5_000_000_000
        hole = len(b"".join(out))
        out += [piece for n in range(66_000) for piece in writer.whole(f"{n}", WHEN, b"x")]
        tail = b"".join(out)[hole:]
        end = b"".join(writer.end())
    with Sparse(b"".join(out)[:hole], tail + end, 5_000_000_000) as sparse:
        with zipfile.ZipFile(sparse) as found:
            assert len(found.namelist()) == 66_001
            assert found.read("65999") == b"x"
            assert found.read("wide") == BIG


class Sparse(io.RawIOBase):
    """Two stretches of bytes with a hole between them."""

    def __init__(self, head: bytes, tail: bytes, hole: int) -> None:
        self._head, self._tail, self._hole, self._at = head, tail, hole, 0

    @property
    def size(self) -> int:
        return len(self._head) + self._hole + len(self._tail)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self.size)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        behind = self._at - len(self._head) - self._hole
        if behind >= 0:
            data = self._tail[behind : behind + size if size >= 0 else None]
        else:
            data = self._head[self._at : self._at + size if size >= 0 else None]
        self._at += len(data)
        return data


def test_a_streamed_entry_of_more_than_4_gb_says_so_in_64_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zips, "_SAFE_32", 1000)
    with zipfile.ZipFile(io.BytesIO(archive())) as found:
        assert found.getinfo("big.mp4").extract_version == 45
        assert found.testzip() is None


def test_an_entry_of_another_length_than_announced_ends_the_archive() -> None:
    with ZipWriter() as writer, pytest.raises(ValueError, match="announced"):
        list(writer.streamed("a", WHEN + timedelta(1), [b"abc"], size=4))
