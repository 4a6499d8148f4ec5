"""Counts in words."""

from __future__ import annotations

import pytest

from syncapp.words import counted


@pytest.mark.parametrize(
    ("number", "names", "text"),
    [
        (0, ("file",), "0 files"),
        (1, ("file",), "1 file"),
        (1200, ("file",), "1,200 files"),
        (1, ("copy", "copies"), "1 copy"),
        (2, ("copy", "copies"), "2 copies"),
    ],
)
def test_a_noun_agrees_with_its_number(number: int, names: tuple[str, ...], text: str) -> None:
    assert counted(number, *names) == text
