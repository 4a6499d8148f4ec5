"""Answers of change logs that the stand-in never gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from syncapp import errors
from syncapp.types import ChangePage, JsonObject
from tests.sources.reading import files_of
from tests.sources.scripted_google import Answer, Seen, as_json, refusal, scripted_google


def replayed(log: Callable[[dict[str, str]], Answer], cursor: JsonObject) -> list[ChangePage]:
    def answer(request: Seen) -> Answer:
        address = urlsplit(request.path)
        if address.path.endswith("/files/root"):
            return as_json({"id": "root-id"})
        if address.path.endswith("/about"):
            return as_json({"exportFormats": {}})
        if address.path.endswith("/drives"):
            return as_json({"drives": [{"id": d, "name": d} for d in cursor["drives"]]})
        return log({name: values[0] for name, values in parse_qs(address.query).items()})

    with scripted_google(answer) as google:
        return list(google.source().changes(cursor))


def file_entry(item_id: str, **more: Any) -> dict[str, Any]:
    item = {"id": item_id, "name": item_id, "mimeType": "text/plain", "parents": ["p"], **more}
    return {"changeType": "file", "fileId": item_id, "removed": False, "file": item}


def user_log(*entries: dict[str, Any]) -> Callable[[dict[str, str]], Answer]:
    def log(query: dict[str, str]) -> Answer:
        told = [] if "driveId" in query else list(entries)
        return as_json({"changes": told, "newStartPageToken": "2"})

    return log


CURSOR = {"user": "1", "drives": {"d1": "1"}, "tree": ""}


def test_logs_are_asked_for_in_full_pages_with_removals_and_items_of_all_drives() -> None:
    seen: list[dict[str, str]] = []

    def log(query: dict[str, str]) -> Answer:
        seen.append(query)
        return as_json({"changes": [], "newStartPageToken": "2"})

    replayed(log, CURSOR)
    for query in seen:
        wanted = ("includeRemoved", "includeItemsFromAllDrives", "supportsAllDrives")
        assert [query[flag] for flag in wanted] == ["true"] * 3
        assert query["pageSize"] == "1000"
    assert [query.get("driveId") for query in seen] == [None, "d1"]


def test_items_of_a_drive_with_its_own_log_are_ignored_in_the_users() -> None:
    log = user_log(file_entry("a"), file_entry("b", driveId="d1"), file_entry("c", driveId="x"))
    pages = replayed(log, CURSOR)
    assert [list(page.items.ids) for page in pages] == [["a", "c"], []]


def test_items_of_other_scopes_are_ignored_in_a_drives_log() -> None:
    def log(query: dict[str, str]) -> Answer:
        own = file_entry("a", driveId="d1")
        told = [own, file_entry("b"), file_entry("d1")] if "driveId" in query else []
        return as_json({"changes": told, "newStartPageToken": "2"})

    assert [list(page.items.ids) for page in replayed(log, CURSOR)] == [[], ["a"]]


def test_root_folder_is_no_item_of_its_log() -> None:
    pages = replayed(user_log(file_entry("root-id"), file_entry("a")), CURSOR)
    assert list(pages[0].items.ids) == ["a"]


def test_of_two_entries_for_one_file_the_later_counts() -> None:
    gone = {"changeType": "file", "fileId": "a", "removed": True}
    page = replayed(user_log(gone, file_entry("a")), CURSOR)[0]
    assert (list(page.items.ids), list(page.removed)) == (["a"], [])
    page = replayed(user_log(file_entry("a"), gone), CURSOR)[0]
    assert (list(page.items.ids), list(page.removed)) == ([], ["a"])


def test_entry_without_a_file_is_no_longer_found() -> None:
    page = replayed(user_log({"changeType": "file", "fileId": "a", "removed": False}), CURSOR)[0]
    assert (list(page.items.ids), list(page.removed)) == ([], ["a"])


@pytest.mark.parametrize(("status", "reason"), [(400, "invalid"), (410, "gone")])
@pytest.mark.parametrize("scope", ["user", "d1"])
def test_refused_position_asks_for_a_scan(status: int, reason: str, scope: str) -> None:
    def log(query: dict[str, str]) -> Answer:
        if query.get("driveId", "user") == scope:
            return refusal(status, reason)
        return as_json({"changes": [], "newStartPageToken": "2"})

    with pytest.raises(errors.CursorRejected):
        replayed(log, CURSOR)


@pytest.mark.parametrize("cursor", [{}, {"drives": {"d1": "1"}}, {"user": "", "drives": {}}])
def test_cursor_without_a_position_asks_for_a_scan(cursor: JsonObject) -> None:
    with pytest.raises(errors.CursorRejected):
        replayed(user_log(), cursor)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "notFound"), (403, "teamDriveMembershipRequired"), (403, "insufficientFilePermissions")],
)
def test_refused_drive_is_left_and_the_others_go_on(status: int, reason: str) -> None:
    def log(query: dict[str, str]) -> Answer:
        if query.get("driveId") == "d1":
            return refusal(status, reason)
        return as_json({"changes": [], "newStartPageToken": "2"})

    pages = replayed(log, {"user": "1", "drives": {"d1": "1", "d2": "1"}, "tree": "t"})
    assert [(page.scope, tuple(page.left)) for page in pages] == [
        ("user", ()), ("d1", ("d1",)), ("d2", ()),
    ]  # fmt: skip
    assert pages[-1].cursor == {"user": "2", "drives": {"d2": "2"}, "tree": "t"}


def test_joined_drive_that_is_refused_is_passed_over() -> None:
    entry = {"changeType": "drive", "driveId": "d2", "removed": False, "drive": {"name": "n"}}

    def log(query: dict[str, str]) -> Answer:
        return refusal(404, "notFound") if query.get("driveId") == "d2" else user_log(entry)(query)

    pages = replayed(log, CURSOR)
    assert pages[-1].cursor["drives"].keys() == {"d1"}


@pytest.mark.parametrize(
    "answer",
    [
        as_json({"changes": []}),
        as_json({"changes": [], "nextPageToken": "1"}),
        Answer(body=b'{"changes": [{"fileId": 1}]}'),
        Answer(body=b'{"changes": ['),
        as_json({"changes": [file_entry("a") | {"file": {"name": "no id"}}], "nextPageToken": "2"}),
    ],
)
def test_log_without_a_readable_end_is_an_error(answer: Answer) -> None:
    with pytest.raises(errors.TransientError) as caught:
        replayed(lambda query: answer, CURSOR)
    assert not isinstance(caught.value, errors.CursorRejected)


def test_account_that_is_refused_as_a_whole_stops_the_source() -> None:
    with pytest.raises(errors.ConfigurationError):
        replayed(lambda query: refusal(403, "someRefusal"), CURSOR)


def test_hash_of_the_translation_is_dropped_once_something_was_translated_otherwise() -> None:
    pages = replayed(user_log(file_entry("a")), {**CURSOR, "tree": "another"})
    assert pages[-1].cursor["tree"] == ""
    pages = replayed(user_log(), {**CURSOR, "tree": "another"})
    assert pages[-1].cursor["tree"] == "another"


def test_renamed_drive_is_told_as_its_folder() -> None:
    def log(query: dict[str, str]) -> Answer:
        if "driveId" in query:
            return as_json({"changes": [], "newStartPageToken": "9"})
        drive = {"id": "d1", "name": "New name"}
        entry = {"changeType": "drive", "driveId": "d1", "removed": False, "drive": drive}
        return as_json({"changes": [entry], "newStartPageToken": "2"})

    pages = replayed(log, {"user": "1", "drives": {"d1": "8"}, "tree": ""})
    assert [(p.scope, [f.name for f in files_of(p.items)]) for p in pages] == [
        ("user", ["New name"]),
        ("user", []),
        ("d1", []),
    ]
