"""OAuth over HTTP as an application and a person use it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests
from cryptography.x509 import load_pem_x509_certificate

from emulator.control import Control
from emulator.tokens import (
    DEAD_TOKEN,
    DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
    USERINFO,
    TokenStore,
)
from emulator.world import World
from tests.emulator.consent_pages import (
    CALLBACK,
    DRIVE,
    FORMS,
    VERIFIER,
    Page,
    Person,
    carried,
    s256,
)
from tests.emulator.serving import Serving, empty_account, serving

IDENTITY = {"openid", USERINFO + "email", USERINFO + "profile"}


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    ada = empty_account("1001", "Ada <b>Lovelace</b>", "ada@example.org")
    bob = empty_account("1002", "Bob", "bob@example.org")
    with serving(World([ada, bob])) as running:
        yield running


@pytest.fixture
def world(served: Serving) -> World:
    """The served world with no grant, client or count of another test."""
    served.world.oauth = TokenStore(served.world.accounts)
    served.world.counters.reset()
    return served.world


@pytest.fixture
def person(served: Serving, world: World) -> Person:
    return Person(served.url)


def link(person: Person, **changes: str) -> dict[str, Any]:
    """A full consent and its tokens."""
    response = person.redeem(person.consent(**changes)["code"])
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def assert_refused(response: requests.Response, status: int, error: str, words: str) -> None:
    assert response.status_code == status
    assert response.json() == {"error": error, "error_description": words}


def test_a_full_consent_gives_every_scope_a_refresh_token_and_the_state_back(
    person: Person,
) -> None:
    back = person.consent()
    assert back["state"] == "st&te=1"
    answer = person.redeem(back["code"]).json()
    assert set(answer["scope"].split()) == {DRIVE, FORMS} | IDENTITY
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] in (3598, 3599)
    assert answer["refresh_token"].startswith("1//0")


def test_an_unticked_scope_is_missing_from_the_grant(person: Person, world: World) -> None:
    back = person.consent(untick=("scope-forms-responses-readonly",))
    answer = person.redeem(back["code"]).json()
    assert set(answer["scope"].split()) == {DRIVE} | IDENTITY
    assert world.oauth.scopes_for(answer["access_token"]) == {DRIVE} | IDENTITY


def test_basic_scopes_cannot_be_unticked_and_the_page_says_so(person: Person) -> None:
    page = Page(person.open().text)
    fixed = {box["value"] for box in page.scopes() if "disabled" in box}
    assert fixed == IDENTITY


def test_unticking_everything_is_a_refusal(person: Person) -> None:
    back = person.consent(scope=DRIVE, untick=("scope-drive-readonly",))
    assert back == {"state": "st&te=1", "error": "access_denied"}


def test_cancel_says_access_denied_and_gives_no_code(person: Person) -> None:
    page = Page(person.open().text)
    assert person.answer(page, press="cancel") == {"state": "st&te=1", "error": "access_denied"}


def test_a_consent_page_serves_once(person: Person) -> None:
    page = Page(person.open().text)
    person.answer(page)
    with pytest.raises(AssertionError, match="expired"):
        person.answer(page)


def test_several_accounts_bring_the_chooser_and_the_chosen_one_is_linked(person: Person) -> None:
    chooser = Page(person.open(login_hint="").text)
    assert [c for c in chooser.controls if c.startswith("account-")] == ["account-1", "account-2"]
    assert "Ada <b>Lovelace</b>" in chooser.text  # as text, not as markup
    consent = Page(person.choose(chooser, "account-2").text)
    answer = person.redeem(person.answer(consent)["code"]).json()
    claims = jwt.decode(answer["id_token"], options={"verify_signature": False})
    assert claims["sub"] == "1002"


def test_select_account_brings_the_chooser_despite_a_hint(person: Person) -> None:
    assert "account-1" in Page(person.open(prompt="consent select_account").text).controls


def test_a_second_request_without_prompt_returns_at_once_without_refresh_token(
    person: Person,
) -> None:
    link(person)
    back = carried(person.open(prompt=""))
    assert "refresh_token" not in person.redeem(back["code"]).json()


def test_prompt_none_cannot_ask_and_says_so(person: Person) -> None:
    assert carried(person.open(prompt="none"))["error"] == "interaction_required"
    link(person)
    assert "code" in carried(person.open(prompt="none"))


def test_online_access_brings_no_refresh_token(person: Person) -> None:
    assert "refresh_token" not in link(person, access_type="online")


def test_include_granted_scopes_joins_earlier_consents(person: Person) -> None:
    link(person, scope=DRIVE)
    alone = link(person, scope=FORMS)
    joined = link(person, scope=FORMS, include_granted_scopes="true")
    assert alone["scope"] == FORMS
    assert set(joined["scope"].split()) == {DRIVE, FORMS}


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"redirect_uri": "https://evil.example/cb"}, 400, "redirect_uri_mismatch"),
        ({"redirect_uri": "javascript:alert(1)//localhost"}, 400, "redirect_uri_mismatch"),
        ({"redirect_uri": "http://127.0.0.1@evil.example/"}, 400, "redirect_uri_mismatch"),
        ({"client_id": "stranger"}, 401, "invalid_client"),
        ({"scope": f"{DRIVE} <script>"}, 400, "invalid_scope"),
        ({"response_type": "token"}, 400, "unsupported_response_type"),
        ({"scope": ""}, 400, "invalid_request"),
        ({"access_type": "sometimes"}, 400, "invalid_request"),
        ({"code_challenge": "short"}, 400, "invalid_request"),
        ({"code_challenge_method": "S512"}, 400, "invalid_request"),
    ],
)
def test_a_bad_request_is_told_on_a_page_and_never_redirected(
    person: Person, changes: dict[str, str], status: int, error: str
) -> None:
    response = person.open(**changes)
    assert response.status_code == status
    assert "Location" not in response.headers
    assert f"Error {status}: {error}" in Page(response.text).text
    assert "<script>" not in response.text


def test_a_registered_redirect_is_allowed_beside_loopback(person: Person, world: World) -> None:
    uri = "https://backup.example.org/callback"
    world.oauth.register_client(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, [uri])
    assert person.open(redirect_uri=uri).status_code == 200
    assert person.open(redirect_uri=uri + "/other").status_code == 400


def test_a_code_serves_once(person: Person) -> None:
    code = person.consent()["code"]
    assert person.redeem(code).status_code == 200
    assert_refused(person.redeem(code), 400, "invalid_grant", "Malformed auth code.")


@pytest.mark.parametrize(
    ("verifier", "words"), [("w" * 64, "Invalid code verifier."), ("", "Missing code verifier.")]
)
def test_a_wrong_verifier_is_refused_and_spends_the_code(
    person: Person, verifier: str, words: str
) -> None:
    code = person.consent()["code"]
    assert_refused(person.redeem(code, code_verifier=verifier), 400, "invalid_grant", words)
    assert person.redeem(code).status_code == 400


def test_a_plain_challenge_is_compared_as_it_is(person: Person) -> None:
    plain = {"code_challenge": VERIFIER, "code_challenge_method": "plain"}
    assert person.redeem(person.consent(**plain)["code"]).status_code == 200
    hashed = {"code_challenge": s256(VERIFIER), "code_challenge_method": "plain"}
    assert person.redeem(person.consent(**hashed)["code"]).status_code == 400


def test_a_code_is_bound_to_its_redirect(person: Person) -> None:
    response = person.redeem(person.consent()["code"], redirect_uri=CALLBACK + "2")
    assert_refused(response, 400, "redirect_uri_mismatch", "Bad Request")


@pytest.mark.parametrize(
    ("changes", "status", "error", "words"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", "Unauthorized"),
        ({"client_secret": ""}, 400, "invalid_request", "client_secret is missing."),
        ({"client_id": "who"}, 401, "invalid_client", "The OAuth client was not found."),
        ({"client_id": ""}, 400, "invalid_request", "Could not determine client ID from request."),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", "Invalid grant_type: password"),
        ({"grant_type": ""}, 400, "invalid_request", "Missing required parameter: grant_type"),
        (
            {"refresh_token": ""},
            400,
            "invalid_request",
            "Missing required parameter: refresh_token",
        ),
        ({"refresh_token": "1//0unknown"}, 400, "invalid_grant", "Bad Request"),
    ],
)
def test_the_token_endpoint_refuses_as_google_does(
    person: Person, changes: dict[str, str], status: int, error: str, words: str
) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": "1//0unknown"}
    assert_refused(person.token(**(form | changes)), status, error, words)


def test_a_refresh_brings_a_new_access_token_and_no_new_refresh_token(
    person: Person, world: World
) -> None:
    linked = link(person)
    refreshed = person.refresh(linked["refresh_token"]).json()
    assert refreshed["access_token"] != linked["access_token"]
    assert "refresh_token" not in refreshed
    assert refreshed["scope"] == linked["scope"]
    assert person.refresh(linked["refresh_token"]).status_code == 200
    assert world.counters.requests["oauth.refresh"] == 2


def test_the_client_may_authenticate_by_http_basic(person: Person) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": link(person)["refresh_token"]}
    for secret, status in ((DEFAULT_CLIENT_SECRET, 200), ("wrong", 401)):
        auth = (DEFAULT_CLIENT_ID, secret)
        answer = requests.post(f"{person.url}/token", data=form, auth=auth, timeout=10)
        assert answer.status_code == status


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
@pytest.mark.parametrize("where", ["params", "data"])
def test_revoking_either_token_ends_both(person: Person, which: str, where: str) -> None:
    linked = link(person)
    place: dict[str, Any] = {where: {"token": linked[which]}}
    assert requests.post(f"{person.url}/revoke", **place, timeout=10).status_code == 200
    assert userinfo(person, linked).status_code == 401
    refused = person.refresh(linked["refresh_token"])
    assert_refused(refused, 400, "invalid_grant", DEAD_TOKEN)
    again = requests.post(f"{person.url}/revoke", **place, timeout=10)
    assert_refused(again, 400, "invalid_token", "Token expired or revoked")


def test_after_a_revocation_consent_is_asked_again(person: Person) -> None:
    linked = link(person)
    requests.post(f"{person.url}/revoke", data={"token": linked["refresh_token"]}, timeout=10)
    assert "approve" in Page(person.open(prompt="").text).controls


def test_a_refusal_ordered_by_control_reaches_the_client_until_it_is_lifted(
    person: Person,
) -> None:
    linked = link(person)
    control = Control(person.url)
    control.refuse_refresh("ada@example.org", "invalid_grant", "Account has been deleted")
    refused = person.refresh(linked["refresh_token"])
    assert_refused(refused, 400, "invalid_grant", "Account has been deleted")
    control.refuse_refresh("ada@example.org")
    assert_refused(person.refresh(linked["refresh_token"]), 400, "invalid_grant", DEAD_TOKEN)
    control.allow_refresh("ada@example.org")
    assert person.refresh(linked["refresh_token"]).status_code == 200


def test_the_id_token_verifies_against_the_jwks_and_carries_the_nonce(person: Person) -> None:
    linked = link(person, nonce="n-1")
    keys = jwt.PyJWKClient(f"{person.url}/oauth2/v3/certs")
    claims = jwt.decode(
        linked["id_token"],
        keys.get_signing_key_from_jwt(linked["id_token"]).key,
        algorithms=["RS256"],
        audience=DEFAULT_CLIENT_ID,
        issuer="https://accounts.google.com",
    )
    assert (claims["sub"], claims["email"]) == ("1001", "ada@example.org")
    assert (claims["email_verified"], claims["nonce"]) == (True, "n-1")
    left_half = hashlib.sha256(linked["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == base64.urlsafe_b64encode(left_half).rstrip(b"=").decode()


def test_the_id_token_verifies_against_the_certificates_that_allauth_reads(person: Person) -> None:
    token = link(person)["id_token"]
    pems = requests.get(f"{person.url}/oauth2/v1/certs", timeout=10).json()
    certificate = load_pem_x509_certificate(pems[jwt.get_unverified_header(token)["kid"]].encode())
    key: Any = certificate.public_key()
    assert jwt.decode(token, key, algorithms=["RS256"], audience=DEFAULT_CLIENT_ID)["sub"] == "1001"
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(claims | {"sub": "1002"}).encode()).decode()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(
            f"{head}.{forged.rstrip('=')}.{signature}", key, ["RS256"], audience=DEFAULT_CLIENT_ID
        )


def test_the_issuer_can_be_changed(person: Person, world: World) -> None:
    world.oauth.issuer = "http://issuer.example"
    claims = jwt.decode(link(person)["id_token"], options={"verify_signature": False})
    assert claims["iss"] == "http://issuer.example"


def test_without_identity_scopes_there_is_no_id_token_and_no_userinfo(person: Person) -> None:
    linked = link(person, scope=DRIVE)
    assert "id_token" not in linked
    assert userinfo(person, linked).status_code == 401


def userinfo(person: Person, linked: dict[str, Any], version: str = "v3") -> requests.Response:
    headers = {"Authorization": f"Bearer {linked['access_token']}"}
    return requests.get(f"{person.url}/oauth2/{version}/userinfo", headers=headers, timeout=10)


def test_userinfo_has_the_names_of_each_version(person: Person) -> None:
    linked = link(person)
    newer, older = userinfo(person, linked).json(), userinfo(person, linked, "v2").json()
    assert (newer["sub"], newer["email_verified"]) == ("1001", True)
    assert (older["id"], older["verified_email"]) == ("1001", True)
    assert newer["name"] == older["name"] == "Ada <b>Lovelace</b>"


def test_userinfo_shows_no_more_than_was_granted(person: Person) -> None:
    assert set(userinfo(person, link(person, scope="email")).json()) == {
        "sub",
        "email",
        "email_verified",
    }


def test_tokeninfo_tells_what_a_token_is_good_for(person: Person) -> None:
    token = link(person)["access_token"]
    url = f"{person.url}/tokeninfo"
    info = requests.get(url, params={"access_token": token}, timeout=10).json()
    assert (info["aud"], info["sub"], info["access_type"]) == (DEFAULT_CLIENT_ID, "1001", "offline")
    assert set(info["scope"].split()) == {DRIVE, FORMS} | IDENTITY
    refused = requests.get(url, params={"access_token": "ya29.none"}, timeout=10)
    assert_refused(refused, 400, "invalid_token", "Invalid Value")


def test_the_discovery_document_leads_to_endpoints_that_answer(person: Person) -> None:
    url = f"{person.url}/.well-known/openid-configuration"
    document = requests.get(url, timeout=10).json()
    assert document["issuer"] == "https://accounts.google.com"
    for name in ("jwks_uri", "userinfo_endpoint", "authorization_endpoint"):
        assert requests.get(document[name], timeout=10).status_code != 404
    for name in ("token_endpoint", "revocation_endpoint"):
        assert requests.post(document[name], timeout=10).status_code == 400
