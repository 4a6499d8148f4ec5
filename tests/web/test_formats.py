"""How values look."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.template import engines

from syncapp.visible import visible
from syncapp.web import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), ("", "–"), (0, "0 Bytes"), (999, "999 Bytes"), (1_000, "1.0 kB"),
     (1_500_000_000, "1.5 GB"), (4_000_000_000_000, "4.0 TB")],
)  # fmt: skip
def test_sizes_are_decimal(value: int | str | None, text: str) -> None:
    assert formats.size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7_500, "2 h 5 min")],
)
def test_durations_have_two_units(seconds: float | None, text: str) -> None:
    assert formats.duration(seconds) == text


def test_a_time_can_be_read_by_a_program() -> None:
    shown = formats.moment(datetime(2026, 11, 25, 4, 5, tzinfo=UTC))
    assert 'datetime="2026-11-25T04:05:00+00:00"' in shown
    assert formats.moment(None) == "–"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("invoice\u202efdp.exe", "invoice[U+202E]fdp.exe"),
        ("a\nb\x7f\x00", "a[U+000A]b[U+007F][U+0000]"),
        ("zero\u200bwidth\ufeff", "zero[U+200B]width[U+FEFF]"),
        ("line\u2028end", "line[U+2028]end"),
        ("שלום Ünïcode 日本", "שלום Ünïcode 日本"),
        ("family \U0001f468\u200d\U0001f469", "family \U0001f468\u200d\U0001f469"),
    ],
)
def test_what_steers_text_is_shown_and_the_rest_is_left(name: str, shown: str) -> None:
    assert visible(name) == shown


def test_a_name_is_escaped_and_isolated() -> None:
    assert formats.isolated("<b>&\u202e") == "<bdi>&lt;b&gt;&amp;[U+202E]</bdi>"


def test_a_state_is_told_by_word_and_not_by_colour_alone() -> None:
    page = engines["django"].from_string("{% load formats %}{% state 'failed' %}").render()
    assert "Failed" in page
    assert 'aria-hidden="true"' in page
