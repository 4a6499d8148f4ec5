"""When each version was its file's content: once or, if an older content came back, several times.

The last spell is in the Version, those before it are its Spans. In sets.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Exists, Max, OuterRef, Q
from django.db.models.functions import Coalesce

from syncapp.models import Span, Version

SINCE = Coalesce("returned_at", "first_seen_at")  # `Version.since`, for the database


def begin_again(revisions: Mapping[int, str], now: datetime) -> None:
    """Of files by their keys: the revisions that become current now. Those that were so before and
    are not any more begin a new spell; what was their last one becomes a Span.

    Inside the transaction that makes them current, and before that.
    """
    if not revisions:
        return
    if connection.vendor == "postgresql":
        these = "unnest(%s::bigint[], %s::text[]) AS t (file_id, revision) JOIN"
        same = "v.file_id = t.file_id AND v.revision = t.revision"
        given: list[Any] = [list(revisions), list(revisions.values())]
    else:
        these = "json_each(%s) t CROSS JOIN"  # in this order: one look at an index for each
        same = (
            "v.file_id = json_extract(t.value, '$[0]')"
            " AND v.revision = json_extract(t.value, '$[1]')"
        )
        given = [json.dumps(list(revisions.items()))]
    table = Version._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {Span._meta.db_table} (version_id, from_at, until_at)"  # noqa: S608
            " SELECT v.id, COALESCE(v.returned_at, v.first_seen_at), v.replaced_at"
            f" FROM {these} {table} v ON {same} WHERE v.replaced_at IS NOT NULL"
            " RETURNING version_id",
            given,
        )
        returned = [pk for (pk,) in cursor.fetchall()]
    if returned:
        Version.objects.filter(pk__in=returned).update(returned_at=now)


def lasted(at: datetime) -> Q:
    """Of Versions: those that were the content at this moment."""
    begun = Q(returned_at__lte=at) | Q(returned_at=None, first_seen_at__lte=at)
    ended = Q(replaced_at=None) | Q(replaced_at__gt=at)
    earlier = Span.objects.filter(version=OuterRef("pk"), from_at__lte=at, until_at__gt=at)
    return (begun & ended) | Q(Exists(earlier), returned_at__gt=at)


def last_before(version_ids: Collection[int], at: datetime) -> dict[int, tuple[datetime, datetime]]:
    """Of each of these versions the last Span that had begun by this moment: from and until."""
    if not version_ids:
        return {}
    begun = Span.objects.filter(version__in=version_ids, from_at__lte=at).values_list("version")
    rows = begun.annotate(Max("from_at"), Max("until_at"))
    return {pk: (from_at, until_at) for pk, from_at, until_at in rows}


def begins(version_ids: Collection[int]) -> dict[int, list[datetime]]:
    """When the Spans of each of these versions began, in no order."""
    found: dict[int, list[datetime]] = defaultdict(list)
    if version_ids:
        rows = Span.objects.filter(version__in=version_ids)
        for pk, from_at in rows.values_list("version", "from_at"):
            found[pk].append(from_at)
    return found
