"""Google's OAuth endpoints: token, revoke, tokeninfo, userinfo, keys, discovery.

Translates HTTP to and from `tokens.py`; the pages are `consent.py`. Rules followed: RFC 6749 §5,
RFC 7009, OpenID Connect Core 1.0 and Discovery 1.0, and the answers of
developers.google.com/identity/protocols/oauth2/web-server.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from emulator import consent
from emulator.http import Request, Response, Route, json_response
from emulator.signing import SigningKey, at_hash
from emulator.tokens import (
    BASIC_SCOPES,
    USERINFO,
    AccessToken,
    Client,
    OAuthError,
    TokenStore,
)

if TYPE_CHECKING:
    from emulator.world import Account, World

_KEY = SigningKey()
_PARAMETER_MISSING = "Missing required parameter: {}"


def _answers_errors(
    call: Callable[[Request, World], dict[str, Any]],
) -> Callable[..., Any]:
    """An endpoint whose refusals are `{"error", "error_description"}`."""

    async def answer(request: Request, world: World) -> Response:
        try:
            response = json_response(call(request, world))
        except OAuthError as error:
            body = {"error": error.error, "error_description": error.description}
            response = json_response(body, error.status)
        response.headers.append(("Cache-Control", "no-cache, no-store, max-age=0"))
        return response

    return answer


@_answers_errors
def token(request: Request, world: World) -> dict[str, Any]:
    """POST /token: the authorization_code and refresh_token grants."""
    form = consent.form_of(request)
    grant_type = _required(form, "grant_type")
    if grant_type == "authorization_code":
        return _redeem(request, form, world)
    if grant_type == "refresh_token":
        return _refresh(request, form, world)
    raise OAuthError("unsupported_grant_type", f"Invalid grant_type: {grant_type}")


def _redeem(request: Request, form: dict[str, str], world: World) -> dict[str, Any]:
    world.counters.requests["oauth.code"] += 1
    client = _client(request, form, world.oauth)
    code = _required(form, "code")
    redirect_uri = _required(form, "redirect_uri")
    access = world.oauth.redeem(client, code, redirect_uri, form.get("code_verifier", ""))
    return world.oauth.answer(access) | _id_token(access, world)


def _refresh(request: Request, form: dict[str, str], world: World) -> dict[str, Any]:
    world.counters.requests["oauth.refresh"] += 1
    client = _client(request, form, world.oauth)
    access = world.oauth.refresh(client, _required(form, "refresh_token"), form.get("scope", ""))
    answer = world.oauth.answer(access)
    answer.pop("refresh_token", None)  # Google never rotates it
    return answer | _id_token(access, world)


@_answers_errors
def revoke(request: Request, world: World) -> dict[str, Any]:
    """POST /revoke with the token in the query or the body; access and refresh alike."""
    value = request.first("token") or consent.form_of(request).get("token", "")
    if not value:
        raise OAuthError("invalid_request", _PARAMETER_MISSING.format("token"))
    world.oauth.revoke(value)
    return {}


@_answers_errors
def tokeninfo(request: Request, world: World) -> dict[str, Any]:
    """GET /tokeninfo?access_token=: what a token is good for; numbers are strings, as at Google."""
    access = world.oauth.access(request.first("access_token"))
    if access is None:
        raise OAuthError("invalid_token", "Invalid Value")
    client_id = access.grant.client_id
    answer = {
        "azp": client_id,
        "aud": client_id,
        "sub": access.grant.sub,
        "scope": " ".join(sorted(access.scopes)),
        "exp": str(int(access.expires)),
        "expires_in": str(int(access.expires - world.oauth.now())),
        "access_type": "offline" if access.grant.refresh_token else "online",
    }
    if USERINFO + "email" in access.scopes:
        email = world.accounts[access.grant.sub].email
        answer |= {"email": email, "email_verified": "true"}
    return answer


@_answers_errors
def userinfo_v3(request: Request, world: World) -> dict[str, Any]:
    """GET /oauth2/v3/userinfo, OpenID Connect's names."""
    access, account = _caller(request, world)
    return {"sub": account.sub} | _profile(account, access.scopes, verified="email_verified")


@_answers_errors
def userinfo_v2(request: Request, world: World) -> dict[str, Any]:
    """GET /oauth2/v2/userinfo, the older names that allauth reads."""
    access, account = _caller(request, world)
    return {"id": account.sub} | _profile(account, access.scopes, verified="verified_email")


