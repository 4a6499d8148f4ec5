"""The folders of one source: object key components and paths for people, each looked up once.

RECONSTRUCTED from its callers (jobs, settle) after the original was overwritten by mistake; its
author may replace it whole. Memory is bounded: the known folders are forgotten when there are many.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from syncapp.engine.sets import chunks
from syncapp.models import File
from syncapp.types import Content

MOST_KNOWN = 100_000
MOST_LEVELS = 100  # what Drive allows; also the end of a loop of folders, should there be one
_IDS_PER_QUERY = 500


class _Folder(NamedTuple):
    parent_id: str
    name: str
    key_name: str


class Folders:
    """Of one source; used by one thread."""

    def __init__(self, source_id: int) -> None:
        self._source_id = source_id
        self._known: dict[str, _Folder] = {}

    def load(self, remote_ids: Collection[str]) -> None:
        """Look up these folders and all above them: one query a level, none for what is known."""
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        wanted = {remote_id for remote_id in remote_ids if remote_id}
        for _ in range(MOST_LEVELS):
            self._fetch(wanted - self._known.keys())
            above = {self._known[r].parent_id for r in wanted if r in self._known}
            wanted = above - {""}
            if not wanted:
                return

    def components(self, remote_id: str) -> list[str]:
        """The key components from the outermost folder down to this one."""
        return [folder.key_name for folder in self._above(remote_id)][::-1]

    def path(self, parent_id: str, name: str) -> str:
        """A path for people: the names of the folders and the file's own."""
        names = [folder.name for folder in self._above(parent_id)][::-1]
        return "/".join([*names, name])

    def _above(self, remote_id: str) -> Iterator[_Folder]:
        for _ in range(MOST_LEVELS):
            if remote_id and remote_id not in self._known:
                self.load([remote_id])
            folder = self._known.get(remote_id)
            if folder is None:
                return
            yield folder
            remote_id = folder.parent_id

    def _fetch(self, remote_ids: Collection[str]) -> None:
        folders = File.objects.filter(source_id=self._source_id, content=Content.FOLDER)
        for batch in chunks(remote_ids, _IDS_PER_QUERY):
            rows = folders.filter(remote_id__in=batch)
            for remote_id, *rest in rows.values_list("remote_id", "parent_id", "name", "key_name"):
                self._known[remote_id] = _Folder(*rest)
