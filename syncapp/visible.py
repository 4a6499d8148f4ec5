"""Names from outside, made harmless to read: what steers text is shown, never obeyed.

A right-to-left override makes “exe.pdf” of “fdp.exe”; a newline breaks a log line. Each control,
format or direction character becomes its code. Pure; for people, not for keys or commands.
"""

from __future__ import annotations

import unicodedata

from syncapp.errors import ConfigurationError

# Joiners that scripts and emoji need; they change no order and hide nothing.
_NEEDED = {"\u200c", "\u200d"}
_CONTROLS = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(name: str) -> str:
    """The name with each control or direction character as `[U+202E]`; few fonts have pictures."""
    return "".join(_shown(char) for char in name)


def plain(name: str) -> str:
    """A name that is chosen here, if `visible` would leave it as it is."""
    if visible(name) != name:
        raise ConfigurationError(f"The name has characters that are not seen: {visible(name)}.")
    return name


def _shown(char: str) -> str:
    steers = unicodedata.category(char) in _CONTROLS and char not in _NEEDED
    return f"[U+{ord(char):04X}]" if steers else char
