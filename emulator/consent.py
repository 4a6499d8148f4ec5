"""The authorization endpoint and its pages: account chooser, consent, refusal.

Plain HTML forms without script; it gives out codes and nothing else (`oauth.py` redeems them).
Rules followed: RFC 6749 §4.1, RFC 7636, OpenID Connect Core 1.0 §3.1.2, and Google's parameters
(developers.google.com/identity/protocols/oauth2/web-server). An invalid client or redirect is
told to the person on a page and never redirected.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

from emulator.http import Request, Response, Route
from emulator.tokens import BASIC_SCOPES, Flow, Grant, OAuthError, TokenStore, canonical

if TYPE_CHECKING:
    from emulator.world import Account, World

_PAGES = Path(__file__).with_name("pages")
_API_SCOPE = "https://www.googleapis.com/auth/"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CHALLENGE = re.compile(r"[A-Za-z0-9\-._~]{43,128}")
_MAX_FLOWS = 1000  # abandoned pages beyond this are forgotten, oldest first

_WORDS = {
    "openid": "Associate you with your personal info on Google",
    "userinfo.email": "See your primary Google Account email address",
    "userinfo.profile": "See your personal info",
    "drive.readonly": "See and download all your Google Drive files",
    "drive": "See, edit, create and delete all of your Google Drive files",
    "drive.file": "See, edit, create and delete the Google Drive files you use with this app",
    "drive.metadata.readonly": "See information about your Google Drive files",
    "forms.body.readonly": "See all your Google Forms forms",
    "forms.responses.readonly": "See all responses to your Google Forms forms",
    "script.projects.readonly": "View Google Apps Script projects",
}


async def authorize(request: Request, world: World) -> Response:
    """GET /o/oauth2/v2/auth: the first page that this request needs, or straight back."""
    try:
        flow = parse_flow({k: v[0] for k, v in request.query.items()}, world.oauth)
    except OAuthError as error:
        return _refusal(error)
    account = _chosen(flow, world)
    if account is not None:
        return _after_account(flow, account, world)
    if "none" in flow.prompts:
        return _back(flow, {"error": "interaction_required"})
    return _chooser(flow, world)


async def choose_account(request: Request, world: World) -> Response:
    """POST of the chooser: on to consent."""
    form = form_of(request)
    flow = world.oauth.flows.pop(form.get("flow", ""), None)
    account = world.accounts.get(form.get("account", ""))
    if flow is None or account is None:
        return _refusal(OAuthError("invalid_request", "This page has expired. Start again."))
    return _after_account(flow, account, world)


async def decide(request: Request, world: World) -> Response:
    """POST of the consent page: a code for what was ticked, or access_denied."""
    fields = parse_qs(request.body.decode("utf-8", "replace"))
    flow = world.oauth.flows.pop(fields.get("flow", [""])[0], None)
    if flow is None:
        return _refusal(OAuthError("invalid_request", "This page has expired. Start again."))
    ticked = flow.scopes & frozenset(fields.get("scope", []))
    granted = ticked | (flow.scopes & BASIC_SCOPES)
    if fields.get("decision") != ["approve"] or not granted:
        return _back(flow, {"error": "access_denied"})
    return _grant(flow, granted, world.oauth, offline=flow.offline)


def parse_flow(query: Mapping[str, str], store: TokenStore) -> Flow:
    """The request, checked in Google's order: client, redirect, then the rest."""
    for name in ("client_id", "redirect_uri", "response_type", "scope"):
        if not query.get(name):
            raise OAuthError("invalid_request", f"Missing required parameter: {name}")
    client = store.clients.get(query["client_id"])
    if client is None:
        raise OAuthError("invalid_client", "The OAuth client was not found.", 401)
    uri = query["redirect_uri"]
    if uri not in client.redirect_uris and not _is_loopback(uri):
        raise OAuthError("redirect_uri_mismatch", f"redirect_uri={uri}")
    if query["response_type"] != "code":
        raise OAuthError("unsupported_response_type", "Only response_type=code is supported here.")
    access_type = query.get("access_type", "online")
    if access_type not in ("online", "offline"):
        raise OAuthError(
            "invalid_request", f"Invalid parameter value for access_type: {access_type}"
        )
    return Flow(
        client_id=client.client_id,
        redirect_uri=uri,
        scopes=_parse_scopes(query["scope"]),
        state=query.get("state", ""),
        nonce=query.get("nonce", ""),
        prompts=frozenset(query.get("prompt", "").split()),
        login_hint=query.get("login_hint", ""),
        challenge=_parse_challenge(query),
        offline=access_type == "offline",
        include_granted=query.get("include_granted_scopes", "") == "true",
    )


def form_of(request: Request) -> dict[str, str]:
    """The fields of a urlencoded body, first values."""
    fields = parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def _is_loopback(uri: str) -> bool:
    if not uri.isascii() or not uri.isprintable() or " " in uri:
        return False  # nothing that could break the Location header
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.hostname in _LOOPBACK and not parts.fragment


def _parse_scopes(text: str) -> frozenset[str]:
    scopes = canonical(text.split())
    unknown = sorted(s for s in scopes if s not in BASIC_SCOPES and not s.startswith(_API_SCOPE))
    if unknown:
        raise OAuthError(
            "invalid_scope", f"Some requested scopes were invalid. {{invalid={unknown}}}"
        )
    return scopes


