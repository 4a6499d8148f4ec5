"""Small files in one call: the same bytes, rules and errors as the streaming way, or a way out."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from google.oauth2.credentials import Credentials

from syncapp.errors import (
    Deferred,
    NotFound,
    PermanentError,
    RateLimited,
    TransientError,
    Unavailable,
)
from syncapp.sources import drive_media
from syncapp.sources.google_client import CALL_TRIES, GoogleEndpoints
from syncapp.sources.google_drive import DRIVE_SCOPES, GoogleDriveSource
from syncapp.types import Content, RemoteFile
from tests.servers.emulator import RunningEmulator
from tests.sources.conftest import drive_source
from tests.sources.reading import scanned
from tests.sources.scripted_google import (
    Answer,
    ScriptedGoogle,
    Seen,
    as_json,
    refusal,
    scripted_google,
)
from tests.sources.test_drive_media import SAME, script

DATA = bytes(range(256)) * 40
FILE = RemoteFile(
    "f1", "", "f1.bin", "application/x-test", Content.BLOB, "r1", size=len(DATA), md5="aa"
)  # fmt: skip
WHOLE = Answer(200, DATA, "application/x-test")


def read(google: ScriptedGoogle, file: RemoteFile = FILE) -> tuple[bytes, str] | None:
    return google.source().read_small(file)


def test_a_small_file_is_one_request_for_what_is_stored() -> None:
    with scripted_google(script(lambda _: WHOLE, SAME)) as google:
        assert read(google) == (DATA, "application/x-test")
        [seen] = google.seen
    assert seen.path == "/drive/v3/files/f1?alt=media&supportsAllDrives=true"
    assert seen.headers["authorization"] == "Bearer secret-token"
    assert seen.headers["accept-encoding"] == "identity"
    assert "range" not in seen.headers


def test_the_stand_ins_files_are_the_same_both_ways(google: RunningEmulator) -> None:
    source = drive_source(google)
    blobs = [
        file
        for file in scanned(source)
        if file.content is Content.BLOB and file.size is not None and file.size < 100_000
    ]
    plain = [file for file in blobs if not file.problem][:8]
    assert plain
    for file in plain:
        with source.download(file) as download:
            streamed = b"".join(download.chunks), download.content_type
        assert source.read_small(file) in (streamed, None)


def test_the_connection_is_kept() -> None:
    with scripted_google(lambda _: WHOLE) as google:
        source = google.source()
        for _ in range(3):
            assert source.read_small(FILE) is not None
        assert len({seen.peer for seen in google.seen}) == 1


def test_an_empty_file_is_empty() -> None:
    empty = RemoteFile("f1", "", "e", "text/plain", Content.BLOB, "r1", size=0)
    with scripted_google(script(lambda _: Answer(), SAME)) as google:
        assert read(google, empty) == (b"", "application/json")
        assert len(google.seen) == 1


@pytest.mark.parametrize("content", [Content.EXPORT, Content.FORM, Content.SHORTCUT])
def test_what_google_makes_at_each_read_is_left_to_the_streaming_way(content: Content) -> None:
    made = RemoteFile("f1", "", "f1", "x", content, "r1")
    with scripted_google(lambda _: WHOLE) as google:
        assert read(google, made) is None
        assert google.seen == []


@pytest.mark.parametrize(
    "answer",
    [
        refusal(403, "cannotDownloadAbusiveFile"),
        Answer(302, b"", headers={"Location": "https://foreign.example/x"}),
        Answer(200, DATA, headers={"Content-Encoding": "gzip"}),
        Answer(200, bytes(len(DATA) + drive_media.GROWTH_BYTES + 1)),
    ],
    ids=["flagged", "redirected", "encoded", "grown"],
)
def test_whatever_is_out_of_the_ordinary_is_left_to_the_streaming_way(answer: Answer) -> None:
    with scripted_google(script(lambda _: answer, SAME)) as google:
        assert read(google) is None
        assert len(google.seen) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "tries"),
    [
        (refusal(404, "notFound"), NotFound, 1),
        (refusal(403, "cannotDownloadFile"), PermanentError, 1),
        (refusal(403, "downloadQuotaExceeded"), Deferred, 1),
        (refusal(403, "userRateLimitExceeded"), RateLimited, CALL_TRIES),
        (refusal(429, "rateLimitExceeded"), RateLimited, CALL_TRIES),
        (refusal(500, "backendError"), Unavailable, CALL_TRIES),
        (Answer(503, b"<html>"), Unavailable, CALL_TRIES),
        (Answer(200, DATA, cut_after=100), Unavailable, CALL_TRIES),
        (Answer(200, DATA, cut_after=0), Unavailable, CALL_TRIES),
    ],
)
def test_a_refusal_means_what_it_means_to_the_streaming_way(
    answer: Answer, kind: type[Exception], tries: int
) -> None:
    with scripted_google(script(lambda _: answer, SAME)) as google:
        with pytest.raises(kind) as caught:
            read(google)
        assert type(caught.value) is kind
        assert len(google.seen) == tries


def test_a_cut_body_is_read_anew_not_glued() -> None:
    def media(_: Seen) -> Answer:
        return Answer(200, DATA, cut_after=5000) if google.count("alt=media") == 1 else WHOLE

    with scripted_google(script(media, SAME)) as google:
        assert read(google) == (DATA, "application/x-test")


@pytest.mark.parametrize("changed", [{"headRevisionId": "r2"}, {"md5Checksum": "bb"}])
def test_another_length_is_looked_into(changed: dict[str, str]) -> None:
    with scripted_google(script(lambda _: Answer(body=b"other"), SAME | changed)) as google:
        with pytest.raises(TransientError) as caught:
            read(google)
    assert caught.value.code == "changed_while_reading"
    with scripted_google(script(lambda _: Answer(body=b"other"), SAME)) as google:
        assert read(google) == (b"other", "application/json")


class Renewable(Credentials):  # type: ignore[misc]
    """A token that is renewed by asking for it."""

    renewed = 0

    def refresh(self, request: object) -> None:
        self.renewed += 1
        self.token = f"token-{self.renewed}"


def with_tokens(accepts: str) -> Callable[[Seen], Answer]:
    return lambda seen: (
        WHOLE if seen.headers["authorization"] == f"Bearer {accepts}" else as_json({}, 401)
    )


@pytest.mark.parametrize(("accepts", "requests"), [("token-1", 2), ("token-2", 3), ("never", 12)])
def test_a_refused_token_is_renewed_and_once_more_before_the_service_is_taken_to_be_down(
    accepts: str, requests: int
) -> None:
    with scripted_google(with_tokens(accepts)) as google:
        endpoints = GoogleEndpoints(f"{google.url}/drive/v3/", f"{google.url}/")
        credentials = Renewable(token="old")
        source = GoogleDriveSource(credentials, endpoints, scopes=DRIVE_SCOPES)
        if accepts == "never":
            with pytest.raises(Unavailable):
                source.read_small(FILE)
        else:
            assert source.read_small(FILE) == (DATA, "application/x-test")
        assert len(google.seen) == requests
        assert credentials.renewed == (8 if accepts == "never" else requests - 1)


def test_resource_key_goes_with_the_bytes() -> None:
    keyed = RemoteFile(
        "f1", "", "f1.bin", "x", Content.BLOB, "r1", size=len(DATA), extra={"resource_key": "0-k"}
    )
    with scripted_google(lambda _: WHOLE) as google:
        read(google, keyed)
        assert google.seen[0].headers["x-goog-drive-resource-keys"] == "f1/0-k"


def test_a_server_that_never_answers_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncapp.wire.STALL_TIMEOUT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        source = GoogleDriveSource(
            Credentials(token="t"),
            GoogleEndpoints(f"{url}/drive/v3/", f"{url}/"),
            scopes=DRIVE_SCOPES,
            pause=lambda _: None,
        )
        with pytest.raises(Unavailable) as caught:
            source.read_small(FILE)
    assert caught.value.code == "timed_out"
