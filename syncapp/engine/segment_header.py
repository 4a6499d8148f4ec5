"""What a segment's first line says of its source: everything to set it up again but secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

import orjson
from django.db.models import Q
from django.utils import timezone

from syncapp.models import Destination, Policy, Segment, Source
from syncapp.types import JsonObject

SOURCE = (
    "slug", "name", "kind", "paused", "mode", "cron", "time_zone", "reconcile_days", "bwlimit",
    "cursor", "scanned_at", "created_at", "planned_for",
)  # fmt: skip
DESTINATION = ("name", "kind", "options", "enabled", "bwlimit")
_NO_SETTING = ("cursor", "scanned_at", "planned_for")
_NOT_A_WISH = {"id", "owner", "source"}
POLICY = tuple(f.name for f in Policy._meta.concrete_fields if f.name not in _NOT_A_WISH)


def header(segment: Segment) -> JsonObject:
    """What all parts of the segment say. Read it before the rows: a cursor from before them is
    only replayed again, one from behind them would skip what they lack."""
    return {
        "kind": segment.kind,
        "number": segment.number,
        "after": segment.after,
        "written_at": _told(timezone.now()),
        **_settings(segment.source_id),
    }


def mark(source_id: int) -> str:
    """A hash of all that a header says of settings; where change logs stand is none."""
    told = _settings(source_id)
    for name in _NO_SETTING:
        told["source"].pop(name)
    packed = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(packed, digest_size=16).hexdigest()


def _settings(source_id: int) -> JsonObject:
    source = Source.objects.select_related("account", "owner").get(pk=source_id)
    account, owner = source.account, source.owner
    policies = Policy.objects.filter(Q(source=source) | Q(owner=owner, source__isnull=True))
    attached = set(source.destinations.values_list("pk", flat=True))
    return {
        "source": _kept(source, SOURCE),
        "account": {"uid": account.uid, "email": account.email, "name": account.name},
        "owner": {"username": owner.username, "email": owner.email},
        "policies": {
            "source" if policy.source_id else "default": _kept(policy, POLICY)
            for policy in policies
        },
        "destinations": [
            {"id": row.pk, "attached": row.pk in attached, **_kept(row, DESTINATION)}
            for row in Destination.objects.filter(owner=owner).order_by("pk")
        ],
    }


def _kept(row: object, names: Iterable[str]) -> JsonObject:
    return {name: _told(getattr(row, name)) for name in names}


def _told(value: object) -> object:
    """Times in UTC, as in the lines."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value
