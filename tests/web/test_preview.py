"""Previews: shown in a box that can do nothing, in ranges, as nothing that could act."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from syncapp.models import Version
from syncapp.web.kinds_shown import Shown, shown_as, text_of
from tests.engine.vault import Vault
from tests.web.taking import address, body, spoil

FILM = os.urandom(2_000_000)


@pytest.fixture
def film(vault: Vault) -> Version:
    return typed(vault.file("film.mp4", FILM), "video/mp4")


def typed(version: Version, content_type: str) -> Version:
    version.content_type = content_type
    version.save()
    return version


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-", 0, 2_000_000), ("bytes=10-19", 10, 20), ("bytes=-5", 1_999_995, 2_000_000)],
)
def test_a_film_is_given_by_range(
    visitor: Client, film: Version, asked: str, start: int, end: int
) -> None:
    answer = visitor.get(address(film, "version_raw"), headers={"Range": asked})
    assert answer.status_code == 206
    assert answer["Content-Range"] == f"bytes {start}-{end - 1}/{len(FILM)}"
    assert answer["Content-Length"] == str(end - start)
    assert answer["Content-Type"] == "video/mp4"
    assert body(answer) == FILM[start:end]


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=2000000-", "bytes=9-3", "bytes=-", "bytes=-0", "bytes=x-"]
)
def test_several_ranges_and_none_are_refused(visitor: Client, film: Version, asked: str) -> None:
    answer = visitor.get(address(film, "version_raw"), headers={"Range": asked})
    assert (answer.status_code, answer["Content-Range"]) == (416, f"bytes */{len(FILM)}")


def test_a_range_of_another_version_gets_the_whole(visitor: Client, film: Version) -> None:
    where, etag = address(film, "version_raw"), f'"{film.sha256}"'
    asked = {"Range": "bytes=0-9", "If-Range": etag}
    assert visitor.get(where, headers=asked).status_code == 206
    answer = visitor.get(where, headers={**asked, "If-Range": '"other"'})
    assert (answer.status_code, answer["ETag"], body(answer)) == (200, etag, FILM)
    assert visitor.get(where, headers={"If-None-Match": etag}).status_code == 304


def test_a_content_shown_may_do_nothing(visitor: Client, film: Version) -> None:
    answer = visitor.get(address(film, "version_raw"))
    policy = answer["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "SAMEORIGIN"


def test_a_pdf_has_an_origin_that_is_nobodys(vault: Vault, visitor: Client) -> None:
    answer = visitor.get(
        address(typed(vault.file("a.pdf", b"%PDF-"), "application/pdf"), "version_raw")
    )
    sandbox, *rest = answer["Content-Security-Policy"].split("; ")
    assert sandbox == "sandbox allow-scripts"
    assert "default-src 'none'" in rest
    assert not any("script" in rule for rule in rest)
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "content_type",
    ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript", "application/zip"],
)
def test_what_could_act_is_never_given_to_be_shown(
    vault: Vault,
    visitor: Client,
    content_type: str,
) -> None:
    version = typed(
        vault.file("x", b"<svg onload=alert(1)><script>alert(1)</script>"), content_type
    )
    assert visitor.get(address(version, "version_raw")).status_code == 404
    page = visitor.get(address(version, "preview")).content.decode()
    assert "<svg onload" not in page
    assert "<script>alert" not in page


def test_a_text_is_shown_escaped_from_its_beginning(vault: Vault, visitor: Client) -> None:
    long = typed(vault.file("a.txt", "<b>Grüße</b> ".encode() * 40_000), "text/plain")
    page = visitor.get(address(long, "preview")).content.decode()
    assert "&lt;b&gt;Grüße&lt;/b&gt;" in page
    assert "first 256 kB" in page
    assert len(page) < 800_000


def test_a_text_that_cannot_be_read_says_why(vault: Vault, visitor: Client) -> None:
    version = typed(vault.file("a.txt", b"hello"), "text/plain")
    spoil(vault, version, b"hallo")
    assert (
        "No destination has a good copy"
        in visitor.get(address(version, "preview")).content.decode()
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "shift_jis"])
def test_the_encoding_of_a_text_is_found(encoding: str) -> None:
    text = "これは日本語の文章です。とても長い。" * 20
    if encoding == "cp1252":
        text = "Größere Flüsse fließen über die Brücken – schöne Grüße aus Köln. " * 20
    assert text_of(text.encode(encoding), cut=False) == text
    if encoding == "utf-8":
        assert text.startswith(text_of(text.encode()[:-1], cut=True))


def test_a_kind_that_no_visitor_shows_is_offered_for_download(
    vault: Vault,
    visitor: Client,
) -> None:
    version = vault.file("a.docx", b"PK")
    page = visitor.get(address(version, "preview")).content.decode()
    assert "no preview of this kind" in page
    assert "vnd.openxmlformats" not in page, "a word that no narrow screen has room for"
    assert address(version) in page
    assert shown_as("application/PDF; x=y", 5) == (Shown.PDF, "application/pdf")
    assert shown_as("image/png", 10**9) == (Shown.NOTHING, "")


def test_nobody_else_sees_or_downloads(vault: Vault, tmp_path: Path) -> None:
    version = vault.file("a.txt", b"secret")
    other = Vault.make(tmp_path / "other", owner="other")
    client = Client()
    assert client.get(address(version)).status_code == 302
    client.force_login(other.source.owner)
    for name in ("version_download", "version_raw", "preview"):
        assert client.get(address(version, name)).status_code == 404
        theirs = [other.source.pk, version.file_id, version.pk]
        assert client.get(reverse(name, args=theirs)).status_code == 404
    assert client.get(reverse("archive", args=[vault.source.pk])).status_code == 404
    mine = reverse("archive", args=[other.source.pk])
    assert client.get(mine, {"file": version.file_id}).status_code == 404
