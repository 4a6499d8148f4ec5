"""`manage.py status`: the exit code that a script goes by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from syncapp.models import Destination, Run, Source, Worker
from tests.engine.conftest import Setting
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


def test_a_newly_attached_destination_waits_for_all_that_is_stored_elsewhere(
    few: Setting, shell: Shell, tmp_path: Path
) -> None:
    few.back_up()
    stored = few.folder.copies.count()
    new = Destination.objects.create(
        owner=few.source.owner, name="New", kind="local", options={"path": str(tmp_path)}
    )
    few.source.destinations.add(new)

    document = shell("status", "--json").document

    (told,) = [c for c in document["sources"][0]["copies"] if c["destination"] == "New"]
    assert (told["stored"], told["waiting"]) == (0, stored)


def test_secrets_that_no_key_opens_are_told_in_a_sentence(
    shell: Shell, source: Source, settings: Any
) -> None:
    Destination.objects.create(owner=source.owner, name="B", kind="s3", secrets="credentials")
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    for command in ("status", "runworkers"):
        answer = shell(command)
        assert answer.code == 5
        assert "keys forget" in answer.err
        assert "Traceback" not in answer.err
