"""The proof of a source: its score with reasons, what checks found, verifications and drills."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.actions import action
from syncapp.engine import cold_drill, findings, restore_paths, runs, samples, upkeep
from syncapp.engine.policies import effective
from syncapp.models import Canary, File, Finding, RestoreItem, Run, Source, Upkeep
from syncapp.types import Content
from syncapp.web import queries
from syncapp.web.paging import newest_first, row_number
from syncapp.web.paths import Folder, folders_of
from syncapp.web.progress import progress_of
from syncapp.web.protected import protections_of
from syncapp.web.views.access import back, person, started

RUNS_SHOWN = 8
ITEMS_SHOWN = 50


@login_required
@require_safe
def proof(request: HttpRequest, source_id: int) -> HttpResponse:
    """How well the source is protected, and what that rests on."""
    source, user, now = _source(request, source_id), person(request), timezone.now()
    healed = request.GET.get("healed") == "1"
    rows = Finding.objects.filter(source=source, healed_at__isnull=not healed)
    policy = effective(source)
    context = {
        "source": source,
        "protection": protections_of(user, list(queries.sources_of(user))).get(source.pk),
        "policy": policy,
        "cold": cold_drill.stated(source),
        "next_verify": upkeep.next_at(source, Upkeep.Kind.VERIFY),
        "next_drill": upkeep.next_at(source, Upkeep.Kind.DRILL),
        "page": newest_first(
            rows.select_related("destination", "copy__version__file"),
            request.GET.get("before", ""),
        ),
        "healed": healed,
        "filter": "healed=1" if healed else "",
        "verifications": [progress_of(run, now) for run in _latest(source, Run.Kind.VERIFY)],
        "drills": [progress_of(run, now) for run in _latest(source, Run.Kind.DRILL)],
        "items": _items(source),
        "pinned": _pinned(source),
    }
    return render(request, "proof/proof.html", context)


def _latest(source: Source, kind: str) -> Sequence[Run]:
    rows = Run.objects.filter(source=source, kind=kind).select_related("source", "requested_by")
    return list(rows.order_by("-pk")[:RUNS_SHOWN])


def _items(source: Source) -> Sequence[RestoreItem]:
    """What the last drill that has ended tried, failures first."""
    last = source.runs.filter(kind=Run.Kind.DRILL, ended_at__isnull=False).order_by("-pk").first()
    if last is None:
        return []
    rows = RestoreItem.objects.filter(restore__run=last).select_related("file", "origin")
    return list(rows.order_by("-state", "pk")[:ITEMS_SHOWN])


def _pinned(source: Source) -> list[tuple[Canary, list[Folder]]]:
    """Pinned files and the folders they lie in."""
    rows = list(source.canaries.select_related("file").order_by("pk"))
    above = folders_of([row.file_id for row in rows])
    return [(row, above[row.file_id]) for row in rows]


@action
def drill(request: HttpRequest, source_id: int) -> HttpResponse:
    """Restore a sample now; with `cold`, from cold storage too."""
    source = _source(request, source_id)
    return started(
        request,
        lambda: runs.request_drill(
            source, by=person(request), cold=request.POST.get("cold") == "1"
        ),
        begins=f"The drill of {source.name} begins.",
        already=f"A drill of {source.name} is under way already.",
    )


@action
def pin(request: HttpRequest, source_id: int) -> HttpResponse:
    """Have a file (`path`, or `file`) restored by every drill."""
    source = _source(request, source_id)
    path, chosen = request.POST.get("path", "").strip(), row_number(request.POST.get("file", ""))
    files = source.files.exclude(content=Content.FOLDER)
    found: list[File] = []
    if chosen is not None:
        found = list(files.filter(pk=chosen))
    elif path:
        named = restore_paths.find(source, path, None)
        found = [file for file in named if file.content != Content.FOLDER]
    if len(found) == 1 and not samples.is_stored(found[0]):
        reason = found[0].problem_message or "The next backup may store it."
        message = f"Nothing of {found[0]} is stored, so no drill can restore it. {reason}"
        messages.error(request, message)
    elif len(found) == 1:
        Canary.objects.get_or_create(file=found[0], defaults={"source": source})
        messages.success(request, f"{found[0]} is restored by every drill from now on.")
    else:
        several = "Several files have this path." if found else "There is no file with this path."
        messages.error(request, several)
    return back(request)


@action
def unpin(request: HttpRequest, source_id: int) -> HttpResponse:
    """No longer restore a file (`canary`) by every drill."""
    source = _source(request, source_id)
    chosen = row_number(request.POST.get("canary", ""))
    removed, _ = Canary.objects.filter(source=source, pk=chosen or 0).delete()
    if removed:
        messages.info(request, "It is no longer among the pinned files.")
    return back(request)


@action
def leave(request: HttpRequest, source_id: int) -> HttpResponse:
    """Leave a foreign object (`finding`) where it is, and warn of it no more."""
    source = _source(request, source_id)
    chosen = row_number(request.POST.get("finding", ""))
    if findings.leave(source, chosen or 0):
        messages.info(request, "It is left where it is, and no warning any more.")
    return back(request)


def _source(request: HttpRequest, source_id: int) -> Source:
    return get_object_or_404(queries.sources_of(person(request)), pk=source_id)
