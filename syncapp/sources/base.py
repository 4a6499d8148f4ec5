"""The contract of a source: list everything, read one thing. Knows no model and no Django.

A source translates the service's answers into `syncapp.types` and its faults into
`syncapp.errors`. It only ever reads. Instances are used by several threads at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from syncapp.types import (
    AccountInfo,
    ChangePage,
    CheckResult,
    ItemPage,
    JsonObject,
    RemoteFile,
    Watch,
)


@dataclass(frozen=True, slots=True)
class Download:
    """An open read of one file. Iterate `chunks` once; a cut stream has been resumed inside.

    `size` is the number of bytes that will come, None if only the end will tell (exports).
    `content_type` is what the bytes are.
    """

    chunks: Iterator[bytes]
    size: int | None
    content_type: str


class Source(ABC):
    """One service of one account."""

    kind: str

    @abstractmethod
    def account(self) -> AccountInfo:
        """Who this is; one cheap request. Raises ReconnectRequired when consent is gone."""

    @abstractmethod
    def start_cursor(self) -> JsonObject:
        """A position in every change log, taken BEFORE a scan so that nothing falls between.

        Kept when the scan has ended: `changes` goes on from it, and the next scan is given it.
        """

    @abstractmethod
    def scan(self, trusted: JsonObject, after: JsonObject | None = None) -> Iterator[ItemPage]:
        """Everything there is, folders included, in any order, page by page.

        `trusted` is the kept cursor, {} if there is none: where what a translation depends on
        besides the item has changed since, pages are not `trusted`. With `after`, the position
        of a page, the listing goes on behind that. Memory is bounded by two pages. An incomplete
        listing raises TransientError, never ends early: whoever reads to the end has seen
        everything.
        """

    @abstractmethod
    def changes(self, cursor: JsonObject) -> Iterator[ChangePage]:
        """What the change logs tell since `cursor`, in the order in which it is to be written.

        Each page carries the cursor to keep once it is written; reading on from there repeats
        nothing and leaves nothing out. Where nothing changed: one request and one page a log.
        Raises CursorRejected if the service no longer knows the position.
        """

    @abstractmethod
    def below(self, folder: RemoteFile) -> Iterator[ItemPage]:
        """Every item below a folder as it is now, the folder itself aside, page by page.

        For what a change log tells of a folder alone, though it holds for all that lies below.
        """

    @abstractmethod
    def watch(
        self,
        cursor: JsonObject,
        scope: str,
        *,
        channel_id: str,
        token: str,
        address: str,
        ttl_s: int,
    ) -> Watch:
        """Have the service call `address` (HTTPS) whenever the log of `scope` grows.

        `channel_id` (up to 64 characters) is new, `token` (up to 256) comes with each call. The
        service may end the channel before `ttl_s`; PermanentError if it refuses the address.
        """

    @abstractmethod
    def stop_watching(self, channel_id: str, resource_id: str) -> None:
        """Close a channel; one that is closed already is no error."""

    @abstractmethod
    def refresh(self, file: RemoteFile) -> RemoteFile:
        """The file as it is now, one cheap request; NotFound if it is gone.

        For a download that ended in `changed_while_reading`, or whose hash is not the listed one:
        a new `revision` means that the old version can no longer be read.
        """

    @abstractmethod
    def download(self, file: RemoteFile) -> AbstractContextManager[Download]:
        """Open the file's bytes for one read. The file is as a scan gave it.

        Raises PermanentError if the service refuses it, TransientError to try later.
        """

    def read_small(self, file: RemoteFile) -> tuple[bytes, str] | None:
        """The whole of a file of known, small size in one call, with the type of its bytes.

        Cheaper than `download`, raises the same; None if it must be read by that.
        """
        return None

    @abstractmethod
    def check(self) -> list[CheckResult]:
        """What works and what does not, for a person: access, scopes, quota."""
