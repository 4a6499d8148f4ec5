"""Text for terminals: names made safe, figures made readable, tables. Pure.

Must not trust a name: whoever shares a file with an account chooses it, and a terminal obeys
control characters. Rule followed: Unicode's general categories of what is not seen but obeyed (Cc,
Cf with the bidirectional controls, Zl, Zp; UAX #44), and its East Asian widths (UAX #11).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime

import humanize
from django.utils import timezone

# Joiners that scripts and emoji need; they change no order and hide nothing.
_NEEDED = frozenset("\u200c\u200d")
_OBEYED = frozenset(["Cc", "Cf", "Cs", "Zl", "Zp"])
_WIDE = frozenset("WF")
_NARROWER = frozenset(["Mn", "Me", "Cf"])
ELLIPSIS = "…"


def printable(name: str) -> str:
    r"""The name, with what steers a terminal or turns text round shown as its escape (`\x1b`)."""
    if name.isascii() and name.isprintable():
        return name
    return "".join(_escape(char) if _is_unsafe(char) else char for char in name)


def display_width(text: str) -> int:
    """Columns that a terminal needs for the text."""
    return sum(map(_columns, text))


def fit(text: str, width: int) -> str:
    """The text, cut with an ellipsis where it needs more than `width` columns."""
    if display_width(text) <= width:
        return text
    kept, used = [], 0
    for char in text:
        used += _columns(char)
        if used > width - 1:
            break
        kept.append(char)
    return "".join(kept) + ELLIPSIS if width > 0 else ""


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Aligned columns; columns of whole numbers to the right. Cells are made printable here."""
    values = [list(row) for row in rows]
    lines = [list(headings), *([_cell(value) for value in row] for row in values)]
    columns = range(len(headings))
    widths = [max(display_width(line[n]) for line in lines) for n in columns]
    right = [bool(values) and all(isinstance(row[n], int) for row in values) for n in columns]
    return "\n".join(_line(line, widths, right) for line in lines)


def size(number: int | float) -> str:
    """Bytes, in decimal units as the stores' bills have them."""
    return humanize.naturalsize(number, format="%.1f")


def duration(seconds: float) -> str:
    """`45 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`."""
    whole = max(round(seconds), 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if not minutes:
        return f"{whole} s"
    if not hours:
        return f"{minutes} min {whole % 60:02} s"
    if not days:
        return f"{hours} h {minutes % 60:02} min"
    return f"{days} d {hours % 24} h"


def moment(when: datetime | None) -> str:
    """Local time to the minute with its zone (`2026-03-29 03:00 CEST`), a dash for never."""
    return timezone.localtime(when).strftime("%Y-%m-%d %H:%M %Z") if when else "–"


def _is_unsafe(char: str) -> bool:
    return unicodedata.category(char) in _OBEYED and char not in _NEEDED


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _columns(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.category(char) in _NARROWER:
        return 0
    return 2 if unicodedata.east_asian_width(char) in _WIDE else 1


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else printable(str(value))


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for text, width, to_right in zip(cells, widths, right, strict=True):
        gap = " " * (width - display_width(text))
        padded.append(gap + text if to_right else text + gap)
    return "  ".join(padded).rstrip()
