"""The catalog as folders: what is backed up, where, in which versions."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from syncapp.models import Source
from syncapp.types import Content
from syncapp.web import queries
from syncapp.web.paging import newest_first
from syncapp.web.views.access import person


@login_required
@require_safe
def files(request: HttpRequest) -> HttpResponse:
    """Whose files to look at; with one source there is nothing to choose."""
    sources = list(queries.sources_of(person(request)))
    if len(sources) == 1:
        return redirect("source_files", sources[0].pk)
    return render(request, "files/sources.html", {"sources": sources})


@login_required
@require_safe
def source_files(request: HttpRequest, source_id: int) -> HttpResponse:
    """A folder of a source."""
    source = _source(request, source_id)
    folder, after = request.GET.get("folder", ""), request.GET.get("after", "")
    trail = queries.trail(source, folder)
    if folder and not trail:
        raise Http404
    entries, following = queries.folder_entries(source, folder, after)
    context = {
        "source": source,
        "folder": folder,
        "folder_id": source.files.filter(remote_id=folder).values_list("pk", flat=True).first()
        if folder
        else None,
        "trail": trail,
        "entries": entries,
        "after": after,
        "next": following,
        "destinations": list(source.destinations.all()),
    }
    return render(request, "files/folder.html", context)


@login_required
@require_safe
def file(request: HttpRequest, source_id: int, file_id: int) -> HttpResponse:
    """A file: its versions, where each is stored, and what is known of it."""
    source = _source(request, source_id)
    found = get_object_or_404(source.files.exclude(content=Content.FOLDER), pk=file_id)
    context = {
        "source": source,
        "file": found,
        "trail": queries.trail(source, found.parent_id),
        "page": newest_first(queries.file_versions(found), request.GET.get("before", ""), 20),
    }
    return render(request, "files/file.html", context)


def _source(request: HttpRequest, source_id: int) -> Source:
    return get_object_or_404(queries.sources_of(person(request)), pk=source_id)
