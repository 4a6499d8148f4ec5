"""The words of a search, as the indexes of names take them. Pure.

Names are compared as `keys.fold` has them, composed and in small letters, however they are written.
SQLite: FTS5's query language (https://sqlite.org/fts5.html § 3), where only a quoted string means
nothing but itself; PostgreSQL: patterns of LIKE. Whatever is typed is looked for, nothing obeyed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from syncapp.engine.keys import fold

TRIGRAM = 3  # characters: shorter words are no help to an index of trigrams
_MOST_WORDS = 10
_LONGEST = 200
_LOOKED_FOR = 24  # characters of a word that the index is asked for


def words_of(text: str) -> list[str]:
    """The words of what somebody typed, at most ten."""
    plain = text[:_LONGEST].replace("\0", " ").encode("utf-8", "replace").decode()
    return plain.split()[:_MOST_WORDS]


def long_words(text: str) -> list[str]:
    """Those that an index can look for."""
    return [word for word in words_of(text) if len(fold(word)) >= TRIGRAM]


def has_all(name: str, words: Sequence[str]) -> bool:
    """Whether all words are in the name, in capitals or not."""
    folded = fold(name)
    return all(fold(word) in folded for word in words)


def match(words: Sequence[str]) -> str:
    """What FTS5 takes for "all of these" in folded names; long words by how they begin."""
    begin = (fold(word)[:_LOOKED_FOR].replace('"', '""') for word in words)
    return " AND ".join(f'"{word}"' for word in begin)


def likes(word: str) -> list[str]:
    """What LIKE takes for "somewhere within" a composed name, in one of these ways of writing."""
    composed = unicodedata.normalize("NFC", word)
    ways = [composed] if composed.lower() == fold(word) else [composed, fold(word)]
    return [f"%{_plain(way)}%" for way in ways]


def _plain(word: str) -> str:
    for special in "\\%_":
        word = word.replace(special, f"\\{special}")
    return word
