"""The folder tree of a source, for object keys and messages.

Resolved level by level for a whole batch, and remembered: folders only, a few hundred bytes each.
"""

from __future__ import annotations

from collections.abc import Collection

from syncapp.engine import keys
from syncapp.engine.orphans import ORPHANS
from syncapp.engine.sets import chunks
from syncapp.models import File

_DEEPEST = 200  # Drive allows 100 levels; anything deeper is a loop


class Folders:
    """The folder tree of one source, read as it is needed."""

    def __init__(self, source_id: int) -> None:
        self._source_id = source_id
        self._known: dict[str, tuple[str, str, str]] = {}  # id → parent, component, name

    def load(self, parent_ids: Collection[str]) -> None:
        """Fetch these folders and all above them."""
        wanted = {p for p in parent_ids if p and p not in self._known}
        while wanted:
            for batch in chunks(wanted, 500):
                rows = File.objects.filter(source_id=self._source_id, remote_id__in=batch)
                for remote_id, parent_id, component, name in rows.values_list(
                    "remote_id", "parent_id", "key_name", "name"
                ):
                    self._known[remote_id] = (parent_id, component, name)
            for missing in wanted - self._known.keys():
                above = "" if missing == ORPHANS else ORPHANS
                self._known[missing] = (above, keys.encode(missing), missing)
            wanted = {self._known[w][0] for w in wanted} - self._known.keys() - {""}

    def components(self, parent_id: str) -> list[str]:
        """Key components from the root down to this folder."""
        return [component for _, component, _ in self._chain(parent_id)]

    def path(self, parent_id: str, name: str) -> str:
        """The path as a person knows it, with the names of the source."""
        return "/".join([*(folder for _, _, folder in self._chain(parent_id)), name])

    def _chain(self, parent_id: str) -> list[tuple[str, str, str]]:
        self.load([parent_id])
        chain: list[tuple[str, str, str]] = []
        while parent_id and len(chain) < _DEEPEST:
            chain.append(self._known[parent_id])
            parent_id = self._known[parent_id][0]
        return chain[::-1]
