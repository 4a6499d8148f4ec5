"""Object keys: rclone's own encoding, reversible, unique, within every limit."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncapp.engine import keys
from tests.servers.rclone_s3 import binary

NAMES = [
    "plain.txt", "a\nb", "a\tb", "a\x7fb", "␀", "a␊b", "‛", "a‛b", "‛‛", "．", "．．", "a．",
    "b／c",
    " lead", "trail ", "dot.", "back\\slash", "<script>", "%2F", "\u202erlo", "é", "e\u0301", "😀",
]  # fmt: skip
text = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=80)


def test_rclone_shows_the_same_encoding_for_the_same_names(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).touch()
    command = [binary(), "lsf", "--local-encoding", "Slash", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    # With only `/` decoded, each name on disk is what its Drive name would be.
    decoded = {name.replace("‛‛", "‛") for name in NAMES} | {"b/c"}
    for name in ["plain.txt", "a\nb", "a\tb", "a\x7fb", "a␊b", "b/c", "\u202erlo", " lead"]:
        assert name in decoded
        assert keys.encode(name) in shown.split("\n"), ascii(name)


@pytest.mark.parametrize("name", [".", "..", "a/b", "a\x00b", "／", "‛／", *NAMES])
def test_encoded_names_are_safe_and_come_back(name: str) -> None:
    encoded = keys.encode(name)
    assert keys.decode(encoded) == name
    assert encoded not in (".", "..")
    assert not any(c == "/" or ord(c) < 0x20 or ord(c) == 0x7F for c in encoded)


@given(text)
def test_every_name_comes_back(name: str) -> None:
    assert keys.decode(keys.encode(name)) == name


@given(st.lists(text, min_size=2, max_size=2, unique=True))
def test_two_names_never_share_a_component(names: list[str]) -> None:
    assert keys.encode(names[0]) != keys.encode(names[1])


@given(text, st.sampled_from(["", "docx", "shortcut.json"]), st.integers(1, 40))
def test_a_component_fits_a_file_system_and_is_apart_from_its_siblings(
    name: str, extension: str, times: int
) -> None:
    taken: set[str] = set()
    name = name * times
    for number in range(5):
        component = keys.component(name, extension, f"id{number}", taken)
        assert 0 < len(component.encode()) <= 255
        assert keys.fold(component) not in taken
        assert "/" not in component
        taken.add(keys.fold(component))


def test_siblings_that_differ_in_case_or_unicode_form_are_held_apart() -> None:
    for one, other in (("Report.pdf", "REPORT.pdf"), ("caf\u00e9", "cafe\u0301"), ("a", "a")):
        first = keys.component(one, "", "1", ())
        second = keys.component(other, "", "2", {keys.fold(first)})
        assert keys.fold(first) != keys.fold(second)
        assert second.endswith(".pdf") == one.endswith(".pdf")


def test_the_component_does_not_depend_on_who_asks_when() -> None:
    taken = {keys.fold("a.txt")}
    assert keys.component("a.txt", "", "x", taken) == keys.component("a.txt", "", "x", taken)


def test_an_export_gets_its_extension_once() -> None:
    assert keys.component("Plan", "docx", "1", ()) == "Plan.docx"
    assert keys.component("Plan.docx", "docx", "1", ()) == "Plan.docx"


def test_a_path_too_long_for_a_key_goes_by_the_id() -> None:
    deep = ["folder " * 20] * 10
    key = keys.file_key("drive", deep, "name.txt", "the-id")
    assert key.startswith("drive/files/~deep/")
    assert key.endswith("/name.txt")
    assert keys.file_key("drive", deep, "name.txt", "other") != key


def test_previous_versions_have_keys_of_their_own() -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    one = keys.previous_key("drive/files/My Drive/a.txt", "rev1", when)
    assert one.startswith("drive/.versions/My Drive/a ~20260102T030405Z-")
    assert one.endswith(".txt")
    assert keys.previous_key("drive/files/My Drive/a.txt", "rev2", when) != one
