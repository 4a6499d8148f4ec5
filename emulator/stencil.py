"""A quick way from a synthetic file to its JSON: rendered once, then filled in.

One probe goes through the true renderer; where its JSON shows something of its own, the stencil has
a blank. So the quick way can differ from the true one in the blanks only. Every client gains alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from emulator.items import Item
from emulator.resources import rfc3339
from emulator.synthetic import LazyFile, file_values

# What stands in the probe for something of a file's own; no other value contains it.
_HIGH, _LOW, _PARENT = "<sixteen-digits>", "<twelve-dig>", "<" + 26 * "p" + ">"
_NAME, _WHEN_MS, _SIZE = "<number>", 999_999_999_999, 987_654_321_012
_HASHES = ("md5", "sha1", "sha256")
_NAMES = {
    _HIGH: "high",
    _LOW: "low",
    _PARENT: "parent",
    _NAME: "name",
    rfc3339(_WHEN_MS): "when",
    str(_SIZE): "size",
    **{f"<{name}>": name for name in _HASHES},
}
_BLANK = re.compile(f"({'|'.join(map(re.escape, _NAMES))})")


class _ProbeContent:
    size = _SIZE
    cheap = True

    def read(self, start: int, stop: int) -> bytes:
        return b""

    def digest(self, name: str) -> str:
        return f"<{name}>"


class Stencil:
    """The JSON of any untouched synthetic file, as `render` makes it."""

    def __init__(self, render: Callable[[Item], dict[str, Any]]) -> None:
        probe = Item(*file_values(_HIGH + _LOW, _NAME, _PARENT, _ProbeContent(), _WHEN_MS))
        text = orjson.dumps(render(probe)).decode()
        # Text and names of blanks take turns.
        self._pieces = _BLANK.split(text)
        self._places: dict[str, list[int]] = {}
        for place, own in enumerate(self._pieces[1::2]):
            self._places.setdefault(_NAMES[own], []).append(2 * place + 1)
        self._hashed = not self._places.keys().isdisjoint(_HASHES)

    def fill(self, file: LazyFile) -> orjson.Fragment:
        """The file's JSON, to be put into an answer as it is."""
        number, pieces = file.number, self._pieces
        digits = f"{number:028d}"
        own = {
            "high": digits[:16],
            "low": digits[16:],
            "parent": f"{file.folder:028d}",
            "name": f"{number:07d}",
            "size": str(file.size),
            "when": rfc3339(file.when_ms) if "when" in self._places else "",
        }
        if self._hashed:
            hashes = file.hashes
            own |= {"md5": hashes[:32], "sha1": hashes[32:72], "sha256": hashes[72:]}
        for name, places in self._places.items():
            for place in places:
                pieces[place] = own[name]
        return orjson.Fragment("".join(pieces))
