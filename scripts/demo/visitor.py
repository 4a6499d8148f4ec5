"""A person with a browser, as far as the demo needs one: log in, link a Google account.

Follows the pages' own forms, so that the real OAuth flow is what runs. No JavaScript.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

from scripts.reporting import Failure

TIMEOUT_S = 30


@dataclass
class Form:
    """A form of a page, with what a browser would send of it untouched."""

    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)


class FormReader(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(said.get("action", "")))
        elif tag == "input" and self.forms and said.get("name"):
            self._add(said)

    def _add(self, said: dict[str, str]) -> None:
        kind = said.get("type", "text")
        ticked = kind not in {"checkbox", "radio"} or "checked" in said
        if kind != "submit" and ticked and "disabled" not in said:
            self.forms[-1].fields.append((said["name"], said.get("value", "")))


class Visitor:
    """One session. `page` is where it is."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False  # loopback is reached directly, whatever proxy is set
        self.page = requests.Response()

    def log_in(self, username: str, password: str) -> None:
        """Through the log-in page."""
        self._open("/accounts/login/")
        self._submit("login", login=username, password=password)
        if "sessionid" not in self._session.cookies:
            raise Failure("the demo could not log in; start over with: make demo FRESH=1")

    def link_google(self, sub: str) -> None:
        """From the page of Google accounts through account chooser and consent, and back.

        `sub` is the account's id at Google.
        """
        self._open("/accounts/google/")
        self._submit("google/login")
        if self._form("auth/account"):  # not asked where an account is only connected again
            self._submit("auth/account", account=sub)
        self._submit("auth/consent", decision="approve")
        if not self.page.url.startswith(self._url):
            raise Failure(f"linking the Google account ended at {self._where}.")

    @property
    def _where(self) -> str:
        """The page's address without what may be secret in it."""
        return self.page.url.split("?")[0]

    def _open(self, path: str) -> None:
        self._arrive(self._session.get(self._url + path, timeout=TIMEOUT_S))

    def _form(self, action: str) -> Form | None:
        """The first form here that leads to an address with `action` in it."""
        reader = FormReader()
        reader.feed(self.page.text)
        leading = (form for form in reader.forms if action in (form.action or self.page.url))
        return next(leading, None)

    def _submit(self, action: str, **chosen: str) -> None:
        """Send a form with what was typed into it or which button was pressed."""
        form = self._form(action)
        if form is None:
            raise Failure(f"{self._where} has no form that leads to {action}.")
        pairs = [(name, value) for name, value in form.fields if name not in chosen]
        pairs += chosen.items()
        target = urljoin(self.page.url, form.action)
        headers = {"Referer": self.page.url}
        self._arrive(self._session.post(target, pairs, headers=headers, timeout=TIMEOUT_S))

    def _arrive(self, page: requests.Response) -> None:
        self.page = page
        if not page.ok:
            raise Failure(f"{self._where} answered {page.status_code}.")
