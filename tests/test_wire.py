"""The lean wire: whole answers or the right error, in bounded time, over kept connections."""

from __future__ import annotations

import io
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import certifi
import pytest

from syncapp import wire_trust
from syncapp.errors import ConfigurationError, IntegrityError
from syncapp.wire import Body, NotReached, NotTrusted, TimedOut, TooLong, Wire, WireError
from tests.servers import certificates
from tests.servers.raw_http import RawServer, answering, raw_server, reply

OK = reply("200 OK", b"hello", ETag='"abc"', X_Thing="a: b")
MIB = 1024**2
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncapp.wire.STALL_TIMEOUT_S", 1)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    wire_trust.trust_in.cache_clear()


def wire(authorities: Path | None = None) -> Wire:
    return Wire(authorities=str(authorities or certifi.where()))


class Readable(io.BytesIO):
    """A body that is read while it is sent."""

    def __len__(self) -> int:
        return len(self.getbuffer())


def test_an_answer_is_told_whole_and_its_connection_kept() -> None:
    with raw_server(answering(OK)) as server:
        line = wire()
        for _ in range(3):
            answer = line.request("GET", f"http://{server.host}/a?b", ["X-Sent: yes"])
            assert (answer.status, answer.body) == (200, b"hello")
            assert answer.headers["etag"] == '"abc"'
            assert answer.headers["x-thing"] == "a: b"
        assert server.connections == 1
        assert b"GET /a?b HTTP/1.1\r\n" in server.requests[0]
        assert b"X-Sent: yes\r\n" in server.requests[0]


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_000, 100_001, 200_000])
def test_an_answer_is_whole_however_long_it_was_expected_to_be(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    with raw_server(answering(reply("200 OK", data))) as server:
        line = wire()
        for expected in (100_000, 1, 0):
            answer = line.request("GET", f"http://{server.host}/a", [], expected=expected)
            assert answer.body == data
        assert server.connections == 1


@pytest.mark.parametrize("size", [0, 1, 100_000, 5 * MIB])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_body_arrives_as_it_is_and_without_a_word_before_it(size: int, streamed: bool) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    body: bytes | Body = Readable(data) if streamed else data
    with raw_server(answering(OK)) as server:
        line = wire()
        line.request("PUT", f"http://{server.host}/a", ["Expect:", "Content-Type:"], body)
        line.request("GET", f"http://{server.host}/a", [])
        line.request("HEAD", f"http://{server.host}/a", [])
        put, get, head = server.requests

    sent, _, arrived = put.partition(b"\r\n\r\n")
    assert arrived == data
    assert sent.startswith(b"PUT /a HTTP/1.1")
    for word in (b"Expect", b"Content-Type", b"Transfer-Encoding"):
        assert word not in sent
    assert get.startswith(b"GET /a ")
    assert head.startswith(b"HEAD /a ")
    assert b"Content-Length" not in get + head


def test_a_path_is_sent_as_it_was_signed() -> None:
    with raw_server(answering(OK)) as server:
        wire().request("GET", f"http://{server.host}/a/../b/./c//d%2F%C3%BC", [])
        assert server.requests[0].startswith(b"GET /a/../b/./c//d%2F%C3%BC HTTP/1.1")


def test_a_head_that_tells_a_great_length_is_no_long_answer() -> None:
    with raw_server(answering(reply("200 OK").replace(b": 0", b": 99999999999"))) as server:
        answer = wire().request("HEAD", f"http://{server.host}/a", [])
    assert answer.headers["content-length"] == "99999999999"
    assert answer.body == b""


def test_interim_answers_are_not_the_answer() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nETag: early\r\n\r\n"
    with raw_server(answering(interim + OK)) as server:
        answer = wire().request("PUT", f"http://{server.host}/a", [], b"x")
    assert (answer.status, answer.headers["etag"]) == (200, '"abc"')


@pytest.mark.parametrize("told", [True, False])
def test_an_answer_that_is_too_long_is_not_held(told: bool) -> None:
    def play(connection: socket.socket, _: RawServer) -> None:
        connection.recv(65536)
        length = b"Content-Length: 5000000\r\n" if told else b""
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + bytes(5_000_000))

    with raw_server(play) as server, pytest.raises(TooLong):
        wire().request("GET", f"http://{server.host}/a", [], max_answer=1000)


def test_a_redirect_is_not_followed() -> None:
    with raw_server(answering(reply("302 Found", Location="http://127.0.0.1:1/"))) as server:
        assert wire().request("GET", f"http://{server.host}/a", []).status == 302


def mute(connection: socket.socket, server: RawServer) -> None:
    """Reads everything, answers nothing."""
    while connection.recv(65536):
        pass


def deaf(connection: socket.socket, server: RawServer) -> None:
    """Accepts, and never reads."""
    server.over.wait(30)


