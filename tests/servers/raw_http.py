"""A TCP server whose every connection is played by a test: for servers that misbehave.

What a sane server does is tested against real ones.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.servers.certificates import Certificates


@dataclass
class RawServer:
    """Where it listens, and the connections and requests so far."""

    address: str
    port: int
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        return f"{self.address}:{self.port}"


Play = Callable[[socket.socket, RawServer], None]


def answering(*answers: bytes) -> Play:
    """Read one request whole for each answer, the last again and again; keep the connection."""

    def play(connection: socket.socket, server: RawServer) -> None:
        stream = connection.makefile("rb")
        while request := read_request(stream.readline, stream.read):
            server.requests.append(request)
            connection.sendall(answers[min(len(server.requests), len(answers)) - 1])

    return play


def read_request(readline: Callable[[], bytes], read: Callable[[int], bytes]) -> bytes:
    """Head and body of the next request, b"" at the end."""
    head = b""
    while line := readline():
        head += line
        if line == b"\r\n":
            break
    length = [line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-len")]
    return head + read(int(length[0])) if length else head


def reply(status: str, body: bytes = b"", **headers: str) -> bytes:
    """An answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def raw_server(
    play: Play, certificates: Certificates | None = None, *, address: str = "127.0.0.1"
) -> Iterator[RawServer]:
    """Each connection in a thread of its own; all are closed at the end."""
    listener = socket.create_server((address, 0))
    server = RawServer(address, listener.getsockname()[1])
    context = None
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
    opened: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):  # the other side went away, or we end
            if context:
                connection = context.wrap_socket(connection, server_side=True)
                opened.append(connection)
            play(connection, server)
        with suppress(OSError):
            connection.close()

    def accept() -> None:
        while not server.over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            opened.append(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in opened:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()
