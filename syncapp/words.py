"""Counts and sums in words that people read."""

from __future__ import annotations

from collections.abc import Mapping


def counted(number: int, one: str, many: str = "") -> str:
    """“1 file”, “1,200 files”; `many` where it is not the one with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def money(sums: Mapping[str, float]) -> str:
    """“0.01 USD + 0.02 EUR”, of sums by currency; "" for nothing."""
    return " + ".join(f"{amount:,.2f} {name}" for name, amount in sorted(sums.items()) if amount)
