"""Taking what the web server gives: addresses of versions, and answers that are streamed."""

from __future__ import annotations

import asyncio
from typing import Any

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
