"""`manage.py files --search`: what is found, for people and for scripts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from model_bakery import baker

from syncapp.models import File, Place
from tests.management.conftest import Shell
from tests.web import baked
from tests.web.baked import Owned

MAY = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def owner(db: None) -> Owned:
    return baked.owned("ana")


def test_files_are_found_by_words_for_people_and_scripts(owner: Owned, shell: Shell) -> None:
    answer = shell("files", "--search", "invoice")
    assert answer.code == 0
    assert "Drive of ana: My Drive/Letters/invoice\\u202efdp.exe\\n<script>" in answer.out
    found = shell("files", "--search", "invoice", "--json").document["files"]
    assert [one["file"] for one in found] == [owner.file.pk]
    assert found[0]["path"] == f"My Drive/Letters/{baked.HOSTILE}"
    assert found[0]["size"] == 1_000_000
    assert "Nothing was found" in shell("files", "--search", "xyzzy").out


def test_each_option_alone_is_a_search(owner: Owned, shell: Shell) -> None:
    File.objects.filter(pk=owner.file.pk).update(vanished_at=MAY)
    for options in (
        ("--larger", "1MB"), ("--smaller", "2 MB"), ("--kind", "document"), ("--path", "letters"),
        ("--deleted", "only"), ("--since", "2020-01-01"), ("--until", "2100-01-01T00:00"),
    ):  # fmt: skip
        found = shell("files", *options, "--json").document["files"]
        assert owner.file.pk in [one["file"] for one in found], options
    assert shell("files", "--larger", "1.1GB", "--json").code == 2
    assert shell("files", "--larger", "2MB", "--json").document == {"files": []}
    assert len(shell("files", "--deleted", "also", "--limit", "2", "--json").document["files"]) == 2


def test_a_moment_is_that_of_the_names_then(owner: Owned, shell: Shell) -> None:
    baker.make(
        Place, source=owner.source, file=owner.file, parent_id="root", name="früher.txt",
        from_at=MAY, until_at=datetime(2026, 5, 3, tzinfo=UTC),
    )  # fmt: skip
    File.objects.filter(pk=owner.file.pk).update(placed_at=datetime(2026, 5, 3, tzinfo=UTC))
    found = shell("files", "--search", "FRÜHER", "--at", "2026-05-01", "--json").document["files"]
    assert [one["path"] for one in found] == ["My Drive/früher.txt"]
    assert shell("files", "--search", "früher", "--at", "2026-04-01", "--json").document == {
        "files": []
    }
    assert shell("files", "--at", "yesterday").code == 2
    assert shell("files", "--search", "x", "--state", "failed").code == 2
