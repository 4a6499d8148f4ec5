"""Only damage that nothing can mend is excused, and only once the product has told of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from syncapp.models import Copy, Event, Finding, Run, Version
from tests.chaos.rotten import told_as_lost
from tests.engine.vault import Vault

pytestmark = pytest.mark.django_db


def stores(rotted: set[str], there: set[str]) -> Any:
    sink = SimpleNamespace(rotted=lambda: rotted)
    return SimpleNamespace(sink=sink, disk=SimpleNamespace(digests=lambda: there))


@pytest.mark.parametrize(
    "spoilt",
    [
        "",
        "not told",
        "no finding",
        "still current",
        "was whole",
        "on disk",
        "not rotted",
        "at disk",
    ],
)
def test_a_lone_copy_that_rotted_on_its_way_in_is_excused(tmp_path: Path, spoilt: str) -> None:
    vault = Vault.make(tmp_path, "disk", "sink")
    place = vault.destinations[0 if spoilt == "at disk" else 1]
    version = vault.file("a.txt", b"content", at=[place])
    state = Version.State.STORED if spoilt == "was whole" else Version.State.SUPERSEDED
    current = spoilt == "still current"
    Version.objects.filter(pk=version.pk).update(current=current, state=state)
    Copy.objects.update(state=Copy.State.DAMAGED)
    if spoilt != "no finding":
        about = {"source": vault.source, "destination": place, "copy": version.copies.get()}
        Finding.objects.create(**about, kind="content", object_key="k", message="m")
    if spoilt != "not told":
        Event.objects.create(owner=vault.source.owner, code="copies_lost", level="alert")
    check = Run(outcome="failed", error_code="copies_damaged")
    servers = stores(
        set() if spoilt == "not rotted" else {version.sha256},
        {version.sha256} if spoilt == "on disk" else set(),
    )
    assert told_as_lost(check, servers) == (0 if spoilt else 1)
    assert told_as_lost(Run(outcome="ok"), servers) == 0