def _parse_challenge(query: Mapping[str, str]) -> tuple[str, str]:
    challenge = query.get("code_challenge", "")
    method = query.get("code_challenge_method", "plain")
    if method not in ("plain", "S256"):
        raise OAuthError("invalid_request", f"Invalid code_challenge_method: {method}")
    if challenge and not _CHALLENGE.fullmatch(challenge):
        raise OAuthError("invalid_request", "Invalid code_challenge")
    return challenge, method


def _chosen(flow: Flow, world: World) -> Account | None:
    """The account that needs no question: the hinted one, or the only one."""
    if "select_account" in flow.prompts:
        return None
    for account in world.accounts.values():
        if flow.login_hint and flow.login_hint in (account.sub, account.email):
            return account
    return next(iter(world.accounts.values())) if len(world.accounts) == 1 else None


def _after_account(flow: Flow, account: Account, world: World) -> Response:
    """The consent page, or straight back where everything was granted before."""
    flow = replace(flow, account=account.sub)
    before = world.oauth.consented(account.sub, flow.client_id)
    if flow.scopes <= before and "consent" not in flow.prompts:
        # No consent page, so no refresh token, even with access_type=offline: as at Google.
        return _grant(flow, flow.scopes, world.oauth, offline=False)
    if "none" in flow.prompts:
        return _back(flow, {"error": "interaction_required"})
    return _consent(flow, account, world.oauth)


def _grant(flow: Flow, scopes: frozenset[str], store: TokenStore, *, offline: bool) -> Response:
    if flow.include_granted:
        scopes |= store.consented(flow.account, flow.client_id)
    grant = Grant(flow.account, flow.client_id, scopes, flow.nonce)
    code = store.add_code(grant, flow.redirect_uri, flow.challenge, offline=offline)
    answer = {"iss": store.issuer, "code": code, "scope": " ".join(sorted(scopes))}
    return _back(flow, answer | {"authuser": "0", "prompt": "consent" if offline else "none"})


def _back(flow: Flow, answer: dict[str, str]) -> Response:
    """A redirect to the client; `state` first, as it came."""
    query = urlencode(({"state": flow.state} if flow.state else {}) | answer)
    joint = "&" if urlsplit(flow.redirect_uri).query else "?"
    return Response(302, [("Location", flow.redirect_uri + joint + query), _NO_STORE])


def _chooser(flow: Flow, world: World) -> Response:
    items = "\n".join(
        f'<li><button class="account" id="account-{number}" name="account" '
        f'value="{escape(account.sub)}">{escape(account.name)}<br>'
        f"<small>{escape(account.email)}</small></button></li>"
        for number, account in enumerate(world.accounts.values(), start=1)
    )
    return _page(
        "choose",
        "Choose an account",
        client=_app_name(flow),
        flow=_keep(flow, world.oauth),
        accounts=items,
    )


def _consent(flow: Flow, account: Account, store: TokenStore) -> Response:
    items = "\n".join(_checkbox(scope) for scope in sorted(flow.scopes, key=_basic_first))
    return _page(
        "consent",
        "Consent",
        client=_app_name(flow),
        flow=_keep(flow, store),
        email=escape(account.email),
        scopes=items,
    )


def _checkbox(scope: str) -> str:
    """A ticked box; basic scopes cannot be unticked and are granted with the sign-in."""
    short = scope.removeprefix(_API_SCOPE)
    fixed = " disabled" if scope in BASIC_SCOPES else ""
    return (
        f'<li><label><input type="checkbox" id="{scope_element_id(scope)}" name="scope" '
        f'value="{escape(scope)}" checked{fixed}><span>{escape(_WORDS.get(short, short))}'
        f"<br><small>{escape(scope)}</small></span></label></li>"
    )


def scope_element_id(scope: str) -> str:
    """The checkbox's id: `scope-drive-readonly` for …/auth/drive.readonly."""
    return "scope-" + re.sub(r"[^A-Za-z0-9]+", "-", scope.removeprefix(_API_SCOPE)).strip("-")


def _basic_first(scope: str) -> tuple[bool, str]:
    return scope not in BASIC_SCOPES, scope


def _app_name(flow: Flow) -> str:
    return escape(urlsplit(flow.redirect_uri).hostname or flow.client_id)


def _keep(flow: Flow, store: TokenStore) -> str:
    """Hold the request for its next page under an unguessable name (no forged consent)."""
    key = secrets.token_urlsafe(24)
    store.flows[key] = flow
    while len(store.flows) > _MAX_FLOWS:
        del store.flows[next(iter(store.flows))]
    return key


def _refusal(error: OAuthError) -> Response:
    return _page(
        "refusal",
        "Error",
        error.status,
        code=str(error.status),
        error=escape(error.error),
        description=escape(error.description),
    )


def _page(name: str, title: str, status: int = 200, **fields: str) -> Response:
    """A page from its template; every field must be HTML already."""
    body = Template((_PAGES / f"{name}.html").read_text()).substitute(fields)
    html = Template((_PAGES / "layout.html").read_text()).substitute(title=title, body=body)
    headers = [("Content-Type", "text/html; charset=utf-8"), _NO_STORE, ("X-Frame-Options", "DENY")]
    return Response(status, headers, html.encode())


_NO_STORE = ("Cache-Control", "no-store")

ROUTES = [
    Route("GET", re.compile(r"/o/oauth2/(?:v2/)?auth"), authorize, "oauth.auth"),
    Route("POST", re.compile(r"/o/oauth2/v2/auth/account"), choose_account, "oauth.page"),
    Route("POST", re.compile(r"/o/oauth2/v2/auth/consent"), decide, "oauth.page"),
]
