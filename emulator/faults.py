"""Faults that the control endpoint injects: what goes wrong, for which requests, how often.

`app.py` asks for the fault of each request and applies it; nothing here touches the network.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from random import Random, randrange
from typing import Any

from emulator.http import Request, Response, google_error

DRIP_TICK_S = 0.05


class ConnectionCut(Exception):
    """The body is to end here, without the rest that Content-Length promised."""


@dataclass(slots=True)
class Fault:
    """One injected fault. Delays add up; of faults that do more, the first to fire is applied."""

    match: str = ""  # regular expression searched in path?query
    file_id: str = ""  # only requests about this file
    method: str = ""
    status: int = 0  # answer this error instead
    reason: str = "backendError"
    message: str = "Backend Error"
    domain: str = "global"
    retry_after: str = ""
    delay_s: float = 0.0  # before the answer
    cut_after: int = -1  # bytes of the body after which the connection closes
    corrupt: bool = False  # flip bytes of the body; headers and length stay
    drip_bytes_per_s: float = 0.0
    late: bool = False  # with `status`: the request is carried out, only its answer is lost
    taken: int = -1  # of an upload's body only so many bytes arrive, then the connection closes
    corrupt_upload: bool = False  # flip a byte of the body as it arrives
    incomplete_search: bool = False  # files.list answers with items missing and says so
    short_page: bool = False  # files.list gives half of what was asked; legal, and no error
    rate: float = 1.0  # chance that it fires
    seed: int = 0  # of the dice for `rate`
    skip: int = 0  # matching requests that pass first
    count: int = 0  # fires at most so often; 0: no limit
    id: int = 0
    fired: int = 0
    seen: int = 0
    _dice: Random = field(default_factory=Random, repr=False)
    _pattern: re.Pattern[str] = field(default_factory=lambda: re.compile(""), repr=False)

    def __post_init__(self) -> None:
        self._dice = Random(self.seed)
        self._pattern = re.compile(self.match)

    def concerns(self, request: Request) -> bool:
        """True when the request is one of those this fault is about."""
        if self.method and request.method != self.method.upper():
            return False
        if self.file_id and not _is_about(request, self.file_id):
            return False
        return self._pattern.search(request.target) is not None

    def fires(self) -> bool:
        """Throw the dice for one matching request, and count it."""
        self.seen += 1
        if self.seen <= self.skip or (self.count and self.fired >= self.count):
            return False
        if self.rate < 1.0 and self._dice.random() >= self.rate:
            return False
        self.fired += 1
        return True

    def spoil_request(self, request: Request) -> None:
        """What becomes of the request on its way here."""
        request.incomplete = request.incomplete or self.incomplete_search
        request.short_page = request.short_page or self.short_page
        if self.taken >= 0:
            request.taken = self.taken
        if self.corrupt_upload:
            request.body = _flip(request.body)

    def refusal(self) -> Response | None:
        """The error answer, where the fault is one."""
        if not self.status:
            return None
        return google_error(
            self.status,
            self.reason,
            self.message,
            domain=self.domain,
            retry_after=self.retry_after or None,
        )

    @property
    def spoils_body(self) -> bool:
        return self.cuts_answer or self.corrupt or self.drip_bytes_per_s > 0

    @property
    def cuts_answer(self) -> bool:
        return self.cut_after >= 0 or self.taken >= 0

    @property
    def spoils_request(self) -> bool:
        return self.corrupt_upload or self.incomplete_search or self.short_page

    @property
    def only_delays(self) -> bool:
        return not (self.status or self.spoils_body or self.spoils_request)

    def as_json(self) -> dict[str, Any]:
        shown = asdict(self)
        return {key: value for key, value in shown.items() if not key.startswith("_")}


def _is_about(request: Request, file_id: str) -> bool:
    return file_id in request.path.split("/") or file_id in request.query.get("id", ())


class FaultList:
    """The faults in force, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._next_id = 1

    def add(self, settings: dict[str, Any]) -> Fault:
        """Put a fault in force; raises TypeError on an unknown setting, re.error on a bad match."""
        fault = Fault(**settings)
        fault.id = self._next_id
        self._next_id += 1
        self._faults.append(fault)
        return fault

    def pick(self, request: Request) -> list[Fault]:
        """The faults to apply to a request: any that only delay, and the first that does more."""
        picked = []
        for fault in self._faults:
            if fault.concerns(request) and fault.fires():
                picked.append(fault)
                if not fault.only_delays:
                    break
        return picked

    def clear(self, fault_id: int | None = None) -> int:
        """Take one fault, or all, out of force; how many that were."""
        kept = [f for f in self._faults if fault_id is not None and f.id != fault_id]
        gone = len(self._faults) - len(kept)
        self._faults = kept
        return gone

    def __iter__(self) -> Any:
        return iter(self._faults)


async def spoil(chunks: AsyncIterator[bytes], fault: Fault) -> AsyncIterator[bytes]:
    """The body as the fault leaves it; raises ConnectionCut where the connection must close."""
    sent, cut_after = 0, max(fault.cut_after, 0)
    async for whole in chunks:
        chunk = _flip(whole) if fault.corrupt else whole
        if fault.cuts_answer and sent + len(chunk) > cut_after:
            if cut_after > sent:
                yield chunk[: cut_after - sent]
            raise ConnectionCut
        sent += len(chunk)
        if fault.drip_bytes_per_s > 0:
            async for drop in _drip(chunk, fault.drip_bytes_per_s):
                yield drop
        else:
            yield chunk


def _flip(chunk: bytes) -> bytes:
    """Another byte each time: what breaks on its way does not break the same way twice.

    In the middle third, where an upload of several parts has its bytes and not their headers.
    """
    if not chunk:
        return chunk
    spoiled = bytearray(chunk)
    third = len(spoiled) // 3
    spoiled[randrange(third, max(2 * third, third + 1))] ^= randrange(1, 256)
    return bytes(spoiled)


async def _drip(chunk: bytes, bytes_per_s: float) -> AsyncIterator[bytes]:
    step = max(1, int(bytes_per_s * DRIP_TICK_S))
    for start in range(0, len(chunk), step):
        piece = chunk[start : start + step]
        yield piece
        await asyncio.sleep(len(piece) / bytes_per_s)
