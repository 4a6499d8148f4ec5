"""What goes wrong, by seeded dice: at Google, at the stores, in the database, to the workers.

Every class of answers in Google's error tables is among them but one: an ended consent, which only
a person can give again.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from random import Random
from threading import Thread

from tests.chaos.servers import Servers
from tests.servers.workers import Workers

MEDIA = "alt=media"
LIST = "/drive/v3/(files|changes)\\?"
OUTAGE_S = (0.5, 2.5)
# (name, requests, the fault's settings): a few requests each, then it is over.
GOOGLE = (
    ("rate_limit", MEDIA, {"status": 403, "reason": "rateLimitExceeded"}),
    ("user_rate_limit", MEDIA, {"status": 403, "reason": "userRateLimitExceeded"}),
    ("too_many", MEDIA, {"status": 429, "reason": "rateLimitExceeded", "retry_after": "1"}),
    ("list_rate_limit", LIST, {"status": 403, "reason": "userRateLimitExceeded"}),
    ("error_500", "/drive/v3/", {"status": 500}),
    ("error_502", MEDIA, {"status": 502}),
    ("error_503", "/drive/v3/", {"status": 503}),
    ("error_504", MEDIA, {"status": 504}),
    ("cut", MEDIA, {"cut_after": 2000}),
    ("cut_at_once", "/drive/v3/", {"cut_after": 0}),
    ("corrupt", MEDIA, {"corrupt": True}),
    ("slow", "/drive/v3/", {"delay_s": 0.7}),
    ("drip", MEDIA, {"drip_bytes_per_s": 20_000}),
    ("file_quota", MEDIA, {"status": 403, "reason": "downloadQuotaExceeded"}),
    ("day_limit", MEDIA, {"status": 403, "reason": "dailyLimitExceeded", "count": 1}),
    ("token_refused", "/drive/v3/", {"status": 401, "reason": "authError", "count": 1}),
    ("incomplete", "/drive/v3/files\\?", {"incomplete_search": True, "count": 1}),
    ("short_page", "/drive/v3/files\\?", {"short_page": True}),
)


class Troubles:
    """Makes trouble; `over` ends all of it."""

    def __init__(self, servers: Servers, dice: Random) -> None:
        self._servers, self._dice = servers, dice
        self._outage: tuple[float, Callable[[], object]] | None = None  # when and how it ends
        self._lock: Thread | None = None
        self.made: Counter[str] = Counter()
        kinds: dict[Callable[[Workers], str], float] = {
            self._at_google: 6,
            self._tokens_expire: 0.7,
            self._page_tokens_stale: 0.5,
            self._sink_misbehaves: 2,
            self._store_goes: 1,
            self._database: 0.8,
            self._kill_worker: 1.5,
            self._kill_anything: 1,
        }
        self._kinds, self._weights = list(kinds), list(kinds.values())

    def make(self, workers: Workers) -> None:
        """One trouble of a random kind."""
        self.made[self._dice.choices(self._kinds, self._weights)[0](workers)] += 1

    def go_on(self) -> None:
        """End an outage whose time is over. To be called often, by the thread that makes trouble:
        a server dies with the thread that started it."""
        if self._outage is not None and time.monotonic() >= self._outage[0]:
            self._outage[1]()
            self._outage = None

    def over(self) -> None:
        """Nothing goes wrong from now on."""
        while self._outage is not None:
            self.go_on()
            time.sleep(0.05)
        if self._lock is not None:
            self._lock.join()
        self._servers.google.control.clear_faults()
        self._servers.sink.faults()

    def _at_google(self, _: Workers) -> str:
        name, match, settings = self._dice.choice(GOOGLE)
        count = self._dice.randint(1, 12)
        self._servers.google.control.add_fault(match, **{"count": count, **settings})
        return name

    def _tokens_expire(self, _: Workers) -> str:
        self._servers.google.control.expire_tokens()
        return "tokens_expire"

    def _page_tokens_stale(self, _: Workers) -> str:
        self._servers.google.control.stale_page_tokens()
        return "page_tokens_stale"

    def _sink_misbehaves(self, _: Workers) -> str:
        names = ["corrupt_put", "rot", "corrupt_get", "errors", "cut"]
        wrong = {name: self._dice.choice([0, 0.01, 0.05]) for name in names}
        delay_s = self._dice.choice([0, 0, 0.1])
        if self._outage is None:  # else it may not be there to hear
            self._servers.sink.faults(**wrong, delay_s=delay_s, seed=self._dice.random())
        return "sink_misbehaves"

    def _store_goes(self, _: Workers) -> str:
        disk = self._dice.random() < 0.5
        store = self._servers.disk if disk else self._servers.sink
        return self._begin(store.stop, store.start, "disk_gone" if disk else "sink_gone")

    def _database(self, _: Workers) -> str:
        postgres = self._servers.postgres
        if postgres is not None:
            return self._begin(postgres.stop, postgres.start, "database_restart")
        if self._lock is not None and self._lock.is_alive():
            return "none"
        self._lock = Thread(target=self._hold_lock, args=[self._dice.uniform(*OUTAGE_S)])
        self._lock.start()
        return "database_locked"

    def _hold_lock(self, seconds: float) -> None:
        """Have SQLite's write lock; a thread, because this process writes too."""
        holder = sqlite3.connect(self._servers.folder / "chaos.sqlite3", isolation_level=None)
        with closing(holder), suppress(sqlite3.OperationalError):  # the workers were quicker
            holder.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)

    def _begin(self, begin: Callable[[], object], end: Callable[[], object], name: str) -> str:
        """An outage; one at a time."""
        if self._outage is not None:
            return "none"
        begin()
        self._outage = (time.monotonic() + self._dice.uniform(*OUTAGE_S), end)
        return name

    def _kill_worker(self, workers: Workers) -> str:
        return "kill_worker" if workers.kill_one(self._dice) else "none"

    def _kill_anything(self, workers: Workers) -> str:
        if self._dice.random() < 0.2:
            workers.supervisor.kill()
            return "kill_supervisor"
        return "kill_any" if workers.kill_one(self._dice, anything=True) else "none"
