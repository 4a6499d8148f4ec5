"""Big uploads of a restore to another destination, kept so that the next try goes on with them.

Written by the threads that send, a row a part: what is written is what the store has confirmed.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from syncapp.connections import own_connection
from syncapp.destinations.base import Unfinished
from syncapp.models import Destination, Restore, RestorePart, RestoreUpload
from syncapp.types import SentPart

KEPT_FOR = timedelta(days=7)


class KeptUploads:
    """One restore's."""

    def __init__(self, restore_id: int) -> None:
        self._restore_id = restore_id

    def of_item(self, item_id: int) -> Unfinished | None:
        """What an earlier try began."""
        with own_connection():
            row = self._rows().filter(item_id=item_id).prefetch_related("parts").first()
            return _unfinished(row, tuple(part.sent for part in row.parts.all())) if row else None

    def begun(self, item_id: int, upload: Unfinished) -> None:
        """Keep a new one, instead of what was kept before."""
        with own_connection(), transaction.atomic():
            self._rows().filter(item_id=item_id).delete()
            RestoreUpload.objects.create(
                item_id=item_id,
                object_key=upload.key,
                upload_id=upload.upload_id,
                part_bytes=upload.part_bytes,
            )

    def sent(self, item_id: int, upload_id: str, part: SentPart) -> None:
        """The store has confirmed a part."""
        with own_connection():
            row = self._rows().filter(item_id=item_id, upload_id=upload_id).first()
            if row is None:  # another lane has taken over
                return
            RestorePart.objects.update_or_create(
                upload=row,
                number=part.number,
                defaults={
                    "size": part.size,
                    "md5": part.md5.hex(),
                    "sha256": part.sha256.hex(),
                    "etag": part.etag,
                },
            )

    def gone(self, item_id: int) -> None:
        """Completed or aborted."""
        with own_connection():
            self._rows().filter(item_id=item_id).delete()

    def left(self) -> list[tuple[int, Unfinished]]:
        """All that is kept, by item, without parts."""
        with own_connection():
            return [(row.item_id, _unfinished(row)) for row in self._rows()]

    def _rows(self) -> QuerySet[RestoreUpload]:
        return RestoreUpload.objects.filter(item__restore_id=self._restore_id)


def worth_keeping(destination: Destination) -> set[str]:
    """Ids of unfinished uploads at the destination that a restore will go on with."""
    restores = Restore.objects.filter(
        target=Restore.Target.DESTINATION,
        options__destination=destination.pk,
        run__ended_at__isnull=True,
    )
    rows = RestoreUpload.objects.filter(
        item__restore__in=restores, started_at__gte=timezone.now() - KEPT_FOR
    )
    return set(rows.values_list("upload_id", flat=True))


def _unfinished(row: RestoreUpload, parts: tuple[SentPart, ...] = ()) -> Unfinished:
    return Unfinished(row.object_key, row.upload_id, row.part_bytes, parts)
