"""Counts in words that people read."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """“1 file”, “1,200 files”; `many` where it is not the one with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
