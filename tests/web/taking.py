"""Taking what the web server gives: addresses of versions, and answers that are streamed."""

from __future__ import annotations

import asyncio
import http.client
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse

from syncapp.models import Version
from tests.engine.vault import Vault


def body(answer: Any) -> bytes:
    """All of an answer, taken as the web server takes it."""

    async def taken() -> bytes:
        return b"".join([part async for part in answer])

    return asyncio.run(taken()) if answer.streaming else bytes(answer.content)


def address(version: Version, name: str = "version_download") -> str:
    return reverse(name, args=[version.source_id, version.file_id, version.pk])


def spoil(vault: Vault, version: Version, data: bytes) -> None:
    """Change the version's bytes wherever they lie."""
    for destination in vault.destinations:
        vault.path(version, destination).write_bytes(data)


class Visitor:
    """A browser that looks at the bytes of an answer."""

    def __init__(self, url: str, vault: Vault) -> None:
        client = Client()
        client.force_login(vault.source.owner)
        name = django_settings.SESSION_COOKIE_NAME
        self.cookie = f"{name}={client.cookies[name].value}"
        self._host = urlsplit(url).netloc

    def ask(self, path: str, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._host, timeout=60)
        connection.request("GET", path, headers={"Cookie": self.cookie, **headers})
        return connection.getresponse()
