"""An S3 server that costs little: `python -m bench.sink --port 0 --ready-file PATH [flags]`.

What rclone, boto3 and the product need, over http or https: PUT (Content-MD5 and CRC32C checked, an
aws-chunked body unpacked), multipart, copy, HEAD, GET with Range, DELETE, lists. Signatures are not
checked. Objects live in memory. `--delay-ms` is added before each answer. Faults for the chaos
tests come over `/_control` (sink_faults.py). SIGUSR1: unreachable, SIGUSR2: back, same data.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools
import uvloop

from bench.sink_faults import Faults
from bench.sink_service import CRC32C, Answer, Service, SinkRequest, unchunk
from bench.sink_store import Body, Store

HIGH_WATER = 1024**2
REASONS = {200: b"OK", 204: b"No Content", 206: b"Partial Content"}


class Sink:
    """The server: its store, its faults, its open connections."""

    def __init__(self, folder: Path | None, delay_s: float) -> None:
        self.folder = folder
        self.delay_s = delay_s
        self.faults = Faults()
        self.service = Service(Store(), self.faults)
        self.connections: set[Connection] = set()


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._sending: Iterator[bytes] | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's TLS one only looks like it
        self._transport.set_write_buffer_limits(HIGH_WATER)
        self._sink.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sink.connections.discard(self)
        self._transport = None

    def abort(self) -> None:
        """Cut it, as a server that dies does."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            traceback.print_exc()
            self.abort()

    # httptools calls these.

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = Body(self._sink.folder)

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if CRC32C in self._headers:
            self._body.crc32c = 0

    def on_body(self, body: bytes) -> None:
        self._body.feed(body)

    def on_message_complete(self) -> None:
        faults = self._sink.faults
        delay_s = self._sink.delay_s + faults.delay_s()
        if delay_s:
            self._loop.call_later(delay_s, self._answer, self._request())
        else:
            self._answer(self._request())

    def _request(self) -> SinkRequest:
        parts = urlsplit(self._target.decode("latin-1"))
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        body = self._body
        if self._headers.get(b"x-amz-content-sha256", b"").startswith(b"STREAMING-"):
            body = unchunk(body, self._sink.folder)
        method = self._parser.get_method().decode()
        return SinkRequest(method, bucket, key, query, self._headers, body)

    def _answer(self, request: SinkRequest) -> None:
        answer = self._sink.service.answer(request)
        if answer is None:
            self.abort()
            return
        self._write(_head(answer, request.method))
        if request.method != "HEAD":
            self._sending = iter(answer.chunks)
            self._pump()

    def _pump(self) -> None:
        """Send the body as fast as the client takes it."""
        while self._sending is not None and not self._paused and self._transport is not None:
            chunk = next(self._sending, None)
            if chunk is None:
                self._sending = None
                return
            self._write(chunk)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)


def _head(answer: Answer, method: str) -> bytes:
    lines = [b"HTTP/1.1 %d %s" % (answer.status, REASONS.get(answer.status, b"Refused"))]
    lines += [name + b": " + value for name, value in answer.headers]
    if answer.status != 204:
        lines.append(b"content-length: %d" % answer.size)
    return b"\r\n".join([*lines, b"", b""])


async def serve(options: argparse.Namespace, folder: Path | None) -> None:
    """Until SIGTERM."""
    loop = asyncio.get_running_loop()
    sink = Sink(folder, options.delay_ms / 1000)
    if options.preload:
        options.preload_into(sink.service.store)
    tls = None
    if options.tls_cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.tls_cert, options.tls_key)

    async def listen(port: int) -> asyncio.Server:
        return await loop.create_server(
            lambda: Connection(sink), options.host, port, ssl=tls, backlog=1024
        )

    server = await listen(options.port)
    port = server.sockets[0].getsockname()[1]
    events: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        loop.add_signal_handler(number, events.put_nowait, number)
    if options.ready_file:
        scheme = "https" if tls else "http"
        ready = {"url": f"{scheme}://{options.host}:{port}", "pid": os.getpid()}
        part = Path(options.ready_file + ".part")
        part.write_text(json.dumps(ready))
        part.replace(options.ready_file)
    while (event := await events.get()) in (signal.SIGUSR1, signal.SIGUSR2):
        server.close()
        for connection in list(sink.connections):
            connection.abort()
        if event == signal.SIGUSR2:
            server = await listen(port)


def main() -> int:
    """Parse, serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.sink", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay-ms", type=float, default=0, help="before each answer")
    parser.add_argument("--ready-file")
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    parser.add_argument("--forget", action="store_true", help="hash what is over 1 MiB, drop it")
    parser.add_argument("--preload", help="BUCKET/PREFIX:FILES:BYTES of the synthetic account")
    options = parser.parse_args()
    if options.preload:
        from bench.preload import synthetic_objects

        options.preload_into = lambda store: synthetic_objects(store, options.preload)
    # Beside the ready file: whoever kills this server removes that folder.
    beside = Path(options.ready_file).parent if options.ready_file else None
    with tempfile.TemporaryDirectory(prefix="sink-", dir=beside) as name:
        uvloop.run(serve(options, None if options.forget else Path(name)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
