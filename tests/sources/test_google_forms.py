"""Forms and shortcuts as JSON."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from google.oauth2.credentials import Credentials

from syncapp.errors import PermanentError
from syncapp.sources.google_client import GoogleEndpoints
from syncapp.sources.google_drive import DRIVE_SCOPES, GoogleDriveSource
from syncapp.sources.google_forms import RESPONSES_SCOPE
from syncapp.types import Content, RemoteFile
from tests.sources.scripted_google import Answer, Seen, as_json, refusal, scripted_google

FORM = RemoteFile("form1", "", "Poll", "application/vnd.google-apps.form", Content.FORM, "T1")
SHORTCUT = RemoteFile(
    "s1", "", "To Plan", "application/vnd.google-apps.shortcut", Content.SHORTCUT, "T1 t1",
    extra={"target": {"targetId": "t1", "targetMimeType": "text/plain", "targetResourceKey": "k"}},
)  # fmt: skip
QUESTIONS = {"revisionId": "7", "formId": "form1", "info": {"title": "Größe?\ud800"}}
ALL_SCOPES = DRIVE_SCOPES | {RESPONSES_SCOPE}


def forms(responses: Callable[[Seen], Answer]) -> Callable[[Seen], Answer]:
    return lambda r: responses(r) if "/responses" in r.path else as_json(QUESTIONS)


def read(script: Callable[[Seen], Answer], scopes: frozenset[str]) -> bytes:
    with scripted_google(script) as google:
        source = GoogleDriveSource(
            Credentials(token="t"),
            GoogleEndpoints(f"{google.url}/drive/v3/", f"{google.url}/"),
            scopes=scopes,
            pause=[].append,
        )
        with source.download(FORM) as download:
            return b"".join(download.chunks)


def paged(request: Seen) -> Answer:
    assert "pageSize=5000" in request.path
    if "pageToken=p2" in request.path:
        return as_json({"responses": [{"responseId": "c"}]})
    return as_json({"responses": [{"responseId": "a"}, {"responseId": "b"}], "nextPageToken": "p2"})


def test_form_comes_with_all_pages_of_its_responses() -> None:
    document = json.loads(read(forms(paged), ALL_SCOPES))
    assert document["form"]["info"]["title"] == "Größe?\ufffd"
    assert [r["responseId"] for r in document["responses"]] == ["a", "b", "c"]
    assert document["responses_left_out"] is None


def test_unchanged_form_gives_unchanged_bytes() -> None:
    def shuffled(request: Seen) -> Answer:
        if "/responses" in request.path:
            return paged(request)
        return as_json(dict(reversed(QUESTIONS.items())))

    assert read(forms(paged), ALL_SCOPES) == read(shuffled, ALL_SCOPES)


def test_responses_are_left_out_with_the_reason_when_the_scope_was_not_granted() -> None:
    def never(_: Seen) -> Answer:
        raise AssertionError("responses were asked for")

    document = json.loads(read(forms(never), DRIVE_SCOPES))
    assert document["responses"] == []
    assert "forms.responses.readonly" in document["responses_left_out"]


@pytest.mark.parametrize("reason", ["insufficientPermissions", "PERMISSION_DENIED"])
def test_refused_responses_are_left_out_and_the_questions_stay(reason: str) -> None:
    document = json.loads(read(forms(lambda _: refusal(403, reason)), ALL_SCOPES))
    assert document["form"]["formId"] == "form1"
    assert document["responses"] == []
    assert document["responses_left_out"].endswith(".")


def test_form_without_responses_says_nothing_was_left_out() -> None:
    document = json.loads(read(forms(lambda _: as_json({})), ALL_SCOPES))
    assert (document["responses"], document["responses_left_out"]) == ([], None)


@pytest.mark.parametrize(
    ("reason", "code"),
    [("SERVICE_DISABLED", "forms_api_disabled"), ("PERMISSION_DENIED", "permission_denied")],
)
def test_refused_form_is_that_files_failure_and_stops_nothing_else(reason: str, code: str) -> None:
    error: dict[str, Any] = {"code": 403, "message": "No.", "details": [{"reason": reason}]}
    with pytest.raises(PermanentError) as caught:
        read(lambda _: as_json({"error": error}, 403), ALL_SCOPES)
    assert caught.value.code == code


def test_shortcut_is_json_without_any_request() -> None:
    with scripted_google(lambda _: Answer(500)) as google:
        with google.source().download(SHORTCUT) as download:
            data = b"".join(download.chunks)
            assert download.size == len(data)
        assert google.seen == []
    assert json.loads(data) == {
        "kind": "shortcut",
        "name": "To Plan",
        "target_id": "t1",
        "target_mime_type": "text/plain",
        "target_resource_key": "k",
        "dangling": None,
    }


def test_folders_and_unsupported_items_are_refused_with_their_reason() -> None:
    folder = RemoteFile("x", "", "x", "application/vnd.google-apps.folder", Content.FOLDER, "")
    site = RemoteFile(
        "y", "", "y", "application/vnd.google-apps.site", Content.UNSUPPORTED, "",
        problem="not_exportable", problem_message="No export.",
    )  # fmt: skip
    with scripted_google(lambda _: Answer(500)) as google:
        for file in (folder, site):
            with pytest.raises(PermanentError) as caught:
                google.source().download(file)
            assert caught.value.code == "not_exportable"
