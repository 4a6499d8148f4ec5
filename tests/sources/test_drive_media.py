"""Stored bytes: broken connections, changed files, flagged files."""

from collections.abc import Callable

import pytest

from syncapp.errors import PermanentError, TransientError, Unavailable
from syncapp.sources.drive_media import RESUMES
from syncapp.types import Content, RemoteFile
from tests.sources.scripted_google import (
    Answer,
    ScriptedGoogle,
    Seen,
    as_json,
    refusal,
    scripted_google,
)

DATA = bytes(range(256)) * 4096  # 1 MiB
FILE = RemoteFile(
    "f1", "", "f1.bin", "application/x-test", Content.BLOB, "r1", size=len(DATA), md5="aa"
)  # fmt: skip
SAME = {"id": "f1", "mimeType": "application/x-test", "headRevisionId": "r1", "md5Checksum": "AA"}
CUT = 700_000


def ranged(request: Seen, cut_after: int | None = None) -> Answer:
    """DATA from where the Range header says, as Google sends it."""
    start = int(request.headers.get("range", "bytes=0-")[6:-1])
    headers = {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"} if start else {}
    status = 206 if start else 200
    return Answer(status, DATA[start:], "application/x-test", headers, cut_after)


def script(media: Callable[[Seen], Answer], item: dict[str, str]) -> Callable[[Seen], Answer]:
    return lambda request: media(request) if "alt=media" in request.path else as_json(item)


def read(google: ScriptedGoogle, file: RemoteFile = FILE) -> bytes:
    with google.source().download(file) as download:
        return b"".join(download.chunks)


def cut_first(request: Seen) -> Answer:
    return ranged(request, cut_after=None if "range" in request.headers else CUT)


def test_whole_file_is_one_request() -> None:
    with scripted_google(script(ranged, SAME)) as google:
        with google.source().download(FILE) as download:
            assert (download.size, download.content_type) == (len(DATA), "application/x-test")
            assert b"".join(download.chunks) == DATA
        assert len(google.seen) == 1


def test_cut_body_is_resumed_from_where_it_broke() -> None:
    with scripted_google(script(cut_first, SAME)) as google:
        assert read(google) == DATA
        ranges = [r.headers.get("range") for r in google.seen if "alt=media" in r.path]
    assert ranges[0] is None
    assert ranges[1] is not None
    assert 0 < int(ranges[1][6:-1]) <= CUT


@pytest.mark.parametrize(
    "changed", [{"headRevisionId": "r2"}, {"md5Checksum": "bb"}], ids=["revision", "md5"]
)
def test_changed_file_is_never_glued_together(changed: dict[str, str]) -> None:
    with scripted_google(script(cut_first, SAME | changed)) as google:
        with pytest.raises(TransientError) as caught:
            read(google)
    assert caught.value.code == "changed_while_reading"


def test_file_that_became_shorter_has_changed() -> None:
    def media(request: Seen) -> Answer:
        if "range" in request.headers:
            return refusal(416, "requestedRangeNotSatisfiable")
        return ranged(request, CUT)

    with scripted_google(script(media, SAME | {"headRevisionId": "r2"})) as google:
        with pytest.raises(TransientError) as caught:
            read(google)
    assert caught.value.code == "changed_while_reading"


def test_length_that_is_not_the_listed_one_is_looked_into_before_reading() -> None:
    now = SAME | {"headRevisionId": "r2"}
    with scripted_google(script(lambda _: Answer(body=b"longer now"), now)) as google:
        with pytest.raises(TransientError) as caught, google.source().download(FILE):
            pass
    assert caught.value.code == "changed_while_reading"


def test_wrong_listed_size_of_an_unchanged_file_is_left_to_the_hashes() -> None:
    with scripted_google(script(lambda _: Answer(body=b"other size"), SAME)) as google:
        assert read(google) == b"other size"


def test_server_that_ignores_the_range_does_not_repeat_bytes() -> None:
    def media(request: Seen) -> Answer:
        return Answer(200, DATA, cut_after=None if "range" in request.headers else CUT)

    with scripted_google(script(media, SAME)) as google, pytest.raises(Unavailable):
        read(google)


def test_resumes_are_bounded() -> None:
    with scripted_google(script(lambda r: ranged(r, cut_after=0), SAME)) as google:
        with pytest.raises(Unavailable) as caught:
            read(google)
        assert google.count("alt=media") == RESUMES + 1
    assert caught.value.code == "connection_lost"


def test_empty_file_is_empty_and_asked_for_without_a_range() -> None:
    empty = RemoteFile("f1", "", "e", "text/plain", Content.BLOB, "r1", size=0)
    with scripted_google(script(lambda _: Answer(), SAME)) as google:
        assert read(google, empty) == b""
        assert len(google.seen) == 1
        assert "range" not in google.seen[0].headers


def test_flagged_file_is_acknowledged_only_after_google_says_so() -> None:
    def media(request: Seen) -> Answer:
        if "acknowledgeAbuse=true" in request.path:
            return ranged(request)
        return refusal(403, "cannotDownloadAbusiveFile")

    with scripted_google(script(media, SAME)) as google:
        assert read(google) == DATA
        assert [("acknowledgeAbuse" in r.path) for r in google.seen] == [False, True]


def test_flagged_file_of_somebody_else_is_refused_with_its_reason() -> None:
    refused = refusal(403, "cannotDownloadAbusiveFile")
    with scripted_google(script(lambda _: refused, SAME)) as google:
        with pytest.raises(PermanentError) as caught:
            read(google)
        assert len(google.seen) == 2
    assert caught.value.code == "cannot_download_abusive_file"


def test_other_refusals_are_not_acknowledged() -> None:
    refused = refusal(403, "cannotDownloadFile")
    with scripted_google(script(lambda _: refused, SAME)) as google:
        with pytest.raises(PermanentError):
            read(google)
        assert len(google.seen) == 1


def test_resource_key_goes_with_the_bytes_and_with_the_look_up() -> None:
    keyed = RemoteFile(
        "f1", "", "f1.bin", "application/x-test", Content.BLOB, "r1", size=len(DATA), md5="aa",
        extra={"resource_key": "0-k"},
    )  # fmt: skip
    with scripted_google(script(cut_first, SAME)) as google:
        assert read(google, keyed) == DATA
        assert {r.headers["x-goog-drive-resource-keys"] for r in google.seen} == {"f1/0-k"}
        assert len(google.seen) == 3


def test_abandoned_download_leaves_the_next_one_whole() -> None:
    with scripted_google(script(ranged, SAME)) as google:
        source = google.source()
        with source.download(FILE) as download:
            next(download.chunks)
        with source.download(FILE) as download:
            assert b"".join(download.chunks) == DATA
