"""Downloads as a visitor gets them: every byte, under a harmless name, or visibly broken."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import zipfile
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from syncapp.engine import origins
from syncapp.errors import IntegrityError
from syncapp.models import Copy, Event
from syncapp.web.pump import BLOCK, DOWNLOADS, Pool, Pump
from syncapp.web.serving import attachment_name
from tests.engine.vault import MODIFIED, SEEN, Vault
from tests.web.taking import address, body, spoil

BIG = os.urandom(2_500_000)
HOSTILE = '../..\\C:\\evil\u202etxt\n".html'


@pytest.fixture(autouse=True)
def _no_speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setattr(origins, "_speeds", origins._Speeds())


def unzipped(visitor: Client, vault: Vault, **asked: Any) -> dict[str, bytes]:
    answer = visitor.get(reverse("archive", args=[vault.source.pk]), asked)
    assert answer["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(body(answer))) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


@pytest.mark.parametrize("data", [b"", b"hello", BIG])
def test_a_version_is_downloaded_whole_and_its_length_is_told(
    vault: Vault, visitor: Client, data: bytes
) -> None:
    version = vault.file("letter.txt", data)
    answer = visitor.get(address(version))
    assert answer["Content-Length"] == str(len(data))
    assert answer["Content-Disposition"] == 'attachment; filename="letter.txt"'
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert body(answer) == data


def test_a_hostile_name_steers_nothing(vault: Vault, visitor: Client) -> None:
    version = vault.file(HOSTILE, b"x")
    header = visitor.get(address(version))["Content-Disposition"]
    assert header.startswith("attachment; filename=")
    assert not set("\r\n\u202e/") & set(header)
    assert attachment_name(HOSTILE) == "_.._C__evil\u202etxt_.html".replace("\u202e", "")
    assert len(attachment_name("ü" * 300 + ".docx").encode()) <= 200
    assert attachment_name("ü" * 300 + ".docx").endswith(".docx")
    assert attachment_name("...") == "file"
    name = attachment_name("文件 🎉.pdf")
    assert name == "文件 🎉.pdf"


def test_a_large_file_with_wrong_bytes_never_looks_whole(vault: Vault, visitor: Client) -> None:
    version = vault.file("big.bin", BIG)
    spoil(vault, version, BIG[:-1] + bytes([BIG[-1] ^ 1]))
    answer = visitor.get(address(version))
    received = []

    async def take() -> None:
        async for part in answer:
            received.append(part)

    with pytest.raises(IntegrityError):
        asyncio.run(take())
    assert sum(map(len, received)) < len(BIG)
    assert Copy.objects.filter(state=Copy.State.DAMAGED).exists()


def test_what_is_nowhere_any_more_is_told_on_the_page(vault: Vault, visitor: Client) -> None:
    version = vault.file("small.txt", b"hello")
    spoil(vault, version, b"hallo")
    page = visitor.get(address(version), follow=True)
    assert page.redirect_chain[-1][0] == reverse("file", args=[version.source_id, version.file_id])
    assert "No destination has a good copy" in page.content.decode()


def test_an_archive_has_folders_empty_ones_times_and_only_what_was_chosen(
    vault: Vault, visitor: Client
) -> None:
    folder = vault.folder("Letters")
    vault.folder("Nothing in it", folder.remote_id)
    inner = vault.file("big.bin", BIG, folder.remote_id)
    vault.file("äöü 文件.txt", b"words", folder.remote_id)
    vault.file("not chosen.txt", b"no")
    answer = visitor.get(reverse("archive", args=[vault.source.pk]), {"file": folder.pk})
    with zipfile.ZipFile(io.BytesIO(body(answer))) as found:
        assert found.testzip() is None
        assert set(found.namelist()) == {
            "Letters/",
            "Letters/Nothing in it/",
            "Letters/big.bin",
            "Letters/äöü 文件.txt",
        }
        assert found.read("Letters/big.bin") == BIG
        shown = timezone.localtime(MODIFIED)
        for name in ("Letters/", "Letters/Nothing in it/", "Letters/big.bin"):
            assert found.getinfo(name).date_time[:5] == shown.timetuple()[:5]
    assert inner.file.name == "big.bin"


def test_an_archive_of_a_moment_has_what_was_there_then(vault: Vault, visitor: Client) -> None:
    then = vault.file("plan.txt", b"first")
    later = SEEN + timedelta(days=30)
    vault.version(then.file, b"second", seen=later)
    vault.file("new.txt", b"new", seen=later)
    at = (SEEN + timedelta(days=1)).isoformat()
    assert unzipped(visitor, vault, at=at) == {"plan.txt": b"first"}
    assert unzipped(visitor, vault) == {"plan.txt": b"second", "new.txt": b"new"}


def test_names_in_an_archive_stay_in_their_folder_and_apart(vault: Vault, visitor: Client) -> None:
    names = ["..", "../../etc/passwd", "C:\\evil", "C‛：\\evil", "a\nb", "A", "a", "/abs", "a＼b"]
    for number, name in enumerate(names):
        vault.file(name, str(number).encode())
    found = unzipped(visitor, vault)
    assert sorted(found.values()) == [str(n).encode() for n in range(len(names))]
    assert len({name.casefold() for name in found}) == len(names)
    for name in found:
        assert not name.startswith(("/", "\\", "C:"))
        assert ".." not in name.split("/")
        assert "\\" not in name


def test_files_that_cannot_be_read_are_named_in_a_report(vault: Vault, visitor: Client) -> None:
    vault.file("good.txt", b"good")
    spoil(vault, vault.file("bad.txt", b"hello"), b"hallo")
    vault.file("never stored.txt", b"x", at=[])
    vault.file("_restore-report.txt", b"somebody's own")
    found = unzipped(visitor, vault)
    assert found["good.txt"] == b"good"
    assert found["_restore-report.txt"] == b"somebody's own"
    report = found["_restore-report (2).txt"].decode()
    assert "Not in this archive: 2 files" in report
    assert "bad.txt: No destination has a good copy" in report
    assert "never stored.txt: No content of this file was stored by then." in report


def test_an_archive_with_a_large_file_that_turns_out_wrong_has_no_end(
    vault: Vault, visitor: Client
) -> None:
    version = vault.file("big.bin", BIG, at=vault.destinations[:1])
    vault.path(version, vault.destinations[0]).write_bytes(BIG[:-1] + bytes([BIG[-1] ^ 1]))
    answer = visitor.get(reverse("archive", args=[vault.source.pk]))
    with pytest.raises(IntegrityError):
        body(answer)
    event = Event.objects.get(code="download_failed")
    assert "big.bin" in event.message
    # Now the copy is known to be bad: the next archive has everything else.
    assert list(unzipped(visitor, vault)) == ["_restore-report.txt"]


def test_an_archive_of_nothing_says_so(vault: Vault, visitor: Client) -> None:
    assert b"There was nothing" in unzipped(visitor, vault)["_restore-report.txt"]


def test_an_archive_of_the_future_is_refused(vault: Vault, visitor: Client) -> None:
    address = reverse("archive", args=[vault.source.pk])
    answer = visitor.get(address, {"at": "2199-05-05T12:00"}, follow=True)
    assert "lies in the future" in answer.content.decode()


@pytest.mark.parametrize("asked", [{"at": "yesterday"}, {"file": "x"}, {"file": "999999"}])
def test_what_cannot_be_meant_is_refused(vault: Vault, visitor: Client, asked: Any) -> None:
    assert visitor.get(reverse("archive", args=[vault.source.pk]), asked).status_code == 404


def test_a_visitor_who_leaves_ends_the_work(vault: Vault, visitor: Client) -> None:
    closed = threading.Event()

    def endless() -> Generator[bytes, None, None]:
        try:
            while True:
                yield bytes(BLOCK)
        finally:
            closed.set()

    async def leave() -> None:
        taken = aiter(Pump(endless(), DOWNLOADS))
        await anext(taken)
        await taken.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    assert closed.wait(5)


def test_a_visitor_who_takes_nothing_for_long_is_cut_off() -> None:
    pool = Pool(DOWNLOADS.threads, 0.05)

    async def stand_still() -> None:
        taken = aiter(Pump((bytes(BLOCK) for _ in range(99)), pool))
        await anext(taken)
        await asyncio.sleep(0.3)
        async for _ in taken:
            taking.append(1)

    taking: list[int] = []
    with pytest.raises(TimeoutError, match="stood still"):
        asyncio.run(stand_still())
    assert len(taking) < 98
