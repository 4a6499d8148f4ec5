"""Short ways to the files of a source and to the truth about them."""

from __future__ import annotations

from typing import Any

from syncapp.sources.google_drive import GoogleDriveSource
from syncapp.types import ItemPage, RemoteFile
from tests.servers.emulator import RunningEmulator

MIB = 1024**2


def manifest(running: RunningEmulator) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in running.control.manifest()}


def scanned(source: GoogleDriveSource) -> list[RemoteFile]:
    return [file for page in source.scan({}) for file in files_of(page)]


def files_of(page: ItemPage) -> list[RemoteFile]:
    return [page.file(i) for i in range(len(page.ids))]


def named(source: GoogleDriveSource, name: str) -> RemoteFile:
    return next(file for file in scanned(source) if file.name == name)


def read(source: GoogleDriveSource, file: RemoteFile) -> bytes:
    with source.download(file) as download:
        return b"".join(download.chunks)
