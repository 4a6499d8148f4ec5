"""A person in front of the consent pages: reads the forms of a page and submits them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET

CALLBACK = "http://127.0.0.1:9/callback"  # nothing listens there: redirects are read, not followed
AUTH = "https://www.googleapis.com/auth/"
DRIVE = AUTH + "drive.readonly"
FORMS = AUTH + "forms.responses.readonly"
VERIFIER = "v" * 64


def s256(verifier: str) -> str:
    """The PKCE challenge of a verifier."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass
class Page(HTMLParser):
    """The controls of one page by id, and its visible text."""

    html: str
    action: str = ""
    hidden: dict[str, str] = field(default_factory=dict)
    controls: dict[str, dict[str, str | None]] = field(default_factory=dict)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form":
            self.action = found["action"] or ""
        if tag == "input" and found.get("type") == "hidden":
            self.hidden[found["name"] or ""] = found["value"] or ""
        if found.get("id"):
            self.controls[found["id"] or ""] = found

    def handle_data(self, data: str) -> None:
        self.text += data

    def scopes(self) -> list[dict[str, str | None]]:
        return [c for c in self.controls.values() if c.get("name") == "scope"]


class Person:
    """Asks for consent as an application would, and answers as a person would."""

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self, **changes: str) -> requests.Response:
        """The authorization request, with parameters added, changed or (if empty) left out."""
        query = {
            "response_type": "code",
            "client_id": DEFAULT_CLIENT_ID,
            "redirect_uri": CALLBACK,
            "scope": f"openid email profile {DRIVE} {FORMS}",
            "state": "st&te=1",
            "access_type": "offline",
            "prompt": "consent",
            "login_hint": "ada@example.org",
            "code_challenge": s256(VERIFIER),
            "code_challenge_method": "S256",
        }
        query = {name: value for name, value in (query | changes).items() if value}
        return requests.get(
            f"{self.url}/o/oauth2/v2/auth", params=query, allow_redirects=False, timeout=10
        )

    def choose(self, page: Page, control: str) -> requests.Response:
        """Press an account button of the chooser."""
        button = page.controls[control]
        return self._submit(page, [(button["name"], button["value"])])

    def answer(
        self, page: Page, *, untick: tuple[str, ...] = (), press: str = "approve"
    ) -> dict[str, str]:
        """Untick boxes by id, press a button; what the redirect carries back."""
        fields = [
            (box["name"], box["value"])
            for box in page.scopes()
            if "checked" in box and "disabled" not in box and box["id"] not in untick
        ]
        button = page.controls[press]
        return carried(self._submit(page, [*fields, (button["name"], button["value"])]))

    def consent(self, *, untick: tuple[str, ...] = (), **changes: str) -> dict[str, str]:
        """The whole way from the request to what the redirect carries."""
        return self.answer(Page(self.open(**changes).text), untick=untick)

    def redeem(self, code: str, **changes: str) -> requests.Response:
        """Exchange a code."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        return self.token(**(form | {"code_verifier": VERIFIER} | changes))

    def refresh(self, refresh_token: str, **changes: str) -> requests.Response:
        """Exchange a refresh token."""
        return self.token(
            **({"grant_type": "refresh_token", "refresh_token": refresh_token} | changes)
        )

    def token(self, **form: str) -> requests.Response:
        """POST to the token endpoint as the default client; an empty value leaves a field out."""
        client = {"client_id": DEFAULT_CLIENT_ID, "client_secret": DEFAULT_CLIENT_SECRET}
        fields = {name: value for name, value in (client | form).items() if value}
        return requests.post(f"{self.url}/token", data=fields, timeout=10)

    def _submit(self, page: Page, fields: list[Any]) -> requests.Response:
        return requests.post(
            urljoin(self.url, page.action),
            data=[*page.hidden.items(), *fields],
            allow_redirects=False,
            timeout=10,
        )


def carried(response: requests.Response) -> dict[str, str]:
    """The query of a redirect to the callback."""
    assert response.status_code == 302, response.text
    location = response.headers["Location"]
    assert location.startswith(CALLBACK + "?")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
