"""Typed client of the control endpoint, for tests, the demo and benchmarks.

Standard library only. Raises ControlError with the emulator's own words on a refusal.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any, cast
from urllib.parse import quote

TIMEOUT_S = 120
Json = dict[str, Any]


class ControlError(Exception):
    """The emulator refused a control request."""


class Control:
    """One running emulator, as a test commands it. `account` is an e-mail; "" is the first."""

    def __init__(self, url: str) -> None:
        self._base = url.rstrip("/") + "/_control/"
        # Loopback must be reached directly, whatever proxy the environment names.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    # Reading.

    def accounts(self) -> list[Json]:
        return cast(list[Json], self._call("GET", "accounts")["accounts"])

    def counters(self) -> Json:
        """requests and statuses by kind, units by account, downloads by file id, bytes_served."""
        return self._call("GET", "counters")

    def reset_counters(self) -> None:
        self._call("DELETE", "counters")

    def manifest(self, account: str = "") -> Iterator[Json]:
        """The truth about every item, one at a time, so that a million need no memory."""
        with self._open("GET", f"manifest?account={quote(account)}") as answer:
            for line in answer:
                yield json.loads(line)

    def content(self, file_id: str) -> bytes:
        """The true bytes of a blob, whatever faults are in force."""
        with self._open("GET", f"content/{quote(file_id)}") as answer:
            return cast(bytes, answer.read())

    def channels(self) -> list[Json]:
        return cast(list[Json], self._call("GET", "channels")["channels"])

    # Changing files. Each gives the manifest entry of the item, or {} when it is gone.

    def mutate(self, op: str, *, account: str = "", **said: Any) -> Json:
        """Any operation of `mutations.py`; bytes as `content` are sent as they are."""
        content = said.get("content")
        if isinstance(content, bytes):
            del said["content"]
            said["content_base64"] = base64.b64encode(content).decode()
        body = {"op": op, "account": account, **said}
        return cast(Json, self._call("POST", "mutate", body)["item"] or {})

    def create(self, name: str, content: bytes | None = None, **said: Any) -> Json:
        """A file (bytes, or `size` to generate) or a folder (neither); `parents`, `mime_type`."""
        if content is not None:
            said["content"] = content
        return self.mutate("create", name=name, **said)

    def edit(self, file_id: str, content: bytes | None = None, **said: Any) -> Json:
        """New content: these bytes, or as many generated ones as before."""
        if content is not None:
            said["content"] = content
        return self.mutate("edit", id=file_id, **said)

    def rename(self, file_id: str, name: str, *, account: str = "") -> Json:
        return self.mutate("rename", id=file_id, name=name, account=account)

    def move(self, file_id: str, parent: str, *, account: str = "") -> Json:
        return self.mutate("move", id=file_id, parent=parent, account=account)

    def trash(self, file_id: str, *, account: str = "") -> Json:
        return self.mutate("trash", id=file_id, account=account)

    def untrash(self, file_id: str, *, account: str = "") -> Json:
        return self.mutate("untrash", id=file_id, account=account)

    def delete(self, file_id: str, *, account: str = "") -> None:
        self.mutate("delete", id=file_id, account=account)

    def lose_access(self, file_id: str, *, account: str = "") -> None:
        self.mutate("lose_access", id=file_id, account=account)

    def set(self, file_id: str, *, account: str = "", **attributes: Any) -> Json:
        """Attributes of an item (description, starred, …) or refusals (no_download, abusive, …)."""
        return self.mutate("set", id=file_id, account=account, set=attributes)

    # Breaking things.

    def add_fault(self, match: str = "", **settings: Any) -> int:
        """Put a fault in force (settings: `faults.Fault`); its id."""
        return int(self._call("POST", "faults", {"match": match, **settings})["id"])

    def faults(self) -> list[Json]:
        return cast(list[Json], self._call("GET", "faults")["faults"])

    def clear_faults(self, fault_id: int | None = None) -> None:
        self._call("DELETE", "faults" if fault_id is None else f"faults?id={fault_id}")

    def stale_page_tokens(self) -> None:
        """Every page token of files.list given out so far is rejected from now on."""
        self._call("POST", "page-tokens/stale")

    def set_quota(self, units_per_minute: int) -> None:
        """Units a minute and user; 0 means no limit."""
        self._call("POST", "quota", {"units_per_minute": units_per_minute})

    def set_storage(self, limit: int | None, *, account: str = "") -> None:
        """How many bytes the account may hold; None: as many as it likes."""
        self._call("POST", "storage", {"account": account, "limit": limit})

    def expire_uploads(self) -> None:
        """Every resumable upload under way is forgotten, as after a week."""
        self._call("POST", "uploads/expire")

    # Tokens.

    def token(self, account: str = "", scopes: Sequence[str] = ()) -> Json:
        """A grant without the consent page: access_token, refresh_token, scope, expires_in."""
        return self._call("POST", "tokens", {"account": account, "scopes": list(scopes)})

    def expire_tokens(self, account: str = "") -> None:
        self._call("POST", "tokens/expire", {"account": account})

    def revoke_tokens(self, account: str = "") -> None:
        self._call("POST", "tokens/revoke", {"account": account})

    def refuse_refresh(
        self, account: str = "", error: str = "invalid_grant", description: str = ""
    ) -> None:
        """Answer refreshes with this error; no description: Google's words for a dead token."""
        said = {"account": account, "error": error}
        said |= {"description": description} if description else {}
        self._call("POST", "tokens/refuse", said)

    def allow_refresh(self, account: str = "") -> None:
        self._call("POST", "tokens/allow", {"account": account})

    def set_lifetimes(self, **seconds: float | None) -> None:
        """access_s, refresh_s: how long tokens issued from now on live."""
        self._call("POST", "lifetimes", dict(seconds))

    def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        with self._open(method, path, body) as answer:
            return cast(Json, json.load(answer))

    def _open(self, method: str, path: str, body: Json | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, method=method)  # noqa: S310
        try:
            return self._opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            raise ControlError(f"{method} {path}: {error.code} {error.read().decode()}") from error
