"""Whether there is anything to restore at a moment, and why nothing of a file is there.

A restore of nothing is refused before it begins: it would look like one that has worked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from django.db.models import Min
from django.utils import timezone

from syncapp.engine.moment import contents
from syncapp.engine.sets import chunks
from syncapp.errors import ConfigurationError
from syncapp.models import File, Place, Source, Version
from syncapp.types import Content

_AHEAD = timedelta(minutes=1)  # that a browser's clock may be
_NEVER = "No content of this file was stored by then."
_NOT_KEPT = (
    "No content that this file had then is kept: retention has removed it, unless it was never "
    "stored."
)


def check(source: Source, files: Sequence[int], at: datetime | None) -> None:
    """ConfigurationError if it is of the future, or if nothing of it could come back; it names the
    moments that there are. `files` are ids of the source's, () is everything."""
    check_moment(at)
    if files:
        _check_chosen(files, at)
    else:
        _check_source(source, at)


def check_moment(at: datetime | None) -> None:
    """ConfigurationError for the future, which nobody knows yet."""
    if at is not None and at > timezone.now() + _AHEAD:
        raise ConfigurationError(f"{_told(at)} lies in the future. Leave it out for the latest.")


def reasons(files: Collection[int], moment: datetime) -> dict[int, str]:
    """Why no content of these files is there at the moment, in a sentence for each."""
    told = dict.fromkeys(files, _NEVER)
    for some in chunks(files, 500):
        versions = Version.objects.filter(file__in=some)
        # What retention lets go leaves no row; what was seen and never stored does.
        then = set(versions.filter(first_seen_at__lte=moment).values_list("file_id", flat=True))
        seen = File.objects.filter(pk__in=some, first_seen_at__lte=moment, versions__isnull=False)
        lacking = seen.values_list("pk", flat=True).distinct()
        told |= {pk: _NOT_KEPT for pk in lacking if pk not in then}
    return told


def _check_source(source: Source, at: datetime | None) -> None:
    moment = at or timezone.now()
    present = File.objects.filter(source=source, placed_at__lte=moment)
    if present.filter(trashed_at=None, vanished_at=None).exists():
        return
    if Place.objects.filter(source=source, from_at__lte=moment, until_at__gt=moment).exists():
        return
    first = File.objects.filter(source=source).aggregate(at=Min("first_seen_at"))["at"]
    name = f"“{source.name}”"
    if first is None:
        raise ConfigurationError(f"There is nothing to restore: {name} was not backed up yet.")
    if first > moment:
        raise ConfigurationError(
            f"There is nothing of {_told(moment)}: {name} was first looked at on {_from(first)}. "
            "Choose that time or a later one."
        )
    raise ConfigurationError(
        f"At {_told(moment)} there was nothing in {name}. Choose another time: the first is "
        f"{_from(first)}."
    )


def _check_chosen(files: Sequence[int], at: datetime | None) -> None:
    moment = at or timezone.now()
    chosen = [
        row
        for some in chunks(sorted(set(files)), 500)
        for row in File.objects.filter(pk__in=some).order_by("pk")
    ]
    folders = [file for file in chosen if file.content == Content.FOLDER]
    others = [file.pk for file in chosen if file.content != Content.FOLDER]
    if any(_was_there(folder, moment) for folder in folders):
        return
    if any(contents(some, moment) for some in chunks(others, 500)):
        return
    told = [*_first_seen(folders), *_lacking(chosen, others, moment)]
    more = f" So it is with all {len(told)} that are chosen." if len(told) > 1 else ""
    raise ConfigurationError(f"There is nothing to restore of {_told(moment)}. {told[0]}{more}")


def _was_there(folder: File, moment: datetime) -> bool:
    """Whether it was known by then, or something in it."""
    if folder.first_seen_at <= moment:
        return True
    inside = {"source": folder.source_id, "parent_id": folder.remote_id}
    return (
        File.objects.filter(**inside, placed_at__lte=moment).exists()
        or Place.objects.filter(**inside, from_at__lte=moment).exists()
    )


def _first_seen(folders: Sequence[File]) -> Iterator[str]:
    for folder in folders:
        yield f"“{folder.name}” was first seen on {_from(folder.first_seen_at)}."


def _lacking(chosen: Sequence[File], others: Collection[int], moment: datetime) -> Iterator[str]:
    why = reasons(others, moment)
    for file in chosen:
        if file.pk in why:
            yield f"“{file.name}”: {why[file.pk]}"


def _told(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"


def _from(moment: datetime) -> str:
    """A minute at which it was there."""
    return _told(moment + timedelta(seconds=59, microseconds=999_999))
