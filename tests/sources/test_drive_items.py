"""From Drive's items to files: places, kinds, revisions, names, problems."""

from typing import Any

import pytest

from syncapp.sources import drive_formats as formats
from syncapp.sources.drive_items import (
    MAX_PERMISSIONS,
    ORPHANS,
    SHARED_DRIVES,
    SHARED_WITH_ME,
    Tree,
    clean,
    synthetic_folders,
    to_file,
)
from syncapp.types import Content

DOCUMENT = f"{formats.GOOGLE_TYPE}document"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
TREE = Tree("root", {"drive-1": "Team"}, {DOCUMENT: [DOCX, "application/pdf"]})


def item(**fields: Any) -> dict[str, Any]:
    return {"id": "a", "name": "a.txt", "mimeType": "text/plain", "ownedByMe": True, **fields}


def test_first_parent_of_several_is_the_parent() -> None:
    assert to_file(item(parents=["p1", "p2"]), TREE).parent_id == "p1"


@pytest.mark.parametrize(
    ("fields", "parent"),
    [
        ({"ownedByMe": True}, ORPHANS),
        ({"ownedByMe": False}, SHARED_WITH_ME),
        ({"driveId": "drive-1", "ownedByMe": False}, "drive-1"),
        ({"driveId": "a drive of others", "ownedByMe": False}, SHARED_WITH_ME),
    ],
)
def test_item_without_parents_goes_under_a_synthetic_root(fields: Any, parent: str) -> None:
    assert to_file(item(**fields), TREE).parent_id == parent


def test_synthetic_folders_hang_together() -> None:
    folders = {f.remote_id: f.parent_id for f in synthetic_folders(TREE)}
    assert folders == {
        "root": "",
        SHARED_WITH_ME: "",
        ORPHANS: "",
        SHARED_DRIVES: "",
        "drive-1": SHARED_DRIVES,
    }


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("a/b\n.. \u202etxt", "a/b\n.. \u202etxt"),
        ("nul\0", "nul\u2400"),
        ("lone \ud800 x", "lone \ufffd x"),
        ("\udfff", "\ufffd"),
        ("pair \ud83d\ude00", "pair 😀"),
        ("\ufeffmark", "\ufeffmark"),
        ("", ""),
    ],
)
def test_names_become_valid_text_and_stay_otherwise(raw: str, kept: str) -> None:
    name = to_file(item(name=raw), TREE).name
    assert name == clean(raw) == kept
    assert name.encode().decode() == name


@pytest.mark.parametrize(
    ("fields", "revision"),
    [
        ({"headRevisionId": "r7", "md5Checksum": "ff"}, "r7"),
        ({"md5Checksum": "ff", "version": "3"}, "ff"),
        (
            {"version": "3", "modifiedTime": "2024-01-01T00:00:00.000Z"},
            "3 2024-01-01T00:00:00.000Z",
        ),
    ],
)
def test_revision_of_a_blob_is_the_surest_thing_known(fields: Any, revision: str) -> None:
    assert to_file(item(**fields), TREE).revision == revision


def test_rename_and_sharing_do_not_change_a_documents_revision() -> None:
    was = item(mimeType=DOCUMENT, modifiedTime="2024-01-01T00:00:00.000Z", version="1")
    renamed = was | {"name": "other", "version": "9", "shared": True}
    assert to_file(was, TREE).revision == to_file(renamed, TREE).revision


def test_document_with_a_size_is_an_export_without_one() -> None:
    file = to_file(item(mimeType=DOCUMENT, size="1024", md5Checksum="ff"), TREE)
    assert (file.content, file.size, file.md5) == (Content.EXPORT, None, None)
    assert (file.extension, file.extra["export_mime"]) == ("docx", DOCX)


def test_next_best_format_is_taken_where_google_does_not_offer_the_wanted_one() -> None:
    tree = Tree("root", {}, {DOCUMENT: ["text/plain", "application/pdf"]})
    assert to_file(item(mimeType=DOCUMENT), tree).extension == "pdf"


def test_type_without_any_offered_format_is_a_stated_problem() -> None:
    tree = Tree("root", {}, {DOCUMENT: ["text/plain"]})
    file = to_file(item(mimeType=DOCUMENT), tree)
    assert (file.content, file.problem) == (Content.UNSUPPORTED, "not_exportable")


@pytest.mark.parametrize("kind", ["site", "map", "jam", "something-new"])
def test_unsupported_types_are_listed_with_a_sentence(kind: str) -> None:
    file = to_file(item(mimeType=f"{formats.GOOGLE_TYPE}{kind}"), TREE)
    assert (file.content, file.problem) == (Content.UNSUPPORTED, "not_exportable")
    assert file.problem_message.endswith(".")


def test_videos_are_exported_though_google_does_not_list_their_format() -> None:
    file = to_file(item(mimeType=formats.VIDEO), TREE)
    assert (file.content, file.extension) == (Content.EXPORT, "mp4")


@pytest.mark.parametrize(("kind", "extension"), [("form", "json"), ("shortcut", "shortcut.json")])
def test_forms_and_shortcuts_become_json(kind: str, extension: str) -> None:
    file = to_file(item(mimeType=f"{formats.GOOGLE_TYPE}{kind}"), TREE)
    assert (file.content, file.extension, file.problem) == (Content(kind), extension, "")


def test_shortcut_is_new_when_it_points_elsewhere() -> None:
    was = item(mimeType=formats.SHORTCUT, shortcutDetails={"targetId": "t1"})
    now = was | {"shortcutDetails": {"targetId": "t2"}}
    assert to_file(was, TREE).revision != to_file(now, TREE).revision


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"mimeType": formats.FOLDER, "capabilities": {"canListChildren": False}},
         "cannot_list_children"),
        ({"capabilities": {"canDownload": False}}, "cannot_download"),
        ({"capabilities": {"canDownload": True, "canListChildren": False}}, ""),
        ({"mimeType": formats.FOLDER, "capabilities": {"canDownload": False}}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_problem_is_stated_only_where_google_says_no(fields: Any, problem: str) -> None:
    file = to_file(item(**fields), TREE)
    assert file.problem == problem
    assert bool(file.problem_message) == bool(problem)


def test_impossible_dates_are_left_out() -> None:
    file = to_file(
        item(createdTime="-0001-01-01T00:00:00Z", modifiedTime="2024-05-06T07:08:09.012Z"), TREE
    )
    assert file.created_at is None
    assert file.modified_at is not None
    assert file.modified_at.isoformat() == "2024-05-06T07:08:09.012000+00:00"


def test_metadata_keeps_what_people_want_and_stays_bounded() -> None:
    file = to_file(
        item(
            description="x" * 100_000,
            properties={"k\0": "v\ud800"},
            starred=True,
            permissions=[{"id": str(n), "role": "reader"} for n in range(MAX_PERMISSIONS + 5)],
            exportLinks={"a": "https://secret"},
            viewedByMeTime="2024-01-01T00:00:00Z",
        ),
        TREE,
    )
    assert file.metadata["starred"] is True
    assert file.metadata["properties"] == {"k\u2400": "v\ufffd"}
    assert len(file.metadata["description"]) < 20_000
    assert len(file.metadata["permissions"]) == MAX_PERMISSIONS
    assert file.metadata["permissions_left_out"] == 5
    assert not file.metadata.keys() & {"exportLinks", "viewedByMeTime"}


def test_resource_key_is_kept_for_the_download() -> None:
    assert to_file(item(resourceKey="0-key"), TREE).extra == {"resource_key": "0-key"}
