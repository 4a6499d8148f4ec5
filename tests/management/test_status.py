"""`manage.py status`: the exit code that a script goes by."""

from __future__ import annotations

import pytest

from syncapp.models import Destination, Run, Source, Worker
from tests.management.conftest import Shell

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_waits_for_a_person_is_told_by_its_own_exit_code_unless_something_failed(
    shell: Shell, source: Source, folder: Destination, worker: Worker
) -> None:
    source.destinations.add(folder)
    Run.objects.create(source=source, paused=True, error_code="guard", error_message="Is it so?")

    assert shell("status").code == 5

    Run.objects.create(
        source=source,
        kind=Run.Kind.VERIFY,
        stage=Run.Stage.DONE,
        outcome=Run.Outcome.FAILED,
        ended_at=worker.started_at,
    )
    answer = shell("status", "--json")
    assert (answer.code, answer.document["exit_code"]) == (1, 1)
