"""From rows to working adapters: the one place where settings, secrets and code meet."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.conf import settings

from accounts.tokens import credentials, granted
from syncapp import destinations
from syncapp.destinations.base import Destination as Store
from syncapp.engine import marks
from syncapp.engine.limits import GooglePace, Stopped, never, wait
from syncapp.errors import ConfigurationError
from syncapp.models import Destination, Source
from syncapp.sources.base import Source as Reader
from syncapp.sources.google_client import GoogleEndpoints
from syncapp.sources.google_drive import GoogleDriveSource


def source_for(
    source: Source, stopped: Stopped = never, check: Callable[[], None] | None = None
) -> Reader:
    """The reader of a source, at the pace that all workers share; makes no request.

    Its calls raise Interrupted where they would wait although `stopped` says that they must not,
    and what `check` raises before each request.
    """
    if source.kind != GoogleDriveSource.kind:
        raise ConfigurationError(f"{source.name}: there is no reader of kind “{source.kind}”.")
    endpoints = GoogleEndpoints(
        drive_url=settings.GOOGLE_DRIVE_URL, forms_url=settings.GOOGLE_FORMS_URL
    )
    return GoogleDriveSource(
        credentials(source.account_id),
        endpoints,
        scopes=granted(source.account),
        pause=lambda seconds: wait(seconds, stopped),
        pace=GooglePace(source.account_id, stopped, check),
        streams=settings.DOWNLOAD_STREAMS,
    )


def destination_for(destination: Destination) -> Store:
    """The store of a destination, which changes nothing at another installation's place; makes no
    request. ConfigurationError names the bad option."""
    return marks.Guarded(origin_for(destination), marks.known(destination)).store


def origin_for(destination: Destination) -> Store:
    """The same only to be read from: nobody's mark matters. No database."""
    private = "1" if settings.ALLOW_PRIVATE_ENDPOINTS else ""
    return destinations.build(
        destination.kind,
        {**destination.options, "_allow_private": private},
        json.loads(destination.secrets or "{}"),
    )
