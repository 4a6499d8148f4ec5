"""Who granted what to whom: clients, authorization codes, access and refresh tokens.

The state behind `oauth.py` and behind every bearer check; no HTTP, no HTML, no signatures.
Rules followed: RFC 6749, RFC 7636 (PKCE), RFC 7009, and Google's own habits as told in
developers.google.com/identity/protocols/oauth2 (a refresh brings no new refresh token, at most
100 refresh tokens an account and client, 7 days in Testing).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.world import Account

DEFAULT_CLIENT_ID = "417200331905-standin.apps.googleusercontent.com"
DEFAULT_CLIENT_SECRET = "GOCSPX-stand-in-for-google"
CODE_LIFETIME_S = 600
ACCESS_LIFETIME_S = 3599  # what Google writes into `expires_in`
TESTING_LIFETIME_S = 7 * 24 * 3600
MAX_REFRESH_TOKENS = 100  # an account and client; the oldest dies silently

DEAD_TOKEN = "Token has been expired or revoked."

USERINFO = "https://www.googleapis.com/auth/userinfo."
BASIC_SCOPES = frozenset({"openid", USERINFO + "email", USERINFO + "profile"})
_ALIASES = {"email": USERINFO + "email", "profile": USERINFO + "profile"}


class OAuthError(Exception):
    """A refusal by an OAuth endpoint: HTTP status, `error` and `error_description`."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth client of a Cloud project; loopback redirects are allowed without listing."""

    client_id: str
    secret: str
    redirect_uris: frozenset[str] = frozenset()


@dataclass(slots=True)
class Grant:
    """One consent of one account to one client; tokens hang on it and die with it."""

    sub: str
    client_id: str
    scopes: frozenset[str]
    nonce: str = ""
    refresh_token: str | None = None
    refresh_expires: float | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token; it ends at `expires` or with its grant."""

    value: str
    grant: Grant
    scopes: frozenset[str]
    expires: float


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code and everything that its redemption must match."""

    grant: Grant
    redirect_uri: str
    challenge: str
    challenge_method: str
    expires: float
    offline: bool


@dataclass(frozen=True, slots=True)
class Flow:
    """One valid authorization request on its way through the pages."""

    client_id: str
    redirect_uri: str
    scopes: frozenset[str]
    state: str = ""
    nonce: str = ""
    prompts: frozenset[str] = frozenset()
    login_hint: str = ""
    challenge: tuple[str, str] = ("", "")
    offline: bool = False
    include_granted: bool = False
    account: str = ""  # sub, once chosen


