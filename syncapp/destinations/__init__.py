"""Destinations by kind. A new one is a file beside this and a line below."""

from collections.abc import Mapping
from importlib import import_module

from syncapp.destinations.base import Destination
from syncapp.errors import ConfigurationError

KINDS = {
    "s3": "syncapp.destinations.s3:S3Destination",
    "local": "syncapp.destinations.local:LocalDestination",
}


def destination_class(kind: str) -> type[Destination]:
    """The adapter for `kind`; ConfigurationError if there is none."""
    if kind not in KINDS:
        raise ConfigurationError(
            f"There is no destination kind “{kind}”. Known: {', '.join(KINDS)}."
        )
    module, name = KINDS[kind].split(":")
    found: type[Destination] = getattr(import_module(module), name)
    return found


def build(kind: str, settings: Mapping[str, str], secrets: Mapping[str, str]) -> Destination:
    """A ready adapter; makes no request."""
    return destination_class(kind).create(settings, secrets)
