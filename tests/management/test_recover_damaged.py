"""Of what is needed for a recovery, something is lost or damaged: what is said, what helps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from syncapp.engine import segments
from syncapp.engine.adapters import destination_for
from syncapp.models import Copy, File, Recovery, Run, Source
from tests.engine.conftest import Setting
from tests.management.conftest import Shell
from tests.management.recovering import change_a_lot, files, lose_everything, place, recover


def test_damaged_and_missing_segments_are_said_and_an_older_way_is_taken(
    few: Setting,
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segments, "FEW_LINES", 0)
    few.back_up()
    segments.write(few.source.pk)
    change_a_lot(few)
    File.objects.update(extension="x")
    segments.write(few.source.pk)
    File.objects.filter(content="blob").update(extension="y")
    segments.write(few.source.pk)
    before = files()
    lose_everything()
    folder = Path(few.folder.options["path"], ".catalog", "drive")
    newest = max(folder.glob("*-full-*"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    recover(shell, few.folder, "--list", code=1)
    (told,) = recover(shell, few.folder, code=1)
    assert any("damaged" in note for note in told["notes"])
    assert files() == before
    lose_everything()
    delta = sorted(folder.glob("*-delta-*"))[-1]
    delta.unlink()
    newest.write_bytes(newest.read_bytes()[: len(data) // 3])
    (told,) = recover(shell, few.folder, code=1)
    assert len(File.objects.all()) == len(before)


def take_away_the_whole_catalog(few: Setting, to: Path) -> list[Path]:
    """Of which only a delta without a line is left; where it lies now."""
    few.back_up()
    segments.write(few.source.pk)
    few.source.name = "Called otherwise"
    few.source.save()
    segments.write(few.source.pk)
    folder = Path(few.folder.options["path"], ".catalog", "drive")
    assert list(folder.glob("*-delta-*"))
    to.mkdir()
    return [Path(shutil.move(part, to)) for part in folder.glob("*-full-*")]


def put_back(few: Setting, parts: list[Path]) -> None:
    for part in parts:
        shutil.move(part, Path(few.folder.options["path"], ".catalog", "drive"))


def test_segments_that_are_put_back_are_used_by_the_next_recovery(
    few: Setting, shell: Shell, tmp_path: Path
) -> None:
    parts = take_away_the_whole_catalog(few, tmp_path / "away")
    before = files()
    data = few.folder.options["path"]
    shutil.move(f"{data}/drive", tmp_path / "data")
    lose_everything()
    (told,) = recover(shell, few.folder, code=1)
    assert told["files"] == 0
    assert recover(shell, few.folder, code=1)[0]["files"] == 0
    put_back(few, parts)
    shutil.move(tmp_path / "data", f"{data}/drive")
    (told,) = recover(shell, few.folder)
    assert (told["files"], told["notes"]) == (len(before), [])
    assert files() == before
    assert not Recovery.objects.get().damaged


def test_what_was_rebuilt_of_damaged_segments_and_then_used_is_not_rebuilt(
    few: Setting, shell: Shell, tmp_path: Path
) -> None:
    parts = take_away_the_whole_catalog(few, tmp_path / "away")
    lose_everything()
    recover(shell, few.folder, code=1)
    put_back(few, parts)
    adopted = files()
    Run.objects.create(source=Source.objects.get(), kind=Run.Kind.RESTORE)
    answer = shell("recover", *place(few.folder))
    assert answer.code == 5
    assert "is here already" in answer.err
    assert files() == adopted


def test_where_every_segment_is_damaged_the_catalog_is_called_damaged_not_absent(
    few: Setting, shell: Shell
) -> None:
    few.back_up()
    segments.write(few.source.pk)
    lose_everything()
    for part in Path(few.folder.options["path"], ".catalog", "drive").glob("*-full-*"):
        part.write_bytes(b"not a segment")
    (told,) = recover(shell, few.folder, code=1)
    assert (told["slug"], told["files"], told["damaged"]) == ("drive", 0, True)
    assert any("damaged" in note for note in told["notes"])
    assert not Source.objects.exists()


def test_a_comparison_that_misses_copies_ends_as_failed(few: Setting, shell: Shell) -> None:
    few.back_up()
    compare = ("recover", "--destination", "Folder", "--compare", "--json")
    assert shell(*compare).code == 0
    copy = Copy.objects.filter(destination=few.folder).latest("pk")
    destination_for(few.folder).delete(copy.object_key)
    answer = shell(*compare)
    assert (answer.code, answer.document["sources"][0]["missing"]) == (1, 1)
    assert "restore_without_app.py" in answer.err
