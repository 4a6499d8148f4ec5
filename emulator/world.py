"""The whole state of one emulator process: accounts, drives, change logs, faults, counters.

Holds state and finds things in it; answers no request (`drive_*.py` do) and changes no item
(`mutations.py` does).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from emulator.counters import Counters
from emulator.faults import FaultList
from emulator.items import Item, ItemStore, User
from emulator.quota import Quota
from emulator.tokens import TokenStore
from emulator.uploads import UploadSession

FIRST_TOKEN = 1000  # change tokens start here, so that "1" is a rejected one


def now_ms() -> int:
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a change log; it tells what changed, never how: readers see current state."""

    target: str  # a file id, or a drive id when `is_drive`
    time_ms: int
    removed: bool = False
    is_drive: bool = False


@dataclass(slots=True)
class Corpus:
    """What one change log covers: a user's own Drive, or one shared drive.

    The root folder stands apart from the items because no listing shows it.
    """

    root: Item
    items: ItemStore
    drive_id: str | None = None
    log: list[Change] = field(default_factory=list)
    latest: dict[str, int] = field(default_factory=dict)  # target -> place of its last entry

    @property
    def next_token(self) -> int:
        return FIRST_TOKEN + len(self.log)

    def record(self, target: str, *, removed: bool = False, is_drive: bool = False) -> None:
        """Write one entry to the change log; earlier entries of the target no longer show."""
        self.latest[target] = len(self.log)
        self.log.append(Change(target, now_ms(), removed, is_drive))

    def get(self, file_id: str) -> Item | None:
        """The item of that id, the root included."""
        return self.root if file_id == self.root.id else self.items.get(file_id)


@dataclass(slots=True)
class SharedDrive:
    id: str
    name: str
    created_ms: int
    corpus: Corpus


@dataclass(slots=True)
class Account:
    """A Google account that can sign in: its user, its own corpus, the drives it is a member of."""

    user: User
    corpus: Corpus
    drives: dict[str, SharedDrive] = field(default_factory=dict)

    @property
    def sub(self) -> str:
        return self.user.sub

    @property
    def email(self) -> str:
        return self.user.email

    @property
    def name(self) -> str:
        return self.user.name

    @property
    def picture(self) -> str:
        return self.user.picture

    def corpora(self) -> Iterator[Corpus]:
        """The account's own corpus, then each shared drive's."""
        yield self.corpus
        for drive in self.drives.values():
            yield drive.corpus

    def find(self, file_id: str) -> tuple[Corpus, Item] | None:
        """The item of that id (alias `root` included) that the account can see, and its corpus."""
        wanted = self.corpus.root.id if file_id == "root" else file_id
        for corpus in self.corpora():
            item = corpus.get(wanted)
            if item is not None:
                return corpus, item
        return None


@dataclass(frozen=True, slots=True)
class ServedExport:
    """One export body that was served; exports differ each time, so proofs need what was sent."""

    mime_type: str
    size: int
    sha256: str
    via: str  # export, download or exportLinks
    version: int


@dataclass(slots=True)
class DownloadOperation:
    """A files.download under way; done after it was polled often enough."""

    file_id: str
    mime_type: str
    sub: str
    polls_left: int


@dataclass(slots=True)
class Channel:
    """A push channel of changes.watch."""

    id: str
    resource_id: str
    resource_uri: str
    address: str
    token: str
    expiration_ms: int
    sub: str
    corpus: Corpus
    messages: int = 0
    delivered: list[dict[str, Any]] = field(default_factory=list)  # for tests: what was answered
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)


class World:
    """Everything one process serves."""

    def __init__(self, accounts: list[Account], *, units_per_minute: int = 325_000) -> None:
        self.accounts = {account.sub: account for account in accounts}
        self.oauth = TokenStore(self.accounts)
        self.counters = Counters()
        self.faults = FaultList()
        self.quota = Quota(units_per_minute)
        self.page_generation = 0  # raised by the control endpoint: older page tokens are stale
        self.served_exports: dict[str, list[ServedExport]] = {}  # by file id
        self.operations: dict[str, DownloadOperation] = {}
        self.channels: dict[str, Channel] = {}
        self.generated: dict[str, str] = {}  # ids for new files, and to whom they were given
        self.uploads: dict[str, UploadSession] = {}
        self.storage_limits: dict[str, int] = {}  # bytes, by sub; who is not here has room
        self.left_drives: dict[str, SharedDrive] = {}  # taken away, may be given back

    def account_by_email(self, email: str) -> Account | None:
        """The account with that address, or None."""
        for account in self.accounts.values():
            if account.email == email:
                return account
        return None
