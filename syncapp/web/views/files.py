"""The catalog as folders: what is backed up, where, in which versions."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from syncapp.engine import restorable
from syncapp.engine.absorb import IN_TRASH
from syncapp.engine.policies import effective
from syncapp.engine.search import search as find
from syncapp.errors import ConfigurationError
from syncapp.models import Source, Version
from syncapp.types import Content
from syncapp.web import queries
from syncapp.web.paging import newest_first
from syncapp.web.search_forms import MomentForm, SearchForm
from syncapp.web.views.access import person
from syncapp.web.views.archive import moment_of


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
    """A folder of a source: as it is, with what was deleted if wished, or as it was (`at`)."""
    source = _source(request, source_id)
    form = MomentForm(request.GET if "on" in request.GET else None)
    if form.is_bound and form.is_valid():
        return redirect(_address(request, form.cleaned_data["at"]))
    folder, after = request.GET.get("folder", ""), request.GET.get("after", "")
    at = moment_of(request.GET.get("at", ""))
    try:
        restorable.check_moment(at)
    except ConfigurationError as error:
        messages.error(request, error.message)
        return redirect(_address(request, None))
    trail = queries.trail(source, folder, at)
    if folder and not trail:
        raise Http404
    context = {
        "source": source,
        "folder": folder,
        "trail": trail,
        "after": after,
        "form": form,
        "at": at,
        "moments": _moments(request),
        "filter": _kept(request),
    }
    if folder:
        here = source.files.filter(remote_id=folder)
        context["folder_id"] = here.values_list("pk", flat=True).first()
    if at is not None:
        entries, following = queries.past_entries(source, folder, at, after)
        return render(request, "files/past.html", context | {"entries": entries, "next": following})
    deleted = request.GET.get("deleted") == "1"
    rows, following = queries.folder_entries(source, folder, after, deleted=deleted)
    context |= {"entries": rows, "next": following, "deleted": deleted}
    context["destinations"] = list(source.destinations.all())
    context["kept_days"] = effective(source).trash_days
    return render(request, "files/folder.html", context)


# Under the dates that a person thinks of first.
_AGO = {"Yesterday": 1, "A week ago": 7, "A month ago": 30, "A year ago": 365}


def _moments(request: HttpRequest) -> list[tuple[str, str]]:
    now = timezone.now().replace(second=0, microsecond=0)
    return [(label, _address(request, now - timedelta(days=days))) for label, days in _AGO.items()]


def _address(request: HttpRequest, at: datetime | None) -> str:
    """This folder, at that moment or now."""
    folder = {"folder": request.GET["folder"]} if request.GET.get("folder") else {}
    when = {"at": at.isoformat()} if at else {}
    return f"{request.path}?{urlencode(folder | when)}"


def _kept(request: HttpRequest) -> str:
    """What of the address stays the same in every folder."""
    names = [name for name in ("at", "deleted") if request.GET.get(name)]
    return urlencode({name: request.GET[name] for name in names})


@login_required
@require_safe
def file(request: HttpRequest, source_id: int, file_id: int) -> HttpResponse:
    """A file: its versions, where each is stored, where it was, and what is known of it."""
    source = _source(request, source_id)
    found = get_object_or_404(source.files.exclude(content=Content.FOLDER), pk=file_id)
    gone_at = found.trashed_at or found.vanished_at
    kept = found.versions.filter(state=Version.State.STORED).exists()
    context = {
        "source": source,
        "file": found,
        "trail": queries.trail(source, found.parent_id),
        "page": newest_first(queries.file_versions(found), request.GET.get("before", ""), 20),
        "places": queries.former_places(found),
        "gone_at": gone_at,
        "kept": kept,
        "problem": "" if kept and found.problem == IN_TRASH else found.problem,
        "removed_at": gone_at and gone_at + timedelta(days=effective(source).trash_days),
    }
    return render(request, "files/file.html", context)


@login_required
@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Files of all the person's sources, by whatever is known of them."""
    form = SearchForm(request.GET, user=person(request))
    context: dict[str, object] = {"form": form}
    if form.is_valid() and form.asks:
        page = find(form.wanted(), request.GET.get("after", ""), queries.FILES_PER_PAGE)
        kept = request.GET.copy()
        kept.pop("after", None)
        context |= {
            "page": page,
            "filter": kept.urlencode(),
            "first": not request.GET.get("after"),
            "at": form.cleaned_data["at"],
        }
    return render(request, "files/search.html", context)


def _source(request: HttpRequest, source_id: int) -> Source:
    return get_object_or_404(queries.sources_of(person(request)), pk=source_id)
