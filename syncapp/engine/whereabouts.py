"""Where a destination's objects lie, told from its settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from syncapp.destinations.local import LocalDestination
from syncapp.models import Destination


class Whereabouts(NamedTuple):
    """Two destinations that are equal in both lie at one place; two that are equal in the spot may,
    for one service can have several names."""

    service: tuple[str, ...]  # provider, region, endpoint; nothing for a folder of this machine
    spot: tuple[str, ...]  # bucket and prefix, or the folder


def whereabouts(destination: Destination) -> Whereabouts:
    """As the settings say; a folder by its real path."""
    options = destination.options
    prefix = _told(options, "prefix").strip("/")
    if destination.kind == LocalDestination.kind:
        folder = os.path.realpath(os.path.join(_told(options, "path"), prefix))
        return Whereabouts((), (folder,))
    provider, region, endpoint, bucket = (
        _told(options, name).rstrip("/") for name in ("provider", "region", "endpoint", "bucket")
    )
    return Whereabouts((provider, region, endpoint), (bucket, prefix))


def folder_of(destination: Destination) -> Path:
    """The real folder of a local one's objects."""
    return Path(*whereabouts(destination).spot)


def overlap(one: Path, other: Path) -> bool:
    """Whether one of two folders is the other, or lies in it."""
    return one.is_relative_to(other) or other.is_relative_to(one)


def _told(options: dict[str, object], name: str) -> str:
    return str(options.get(name, ""))
