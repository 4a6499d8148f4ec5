"""The state: setup (what is wanted), catalog (what is stored where), history (what happened),
limits (what all workers share)."""

from syncapp.models.catalog import Copy, File, PartialUpload, UploadedPart, Version
from syncapp.models.history import Attempt, Event, Lane, Run, ScanProgress, Worker
from syncapp.models.limits import Breaker, Channel, Pace
from syncapp.models.setup import Destination, Source

__all__ = [
    "Attempt",
    "Breaker",
    "Channel",
    "Copy",
    "Destination",
    "Event",
    "File",
    "Lane",
    "Pace",
    "PartialUpload",
    "Run",
    "ScanProgress",
    "Source",
    "UploadedPart",
    "Version",
    "Worker",
]
