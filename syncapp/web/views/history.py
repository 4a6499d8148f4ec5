"""What happened: a run, and the log."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.actions import action
from syncapp.engine import breakers, restoring
from syncapp.models import Event, Run
from syncapp.web import queries
from syncapp.web.cards import destination_card
from syncapp.web.paging import newest_first
from syncapp.web.progress import progress_of
from syncapp.web.totals import totals_of
from syncapp.web.views.access import person


@login_required
@require_safe
def run(request: HttpRequest, run_id: int) -> HttpResponse:
    """One run: counts, time, failures by reason, what it reported."""
    user = person(request)
    found = get_object_or_404(queries.runs_of(user), pk=run_id)
    if found.kind == Run.Kind.RESTORE:
        return redirect("restore_run", found.pk)
    totals = totals_of(user)
    kept_in = list(found.source.destinations.all())
    down = breakers.open_of([d.pk for d in kept_in], [])
    context = {
        "progress": progress_of(found, timezone.now()),
        "run": found,
        "failures": queries.run_failures(found),
        "destinations": [destination_card(d, totals, down) for d in kept_in],
        "page": newest_first(
            queries.events_of(user).filter(run=found), request.GET.get("before", "")
        ),
    }
    return render(request, "history/run.html", context)


@action
def cancel(request: HttpRequest, run_id: int) -> HttpResponse:
    """End a run; what it has stored stays stored."""
    found = get_object_or_404(queries.runs_of(person(request)), pk=run_id)
    restoring.cancel(found)
    messages.info(request, f"{found} of {found.source.name} is cancelled. What is done stays.")
    return redirect("run", found.pk)


@login_required
@require_safe
def log(request: HttpRequest) -> HttpResponse:
    """Everything that was reported, newest first."""
    user = person(request)
    level, source = request.GET.get("level", ""), request.GET.get("source", "")
    chosen = {key: value for key, value in (("level", level), ("source", source)) if value}
    context = {
        "page": newest_first(
            queries.events_of(user, level=level, source=source), request.GET.get("before", "")
        ),
        "levels": Event.Level.choices,
        "sources": queries.sources_of(user),
        "level": level,
        "source": source,
        "filter": urlencode(chosen),
    }
    return render(request, "history/log.html", context)
