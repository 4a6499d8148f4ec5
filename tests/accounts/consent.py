"""A person with a browser: posts the product's forms and answers Google's consent pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from django.test import Client

from accounts.models import User
from tests.emulator.consent_pages import Page

ADA, GRACE = "ada.lovelace@example.com", "grace.hopper@example.com"
UNTICK_DRIVE, UNTICK_FORMS = "scope-drive-readonly", "scope-forms-responses-readonly"


@dataclass
class Browser:
    """One person's session here, and the address of Google."""

    client: Client
    google_url: str

    @classmethod
    def of(cls, user: User, google_url: str) -> Browser:
        """Logged in, at the public address (Google accepts only loopback or listed redirects)."""
        client = Client(HTTP_HOST="127.0.0.1:8000")
        client.force_login(user)
        return cls(client, google_url)

    def start(self, **form: Any) -> str:
        """Press Link or Reconnect; the address of Google's page."""
        answer = self.client.post("/accounts/google/login/?process=connect", form)
        assert answer.status_code == 302, answer.content
        return str(answer["Location"])

    def answer_google(
        self,
        address: str,
        *,
        email: str = ADA,
        untick: tuple[str, ...] = (),
        press: str = "approve",
    ) -> str:
        """Choose an account if asked, untick, press; the path that Google sends back to."""
        page = Page(requests.get(address, timeout=10).text)
        if email not in page.text or "consent" not in page.action:
            page = self._choose(page, email)
        boxes = [
            (box["name"], box["value"])
            for box in page.scopes()
            if "disabled" not in box and box["id"] not in untick
        ]
        button = page.controls[press]
        answer = self._submit(page, [*boxes, (button["name"], button["value"])])
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["Location"])
        return f"{back.path}?{back.query}"

    def link(self, **choices: Any) -> Any:
        """The whole way; our answer to the callback."""
        account = choices.pop("account", None)
        form = {"account": account} if account else {}
        return self.client.get(self.answer_google(self.start(**form), **choices))

    def _choose(self, page: Page, email: str) -> Page:
        accounts = [c for c in page.controls.values() if c.get("name") == "account"]
        number = {ADA: 0, GRACE: 1}[email]
        chosen = accounts[number]
        return Page(self._submit(page, [(chosen["name"], chosen["value"])]).text)

    def _submit(self, page: Page, fields: list[Any]) -> requests.Response:
        return requests.post(
            self.google_url + page.action,
            data=[*page.hidden.items(), *fields],
            allow_redirects=False,
            timeout=10,
        )
