"""Names, tables and figures as a terminal gets them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from syncapp.management.output import (
    display_width,
    duration,
    fit,
    moment,
    printable,
    size,
    table,
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain.txt", "plain.txt"),
        ("Grüße 漢字 👨‍👩‍👧.txt", "Grüße 漢字 👨‍👩‍👧.txt"),
        ("two\nlines\ttab", "two\\nlines\\ttab"),
        ("\x1b[2Jclear", "\\x1b[2Jclear"),
        ("\x9bcsi", "\\x9bcsi"),
        ("invoice\u202efdp.exe", "invoice\\u202efdp.exe"),
        ("\u2066isolated\u2069", "\\u2066isolated\\u2069"),
        ("line\u2028separator", "line\\u2028separator"),
        ("soft\u00adhyphen\ufeff", "soft\\xadhyphen\\ufeff"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_what_steers_a_terminal_is_shown_and_the_rest_is_left(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_no_escaped_name_holds_anything_that_a_terminal_obeys() -> None:
    hostile = "".join(map(chr, range(0x20))) + "\x7f\x85\u200e\u200f\u061c\u202a\u2069"
    assert printable(hostile).isprintable()


def test_wide_and_combining_characters_keep_columns_aligned() -> None:
    assert (display_width("漢字"), display_width("e\u0301"), display_width("ab")) == (4, 1, 2)
    lines = table(("NAME", "FILES"), [("漢字", 12), ("e\u0301t\u0301", 1_200)]).splitlines()
    assert lines == ["NAME  FILES", "漢字     12", "e\u0301t\u0301    1,200"]
    assert len({display_width(line) for line in lines}) == 1


def test_a_table_makes_hostile_cells_printable() -> None:
    assert "\x1b" not in table(("NAME",), [("\x1b[31mred",)])


def test_a_table_without_rows_is_its_headings() -> None:
    assert table(("NAME", "FILES"), []) == "NAME  FILES"


def test_a_line_is_cut_to_the_columns_there_are() -> None:
    assert fit("abcdef", 6) == "abcdef"
    assert fit("abcdefg", 6) == "abcde…"
    assert display_width(fit("漢字漢字", 6)) <= 6
    assert fit("abc", 0) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3600, "1 h 00 min"), (90_000, "1 d 1 h")],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes_are_decimal() -> None:
    assert (size(1_500_000), size(999)) == ("1.5 MB", "999 Bytes")


def test_a_time_says_its_zone_on_either_side_of_a_clock_change() -> None:
    with timezone.override("Europe/Paris"):
        assert moment(datetime(2026, 3, 29, 0, 59, tzinfo=UTC)) == "2026-03-29 01:59 CET"
        assert moment(datetime(2026, 3, 29, 1, 0, tzinfo=UTC)) == "2026-03-29 03:00 CEST"
    assert moment(None) == "–"
