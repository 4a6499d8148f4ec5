"""A quick way from a synthetic file to its JSON: rendered once, then filled in.

One probe goes through the true renderer; where its JSON shows something of its own, the stencil has
a blank. So the quick way can differ from the true one in the blanks only. Every client gains alike.
"""

from __future__ import annotations

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
_BLANKS = {
    _HIGH: "%(high)s",
    _LOW: "%(low)s",
    _PARENT: "%(parent)s",
    _NAME: "%(name)s",
    rfc3339(_WHEN_MS): "%(when)s",
    str(_SIZE): "%(size)s",
    **{f"<{name}>": f"%({name})s" for name in _HASHES},
}


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
        text = orjson.dumps(render(probe)).decode().replace("%", "%%")
        for own, blank in _BLANKS.items():
            text = text.replace(own, blank)
        self._text = text
        self._hashes = [name for name in _HASHES if _BLANKS[f"<{name}>"] in text]
        self._timed = "%(when)s" in text

    def fill(self, file: LazyFile) -> orjson.Fragment:
        """The file's JSON, to be put into an answer as it is."""
        number = file.number
        digits = f"{number:028d}"
        own = {
            "high": digits[:16],
            "low": digits[16:],
            "parent": f"{file.folder:028d}",
            "name": f"{number:07d}",
            "size": file.size,
        }
        if self._timed:
            own["when"] = rfc3339(file.when_ms)
        if self._hashes:
            own.update(zip(self._hashes, file.digests(self._hashes), strict=True))
        return orjson.Fragment(self._text % own)
