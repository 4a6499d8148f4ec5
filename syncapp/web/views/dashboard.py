"""The first page, and the page of all failures."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.actions import action
from syncapp.engine import runs
from syncapp.models import Event
from syncapp.web import cards, queries, refused
from syncapp.web.progress import progress_of
from syncapp.web.status import judge
from syncapp.web.views.access import back, person

RUNS_SHOWN, FAILURES_SHOWN, ALERTS_SHOWN = 8, 8, 10


@login_required
@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """How everything is."""
    user, now = person(request), timezone.now()
    seen = cards.overview(user, now)
    refusals = queries.refusals(user)
    situation = cards.situation(user, seen, refusals, worker_alive=runs.worker_alive(), now=now)
    status, steps = judge(situation), cards.steps(seen)
    failures, more_failures = queries.failures(user, size=FAILURES_SHOWN)
    context = {
        "seen": seen,
        "status": status,
        "situation": situation,
        "steps": [] if all(step.done for step in steps) else steps,
        "active": [progress for card in seen.sources for progress in card.under_way],
        "runs": [
            progress_of(run, now) for run in queries.runs_of(user).order_by("-pk")[:RUNS_SHOWN]
        ],
        "failures": failures,
        "more_failures": more_failures,
        "refusals": refusals,
        "alerts": [
            alert
            for alert in queries.open_alerts(user)[:ALERTS_SHOWN]
            if not (status.detail and status.detail in alert.message)  # the headline says it
        ],
        "unused_accounts": [a for a in seen.accounts if not cards.has_source(a, seen)],
    }
    return render(request, "dashboard/dashboard.html", context)


@login_required
@require_safe
def failures(request: HttpRequest) -> HttpResponse:
    """Every file that failed, page by page."""
    found, following = queries.failures(person(request), request.GET.get("after", ""))
    context = {
        "failures": found,
        "next": following,
        "first": not request.GET.get("after"),
    }
    return render(request, "dashboard/failures.html", context)


@login_required
@require_safe
def refusals(request: HttpRequest) -> HttpResponse:
    """Every file that is not backed up, page by page; `code` leaves only that reason."""
    after, code = request.GET.get("after", ""), request.GET.get("code", "")
    found, following = refused.page(person(request), after, code)
    context = {
        "refusals": found,
        "next": following,
        "first": not after,
        "code": code,
        "filter": urlencode({"code": code}) if code else "",
    }
    return render(request, "dashboard/refusals.html", context)


@action
def acknowledge(request: HttpRequest, event_id: int) -> HttpResponse:
    """Take note of an alert; it leaves the dashboard and stays in the log."""
    alerts = queries.events_of(person(request)).filter(level=Event.Level.ALERT)
    alert = get_object_or_404(alerts, pk=event_id)
    Event.objects.filter(pk=alert.pk, acknowledged_at=None).update(acknowledged_at=timezone.now())
    return back(request)
