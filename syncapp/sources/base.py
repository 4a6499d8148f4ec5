"""The contract of a source: list everything, read one thing. Knows no model and no Django.

A source translates the service's answers into `syncapp.types` and its faults into
`syncapp.errors`. It only ever reads. Instances are used by several threads at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from syncapp.types import AccountInfo, CheckResult, JsonObject, RemoteFile, ScanPage


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
        """A position in every change log, taken BEFORE a scan so that nothing falls between."""

    @abstractmethod
    def scan(self) -> Iterator[ScanPage]:
        """Everything there is, folders included, in any order, page by page.

        Memory is bounded by one page. An incomplete listing raises TransientError, never
        ends early: whoever reads to the end has seen everything.
        """

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

    @abstractmethod
    def check(self) -> list[CheckResult]:
        """What works and what does not, for a person: access, scopes, quota."""
