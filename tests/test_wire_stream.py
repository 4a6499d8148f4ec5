"""Answers read piece by piece: whole or the right error, in bounded memory and time."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import certifi
import pytest

from syncapp import wire_stream, wire_trust
from syncapp.errors import ConfigurationError, Interrupted
from syncapp.wire import NotReached, NotTrusted, TimedOut, WireError
from syncapp.wire_stream import PIECE_BYTES, Incoming, StreamingWire
from tests.servers import certificates
from tests.servers.raw_http import Play, RawServer, answering, raw_server, read_request, reply
from tests.test_wire import PROXIES, all_authorities

MIB = 1024**2
DATA = bytes(range(256)) * (5 * MIB // 256) + b"end"
WHOLE = reply("200 OK", DATA, ETag='"abc"')
LONGEST_STOP_S = 2.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncapp.wire.STALL_TIMEOUT_S", 0.3)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    wire_trust.trust_in.cache_clear()


def wire(authorities: Path | None = None) -> StreamingWire:
    return StreamingWire(authorities=str(authorities or certifi.where()))


def opened(line: StreamingWire, server: RawServer, scheme: str = "http") -> Incoming:
    return line.open(f"{scheme}://{server.host}/a", ["X-Sent: yes"], lambda: None)


def sending(*parts: bytes, then: str = "close") -> Play:
    """Answers with these bytes; "close"s, "reset"s or keeps silent then."""

    def play(connection: socket.socket, server: RawServer) -> None:
        connection.recv(65536)
        for part in parts:
            connection.sendall(part)
        if then == "silent":
            server.over.wait(30)
        if then == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return play


def test_a_body_comes_in_pieces_and_its_connection_is_kept() -> None:
    with raw_server(answering(WHOLE)) as server:
        line = wire()
        for _ in range(3):
            answer = opened(line, server)
            assert (answer.status, answer.headers["etag"]) == (200, '"abc"')
            pieces = list(answer)
            assert b"".join(pieces) == DATA
            assert all(len(piece) >= PIECE_BYTES for piece in pieces[:-1])
        assert server.connections == 1
        assert b"X-Sent: yes\r\n" in server.requests[0]


@pytest.mark.parametrize("body", [b"", b"x"])
def test_a_short_body_is_told_as_it_is(body: bytes) -> None:
    with raw_server(answering(reply("200 OK", body))) as server:
        line = wire()
        for _ in range(2):
            assert b"".join(opened(line, server)) == body
        assert server.connections == 1


def test_a_body_of_unknown_length_ends_with_its_last_chunk() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw_server(sending(head, b"5\r\nhello\r\n", b"0\r\n\r\n", then="silent")) as server:
        assert b"".join(opened(wire(), server)) == b"hello"


def test_interim_answers_are_not_the_answer() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nETag: early\r\n\r\n"
    with raw_server(sending(interim, WHOLE)) as server:
        answer = opened(wire(), server)
        assert (answer.status, answer.headers["etag"]) == (200, '"abc"')
        assert b"".join(answer) == DATA


@pytest.mark.parametrize("then", ["close", "reset", "silent"])
def test_a_body_that_is_cut_gives_what_came_and_then_the_error(then: str) -> None:
    with raw_server(sending(WHOLE[: 2 * MIB], then=then)) as server:
        answer, pieces = opened(wire(), server), list[bytes]()
        with pytest.raises(WireError) as caught:
            pieces.extend(answer)
        came = b"".join(pieces)
        assert type(caught.value) is (TimedOut if then == "silent" else WireError)
        assert DATA.startswith(came)
        if then != "reset":  # which may overtake the bytes before it
            assert len(came) == 2 * MIB - WHOLE.index(DATA[:9])
        assert list(answer) == []  # told once


def test_a_chunked_body_without_its_last_chunk_is_cut() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw_server(sending(head, b"5\r\nhello\r\n")) as server, pytest.raises(WireError):
        list(opened(wire(), server))


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"220 ESMTP\r\n"])
def test_no_head_of_an_answer_is_an_error_at_once(said: bytes) -> None:
    with raw_server(sending(said)) as server, pytest.raises(WireError):
        opened(wire(), server)


def test_a_server_that_never_answers_times_out() -> None:
    with raw_server(sending(then="silent")) as server, pytest.raises(TimedOut):
        opened(wire(), server)


def test_a_reader_that_takes_its_time_is_no_silence_of_the_sender() -> None:
    with raw_server(answering(WHOLE)) as server:
        pieces = iter(opened(wire(), server))
        first = next(pieces)
        threading.Event().wait(0.5)
        assert first + b"".join(pieces) == DATA


def test_what_nobody_reads_stays_at_the_sender() -> None:
    sent = 0

    def play(connection: socket.socket, server: RawServer) -> None:
        nonlocal sent
        connection.recv(65536)
        connection.settimeout(0.3)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                sent += connection.send(bytes(MIB))
        except TimeoutError:
            server.over.set()

    with raw_server(play) as server:
        answer = opened(wire(), server)
        assert len(next(iter(answer))) < PIECE_BYTES + 2 * MIB
        assert server.over.wait(10)
        answer.close()
    assert sent < 30 * MIB  # what the kernel's buffers take


@pytest.mark.parametrize("at", ["head", "body"])
def test_whoever_waits_for_bytes_can_be_stopped(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncapp.wire.STALL_TIMEOUT_S", 60)
    asked: list[float] = []

    def stop() -> None:
        asked.append(time.monotonic())
        raise Interrupted("stop")

    began = time.monotonic()
    with raw_server(sending(WHOLE[:MIB] if at == "body" else b"", then="silent")) as server:
        with pytest.raises(Interrupted):
            list(wire().open(f"http://{server.host}/a", [], stop))
    assert len(asked) == 1
    assert asked[0] - began < LONGEST_STOP_S


def test_a_trickle_does_not_keep_its_reader_from_being_stopped() -> None:
    def play(connection: socket.socket, server: RawServer) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not server.over.wait(0.05):
            connection.sendall(b"x")

    def stop() -> None:
        raise Interrupted("stop")

    began = time.monotonic()
    with raw_server(play) as server, pytest.raises(Interrupted):
        list(wire().open(f"http://{server.host}/a", [], stop))
    assert time.monotonic() - began < LONGEST_STOP_S


def test_an_answer_that_is_dropped_leaves_the_next_one_whole() -> None:
    with raw_server(answering(WHOLE)) as server:
        line = wire()
        answer = opened(line, server)
        next(iter(answer))
        answer.close()
        answer.close()
        assert list(answer) == []
        assert b"".join(opened(line, server)) == DATA
        assert server.connections == 2


def test_the_beginning_of_a_body_is_all_that_is_held_of_it() -> None:
    with raw_server(answering(WHOLE)) as server:
        assert opened(wire(), server).beginning(1000) == DATA[:1000]
    with raw_server(answering(reply("404 Not Found", b"why"))) as server:
        line = wire()
        for _ in range(2):
            assert opened(line, server).beginning(1000) == b"why"
        assert server.connections == 1


def test_a_connection_closed_while_idle_is_replaced_unseen() -> None:
    with raw_server(sending(reply("200 OK", b"hello"))) as server:
        line = wire()
        for _ in range(3):
            assert b"".join(opened(line, server)) == b"hello"
        assert server.connections == 3


def test_a_redirect_is_not_followed() -> None:
    with raw_server(answering(reply("302 Found", Location="http://127.0.0.1:1/"))) as server:
        assert opened(wire(), server).status == 302


@pytest.mark.parametrize("decode", [True, False])
def test_an_encoding_is_taken_off_where_that_is_wanted(decode: bool) -> None:
    zipped = gzip.compress(DATA)  # it has the time in it
    packed = reply("200 OK", zipped, Content_Encoding="gzip")
    with raw_server(answering(packed)) as server:
        line = StreamingWire(authorities=certifi.where(), decode=decode)
        body = b"".join(line.open(f"http://{server.host}/a", ["accept-encoding: x"], int))
        assert body == (DATA if decode else zipped)
        assert server.requests[0].lower().count(b"accept-encoding: x\r\n") == 1
        assert server.requests[0].lower().count(b"accept-encoding") == 1


def test_nobody_there_and_no_such_name_are_not_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "http://no-such-host.invalid/"):
        with pytest.raises(NotReached):
            wire().open(url, [], lambda: None)


def test_an_address_that_is_not_permitted_is_never_connected_to() -> None:
    def permit(address: str) -> None:
        raise ConfigurationError(f"not {address}")

    with raw_server(answering(WHOLE)) as server:
        guarded = StreamingWire(authorities=certifi.where(), permit=permit)
        with pytest.raises(ConfigurationError, match=r"not 127\.0\.0\.1"):
            opened(guarded, server)
        assert server.connections == 0


def test_threads_share_as_many_connections_as_they_need() -> None:
    with raw_server(answering(WHOLE)) as server:
        line = wire()
        with ThreadPoolExecutor(4) as threads:
            bodies = threads.map(lambda _: b"".join(opened(line, server)), range(12))
            assert all(body == DATA for body in bodies)
        assert server.connections <= 4


def test_tls_is_verified_and_what_was_learned_is_enough(tmp_path: Path) -> None:
    made = certificates.make(tmp_path)
    everyone = all_authorities(tmp_path, made.authority)
    with raw_server(answering(WHOLE), made) as server:
        for _ in range(2):
            line = wire(everyone)
            assert b"".join(opened(line, server, "https")) == DATA
        enough = wire_trust.trust_in(str(everyone)).enough_for(f"https://{server.host}")
        assert enough.decode().split() == made.authority.read_text().split()
        with pytest.raises(NotTrusted):
            opened(wire(), server, "https")


def test_a_proxy_makes_a_tunnel_whose_answer_is_not_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = certificates.make(tmp_path)
    with raw_server(answering(WHOLE), made) as server:

        def tunnel(client: socket.socket, proxy: RawServer) -> None:
            stream = client.makefile("rb", buffering=0)
            proxy.requests.append(read_request(stream.readline, stream.read))
            client.sendall(b"HTTP/1.1 200 Connection established\r\nETag: proxy\r\n\r\n")
            with socket.create_connection((server.address, server.port)) as there:
                back = threading.Thread(target=carry, args=(there, client))
                back.start()
                carry(client, there)
                back.join()

        with raw_server(tunnel) as proxy:
            monkeypatch.setenv("https_proxy", f"http://{proxy.host}")
            monkeypatch.setenv("no_proxy", "")
            answer = opened(wire(made.authority), server, "https")
            assert (answer.status, answer.headers["etag"]) == (200, '"abc"')
            assert b"".join(answer) == DATA
            assert proxy.requests[0].startswith(f"CONNECT {server.host} ".encode())


def carry(one: socket.socket, other: socket.socket) -> None:
    """Until either ends."""
    try:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        return


def test_pieces_are_not_waited_for_longer_than_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_stream, "LOOK_S", 0.05)
    looks: list[int] = []
    with raw_server(sending(WHOLE[:MIB], then="silent")) as server:
        with pytest.raises(TimedOut):
            list(wire().open(f"http://{server.host}/a", [], lambda: looks.append(1)))
    assert 2 <= len(looks) <= 6
