"""Whether a name is taken by what is called otherwise: folders that ignore case or Unicode form.

ext4 with `casefold`, APFS, NTFS, vfat and network shares find “readme” where README lies; some
drop what can't be seen, or a dot at the end. Whether a folder does is asked by the name itself,
because a disk that is mounted further down may behave differently from the one above. Pure but
for looking; knows nothing of restores.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator

_UNSEEN = "\u200d"  # ignored by ext4's casefold and HFS+


def is_alias(parent: int, name: str) -> bool:
    """Whether what has this name in the folder is really called otherwise.

    The folder is only listed, which takes as long as it is full, where another spelling leads to
    the same thing. Composed and decomposed letters are the same name here.
    """
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not any(_leads_to(parent, other, found) for other in _spellings(name)):
        return False
    wanted = unicodedata.normalize("NFC", name)
    with os.scandir(parent) as entries:
        return all(unicodedata.normalize("NFC", entry.name) != wanted for entry in entries)


def _leads_to(parent: int, name: str, found: os.stat_result) -> bool:
    try:
        other = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError:  # such a name is too long, or not allowed there
        return False
    return os.path.samestat(found, other)


def _spellings(name: str) -> Iterator[str]:
    """What only a folder that is not exact takes for the same name."""
    others = (
        name.swapcase(),
        name.casefold(),
        unicodedata.normalize("NFC", name),
        unicodedata.normalize("NFD", name),
        f"{name}{_UNSEEN}",
        name.replace(_UNSEEN, ""),
        f"{name}.",
        name.rstrip(". "),
    )
    yield from (other for other in dict.fromkeys(others) if other not in ("", name))
