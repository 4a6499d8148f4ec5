"""Downloads: one version of a file, or many files and folders at any moment as one archive."""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_safe

from syncapp.engine import restorable
from syncapp.engine.moment import file_name
from syncapp.errors import BackupError
from syncapp.models import File, Source, Version
from syncapp.web import queries
from syncapp.web.contents import Archive, version_bytes
from syncapp.web.paging import row_number
from syncapp.web.pump import DOWNLOADS
from syncapp.web.serving import as_download, streamed
from syncapp.web.views.access import person

MOST_CHOSEN = 300  # an address has 4,094 characters


@login_required
@require_safe
def version(
    request: HttpRequest, source_id: int, file_id: int, version_id: int
) -> HttpResponseBase:
    """One version, from the best destination, checked as it is read."""
    found = owned_version(request, source_id, file_id, version_id)
    try:
        answer = streamed(request, version_bytes(found.pk), pool=DOWNLOADS, length=found.size)
    except BackupError as error:
        messages.error(request, error.message)
        return redirect("file", source_id, file_id)
    as_download(
        answer, file_name(found.file.name, found.file.extension), "application/octet-stream"
    )
    answer["ETag"] = f'"{found.sha256}"'
    return answer


@login_required
@require_safe
def archive(request: HttpRequest, source_id: int) -> HttpResponseBase:
    """`file` (may come again and again; none: everything) as it was on `at`, as a zip archive."""
    source = get_object_or_404(queries.sources_of(person(request)), pk=source_id)
    files, at = chosen_files(request, source), moment_of(request.GET.get("at", ""))
    content = Archive(source, files, at).chunks()
    try:
        restorable.check_moment(at)
        answer = streamed(request, content, pool=DOWNLOADS)
    except BackupError as error:
        messages.error(request, error.message)
        return redirect("source_files", source_id)
    stamp = timezone.localtime(at or timezone.now())
    as_download(answer, f"{source.name} {stamp:%Y-%m-%d %H%M}.zip", "application/zip")
    return answer


def owned_version(request: HttpRequest, source_id: int, file_id: int, version_id: int) -> Version:
    """A stored version of a file of the person's, or 404."""
    return get_object_or_404(
        Version.objects.select_related("file", "source").filter(size__isnull=False),
        pk=version_id,
        file__pk=file_id,
        source__pk=source_id,
        source__owner=person(request),
    )


def asked_for(request: HttpRequest) -> tuple[Source, list[int]]:
    """`source` and `file` (none: everything) in the address or the form, all the person's."""
    number = row_number((request.POST or request.GET).get("source", ""))
    source = get_object_or_404(queries.sources_of(person(request)), pk=number)
    return source, chosen_files(request, source)


def chosen_files(request: HttpRequest, source: Source) -> list[int]:
    """The ids in `file`, all of this source, or 404."""
    raw = request.GET.getlist("file") or request.POST.getlist("file")
    if len(raw) > MOST_CHOSEN:
        raise Http404
    numbers = [row_number(one) for one in raw]
    ids = {number for number in numbers if number is not None}
    if None in numbers or File.objects.filter(source=source, pk__in=ids).count() != len(ids):
        raise Http404
    return sorted(ids)


def moment_of(raw: str) -> datetime | None:
    """A moment as addresses and forms have it (ISO 8601); None for "". Junk is 404, not today.

    Without an offset it is a time of the server's own zone.
    """
    raw = raw.strip()
    if not raw:
        return None
    try:
        # A plus sign that was not escaped arrives as a blank.
        found = parse_datetime(raw.replace(" ", "+") if "T" in raw else raw)
    except ValueError:
        raise Http404 from None
    if found is None:
        raise Http404
    try:
        return (timezone.make_aware(found) if timezone.is_naive(found) else found).astimezone(UTC)
    except OverflowError:
        raise Http404 from None
