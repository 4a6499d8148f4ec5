"""What people do to their Drive meanwhile, by seeded dice; and what each file ever contained."""

from __future__ import annotations

from collections import Counter, defaultdict
from random import Random
from typing import Any

from emulator.control import Control, ControlError

FILES_PER_FOLDER = 200
WEIGHTS = {
    "edit": 6,
    "rename": 4,
    "move": 3,
    "create": 3,
    "delete": 1,
    "trash": 2,
    "untrash": 1,
    "rename_folder": 0.3,
    "forbid": 0.3,
}


class Editor:
    """Edits one account. `ever`: file id → every SHA-256 that it had."""

    def __init__(self, control: Control, files: int, dice: Random) -> None:
        self._control, self._dice = control, dice
        self.files = files
        self._ids = [f"1SynF{n:028d}" for n in range(files)]
        self._folders = [f"1SynD{n:028d}" for n in range(-(-files // FILES_PER_FOLDER))]
        self._trashed: list[str] = []
        self._number = 0
        self.done: Counter[str] = Counter()
        self.ever: dict[str, set[str]] = defaultdict(set)
        for entry in control.manifest():
            self._note(entry)

    def edit(self) -> None:
        """One edit of a random kind."""
        what = self._dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        try:
            self._note(getattr(self, f"_{what}")())
        except ControlError:
            return  # what was to be edited is gone by now, as at Google
        self.done[what] += 1

    def _note(self, entry: dict[str, Any]) -> None:
        if entry.get("sha256"):
            self.ever[entry["id"]].add(entry["sha256"])

    def _one(self) -> str:
        return self._dice.choice(self._ids)

    def _name(self) -> str:
        self._number += 1
        return f"file {self._number} {self._dice.choice(['a', 'Ä', 'x/y', '…'])}.txt"

    def _edit(self) -> dict[str, Any]:
        return self._control.edit(self._one())

    def _rename(self) -> dict[str, Any]:
        # Now and then the name of a sibling.
        twin = f"file {self._dice.randrange(len(self._ids)):07d}.bin"
        return self._control.rename(
            self._one(), twin if self._dice.random() < 0.2 else self._name()
        )

    def _move(self) -> dict[str, Any]:
        return self._control.move(self._one(), self._dice.choice(self._folders))

    def _create(self) -> dict[str, Any]:
        parent = self._dice.choice(self._folders)
        size = self._dice.choice([0, 1, 3000, 3000, 70_000])
        made = self._control.create(self._name(), self._dice.randbytes(size), parents=[parent])
        self._ids.append(made["id"])
        return made

    def _delete(self) -> dict[str, Any]:
        self._control.delete(self._one())
        return {}

    def _trash(self) -> dict[str, Any]:
        chosen = self._one()
        self._trashed.append(chosen)
        return self._control.trash(chosen)

    def _untrash(self) -> dict[str, Any]:
        if not self._trashed:
            return {}
        return self._control.untrash(self._trashed.pop())

    def _rename_folder(self) -> dict[str, Any]:
        self._number += 1
        return self._control.rename(self._dice.choice(self._folders), f"folder {self._number}")

    def _forbid(self) -> dict[str, Any]:
        return self._control.set(self._one(), no_download=True)