def drops(connection: socket.socket, server: RawServer) -> None:
    """Hangs up in the middle of the body, hard."""
    connection.recv(1000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def short(connection: socket.socket, server: RawServer) -> None:
    """Promises more than it gives."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


def beheaded(connection: socket.socket, server: RawServer) -> None:
    """Hangs up in the head of its answer."""
    connection.recv(65536)
    connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "ab')


def garbled(connection: socket.socket, server: RawServer) -> None:
    """Speaks no HTTP."""
    connection.recv(65536)
    connection.sendall(b"220 mail.example.com ESMTP\r\n")


@pytest.mark.parametrize(
    ("play", "size", "kind"),
    [
        (mute, 10, TimedOut),
        pytest.param(mute, 20 * MIB, TimedOut, marks=pytest.mark.slow),
        pytest.param(deaf, 20 * MIB, TimedOut, marks=pytest.mark.slow),
        (drops, 20 * MIB, WireError),
        (short, 10, WireError),
        (garbled, 10, WireError),
        (beheaded, 10, WireError),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_server_that_fails_ends_the_request_in_bounded_time(
    play: object, size: int, kind: type[WireError], streamed: bool
) -> None:
    body: bytes | Body = Readable(bytes(size)) if streamed else bytes(size)
    began = time.monotonic()
    with raw_server(play) as server, pytest.raises(WireError) as caught:  # type: ignore[arg-type]
        wire().request("PUT", f"http://{server.host}/a", ["Expect:"], body)

    assert type(caught.value) is kind
    assert time.monotonic() - began < 20  # libcurl takes a mean over some seconds


def test_a_failed_connection_is_not_used_again() -> None:
    plays = iter([short, answering(OK)])

    with raw_server(lambda c, s: next(plays)(c, s)) as server:
        line = wire()
        with pytest.raises(WireError):
            line.request("GET", f"http://{server.host}/a", [])
        assert line.request("GET", f"http://{server.host}/a", []).status == 200
        assert server.connections == 2


def test_a_connection_closed_while_idle_is_replaced_unseen() -> None:
    def once(connection: socket.socket, server: RawServer) -> None:
        connection.recv(65536)
        connection.sendall(OK)

    with raw_server(once) as server:
        line = wire()
        for _ in range(3):
            assert line.request("PUT", f"http://{server.host}/a", [], b"data").body == b"hello"
        assert server.connections == 3


def test_nobody_there_and_no_such_name_are_not_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "http://no-such-host.invalid/"):
        with pytest.raises(NotReached):
            wire().request("GET", url, [])


def test_what_a_body_raises_comes_out_as_it_is() -> None:
    class Broken(Readable):
        def read(self, size: int | None = -1, /) -> bytes:
            raise IntegrityError("the part is gone")

    with raw_server(answering(OK)) as server, pytest.raises(IntegrityError, match="is gone"):
        wire().request("PUT", f"http://{server.host}/a", [], Broken(b"data"))


def test_an_address_that_is_not_permitted_is_never_connected_to() -> None:
    def permit(address: str) -> None:
        raise ConfigurationError(f"not {address}")

    with raw_server(answering(OK)) as server:
        guarded = Wire(authorities=certifi.where(), permit=permit)
        with pytest.raises(ConfigurationError, match=r"not 127\.0\.0\.1"):
            guarded.request("GET", f"http://{server.host}/a", [])
        assert server.connections == 0


def test_a_proxy_of_the_environment_is_used_and_judged_by_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def permit(address: str) -> None:
        raise ConfigurationError("the proxy lies in a private network")

    with raw_server(answering(OK)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.host}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        guarded = Wire(authorities=certifi.where(), permit=permit)
        assert guarded.request("GET", "http://store.example/a", []).status == 200
        assert proxy.requests[0].startswith(b"GET http://store.example/a HTTP/1.1")


def test_threads_share_as_many_connections_as_they_need() -> None:
    with raw_server(answering(OK)) as server:
        line = wire()
        with ThreadPoolExecutor(8) as threads:
            urls = [f"http://{server.host}/{n}" for n in range(200)]
            answers = list(threads.map(lambda url: line.request("PUT", url, [], b"x"), urls))
        assert {answer.body for answer in answers} == {b"hello"}
        assert server.connections <= 8


def all_authorities(folder: Path, *more: Path) -> Path:
    """The usual hundred, and some of a test's own."""
    together = folder / "all.pem"
    together.write_text("\n".join(p.read_text() for p in (Path(certifi.where()), *more)))
    return together


def test_tls_is_verified_against_the_authorities(tmp_path: Path) -> None:
    made = certificates.make(tmp_path)
    with raw_server(answering(OK), made) as server:
        url = f"https://{server.host}/a"
        assert wire(made.authority).request("GET", url, []).status == 200
        with pytest.raises(NotTrusted):
            wire().request("GET", url, [])


def test_a_certificate_for_another_host_is_not_trusted(tmp_path: Path) -> None:
    made = certificates.make(tmp_path)
    with raw_server(answering(OK), made, address="127.0.0.2") as server:
        with pytest.raises(NotTrusted):
            wire(made.authority).request("GET", f"https://{server.host}/a", [])


def test_an_expired_certificate_is_not_trusted(tmp_path: Path) -> None:
    made = certificates.make(tmp_path, expired=True)
    with raw_server(answering(OK), made) as server, pytest.raises(NotTrusted):
        wire(made.authority).request("GET", f"https://{server.host}/a", [])


def test_further_connections_ask_only_the_authorities_that_the_first_one_needed(
    tmp_path: Path,
) -> None:
    made = certificates.make(tmp_path)
    everyone = all_authorities(tmp_path, made.authority)
    gate = threading.Barrier(8)
    with raw_server(answering(OK), made) as server:
        url, line = f"https://{server.host}/a", wire(everyone)

        def ask(_: int) -> int:
            gate.wait()
            return line.request("GET", url, []).status

        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(ask, range(8))) == {200}
        enough = wire_trust.trust_in(str(everyone)).enough_for(url[:-2])

    assert enough.decode().split() == made.authority.read_text().split()


def test_a_host_whose_authority_changes_is_asked_against_all_again(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    made, other = certificates.make(tmp_path), certificates.make(tmp_path / "other")
    everyone = all_authorities(tmp_path, made.authority, other.authority)
    trust = wire_trust.trust_in(str(everyone))
    with raw_server(answering(OK), made) as server:
        origin = f"https://{server.host}"
        trust._enough[origin] = other.authority.read_bytes()  # learned while it was that one
        assert wire(everyone).request("PUT", f"{origin}/a", [], b"x").status == 200
        assert trust.enough_for(origin) == b""
        assert not trust.worth_learning(origin)
