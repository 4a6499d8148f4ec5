"""Adding, changing, testing and removing destinations. Secrets only ever come in."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from accounts.actions import action
from syncapp import destinations as kinds
from syncapp.engine import breakers, destination_setup, record
from syncapp.models import Destination, Event
from syncapp.option_forms import form_for
from syncapp.types import CheckResult
from syncapp.web import queries
from syncapp.web.cards import destination_card
from syncapp.web.forms import DestinationForm
from syncapp.web.totals import totals_of
from syncapp.web.views.access import back, person

_TESTED = "tested_destination_{}"


@login_required
@require_safe
def choose_kind(request: HttpRequest) -> HttpResponse:
    """Which kinds of destination there are for this person."""
    return render(request, "destinations/kinds.html", {"kinds": _kinds(request)})


def _kinds(request: HttpRequest) -> list[tuple[str, str]]:
    labels = dict(Destination._meta.get_field("kind").flatchoices)
    return [
        (kind, str(labels[kind]))
        for kind in kinds.KINDS
        if destination_setup.may_use_kind(kind, person(request))
    ]


@login_required
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest, kind: str) -> HttpResponse:
    """A new destination of a kind; tested as soon as it is saved."""
    labels = dict(_kinds(request))
    if kind not in labels:
        raise Http404
    return _edit(request, Destination(owner=person(request), kind=kind), labels[kind])


@login_required
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, destination_id: int) -> HttpResponse:
    """Other options for a destination; tested again as soon as they are saved."""
    destination = _destination(request, destination_id)
    return _edit(request, destination, destination.get_kind_display())


def _edit(request: HttpRequest, destination: Destination, label: str) -> HttpResponse:
    form_class = form_for(destination.kind, person(request), DestinationForm)
    form = form_class(request.POST or None, instance=destination)
    if request.method == "POST" and form.is_valid():
        saved = form.save()
        _test(request, saved)
        return redirect("destination", saved.pk)
    context = {"form": form, "destination": destination, "kind_label": label}
    return render(request, "destinations/form.html", context)


@login_required
@require_safe
def show(request: HttpRequest, destination_id: int) -> HttpResponse:
    """What a destination holds, and how its last test went."""
    destination = _destination(request, destination_id)
    lines = request.session.pop(_TESTED.format(destination.pk), None)
    context = {
        "card": destination_card(
            destination, totals_of(person(request)), breakers.open_of([destination.pk], [])
        ),
        "lines": [CheckResult(*line) for line in lines] if lines else [],
        "sources": queries.sources_of(person(request)).filter(destinations=destination),
        "holds_copies": destination.copies.exists(),
    }
    return render(request, "destinations/destination.html", context)


@action
def test(request: HttpRequest, destination_id: int) -> HttpResponse:
    """Try it for real: write, read back, compare, delete."""
    destination = _destination(request, destination_id)
    _test(request, destination, take_over=request.POST.get("take_over") == "1")
    return redirect("destination", destination.pk)


def _test(request: HttpRequest, destination: Destination, *, take_over: bool = False) -> None:
    lines = destination_setup.probe(destination, take_over=take_over)
    worst = _worst(lines)
    record.event(
        person(request),
        "destination_tested",
        f"{destination.name} was tested: {worst.message if worst else 'everything works'}",
        level=Event.Level.WARNING if worst else Event.Level.INFO,
        destination=destination,
    )
    request.session[_TESTED.format(destination.pk)] = [
        [line.name, line.level, line.message] for line in lines
    ]


def _worst(lines: Sequence[CheckResult]) -> CheckResult | None:
    return next((line for line in lines if line.level == "error"), None)


@action
def switch(request: HttpRequest, destination_id: int) -> HttpResponse:
    """Switch a destination off (what it holds stays) or on again."""
    destination = _destination(request, destination_id)
    wanted = request.POST.get("enabled") == "1"
    destination_setup.switch(destination, on=wanted)
    record.event(
        person(request),
        "destination_switched",
        f"{destination.name} was switched {'on' if wanted else 'off'}.",
        destination=destination,
    )
    return back(request)


@action
def remove(request: HttpRequest, destination_id: int) -> HttpResponse:
    """Forget a destination. Refused while the catalog knows copies in it."""
    destination = _destination(request, destination_id)
    if destination.copies.exists():
        messages.error(
            request,
            f"{destination.name} holds copies, and forgetting it would lose track of them. "
            "Switch it off instead: nothing more goes there, and what is there stays known.",
        )
        return redirect("destination", destination.pk)
    name = destination.name
    destination.delete()
    record.event(person(request), "destination_removed", f"{name} was removed.")
    messages.success(request, f"{name} was removed.")
    return redirect("dashboard")


def _destination(request: HttpRequest, destination_id: int) -> Destination:
    return get_object_or_404(queries.destinations_of(person(request)), pk=destination_id)
