"""The queue in the database: an empty one is asked plainly, a full one gives what it holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ

from syncapp.engine import broker
from syncapp.engine.broker import Queue

pytestmark = pytest.mark.django_db


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of empty queues, not made."""
    made: list[float] = []
    monkeypatch.setattr(broker, "sleep", made.append)
    return made


def test_without_redis_the_workers_queue_is_this_one() -> None:
    assert isinstance(get_broker("scan"), Queue)


def test_an_empty_queue_costs_one_statement_and_a_pause(waits: list[float]) -> None:
    queue = Queue("scan")
    with CaptureQueriesContext(connection) as asked:
        assert queue.dequeue() is None
    assert len(asked) == 1
    assert waits == [Conf.POLL]


def test_a_task_is_given_once_and_at_once(waits: list[float]) -> None:
    queue = Queue("scan")
    queue.enqueue("a task")
    [(pk, payload)] = queue.dequeue()
    assert payload == "a task"
    assert queue.dequeue() is None, "it is held by whoever took it"
    queue.acknowledge(pk)
    assert not OrmQ.objects.exists()
    assert len(waits) == 1


def test_a_task_whose_taker_vanished_is_given_again_when_its_time_is_over(
    waits: list[float],
) -> None:
    queue = Queue("scan")
    queue.enqueue("a task")
    queue.dequeue()
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))
    assert [payload for _, payload in queue.dequeue()] == ["a task"]
    assert not waits


def test_another_queues_task_is_left_alone(waits: list[float]) -> None:
    Queue("restore").enqueue("a task")
    assert Queue("scan").dequeue() is None
    assert len(waits) == 1
