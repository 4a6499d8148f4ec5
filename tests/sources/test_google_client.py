"""Calls to Google: where tokens may go, how often and how long it is tried."""

import pytest

from syncapp.errors import (
    ConfigurationError,
    PermanentError,
    RateLimited,
    ReconnectRequired,
    Unavailable,
)
from syncapp.sources.google_client import CALL_TRIES, MAX_REDIRECTS, GoogleEndpoints
from syncapp.types import Content, RemoteFile
from tests.sources.scripted_google import (
    Answer,
    Seen,
    as_json,
    refusal,
    scripted_google,
)

BLOB = RemoteFile("f1", "", "f1.bin", "application/octet-stream", Content.BLOB, "r1", size=5)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.googleapis.com/drive/v3/files",
        "https://docs.google.com/feeds/download",
        "https://doc-0s-1k.googleusercontent.com/x",
        "http://127.0.0.1:8123/drive/v3/x",
        "HTTPS://WWW.GOOGLEAPIS.COM/x",
    ],
)
def test_google_and_configured_hosts_are_trusted(url: str) -> None:
    assert GoogleEndpoints(drive_url="http://127.0.0.1:8123/drive/v3/").trusts(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://www.googleapis.com/x",
        "https://evilgoogle.com/x",
        "https://google.com.evil.example/x",
        "https://www.googleapis.com@evil.example/x",
        "https://evil.example\\@www.googleapis.com/x",
        "https://evil.example/www.googleapis.com",
        "https://evil.example#@www.googleapis.com",
        "http://127.0.0.1:8124/x",
        "https://127.0.0.1:8123/x",
        "http://localhost:8123/x",
        "ftp://www.googleapis.com/x",
        "//www.googleapis.com/x",
        "http://[::1",
        "",
    ],
)
def test_other_hosts_are_not_trusted(url: str) -> None:
    assert not GoogleEndpoints(drive_url="http://127.0.0.1:8123/drive/v3/").trusts(url)


def test_base_address_without_its_slash_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        GoogleEndpoints(drive_url="http://127.0.0.1:8123/drive/v3")


def test_token_does_not_follow_a_redirect_to_a_foreign_host() -> None:
    with scripted_google(lambda _: Answer(body=b"stolen")) as foreign:
        moved = Answer(302, headers={"Location": f"{foreign.url}/catch"})
        with scripted_google(lambda _: moved) as google:
            with pytest.raises(PermanentError) as caught, google.source().download(BLOB):
                pass
            assert google.seen[0].headers["authorization"] == "Bearer secret-token"
        assert caught.value.code == "untrusted_address"
        assert foreign.url not in caught.value.message
        assert foreign.seen == []


def test_api_call_does_not_follow_a_redirect_either() -> None:
    with scripted_google(lambda _: as_json({})) as foreign:
        moved = Answer(302, headers={"Location": f"{foreign.url}/catch"})
        with scripted_google(lambda _: moved) as google:
            with pytest.raises(Unavailable):
                google.source().account()
        assert foreign.seen == []


def test_redirect_within_a_trusted_host_is_followed_with_the_token() -> None:
    def script(request: Seen) -> Answer:
        if "alt=media" in request.path:
            return Answer(307, headers={"Location": "/content/f1"})
        return Answer(body=b"hello", content_type="application/octet-stream")

    with scripted_google(script) as google:
        with google.source().download(BLOB) as download:
            assert b"".join(download.chunks) == b"hello"
        assert google.seen[-1].path == "/content/f1"
        assert google.seen[-1].headers["authorization"] == "Bearer secret-token"


def test_endless_redirects_end() -> None:
    with scripted_google(lambda r: Answer(302, headers={"Location": r.path})) as google:
        with pytest.raises(Unavailable), google.source().download(BLOB):
            pass
        assert len(google.seen) == CALL_TRIES * (MAX_REDIRECTS + 1)


def test_bytes_are_asked_for_as_they_are_stored() -> None:
    with scripted_google(lambda _: Answer(body=b"hello")) as google:
        with google.source().download(BLOB):
            pass
        assert google.seen[0].headers["accept-encoding"] == "identity"


def test_tries_are_bounded_and_waits_grow() -> None:
    pauses: list[float] = []
    with scripted_google(lambda _: refusal(503, "backendError")) as google:
        with pytest.raises(Unavailable):
            google.source(pauses).account()
        assert len(google.seen) == CALL_TRIES
    assert [int(pause) for pause in pauses] == [1, 2, 4]


def test_wait_is_at_least_what_google_asks_for() -> None:
    pauses: list[float] = []
    with scripted_google(lambda _: refusal(429, "rateLimitExceeded", Retry_After="9")) as google:
        with pytest.raises(RateLimited):
            google.source(pauses).account()
    assert pauses == [9, 9, 9]


def test_long_wish_is_handed_up_at_once() -> None:
    pauses: list[float] = []
    with scripted_google(lambda _: refusal(429, "rateLimitExceeded", Retry_After="900")) as google:
        with pytest.raises(RateLimited) as caught:
            google.source(pauses).account()
        assert len(google.seen) == 1
    assert (pauses, caught.value.retry_after_s) == ([], 900)


def test_refused_token_without_a_way_to_renew_it_asks_for_a_new_link() -> None:
    with scripted_google(lambda _: refusal(401, "authError")) as google:
        with pytest.raises(ReconnectRequired):
            google.source().account()
        with pytest.raises(ReconnectRequired), google.source().download(BLOB):
            pass


@pytest.mark.parametrize("body", [b'{"user": {"emai', b"", b"[]", b"<html>hello</html>"])
def test_answer_that_is_not_a_json_object_is_tried_again(body: bytes) -> None:
    answers = iter([Answer(body=body), as_json({"user": {"emailAddress": "a@example.com"}})])
    with scripted_google(lambda _: next(answers)) as google:
        assert google.source().account().email == "a@example.com"


def test_broken_answer_is_tried_again_on_a_fresh_connection() -> None:
    whole = as_json({"user": {"emailAddress": "a@example.com"}})
    answers = iter([Answer(body=whole.body, cut_after=7), whole])
    with scripted_google(lambda _: next(answers)) as google:
        assert google.source().account().email == "a@example.com"


def test_nobody_listening_is_unavailable_not_a_crash() -> None:
    with scripted_google(lambda _: as_json({})) as google:
        source = google.source()
    with pytest.raises(Unavailable) as caught:
        source.account()
    assert caught.value.code == "connection_lost"
    with pytest.raises(Unavailable), source.download(BLOB):
        pass
