"""A wire between a client and a server that the test can cut, or leave hanging.

`mode`: "through"; "refused" (each connection is reset at once, open ones too); "silent" (whatever
is sent is taken, and nothing ever answered: a half-open connection).
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

POLL_S = 0.05  # `mode` is another thread's: a wire looks for it now and then
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST


class Wire:
    """Listens on a loopback port of its own; start with `running_wire`."""

    def __init__(self, host: str, port: int) -> None:
        self.mode = "through"
        self.accepted = 0
        self._upstream = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Cut everything."""
        self._closing.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _listen(self) -> None:
        self._listener.settimeout(POLL_S)
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._carry, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.socket() as server, suppress(OSError):
            if self.mode != "refused":
                server.connect(self._upstream)
            while not self._closing.is_set() and self.mode != "refused":
                ready, _, _ = select.select([client, server], [], [], POLL_S)
                for end in ready:
                    data = end.recv(65536)
                    if not data:
                        return
                    if self.mode == "through":
                        (server if end is client else client).sendall(data)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


@contextmanager
def running_wire(url: str) -> Iterator[Wire]:
    """A wire to the server of an http address."""
    host, _, port = url.partition("//")[2].partition("/")[0].partition(":")
    wire = Wire(host, int(port))
    try:
        yield wire
    finally:
        wire.close()
