"""The state: setup (what is wanted), catalog (what is stored where), history (what happened),
limits (what all workers share), policy (what is kept, and regular upkeep), restore, proof,
recovery (the catalog beside the data)."""

from syncapp.models.catalog import Copy, File, PartialUpload, Place, Span, UploadedPart, Version
from syncapp.models.erasure import Erased, ErasedObject, Erasure
from syncapp.models.history import Attempt, Event, Lane, Run, ScanProgress, Worker
from syncapp.models.limits import Breaker, Channel, Pace
from syncapp.models.policy import Policy, Upkeep
from syncapp.models.proof import Canary, Finding, Leftover
from syncapp.models.recovery import (
    Change,
    DatabaseBackup,
    Recovery,
    Segment,
    SegmentCopy,
    SegmentTurn,
)
from syncapp.models.restore import (
    DriveId,
    Restore,
    RestoreFolder,
    RestoreItem,
    RestorePart,
    RestoreUpload,
)
from syncapp.models.setup import Destination, Installation, Source

__all__ = [
    "Attempt",
    "Breaker",
    "Canary",
    "Change",
    "Channel",
    "Copy",
    "DatabaseBackup",
    "Destination",
    "DriveId",
    "Erased",
    "ErasedObject",
    "Erasure",
    "Event",
    "File",
    "Finding",
    "Installation",
    "Lane",
    "Leftover",
    "Pace",
    "PartialUpload",
    "Place",
    "Policy",
    "Recovery",
    "Restore",
    "RestoreFolder",
    "RestoreItem",
    "RestorePart",
    "RestoreUpload",
    "Run",
    "ScanProgress",
    "Segment",
    "SegmentCopy",
    "SegmentTurn",
    "Source",
    "Span",
    "Upkeep",
    "UploadedPart",
    "Version",
    "Worker",
]
