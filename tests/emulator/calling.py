"""Drive v3 over HTTP as a client sees it, for the black-box tests of the stand-in."""

from __future__ import annotations

from typing import Any

import requests

from tests.servers.emulator import RunningEmulator

AUTH = "https://www.googleapis.com/auth/"
EVERYWHERE = {"supportsAllDrives": "true", "includeItemsFromAllDrives": "true"}


class Drive:
    """One account's view of a running emulator."""

    def __init__(self, google: RunningEmulator, account: str = "", *scopes: str) -> None:
        self.google = google
        self.token = google.access_token(account, *scopes)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {self.token}"

    def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> Any:
        url = path if path.startswith("http") else f"{self.google.url}/drive/v3/{path}"
        return self.session.get(url, params=query, headers=headers, timeout=60)

    def post(self, path: str, body: Any = None, **query: Any) -> requests.Response:
        url = f"{self.google.url}/drive/v3/{path}"
        return self.session.post(url, params=query, json=body, timeout=60)

    def media(self, file_id: str, span: str = "", **query: Any) -> requests.Response:
        headers = {"Range": span} if span else None
        return self.get(f"files/{file_id}", headers, alt="media", **query)

    def pages(self, **query: Any) -> list[dict[str, Any]]:
        """Every page of a list, to the last one."""
        pages = []
        while True:
            answer = self.get("files", **query)
            assert answer.status_code == 200, answer.text
            pages.append(answer.json())
            token = pages[-1].get("nextPageToken")
            if token is None:
                return pages
            query["pageToken"] = token

    def listed(self, **query: Any) -> list[dict[str, Any]]:
        return [file for page in self.pages(**query) for file in page["files"]]

    def names(self, q: str, **query: Any) -> list[str]:
        found = self.listed(q=q, fields="nextPageToken,files(name)", pageSize=1000, **query)
        return [file["name"] for file in found]

    def named(self, name: str, fields: str = "id", **query: Any) -> dict[str, Any]:
        """The only listed file of exactly that name."""
        wanted = f"nextPageToken,files(name,{fields})"
        found = self.listed(fields=wanted, pageSize=1000, **query)
        matching = [file for file in found if file["name"] == name]
        assert len(matching) == 1, f"{len(matching)} files are called {name!r}"
        return matching[0]


def reason(answer: requests.Response) -> tuple[int, str]:
    """Status and first reason of an error answer."""
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]
