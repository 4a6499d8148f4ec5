"""Lists that are refused, cut short or out of date: a scan never ends early."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from syncapp.errors import BackupError, ConfigurationError, TransientError
from tests.sources.reading import files_of
from tests.sources.scripted_google import Answer, Seen, as_json, refusal, scripted_google

Lists = Callable[[dict[str, str]], Answer]


def item(item_id: str, **more: Any) -> dict[str, Any]:
    return {
        "id": item_id,
        "name": item_id,
        "mimeType": "text/plain",
        "parents": ["root-id"],
        **more,
    }


def script(lists: Lists, drives: list[str] | None = None) -> Callable[[Seen], Answer]:
    def answer(request: Seen) -> Answer:
        address = urlsplit(request.path)
        if address.path.endswith("/files/root"):
            return as_json({"id": "root-id"})
        if address.path.endswith("/about"):
            return as_json({"exportFormats": {}})
        if address.path.endswith("/drives"):
            return as_json({"drives": [{"id": d, "name": d} for d in drives or []]})
        return lists({name: values[0] for name, values in parse_qs(address.query).items()})

    return answer


def scan(answer: Callable[[Seen], Answer]) -> list[tuple[str, str]]:
    with scripted_google(answer) as google:
        pages = list(google.source().scan({}))
    return [(page.scope, file.remote_id) for page in pages[1:] for file in files_of(page)]


def test_each_shared_drive_is_listed_by_itself_and_once() -> None:
    def lists(query: dict[str, str]) -> Answer:
        if query["corpora"] == "user":
            return as_json({"files": [item("a"), item("b", driveId="d1"), item("c", driveId="x")]})
        assert query["includeItemsFromAllDrives"] == query["supportsAllDrives"] == "true"
        return as_json({"files": [item("b", driveId=query["driveId"]), item(query["driveId"])]})

    assert scan(script(lists, ["d1"])) == [("user", "a"), ("user", "c"), ("d1", "b")]


def test_lists_are_asked_for_flat_unsorted_and_in_full_pages() -> None:
    seen: list[dict[str, str]] = []

    def lists(query: dict[str, str]) -> Answer:
        seen.append(query)
        return as_json({"files": []})

    scan(script(lists))
    assert seen[0]["pageSize"] == "1000"
    assert not seen[0].keys() & {"q", "orderBy"}


def test_short_and_empty_pages_do_not_end_a_list() -> None:
    pages = {"": ([item("a")], "t1"), "t1": ([], "t2"), "t2": ([item("b")], None)}

    def lists(query: dict[str, str]) -> Answer:
        files, token = pages[query.get("pageToken", "")]
        return as_json({"files": files} | ({"nextPageToken": token} if token else {}))

    assert scan(script(lists)) == [("user", "a"), ("user", "b")]


def expired(status: int, reason: str) -> Lists:
    def lists(query: dict[str, str]) -> Answer:
        if "pageToken" in query:
            return refusal(status, reason)
        return as_json({"files": [item("a")], "nextPageToken": "t1"})

    return lists


def repeats(_: dict[str, str]) -> Answer:
    return as_json({"files": [item("a")], "nextPageToken": "always"})


def incomplete(_: dict[str, str]) -> Answer:
    return as_json({"files": [item("a")], "incompleteSearch": True})


def lost_drive(query: dict[str, str]) -> Answer:
    return refusal(404, "notFound") if "driveId" in query else as_json({"files": []})


@pytest.mark.parametrize(
    ("lists", "kind", "code"),
    [
        (incomplete, TransientError, "incomplete_listing"),
        (repeats, TransientError, "incomplete_listing"),
        (lost_drive, TransientError, "incomplete_listing"),
        (expired(400, "invalid"), TransientError, "listing_expired"),
        (expired(403, "someRefusal"), ConfigurationError, "some_refusal"),
        (expired(410, "gone"), TransientError, "listing_expired"),
        (lambda _: refusal(400, "invalid"), ConfigurationError, "invalid"),
    ],
)
def test_list_without_its_end_is_an_error(lists: Lists, kind: type[BackupError], code: str) -> None:
    with pytest.raises(kind) as caught:
        scan(script(lists, ["d1"]))
    assert caught.value.code == code
