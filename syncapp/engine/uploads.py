"""Big uploads, written down while they run, so that the next worker sends only what is lacking.

Threads that send note what happened (`Note`, no database); the lane's thread writes the notes in
sets. What is written may lag behind the store by a moment: then a part is sent once more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from syncapp.engine.feed import Begun, Gone, Note, Recorded, Sent, Whole
from syncapp.engine.sets import upsert_many
from syncapp.models import Copy, Destination, PartialUpload, UploadedPart, Version

KEPT_FOR = timedelta(days=7)
_PART = ["upload_id", "number", "size", "md5", "sha256", "etag"]


def write(notes: Iterable[Note]) -> None:
    """Write down what was noted, in its order as far as that matters."""
    notes = list(notes)
    if not notes:
        return
    with transaction.atomic():
        _begin([note for note in notes if isinstance(note, Begun)])
        _add([note for note in notes if isinstance(note, Sent)])
        for note in notes:
            mine = PartialUpload.objects.filter(copy_id=note.copy_id, upload_id=note.upload_id)
            if isinstance(note, Gone):
                mine.delete()
            elif isinstance(note, Whole):
                mine.update(whole_from=note.origin)


def _begin(notes: list[Begun]) -> None:
    there = set(
        Copy.objects.filter(pk__in=[note.copy_id for note in notes]).values_list("pk", flat=True)
    )
    for note in notes:
        if note.copy_id not in there:
            continue  # its version was withdrawn: the store's sweep removes the upload
        PartialUpload.objects.update_or_create(
            copy_id=note.copy_id,
            defaults={
                "object_key": note.key,
                "upload_id": note.upload_id,
                "part_bytes": note.part_bytes,
                "started_at": timezone.now(),
                "whole_from": "",
            },
        )
        UploadedPart.objects.filter(upload__copy_id=note.copy_id).delete()


def _add(notes: list[Sent]) -> None:
    uploads = {
        (copy_id, upload_id): pk
        for pk, copy_id, upload_id in PartialUpload.objects.filter(
            copy_id__in={note.copy_id for note in notes}
        ).values_list("pk", "copy_id", "upload_id")
    }
    # A part that was sent again may be of other bytes.
    PartialUpload.objects.filter(pk__in=uploads.values()).exclude(whole_from="").update(
        whole_from=""
    )
    rows = {}
    for note in notes:
        pk, part = uploads.get((note.copy_id, note.upload_id)), note.part
        if pk is not None:
            rows[pk, part.number] = (
                pk, part.number, part.size, part.md5.hex(), part.sha256.hex(), part.etag,
            )  # fmt: skip
    upsert_many(
        UploadedPart, _PART, list(rows.values()), unique=["upload_id", "number"], update=_PART[2:]
    )


def recorded(copies: Collection[int]) -> dict[int, Recorded]:
    """What is written down of these copies, by copy."""
    uploads = list(PartialUpload.objects.filter(copy_id__in=copies).prefetch_related("parts"))
    return {
        upload.copy_id: Recorded(
            upload.object_key,
            upload.upload_id,
            upload.part_bytes,
            tuple(part.sent for part in upload.parts.all()),
            upload.whole_from,
        )
        for upload in uploads
    }  # fmt: skip


def worth_keeping(destination: Destination) -> set[str]:
    """Ids of the destination's unfinished uploads that may be gone on with; others are forgotten.

    Not of files that changed or vanished (unless a damaged copy is made anew), nor those that
    nobody has gone on with for a week.
    """
    mine = PartialUpload.objects.filter(copy__destination=destination)
    present = Q(copy__version__current=True, copy__version__file__vanished_at__isnull=True) & ~Q(
        copy__version__state=Version.State.SUPERSEDED
    )
    wanted = Q(started_at__gte=timezone.now() - KEPT_FOR) & (
        present | Q(copy__state=Copy.State.DAMAGED)
    )
    mine.exclude(pk__in=mine.filter(wanted).values("pk")).delete()
    return set(mine.values_list("upload_id", flat=True))
