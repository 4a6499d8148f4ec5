"""The words of a search, as the indexes of names take them. Pure.

SQLite: FTS5's query language (https://sqlite.org/fts5.html § 3), where only a quoted string means
nothing but itself; PostgreSQL: patterns of LIKE. Whatever is typed is looked for, nothing obeyed.
"""

from __future__ import annotations

from collections.abc import Sequence

TRIGRAM = 3  # characters: shorter words are no help to an index of trigrams
_MOST_WORDS = 10
_LONGEST = 200


def words_of(text: str) -> list[str]:
    """The words of what somebody typed, at most ten."""
    plain = text[:_LONGEST].replace("\0", " ").encode("utf-8", "replace").decode()
    return plain.split()[:_MOST_WORDS]


def long_words(text: str) -> list[str]:
    """Those that an index can look for."""
    return [word for word in words_of(text) if len(word) >= TRIGRAM]


def has_all(name: str, words: Sequence[str]) -> bool:
    """Whether all words are in the name, in capitals or not."""
    folded = name.casefold()
    return all(word.casefold() in folded for word in words)


def match(words: Sequence[str]) -> str:
    """What FTS5 takes for "all of these"."""
    return " AND ".join('"' + word.replace('"', '""') + '"' for word in words)


def like(word: str) -> str:
    """What LIKE takes for "somewhere within"."""
    for special in "\\%_":
        word = word.replace(special, f"\\{special}")
    return f"%{word}%"
