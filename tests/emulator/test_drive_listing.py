"""files.list of the stand-in: pages, masks, queries and corpora, as a client meets them."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.emulator.calling import AUTH, EVERYWHERE, Drive, reason
from tests.servers.emulator import RunningEmulator

FOLDER = "application/vnd.google-apps.folder"


@pytest.fixture
def drive(google: RunningEmulator) -> Drive:
    return Drive(google)


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_pages_of_any_size_bring_every_file_once(drive: Drive, size: int) -> None:
    query = "'root' in parents" if size == 1 else ""
    pages = drive.pages(q=query, pageSize=size, fields="nextPageToken,files(id)")
    ids = [file["id"] for page in pages for file in page["files"]]
    assert all(len(page["files"]) == size for page in pages[:-1])
    assert len(ids) == len(set(ids))
    own = [e for e in drive.google.control.manifest() if e["drive_id"] is None]
    if not query:
        assert set(ids) == {e["id"] for e in own}


def test_the_default_page_holds_100(drive: Drive) -> None:
    assert len(drive.get("files").json()["files"]) == 100


@pytest.mark.parametrize("size", ["0", "1001", "-1", "many"])
def test_a_page_size_out_of_range_is_refused(drive: Drive, size: str) -> None:
    assert reason(drive.get("files", pageSize=size)) == (400, "invalidParameter")


@pytest.mark.parametrize("token", ["nonsense", "~!!~bm8=", "5"])
def test_a_made_up_page_token_is_refused(drive: Drive, token: str) -> None:
    assert reason(drive.get("files", pageToken=token)) == (400, "invalid")


def test_a_page_token_holds_for_its_own_search_only(drive: Drive) -> None:
    token = drive.get("files", pageSize=5).json()["nextPageToken"]
    assert drive.get("files", pageSize=5, pageToken=token).status_code == 200
    other = drive.get("files", pageSize=5, pageToken=token, q="trashed=true")
    assert reason(other) == (400, "invalid")


def test_a_page_token_goes_stale_on_request_and_a_new_list_works(drive: Drive) -> None:
    token = drive.get("files", pageSize=5).json()["nextPageToken"]
    drive.google.control.stale_page_tokens()
    refused = drive.get("files", pageSize=5, pageToken=token)
    assert reason(refused) == (400, "invalid")
    assert refused.json()["error"]["errors"][0]["location"] == "pageToken"
    assert len(drive.listed(pageSize=1000)) > 300


def test_without_a_mask_only_the_few_default_fields_come(drive: Drive) -> None:
    keys = {key for file in drive.listed(pageSize=1000) for key in file}
    assert keys == {"kind", "id", "name", "mimeType", "resourceKey"}


def test_a_mask_reaches_into_members(drive: Drive) -> None:
    answer = drive.get("files", fields="files(id,owners(emailAddress),capabilities/canDownload)")
    body = answer.json()
    assert set(body) == {"files"}
    first = body["files"][0]
    assert set(first) == {"id", "owners", "capabilities"}
    assert first["owners"] == [{"emailAddress": "ada.lovelace@example.com"}]
    assert set(first["capabilities"]) == {"canDownload"}


def test_a_star_brings_every_field(drive: Drive) -> None:
    starred = drive.get("files", fields="*", q="name='Letter.docx'").json()
    assert starred["kind"] == "drive#fileList"
    assert {"md5Checksum", "capabilities", "owners", "version"} <= set(starred["files"][0])


@pytest.mark.parametrize("mask", ["files(nosuchfield)", "files(id", "files(id))", "files(,id)"])
def test_a_bad_mask_is_refused(drive: Drive, mask: str) -> None:
    assert reason(drive.get("files", fields=mask)) == (400, "invalidParameter")


def test_the_root_answers_to_its_alias_and_is_never_listed(drive: Drive) -> None:
    root = drive.get("files/root", fields="id,name,mimeType,parents").json()
    assert (root["name"], root["mimeType"]) == ("My Drive", FOLDER)
    assert "parents" not in root
    assert root["id"] not in {file["id"] for file in drive.listed(pageSize=1000)}
    by_alias = drive.names("'root' in parents")
    assert by_alias == drive.names(f"'{root['id']}' in parents")
    assert "Documents" in by_alias


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name = 'Letter.docx'", ["Letter.docx"]),
        ("name = 'LETTER.DOCX'", ["Letter.docx"]),
        ("name = 'quote\\'s.txt'", ["quote's.txt"]),
        ("name = 'back\\\\slash.txt'", ["back\\slash.txt"]),
        ("name contains 'Stubb'", ["Stubborn deck"]),
        ("name contains 'tubborn'", []),
        ("starred = true", ["rich metadata.txt"]),
        ("starred", ["rich metadata.txt"]),
        ("mimeType = 'application/vnd.google-apps.script'", ["Automation"]),
        ("modifiedTime > '2038-01-01T00:00:00'", ["of 2040.txt"]),
        ("modifiedTime <= '1970-01-01T00:00:01Z'", ["of 1970.txt"]),
        ("(name='Clip' or name='Walks') and not mimeType contains 'text'", ["Clip", "Walks"]),
        ("name='Clip' and trashed=true", []),
        ("name = 'thrown away.txt' and trashed = true", ["thrown away.txt"]),
        ("name='nothing' or name='Clip' and trashed=false", ["Clip"]),
    ],
)
def test_a_query_keeps_what_it_says(drive: Drive, query: str, expected: list[str]) -> None:
    assert drive.names(query) == expected


@pytest.mark.parametrize(
    "query",
    ["name", "name = ", "name = unquoted", "nosuchterm = 'x'", "name = 'x' and", "(name = 'x'",
     "name = 'x')", "'x' in nowhere", "modifiedTime > 'yesterday'", "name < 'a'", "name = 'open"],
)  # fmt: skip
def test_a_query_that_cannot_be_read_is_refused_not_ignored(drive: Drive, query: str) -> None:
    answer = drive.get("files", q=query)
    assert reason(answer) == (400, "invalid")
    assert answer.json()["error"]["errors"][0]["location"] == "q"


def test_not_equal_splits_the_list_in_two(drive: Drive) -> None:
    folders = drive.names(f"mimeType = '{FOLDER}'")
    others = drive.names(f"mimeType != '{FOLDER}'")
    assert len(folders) + len(others) == len(drive.listed(pageSize=1000))
    assert len(folders) > 50


def test_several_parents_in_one_query_bring_each_child_once(drive: Drive) -> None:
    edge, second = drive.named("Edge cases")["id"], drive.named("Second parent")["id"]
    names = drive.names(f"trashed=false and ('{edge}' in parents or '{second}' in parents)")
    assert names.count("in two folders.txt") == 1
    assert "one byte.bin" in names


def test_trashed_files_are_listed_unless_asked_otherwise(drive: Drive) -> None:
    everything = Counter(drive.names(""))
    kept = Counter(drive.names("trashed = false"))
    gone = Counter(drive.names("trashed = true"))
    assert everything == kept + gone
    assert set(gone) == {"thrown away.txt", "Thrown away folder", "thrown away with it.txt"}


def test_only_the_thrown_away_item_itself_is_explicitly_trashed(drive: Drive) -> None:
    found = drive.listed(q="trashed=true", fields="files(name,explicitlyTrashed)")
    explicit = {file["name"] for file in found if file["explicitlyTrashed"]}
    assert explicit == {"thrown away.txt", "Thrown away folder"}


def test_shared_with_me_has_no_parents_but_what_is_inside_has(drive: Drive) -> None:
    shared = drive.listed(q="sharedWithMe = true", fields="files(name,parents,ownedByMe,owners)")
    assert len(shared) == 8
    assert all("parents" not in file and not file["ownedByMe"] for file in shared)
    inside = drive.named("in the shared folder 1.txt", "parents")
    assert inside["parents"] == [drive.named("Folder shared with me")["id"]]


def test_an_orphan_is_mine_and_has_no_parents(drive: Drive) -> None:
    orphan = drive.named("orphan.txt", "parents,ownedByMe")
    assert orphan["ownedByMe"]
    assert "parents" not in orphan


def test_a_shared_drive_is_listed_by_its_id_only_with_both_flags(drive: Drive) -> None:
    shared = drive.get("drives").json()["drives"][0]
    query = {"corpora": "drive", "driveId": shared["id"], "fields": "files(driveId,owners,shared)"}
    found = drive.listed(pageSize=1000, **query, **EVERYWHERE)
    assert len(found) == 25
    assert all(file == {"driveId": shared["id"]} for file in found)
    assert drive.get("files", **query).status_code == 400
    unknown = drive.get("files", corpora="drive", driveId="0Anone", **EVERYWHERE)
    assert reason(unknown) == (404, "notFound")


def test_all_drives_is_the_sum_of_the_corpora(drive: Drive) -> None:
    mine = drive.names("")
    everything = drive.names("", corpora="allDrives", **EVERYWHERE)
    assert len(everything) == len(mine) + 25
    assert drive.get("files", corpora="allDrives").status_code == 400


def test_an_empty_shared_drive_lists_nothing(drive: Drive) -> None:
    empty = drive.get("drives").json()["drives"][1]
    assert empty["name"] == "Empty shared drive"
    assert drive.names("", corpora="drive", driveId=empty["id"], **EVERYWHERE) == []


def test_an_incomplete_search_says_so_and_misses_files(drive: Drive) -> None:
    whole = len(drive.listed(pageSize=1000))
    drive.google.control.add_fault("drive/v3/files\\?", incomplete_search=True, count=1)
    first = drive.get("files", pageSize=1000).json()
    assert first["incompleteSearch"] is True
    assert len(first["files"]) < whole
    assert drive.get("files", pageSize=1000).json()["incompleteSearch"] is False


def test_short_pages_still_bring_every_file(drive: Drive) -> None:
    whole = [file["id"] for file in drive.listed(pageSize=100)]
    drive.google.control.add_fault("drive/v3/files\\?", short_page=True, rate=0.5)
    pages = drive.pages(pageSize=100)
    assert min(len(page["files"]) for page in pages[:-1]) == 50
    assert [file["id"] for page in pages for file in page["files"]] == whole


def test_a_folder_that_cannot_be_listed_says_so(drive: Drive) -> None:
    folder = drive.named("Cannot be listed", "id,capabilities(canListChildren)")
    assert folder["capabilities"] == {"canListChildren": False}
    assert drive.names(f"'{folder['id']}' in parents") == []


def test_metadata_scope_lists_and_another_scope_does_not(google: RunningEmulator) -> None:
    reader = Drive(google, "", AUTH + "drive.metadata.readonly")
    assert reader.get("files").status_code == 200
    stranger = Drive(google, "", AUTH + "calendar")
    answer = stranger.get("files")
    assert reason(answer) == (403, "insufficientPermissions")
    details = answer.json()["error"]["details"]
    assert details[0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"


@pytest.mark.parametrize("header", ["", "Bearer nonsense", "Basic YTpi"])
def test_without_a_live_token_the_answer_is_auth_error(drive: Drive, header: str) -> None:
    answer = drive.get("files", {"Authorization": header})
    assert reason(answer) == (401, "authError")


def test_the_second_account_sees_only_its_own(google: RunningEmulator, drive: Drive) -> None:
    grace = Drive(google, "grace.hopper@example.com")
    names = grace.names("")
    assert "A document of Grace" in names
    assert len(names) == 11
    assert grace.get("drives").json()["drives"] == []
    mine = drive.named("Letter.docx")["id"]
    assert reason(grace.get(f"files/{mine}")) == (404, "notFound")
