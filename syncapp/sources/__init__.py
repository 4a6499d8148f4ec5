"""Sources by kind. A new one is a file beside this and a line below."""

from importlib import import_module

from syncapp.errors import ConfigurationError
from syncapp.sources.base import Source

KINDS = {
    "google_drive": "syncapp.sources.google_drive:GoogleDriveSource",
}


def source_class(kind: str) -> type[Source]:
    """The adapter for `kind`; ConfigurationError if there is none."""
    if kind not in KINDS:
        raise ConfigurationError(f"There is no source kind “{kind}”. Known: {', '.join(KINDS)}.")
    module, name = KINDS[kind].split(":")
    found: type[Source] = getattr(import_module(module), name)
    return found
