"""Live messages from one process to the listeners of others: all of them, in order, once.

Real web servers and producers. This also holds the inside of django-eventstream that the bridge
reaches into: whoever raises its version sees it here.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as django_settings
from django.test import Client

from accounts.models import User
from tests.servers.process import free_port
from tests.servers.web import ROOT, RunningWeb, collect_static, running_web
from tests.servers.workers import environment
from tests.web import baked

MESSAGES = 60
PATIENCE_S = 30
PRODUCE = """
import django, sys
django.setup()
from syncapp.engine import live
owner, start, number = map(int, sys.argv[1:])
for n in range(start, start + number):
    live.publish(owner, "event", {"n": n})
"""


class Listening:
    """A browser's stream, read by a thread."""

    def __init__(self, web: RunningWeb, cookie: str, place: str = "") -> None:
        self.numbers: list[int] = []
        self.place = place
        self._open = threading.Event()
        self._enough = threading.Condition()
        address = urlsplit(web.url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE_S)
        connection.connect()
        # Kept, because shutting it down wakes the thread that reads from it; closing does not.
        self._socket = connection.sock
        headers = {"Cookie": f"{django_settings.SESSION_COOKIE_NAME}={cookie}"}
        connection.request("GET", "/events/", headers={**headers, "Last-Event-ID": place})
        answer = connection.getresponse()
        assert answer.status == 200
        self._thread = threading.Thread(target=self._read, args=(answer,), daemon=True)
        self._thread.start()
        assert self._open.wait(PATIENCE_S)

    def _read(self, answer: HTTPResponse) -> None:
        kind = ""
        # What remains of a chunk when the test has had enough is of no interest.
        with suppress(IncompleteRead, OSError):
            while line := answer.readline().decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                    if kind == "stream-open":
                        self._open.set()
                elif name == "id":
                    self.place = value
                elif name == "data" and kind == "event":
                    with self._enough:
                        self.numbers.append(json.loads(value)["n"])
                        self._enough.notify_all()

    def wait_for(self, number: int) -> list[int]:
        """The numbers heard when there are so many, or when patience ends."""
        with self._enough:
            self._enough.wait_for(lambda: len(self.numbers) >= number, PATIENCE_S)
            return list(self.numbers)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)


@contextmanager
def listening_to(webs: list[RunningWeb], user: User) -> Iterator[list[Listening]]:
    """A stream of the person at each server; closed before the servers are stopped."""
    streams: list[Listening] = []
    try:
        for web in webs:
            streams.append(Listening(web, cookie_of(user)))
        yield streams
    finally:
        for stream in streams:
            stream.close()


@contextmanager
def two_webs(folder: Path, **changes: str) -> Iterator[list[RunningWeb]]:
    with ExitStack() as stack:
        env = environment(folder, LOG_LEVEL="WARNING", **changes)
        collect_static(env)
        yield [
            stack.enter_context(running_web(env, folder / f"web{n}.log", free_port()))
            for n in range(2)
        ]


@pytest.fixture(scope="module")
def webs(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[RunningWeb]]:
    with two_webs(tmp_path_factory.mktemp("webs")) as running:
        yield running


def produce(folder: Path, owner: User, start: int, number: int, **changes: str) -> Any:
    return subprocess.Popen(
        [sys.executable, "-c", PRODUCE, str(owner.pk), str(start), str(number)],
        cwd=ROOT,
        env=environment(folder, **changes),
    )


def cookie_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return str(client.cookies[django_settings.SESSION_COOKIE_NAME].value)


@pytest.mark.django_db(transaction=True)
def test_messages_of_another_process_reach_the_listeners_of_two_in_order(
    webs: list[RunningWeb], tmp_path: Path
) -> None:
    ana, eve = baked.person("ana"), baked.person("eve")
    with listening_to(webs, ana) as listening, listening_to(webs[:1], eve) as strangers:
        assert produce(tmp_path, ana, 0, MESSAGES).wait(PATIENCE_S) == 0
        for one in listening:
            assert one.wait_for(MESSAGES) == list(range(MESSAGES))
        place = listening[0].place
    assert strangers[0].numbers == []
    # Who was away gets what was missed, from any process.
    assert produce(tmp_path, ana, MESSAGES, 5).wait(PATIENCE_S) == 0
    again = Listening(webs[1], cookie_of(ana), place)
    assert again.wait_for(5) == list(range(MESSAGES, MESSAGES + 5))
    again.close()


@pytest.mark.django_db(transaction=True)
def test_two_producers_at_once_lose_nothing(webs: list[RunningWeb], tmp_path: Path) -> None:
    ana = baked.person("ana")
    with listening_to(webs, ana) as listening:
        producers = [produce(tmp_path, ana, start, 30) for start in (0, 1000)]
        assert [producer.wait(PATIENCE_S) for producer in producers] == [0, 0]
        for one in listening:
            heard = one.wait_for(60)
            assert [n for n in heard if n < 1000] == list(range(30))
            assert [n for n in heard if n >= 1000] == list(range(1000, 1030))


@pytest.mark.needs("redis")
@pytest.mark.django_db(transaction=True)
def test_with_redis_messages_arrive_in_order_too(tmp_path: Path, redis_url: str) -> None:
    ana = baked.person("ana")
    with two_webs(tmp_path, REDIS_URL=redis_url) as webs:
        with listening_to(webs, ana) as listening:
            assert produce(tmp_path, ana, 0, MESSAGES, REDIS_URL=redis_url).wait(PATIENCE_S) == 0
            for one in listening:
                assert one.wait_for(MESSAGES) == list(range(MESSAGES))
