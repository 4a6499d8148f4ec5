"""The state: setup (what is wanted), catalog (what is stored where), history (what happened)."""

from syncapp.models.catalog import Copy, File, Version
from syncapp.models.history import Attempt, Event, Lane, Run, Worker
from syncapp.models.setup import Destination, Source

__all__ = [
    "Attempt",
    "Copy",
    "Destination",
    "Event",
    "File",
    "Lane",
    "Run",
    "Source",
    "Version",
    "Worker",
]
