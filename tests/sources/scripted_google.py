"""A tiny HTTP server that answers what a test scripts: for what the stand-in never does.

Foreign redirects, log-in pages, endless operations. Everything Google-like is tested against the
stand-in instead.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.oauth2.credentials import Credentials

from syncapp.sources.google_client import GoogleEndpoints
from syncapp.sources.google_drive import DRIVE_SCOPES, GoogleDriveSource


@dataclass
class Answer:
    """One answer; `cut_after` closes the connection after so many bytes of the body."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    peer: tuple[str, int] = ("", 0)  # of the connection that it came over


Script = Callable[[Seen], Answer]


def as_json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode())


def refusal(status: int, reason: str, **headers: str) -> Answer:
    error = {"code": status, "message": reason, "errors": [{"domain": "global", "reason": reason}]}
    answer = as_json({"error": error}, status)
    answer.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer


@dataclass
class ScriptedGoogle:
    """Where the server is and what it saw."""

    url: str
    seen: list[Seen]

    def source(self, pauses: list[float] | None = None, streams: int = 1) -> GoogleDriveSource:
        endpoints = GoogleEndpoints(drive_url=f"{self.url}/drive/v3/", forms_url=f"{self.url}/")
        pause = (pauses if pauses is not None else []).append
        return GoogleDriveSource(
            Credentials(token="secret-token"),
            endpoints,
            scopes=DRIVE_SCOPES,
            pause=pause,
            streams=streams,
        )

    def count(self, part: str) -> int:
        return sum(part in request.path for request in self.seen)


@contextmanager
def scripted_google(script: Script) -> Iterator[ScriptedGoogle]:
    seen: list[Seen] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Seen(self.command, self.path, headers, self.client_address)
            seen.append(request)
            self._send(script(request))

        do_POST = do_GET

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body[: answer.cut_after])
            self.close_connection = answer.cut_after is not None

        def log_message(self, *_: object) -> None:
            """Quiet: the test looks at `seen`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield ScriptedGoogle(f"http://127.0.0.1:{server.server_address[1]}", seen)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