async def jwks(request: Request, world: World) -> Response:
    """GET /oauth2/v3/certs: the signing key as a JSON Web Key Set."""
    return json_response(_KEY.jwks())


async def certificates(request: Request, world: World) -> Response:
    """GET /oauth2/v1/certs: the signing key as PEM certificates by key id."""
    return json_response(_KEY.certificates())


async def discovery(request: Request, world: World) -> Response:
    """GET /.well-known/openid-configuration, with this process's own addresses."""
    base = request.base_url
    return json_response(
        {
            "issuer": world.oauth.issuer,
            "authorization_endpoint": f"{base}/o/oauth2/v2/auth",
            "token_endpoint": f"{base}/token",
            "userinfo_endpoint": f"{base}/oauth2/v3/userinfo",
            "revocation_endpoint": f"{base}/revoke",
            "jwks_uri": f"{base}/oauth2/v3/certs",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "profile"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
        }
    )


def _required(form: dict[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise OAuthError("invalid_request", _PARAMETER_MISSING.format(name))
    return value


def _client(request: Request, form: dict[str, str], store: TokenStore) -> Client:
    """The client by HTTP Basic or by the body, its secret checked."""
    basic = _basic_credentials(request.headers.get("authorization", ""))
    client_id, secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
    if not client_id:
        raise OAuthError("invalid_request", "Could not determine client ID from request.")
    return store.authenticate(client_id, secret)


def _basic_credentials(header: str) -> tuple[str, str] | None:
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError("invalid_client", "Unauthorized", 401) from error
    return unquote(client_id), unquote(secret)


def _caller(request: Request, world: World) -> tuple[AccessToken, Account]:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        value = request.first("access_token")
    access = world.oauth.access(value)
    if access is None or not access.scopes & BASIC_SCOPES:
        raise OAuthError("invalid_request", "Invalid Credentials", 401)
    return access, world.accounts[access.grant.sub]


def _profile(account: Account, scopes: frozenset[str], *, verified: str) -> dict[str, Any]:
    """What the granted scopes show of a person."""
    shown: dict[str, Any] = {}
    if USERINFO + "email" in scopes:
        shown |= {"email": account.email, verified: True}
    if USERINFO + "profile" in scopes:
        given, _, family = account.name.partition(" ")
        shown |= {"name": account.name, "given_name": given, "picture": account.picture}
        if family:
            shown["family_name"] = family
    return shown


def _id_token(access: AccessToken, world: World) -> dict[str, str]:
    """The signed ID token where identity was granted, else nothing."""
    if "openid" not in access.scopes:
        return {}
    issued = int(world.oauth.now())
    client_id = access.grant.client_id
    claims: dict[str, Any] = {
        "iss": world.oauth.issuer,
        "azp": client_id,
        "aud": client_id,
        "sub": access.grant.sub,
        "at_hash": at_hash(access.value),
        "iat": issued,
        "exp": issued + 3600,
    }
    if access.grant.nonce:
        claims["nonce"] = access.grant.nonce
    account = world.accounts[access.grant.sub]
    claims |= _profile(account, access.scopes, verified="email_verified")
    return {"id_token": _KEY.sign(claims)}


ROUTES = [
    *consent.ROUTES,
    Route("POST", re.compile(r"/token|/oauth2/v4/token"), token, "oauth.token"),
    Route("POST", re.compile(r"(?:/o/oauth2)?/revoke"), revoke, "oauth.revoke"),
    Route("GET", re.compile(r"/tokeninfo|/oauth2/v3/tokeninfo"), tokeninfo, "oauth.tokeninfo"),
    Route("GET", re.compile(r"/oauth2/v3/userinfo|/v1/userinfo"), userinfo_v3, "oauth.userinfo"),
    Route("GET", re.compile(r"/oauth2/v2/userinfo"), userinfo_v2, "oauth.userinfo"),
    Route("GET", re.compile(r"/oauth2/v3/certs"), jwks, "oauth.certs"),
    Route("GET", re.compile(r"/oauth2/v1/certs"), certificates, "oauth.certs"),
    Route("GET", re.compile(r"/\.well-known/openid-configuration"), discovery, "oauth.discovery"),
]
