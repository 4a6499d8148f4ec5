"""Forms over HTTP: scopes, paging, filters, and content that Google's schemas allow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build

from emulator import form_content
from emulator.forms import FORM
from emulator.items import Item
from emulator.world import World
from tests.emulator.consent_pages import AUTH, DRIVE, FORMS
from tests.emulator.discovery import document, problems
from tests.emulator.serving import Serving, empty_account, serving

CREATED_MS = 1_772_359_200_000
BOTH = (DRIVE, FORMS)


def form_with(count: int, *, quiz: bool = True) -> Item:
    """The first Form, by id, that has that many responses and is (not) a quiz."""
    for number in range(100_000):
        item = Item(f"1Form{number:039d}", "Survey </title>", FORM, created_ms=CREATED_MS)
        if form_content.response_count(item) == count and form_content.is_quiz(item) == quiz:
            return item
    raise AssertionError(f"no form with {count} responses")


MANY, NONE, PLAIN = form_with(25), form_with(0), form_with(7, quiz=False)


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    ada, bob = empty_account("1", "Ada", "ada@x.org"), empty_account("2", "Bob", "bob@x.org")
    for item in (MANY, NONE, PLAIN, Item("1Text", "notes", "text/plain")):
        ada.corpus.items.add(item)
    with serving(World([ada, bob])) as running:
        yield running


class Caller:
    """Calls the API with a token of some scopes."""

    def __init__(self, served: Serving, sub: str = "1", scopes: tuple[str, ...] = BOTH) -> None:
        self.url = served.url + "/v1/forms/"
        self.token = served.world.oauth.issue(sub, scopes)["access_token"]

    def get(self, path: str, **query: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.get(self.url + path, params=query, headers=headers, timeout=10)

    def responses(self, form: Item, **query: Any) -> list[dict[str, Any]]:
        """All pages."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(f"{form.id}/responses", **query).json()
            found += page.get("responses", [])
            if "nextPageToken" not in page:
                return found
            query["pageToken"] = page["nextPageToken"]


@pytest.fixture
def caller(served: Serving) -> Caller:
    return Caller(served)


def assert_refused(response: requests.Response, code: int, status: str) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert (response.status_code, error["code"], error["status"]) == (code, code, status)
    assert "errors" not in error  # that list is Drive's, not Forms'
    return error


@pytest.mark.parametrize("form", [MANY, NONE, PLAIN], ids=["many", "none", "plain"])
def test_a_form_and_its_responses_follow_googles_schemas(caller: Caller, form: Item) -> None:
    assert problems("forms.v1", "Form", caller.get(form.id).json()) == []
    for response in caller.responses(form):
        assert problems("forms.v1", "FormResponse", response) == []
        assert "formId" not in response  # so documented for list


def test_a_form_holds_every_kind_of_item_and_question(caller: Caller) -> None:
    schemas = document("forms.v1")["schemas"]
    items = caller.get(MANY.id).json()["items"]
    kinds = {kind for item in items for kind in item if kind.endswith("Item")}
    assert kinds == {kind for kind in schemas["Item"]["properties"] if kind.endswith("Item")}
    questions = [item["questionItem"]["question"] for item in items if "questionItem" in item]
    for group in (item["questionGroupItem"] for item in items if "questionGroupItem" in item):
        questions += group["questions"]
    asked = {kind for question in questions for kind in question if kind.endswith("Question")}
    known = {kind for kind in schemas["Question"]["properties"] if kind.endswith("Question")}
    assert asked == known


def test_answers_belong_to_questions_of_the_form(caller: Caller) -> None:
    text = caller.get(MANY.id).text
    responses = caller.responses(MANY)
    assert all(key in text for response in responses for key in response["answers"])
    assert any("fileUploadAnswers" in a for r in responses for a in r["answers"].values())
    assert {"grade"} <= {key for r in responses for a in r["answers"].values() for key in a}


def test_pages_bring_every_response_once_and_in_order(caller: Caller) -> None:
    everything = caller.responses(MANY)
    assert len(everything) == 25
    assert caller.responses(MANY, pageSize=10) == everything
    assert len({response["responseId"] for response in everything}) == 25


def test_a_form_without_responses_answers_an_empty_object(caller: Caller) -> None:
    assert caller.get(f"{NONE.id}/responses").json() == {}


