"""What is kept for how long: a person's default and each source's own, with a dry run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from accounts.actions import action
from syncapp.engine import prunable, record, runs
from syncapp.engine.policies import Effective, Origin, effective, effective_default, resolve
from syncapp.engine.prunable import Prunable, Savings, Terms
from syncapp.errors import BackupError
from syncapp.models import Destination, File, Policy, Source, Version
from syncapp.web import paths, queries
from syncapp.web.policy_forms import Holding, PolicyForm, holding
from syncapp.web.views.access import back, person

LISTED = 50
ADD_UP_S = 20.0  # a page comes sooner than a proxy's patience ends


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def default(request: HttpRequest) -> HttpResponse:
    """The policy of all sources that have no wishes of their own."""
    user = person(request)
    kept = Policy.objects.filter(owner=user, source=None).first()
    form = PolicyForm(request.POST or None, instance=kept or Policy(owner=user))
    sources = list(queries.sources_of(user))
    dry_runs: list[dict[str, Any]] = []
    if request.method == "POST" and form.is_valid():
        if "check" not in request.POST:
            form.save()
            record.event(user, "policy_changed", "The default policy was changed.")
            messages.success(request, "Saved. It holds from now on.")
            return redirect("policy")
        dry_runs = [_dry_run(source, _if_default(source, form.instance)) for source in sources]
    context = {
        "form": form,
        "holding": list(holding(effective_default(user.pk))),
        "sources": _rules(user.pk, sources),
        "dry_runs": dry_runs,
        "checked": "check" in request.POST,
    }
    return render(request, "policies/policy.html", context)


def _rules(user_id: int, sources: Sequence[Source]) -> list[tuple[Source, Holding]]:
    """Of each source, what becomes of older versions; one query."""
    kept = {policy.source_id: policy for policy in Policy.objects.filter(owner=user_id)}
    default = (Origin.DEFAULT, kept.get(None))
    return [
        (source, next(holding(resolve([(Origin.SOURCE, kept.get(source.pk)), default]))))
        for source in sources
    ]


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def of_source(request: HttpRequest, source_id: int) -> HttpResponse:
    """The policy of one source."""
    source = _source(request, source_id)
    kept = Policy.objects.filter(source=source).first()
    form = PolicyForm(
        request.POST or None, instance=kept or Policy(owner=source.owner, source=source)
    )
    dry_runs: list[dict[str, Any]] = []
    if request.method == "POST" and form.is_valid():
        if "check" not in request.POST:
            form.save()
            message = f"The policy of {source.name} was changed."
            record.event(source.owner, "policy_changed", message, source=source)
            messages.success(request, "Saved. It holds from now on.")
            return redirect("source_policy", source.pk)
        dry_runs = [_dry_run(source, _if_own(source, form.instance))]
    context = {
        "form": form,
        "source": source,
        "holding": list(holding(effective(source))),
        "dry_runs": dry_runs,
        "checked": "check" in request.POST,
    }
    return render(request, "policies/policy.html", context)


def _if_default(source: Source, wish: Policy) -> Effective:
    own = Policy.objects.filter(source=source).first()
    return resolve([(Origin.SOURCE, own), (Origin.DEFAULT, wish)])


def _if_own(source: Source, wish: Policy) -> Effective:
    default = Policy.objects.filter(owner=source.owner_id, source=None).first()
    return resolve([(Origin.SOURCE, wish), (Origin.DEFAULT, default)])


def _dry_run(source: Source, policy: Effective) -> dict[str, Any]:
    """What a prune would remove by this policy, and what that saves; changes nothing."""
    terms = Terms.of(source, policy)
    sums: dict[int, Savings] = {}
    listed: list[Prunable] = []
    partial, began = False, time.monotonic()
    for found in prunable.preview(terms):
        prunable.savings(found, sums)
        listed += islice(found, LISTED - len(listed))
        if partial := time.monotonic() - began > ADD_UP_S:
            break
    names = Destination.objects.in_bulk(sums)
    return {
        "source": source,
        "partial": partial,
        "never_seen": terms.as_of is None,
        "destinations": [(names[pk], sums[pk]) for pk in sorted(sums)],
        "goes": any(s.trash or s.retention for s in sums.values()),
        "files": _named(listed),
        "more": sum(s.trash + s.retention + s.locked for s in sums.values()) - len(listed),
    }


def _named(listed: Sequence[Prunable]) -> list[dict[str, Any]]:
    files = File.objects.in_bulk({one.file_id for one in listed})
    versions = Version.objects.in_bulk({one.version_id for one in listed})
    places = Destination.objects.in_bulk({one.destination_id for one in listed})
    above = paths.folders_of(list(files))
    return [
        {
            "one": one,
            "file": files[one.file_id],
            "folders": above[one.file_id],
            "version": versions[one.version_id],
            "destination": places[one.destination_id],
        }
        for one in listed
    ]


@action
def prune(request: HttpRequest, source_id: int) -> HttpResponse:
    """Remove now what may go by the policy that holds."""
    source = _source(request, source_id)
    try:
        run, new = runs.request_prune(source, by=person(request))
    except BackupError as error:
        messages.error(request, error.message)
        return back(request)
    if not new:
        messages.info(request, f"{source.name} is being pruned already.")
    return redirect("run", run.pk)


def _source(request: HttpRequest, source_id: int) -> Source:
    return get_object_or_404(queries.sources_of(person(request)), pk=source_id)
