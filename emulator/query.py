"""The `q` parameter of files.list: parsed once, then a predicate over items.

Pure. Follows developers.google.com/drive/api/guides/ref-search-terms for the terms that clients
use; any other term is Google's 400 for `q`, never silently true.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from emulator.http import GoogleError, invalid
from emulator.items import Item

Predicate = Callable[[Item], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<op><=|>=|!=|=|<|>)|(?P<paren>[(){}])
    |(?P<word>[A-Za-z][\w.]*))""",
    re.VERBOSE | re.DOTALL,
)
_TIMES = {"modifiedTime": "modified_ms", "createdTime": "created_ms"}
_FLAGS = ("trashed", "starred", "sharedWithMe")
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@dataclass(frozen=True, slots=True)
class Query:
    """What to keep; `folders` are the only parents a kept item can have (None: any)."""

    keeps: Predicate
    folders: frozenset[str] | None = None


def parse_query(text: str, root_id: str) -> Query:
    """The query of a `q` parameter; empty means everything, trashed items included."""
    if not text.strip():
        return Query(lambda item: True)
    reader = _Reader(_tokens(text), root_id)
    query = reader.either()
    if reader.left:
        raise invalid("q")
    return query


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None:
            raise invalid("q")
        kind = match.lastgroup or ""
        tokens.append((kind, match.group(kind)))
        position = match.end()
    return tokens


class _Reader:
    """Recursive descent: either := both ('or' both)*; both := one ('and' one)*; one := not…"""

    def __init__(self, tokens: list[tuple[str, str]], root_id: str) -> None:
        self._tokens = tokens
        self._root_id = root_id

    @property
    def left(self) -> bool:
        return bool(self._tokens)

    def either(self) -> Query:
        found = self._both()
        while self._take_word("or"):
            found = _or(found, self._both())
        return found

    def _both(self) -> Query:
        found = self._one()
        while self._take_word("and"):
            found = _and(found, self._one())
        return found

    def _one(self) -> Query:
        if self._take_word("not"):
            inner = self._one()
            return Query(lambda item: not inner.keeps(item))
        kind, value = self._next()
        if (kind, value) == ("paren", "("):
            inner = self.either()
            if self._next() != ("paren", ")"):
                raise invalid("q")
            return inner
        if kind == "string":
            return self._membership(_unquote(value))
        if kind == "word":
            return self._term(value)
        raise invalid("q")

    def _membership(self, value: str) -> Query:
        if not self._take_word("in"):
            raise invalid("q")
        collection = self._next()[1]
        if collection == "parents":
            folder = self._root_id if value == "root" else value
            return Query(lambda item: folder in item.parents, frozenset((folder,)))
        if collection == "owners":
            email = value.casefold()
            return Query(lambda item: item.owner is not None and item.owner.email == email)
        raise invalid("q")

    def _term(self, name: str) -> Query:
        if name in _FLAGS:
            return Query(self._flag(name))
        if name in ("properties", "appProperties"):
            return Query(self._pair("app_properties" if name[0] == "a" else name))
        operator = self._next()[1]
        value = self._string()
        if name == "name":
            return Query(_name_test(operator, value))
        if name == "mimeType":
            return Query(_mime_test(operator, value))
        if name in _TIMES and operator in _COMPARE:
            return Query(_time_test(_TIMES[name], operator, value))
        if name == "shortcutDetails.targetId" and operator == "=":
            return Query(lambda item: item.shortcut is not None and item.shortcut[0] == value)
        raise invalid("q")

    def _string(self) -> str:
        kind, raw = self._next()
        if kind != "string":
            raise invalid("q")
        return _unquote(raw)

    def _pair(self, attribute: str) -> Predicate:
        """`has { key='…' and value='…' }`."""
        self._expect(("word", "has"), ("paren", "{"), ("word", "key"), ("op", "="))
        key = self._string()
        self._expect(("word", "and"), ("word", "value"), ("op", "="))
        value = self._string()
        self._expect(("paren", "}"))
        return lambda item: getattr(item, attribute).get(key) == value

    def _expect(self, *tokens: tuple[str, str]) -> None:
        for token in tokens:
            if self._next() != token:
                raise invalid("q")

    def _flag(self, name: str) -> Predicate:
        wanted = True
        if self._tokens and self._tokens[0][0] == "op":
            operator, value = self._next()[1], self._next()[1]
            if operator not in ("=", "!=") or value not in ("true", "false"):
                raise invalid("q")
            wanted = (value == "true") == (operator == "=")
        if name == "sharedWithMe":
            return lambda item: bool(item.shared_with_me_ms) is wanted
        if name == "trashed":
            return lambda item: item.trashed is wanted
        return lambda item: item.starred is wanted

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise invalid("q")
        return self._tokens.pop(0)

    def _take_word(self, word: str) -> bool:
        if self._tokens and self._tokens[0] == ("word", word):
            self._tokens.pop(0)
            return True
        return False


def _and(left: Query, right: Query) -> Query:
    folders = left.folders
    if right.folders is not None:
        folders = right.folders if folders is None else folders & right.folders
    return Query(lambda item: left.keeps(item) and right.keeps(item), folders)


def _or(left: Query, right: Query) -> Query:
    both = left.folders is not None and right.folders is not None
    folders = (left.folders or frozenset()) | (right.folders or frozenset()) if both else None
    return Query(lambda item: left.keeps(item) or right.keeps(item), folders)


def _unquote(raw: str) -> str:
    return re.sub(r"\\(.)", r"\1", raw[1:-1], flags=re.DOTALL)


def _name_test(operator: str, value: str) -> Predicate:
    # Google compares names without regard to case, and `contains` only matches word beginnings.
    folded = value.casefold()
    if operator == "=":
        return lambda item: item.name.casefold() == folded
    if operator == "!=":
        return lambda item: item.name.casefold() != folded
    if operator == "contains":
        beginning = re.compile(r"(?:^|[\W_])" + re.escape(folded))
        return lambda item: beginning.search(item.name.casefold()) is not None
    raise invalid("q")


def _mime_test(operator: str, value: str) -> Predicate:
    if operator == "=":
        return lambda item: item.mime_type == value
    if operator == "!=":
        return lambda item: item.mime_type != value
    if operator == "contains":
        return lambda item: item.mime_type.startswith(value)
    raise invalid("q")


def _time_test(attribute: str, operator: str, value: str) -> Predicate:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise GoogleError(400, "invalid", "Invalid Value", location="q") from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    limit = round(aware.timestamp() * 1000)
    compare = _COMPARE[operator]
    return lambda item: compare(getattr(item, attribute), limit)
