"""Google's partial responses: the `fields` parameter, parsed and applied.

Grammar as in developers.google.com/drive/api/guides/fields-parameter: `a,b(c,d/e),f/*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from emulator.http import GoogleError


class Mask:
    """Which members of an object are wanted; an empty mapping of `members` means all of them."""

    __slots__ = ("members",)

    def __init__(self, members: Mapping[str, Mask] | None = None) -> None:
        self.members = dict(members or {})

    @property
    def everything(self) -> bool:
        return not self.members or "*" in self.members

    def wants(self, name: str) -> bool:
        return self.everything or name in self.members

    def within(self, name: str) -> Mask:
        """The mask for the value of a member."""
        return self.members.get(name) or self.members.get("*") or Mask()

    def merge(self, name: str, inner: Mask) -> None:
        """Want one more member, or more of it."""
        known = self.members.get(name)
        if known is None:
            self.members[name] = inner
        elif not inner.members or not known.members:
            self.members[name] = Mask()
        else:
            for key, value in inner.members.items():
                known.merge(key, value)

    def apply(self, value: Any) -> Any:
        """The wanted part of a JSON value; lists are masked member by member."""
        if self.everything and not any(m.members for m in self.members.values()):
            return value
        if isinstance(value, list):
            return [self.apply(entry) for entry in value]
        if isinstance(value, dict):
            return {k: self.within(k).apply(v) for k, v in value.items() if self.wants(k)}
        return value


@lru_cache(maxsize=512)
def parse_mask(text: str) -> Mask:
    """The mask that a `fields` parameter asks for; a bad one is Google's 400 invalidParameter."""
    reader = _MaskReader(text)
    mask = reader.members()
    if reader.position != len(text):
        raise invalid_selection(text[reader.position :])
    return mask


def invalid_selection(name: str) -> GoogleError:
    """What Google answers to a field that does not exist or a mask it cannot read."""
    message = f"Invalid field selection {name}"
    return GoogleError(400, "invalidParameter", message, location="fields")


class _MaskReader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0

    def members(self) -> Mask:
        mask = Mask()
        while True:
            name, inner = self._member()
            mask.merge(name, inner)
            if self._peek() != ",":
                return mask
            self.position += 1

    def _member(self) -> tuple[str, Mask]:
        name = self._name()
        following = self._peek()
        if following == "/":
            self.position += 1
            deeper, inner = self._member()
            return name, Mask({deeper: inner})
        if following == "(":
            self.position += 1
            inner = self.members()
            if self._peek() != ")":
                raise invalid_selection(self._text)
            self.position += 1
            return name, inner
        return name, Mask()

    def _name(self) -> str:
        self._skip_spaces()
        start = self.position
        while self.position < len(self._text) and self._text[self.position] not in ",/() ":
            self.position += 1
        name = self._text[start : self.position]
        if not name:
            raise invalid_selection(self._text)
        return name

    def _skip_spaces(self) -> None:
        while self.position < len(self._text) and self._text[self.position] == " ":
            self.position += 1

    def _peek(self) -> str:
        self._skip_spaces()
        return self._text[self.position] if self.position < len(self._text) else ""
