"""Pages of Drive's lists as they arrive: raw items with their ids and marks, nothing translated.

A million unchanged items cost only what is done here to each, so that is little: an item is a
slice of the answer's bytes, of which the id is read and a hash is taken. Must not end early: a
broken page is an error, never a shorter list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

import msgspec
import orjson
import xxhash

from syncapp.errors import BackupError, Unavailable
from syncapp.sources.drive_formats import FOLDER
from syncapp.sources.drive_items import Tree, clean_json, to_file
from syncapp.sources.google_client import GoogleClient
from syncapp.types import ItemPage

PAGE_SIZE = 1000
_SIGN = 1 << 63

Page = TypeVar("Page")


class Head(msgspec.Struct, rename="camel"):
    """What is read of every item."""

    id: str
    drive_id: str = ""


class _Kind(msgspec.Struct, rename="camel"):
    mime_type: str = ""


class FilePage(msgspec.Struct, rename="camel"):
    """An answer of files.list."""

    files: list[msgspec.Raw] = []
    next_page_token: str = ""
    incomplete_search: bool = False


_read_head = msgspec.json.Decoder(Head).decode
_read_kind = msgspec.json.Decoder(_Kind).decode


def fetch(client: GoogleClient, request: Any, decode: Callable[[bytes], Page], what: str) -> Page:
    """One page, decoded. Raises what GoogleClient.read raises."""
    body = client.read(request, what)
    try:
        try:
            return decode(body)
        except msgspec.DecodeError:  # lone surrogates are the one thing that is mended
            return decode(orjson.dumps(clean_json(json.loads(body))))
    except ValueError as error:
        raise Unavailable(f"Google gave an answer that can't be read for {what}.") from error


def head(raw: msgspec.Raw) -> Head:
    """An item's id and shared drive. Unavailable if it has no id."""
    try:
        return _read_head(raw)
    except msgspec.DecodeError as error:
        raise Unavailable("Google gave an item that can't be read.") from error


def is_folder(raw: msgspec.Raw) -> bool:
    """Whether an item that has a head is a folder."""
    return _read_kind(raw).mime_type == FOLDER


def item_page(
    scope: str, ids: Sequence[str], raws: Sequence[msgspec.Raw], tree: Tree, *, trusted: bool
) -> ItemPage:
    """Items that are translated only when asked for; `ids` and `raws` are parallel."""
    return ItemPage(
        scope,
        ids,
        [mark(raw) for raw in raws],
        lambda i: to_file(msgspec.json.decode(raws[i]), tree),
        trusted,
    )


def mark(raw: msgspec.Raw | bytes) -> int:
    """A signed 64-bit hash of an item's bytes.

    XXH3 (0.06 µs an item; BLAKE2b 1.6): marks tell changes from none, they guard against nobody.
    """
    return xxhash.xxh3_64_intdigest(raw) - _SIGN


def ahead(pages: Iterator[Page]) -> Iterator[Page]:
    """The same pages; while the caller works on one, a thread fetches the next, and no more.

    When the caller stops early, a fetch under way ends by itself and its page is dropped.
    """
    following = _fetching(pages)
    while (page := following.result()) is not None:
        following = _fetching(pages)
        yield page


def _fetching(pages: Iterator[Page]) -> Future[Page | None]:
    """The next page, None at the end. A thread of a pool would keep a process from ending."""
    future: Future[Page | None] = Future()

    def fetch_next() -> None:
        try:
            future.set_result(next(pages, None))
        except BackupError as error:
            future.set_exception(error)
        except BaseException as error:
            future.set_exception(error)  # whoever waits for the page must not do so for ever
            raise

    Thread(target=fetch_next, name="listing", daemon=True).start()
    return future