@dataclass(slots=True)
class TokenStore:
    """All OAuth state of one stand-in. Not thread-safe: it lives on one event loop."""

    accounts: Mapping[str, Account]  # by sub
    now: Callable[[], float] = time.time
    issuer: str = "https://accounts.google.com"
    access_lifetime_s: float = ACCESS_LIFETIME_S
    refresh_lifetime_s: float | None = None  # None: a published app, they do not expire
    clients: dict[str, Client] = field(default_factory=dict)
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)  # sub -> error, description
    flows: dict[str, Flow] = field(default_factory=dict)  # by the name that their page carries
    _grants: list[Grant] = field(default_factory=list)
    _codes: dict[str, Code] = field(default_factory=dict)
    _access: dict[str, AccessToken] = field(default_factory=dict)
    _refresh: dict[str, Grant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.register_client(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET)

    # What the API side asks.

    def account_for(self, access_token: str) -> Account | None:
        """The account that a live access token stands for."""
        token = self.access(access_token)
        return self.accounts.get(token.grant.sub) if token else None

    def scopes_for(self, access_token: str) -> frozenset[str]:
        """The scopes of a live access token; empty for any other string."""
        token = self.access(access_token)
        return token.scopes if token else frozenset()

    def access(self, value: str) -> AccessToken | None:
        """A live access token by its value."""
        token = self._access.get(value)
        if token is None or token.grant.revoked or token.expires <= self.now():
            return None
        return token

    # What the consent page asks.

    def register_client(
        self, client_id: str, secret: str, redirect_uris: Iterable[str] = ()
    ) -> Client:
        """Make a client known, or change one."""
        client = Client(client_id, secret, frozenset(redirect_uris))
        self.clients[client_id] = client
        return client

    def consented(self, sub: str, client_id: str) -> frozenset[str]:
        """Every scope that the account has granted the client and not revoked."""
        grants = (g for g in self._grants if g.sub == sub and g.client_id == client_id)
        return frozenset().union(*(g.scopes for g in grants if not g.revoked))

    def add_code(
        self, grant: Grant, redirect_uri: str, challenge: tuple[str, str], *, offline: bool
    ) -> str:
        """A new single-use code for a consent; `challenge` is PKCE's value and method."""
        value = "4/0A" + secrets.token_urlsafe(48)
        self._codes[value] = Code(
            grant, redirect_uri, *challenge, self.now() + CODE_LIFETIME_S, offline
        )
        # The consent counts from here, not from the redemption, as at Google.
        self._grants.append(grant)
        return value

    # What the token endpoint asks.

    def authenticate(self, client_id: str, secret: str) -> Client:
        """The client, or Google's `invalid_client`."""
        client = self.clients.get(client_id)
        if client is None:
            raise OAuthError("invalid_client", "The OAuth client was not found.", 401)
        if not secret:
            raise OAuthError("invalid_request", "client_secret is missing.")
        if not hmac.compare_digest(client.secret.encode(), secret.encode()):
            raise OAuthError("invalid_client", "Unauthorized", 401)
        return client

    def redeem(self, client: Client, code: str, redirect_uri: str, verifier: str) -> AccessToken:
        """Exchange a code, once; a refused attempt spends it too."""
        held = self._codes.pop(code, None)
        if held is None:
            raise OAuthError("invalid_grant", "Malformed auth code.")
        if held.grant.client_id != client.client_id:
            raise OAuthError("unauthorized_client", "Unauthorized", 401)
        if held.redirect_uri != redirect_uri:
            raise OAuthError("redirect_uri_mismatch", "Bad Request")
        _check_verifier(held, verifier)
        if held.expires <= self.now() or held.grant.revoked:
            raise OAuthError("invalid_grant", "Bad Request")
        if held.offline:
            self._add_refresh_token(held.grant)
        return self._new_access(held.grant, held.grant.scopes)

    def refresh(self, client: Client, refresh_token: str, scope: str = "") -> AccessToken:
        """A new access token for a refresh token, which stays as it is."""
        grant = self._refresh.get(refresh_token)
        if grant is None:
            raise OAuthError("invalid_grant", "Bad Request")
        if grant.client_id != client.client_id:
            raise OAuthError("unauthorized_client", "Unauthorized", 401)
        if grant.sub in self.refusals:
            raise OAuthError(*self.refusals[grant.sub])
        lapsed = grant.refresh_expires is not None and grant.refresh_expires <= self.now()
        if grant.revoked or lapsed:
            raise OAuthError("invalid_grant", DEAD_TOKEN)
        wanted = canonical(scope.split()) if scope else grant.scopes
        if not wanted <= grant.scopes:
            raise OAuthError("invalid_scope", "Bad Request")
        return self._new_access(grant, wanted)

    def revoke(self, token: str) -> None:
        """End the grant behind an access or refresh token, and all that hangs on it."""
        held = self._access.get(token)
        grant = held.grant if held else self._refresh.get(token)
        if grant is None or grant.revoked:
            raise OAuthError("invalid_token", "Token expired or revoked")
        # At Google a revocation takes the whole consent of that client, not one token's part.
        self._revoke(
            g for g in self._grants if (g.sub, g.client_id) == (grant.sub, grant.client_id)
        )

    # What tests and the control endpoint ask.

    def issue(
        self, sub: str, scopes: Iterable[str], expires_in_s: float | None = None
    ) -> dict[str, Any]:
        """A token set of the default client as after a full consent, without the browser."""
        if sub not in self.accounts:
            raise KeyError(sub)
        grant = Grant(sub, DEFAULT_CLIENT_ID, canonical(scopes))
        self._grants.append(grant)
        self._add_refresh_token(grant)
        return self.answer(self._new_access(grant, grant.scopes, expires_in_s))

    def answer(self, token: AccessToken, *, refresh_token: bool = True) -> dict[str, Any]:
        """The token endpoint's answer, the ID token aside."""
        body: dict[str, Any] = {
            "access_token": token.value,
            "expires_in": max(int(token.expires - self.now()), 0),
            "scope": " ".join(sorted(token.scopes)),
            "token_type": "Bearer",
        }
        if refresh_token and token.grant.refresh_token:
            body["refresh_token"] = token.grant.refresh_token
            if token.grant.refresh_expires is not None:
                left = token.grant.refresh_expires - self.now()
                body["refresh_token_expires_in"] = max(int(left), 0)
        return body

    def set_access_lifetime(self, seconds: float) -> None:
        """How long access tokens issued from now on live."""
        self.access_lifetime_s = seconds

    def set_refresh_lifetime(self, seconds: float | None) -> None:
        """How long refresh tokens issued from now on live; `TESTING_LIFETIME_S` as in Testing."""
        self.refresh_lifetime_s = seconds

    def expire_access_tokens(self, sub: str) -> int:
        """Let the account's access tokens end now; refresh tokens stay. Returns how many."""
        dead = [value for value, token in self._access.items() if token.grant.sub == sub]
        for value in dead:
            del self._access[value]
        return len(dead)

    def revoke_account(self, sub: str) -> int:
        """What the user does at myaccount.google.com: every grant ends. Returns how many."""
        return self._revoke(g for g in self._grants if g.sub == sub)

    def refuse_refresh(
        self, sub: str, error: str = "invalid_grant", description: str = DEAD_TOKEN
    ) -> None:
        """Answer the account's refreshes with this error until `allow_refresh`."""
        self.refusals[sub] = (error, description)

    def allow_refresh(self, sub: str) -> None:
        """Undo `refuse_refresh`."""
        self.refusals.pop(sub, None)

    def _new_access(
        self, grant: Grant, scopes: frozenset[str], lifetime_s: float | None = None
    ) -> AccessToken:
        value = "ya29.a0" + secrets.token_urlsafe(96)
        lives_s = self.access_lifetime_s if lifetime_s is None else lifetime_s
        token = AccessToken(value, grant, scopes, self.now() + lives_s)
        self._access[value] = token
        return token

    def _add_refresh_token(self, grant: Grant) -> None:
        grant.refresh_token = "1//0" + secrets.token_urlsafe(72)
        if self.refresh_lifetime_s is not None:
            grant.refresh_expires = self.now() + self.refresh_lifetime_s
        self._refresh[grant.refresh_token] = grant
        alive = [
            g
            for g in self._refresh.values()
            if (g.sub, g.client_id) == (grant.sub, grant.client_id) and not g.revoked
        ]
        for oldest in alive[:-MAX_REFRESH_TOKENS]:
            oldest.revoked = True

    def _revoke(self, grants: Iterable[Grant]) -> int:
        alive = [grant for grant in grants if not grant.revoked]
        for grant in alive:
            grant.revoked = True
        return len(alive)


def canonical(scopes: Iterable[str]) -> frozenset[str]:
    """Scopes as Google writes them back: long names, and `openid` wherever identity is asked."""
    named = {_ALIASES.get(scope, scope) for scope in scopes}
    return frozenset(named | {"openid"} if named & BASIC_SCOPES else named)


def _check_verifier(code: Code, verifier: str) -> None:
    if not code.challenge:
        return
    if not verifier:
        raise OAuthError("invalid_grant", "Missing code verifier.")
    expected = verifier
    if code.challenge_method == "S256":
        digest = hashlib.sha256(verifier.encode()).digest()
        expected = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if not hmac.compare_digest(expected.encode(), code.challenge.encode()):
        raise OAuthError("invalid_grant", "Invalid code verifier.")