def test_the_timestamp_filter_is_exact_at_its_limit(caller: Caller) -> None:
    limit = caller.responses(MANY)[9]["lastSubmittedTime"]
    assert len(caller.responses(MANY, filter=f"timestamp > {limit}", pageSize=4)) == 15
    assert len(caller.responses(MANY, filter=f"timestamp >= {limit}", pageSize=4)) == 16
    nanoseconds = limit.replace("Z", "000000Z")
    assert len(caller.responses(MANY, filter=f"timestamp >= {nanoseconds}")) == 16


@pytest.mark.parametrize(
    "query",
    [
        {"filter": "respondent = me"},
        {"filter": "timestamp > yesterdayZ"},
        {"pageSize": "-1"},
        {"pageToken": "nonsense"},
        {"pageToken": "5"},
    ],
)
def test_a_bad_parameter_is_an_invalid_argument(caller: Caller, query: dict[str, str]) -> None:
    assert_refused(caller.get(f"{MANY.id}/responses", **query), 400, "INVALID_ARGUMENT")


def test_a_page_token_holds_for_its_form_and_filter_only(caller: Caller) -> None:
    token = caller.get(f"{MANY.id}/responses", pageSize=5).json()["nextPageToken"]
    other = caller.get(f"{PLAIN.id}/responses", pageSize=5, pageToken=token)
    assert_refused(other, 400, "INVALID_ARGUMENT")
    filtered = caller.get(
        f"{MANY.id}/responses", pageToken=token, filter="timestamp > 2020-01-01T00:00:00Z"
    )
    assert_refused(filtered, 400, "INVALID_ARGUMENT")


def test_one_response_is_read_by_its_id_with_its_form(caller: Caller) -> None:
    listed = caller.responses(MANY)[3]
    one = caller.get(f"{MANY.id}/responses/{listed['responseId']}").json()
    assert one == listed | {"formId": MANY.id}
    assert_refused(caller.get(f"{MANY.id}/responses/none"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("scopes", "form_status", "responses_status"),
    [
        ((DRIVE,), 200, 403),
        ((FORMS,), 403, 200),
        ((AUTH + "forms.body.readonly",), 200, 403),
        ((AUTH + "drive",), 200, 200),
        ((AUTH + "drive.metadata.readonly",), 403, 403),
    ],
)
def test_each_method_accepts_the_scopes_of_the_discovery_document(
    served: Serving, scopes: tuple[str, ...], form_status: int, responses_status: int
) -> None:
    methods = document("forms.v1")["resources"]["forms"]
    listing = methods["resources"]["responses"]["methods"]["list"]
    caller = Caller(served, scopes=scopes)
    assert (form_status == 200) == bool(set(scopes) & set(methods["methods"]["get"]["scopes"]))
    assert (responses_status == 200) == bool(set(scopes) & set(listing["scopes"]))
    assert caller.get(MANY.id).status_code == form_status
    assert caller.get(f"{MANY.id}/responses").status_code == responses_status


def test_a_missing_scope_is_named_as_google_names_it(served: Serving) -> None:
    error = assert_refused(
        Caller(served, scopes=(DRIVE,)).get(f"{MANY.id}/responses"), 403, "PERMISSION_DENIED"
    )
    assert error["details"][0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"


def test_without_a_live_token_nothing_is_answered(served: Serving, caller: Caller) -> None:
    caller.token = "ya29.none"
    assert_refused(caller.get(MANY.id), 401, "UNAUTHENTICATED")


@pytest.mark.parametrize("form_id", ["1Text", "none"])
def test_what_is_no_form_is_not_found(caller: Caller, form_id: str) -> None:
    assert_refused(caller.get(form_id), 404, "NOT_FOUND")


def test_another_accounts_form_is_not_found(served: Serving) -> None:
    assert_refused(Caller(served, sub="2").get(MANY.id), 404, "NOT_FOUND")


def test_an_edited_form_has_another_revision_and_says_so(served: Serving, caller: Caller) -> None:
    before = caller.get(PLAIN.id).json()
    PLAIN.revision += 1
    after = caller.get(PLAIN.id).json()
    assert before["revisionId"] != after["revisionId"]
    assert before["info"]["description"] != after["info"]["description"]


def test_the_official_client_reads_a_form_and_its_responses(served: Serving) -> None:
    credentials = Credentials(served.world.oauth.issue("1", BOTH)["access_token"])
    options = {"api_endpoint": served.url + "/"}
    with build(
        "forms", "v1", credentials=credentials, static_discovery=True, client_options=options
    ) as service:
        assert service.forms().get(formId=MANY.id).execute()["info"]["title"] == MANY.name
        page = service.forms().responses().list(formId=MANY.id, pageSize=10).execute()
        assert len(page["responses"]) == 10
