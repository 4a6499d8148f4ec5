"""Setting a source up, and telling it what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.actions import action
from accounts.models import GoogleAccount
from syncapp.engine import guard, push, runs, source_setup
from syncapp.engine.source_setup import Plan
from syncapp.engine.when import next_look
from syncapp.errors import BackupError, ConfigurationError
from syncapp.models import Source
from syncapp.web import queries
from syncapp.web.forms import SourceForm
from syncapp.web.paging import row_number
from syncapp.web.views.access import back, person, started
from syncapp.words import counted


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def setup(request: HttpRequest, account_id: int) -> HttpResponse:
    """From a linked account to its first backup."""
    account = get_object_or_404(queries.accounts_of(person(request)), pk=account_id)
    existing = queries.sources_of(person(request)).filter(account=account).first()
    if existing is not None:
        return redirect("source_edit", existing.pk)
    form = _setup_form(request, account)
    if request.method == "POST" and form.is_valid():
        try:
            source = source_setup.add_source(
                account,
                name=form.cleaned_data["name"],
                destinations=form.cleaned_data["destinations"],
                plan=form.plan,
                bwlimit=form.cleaned_data["bwlimit"],
            )
        except ConfigurationError as error:
            form.add_error(None, error.message)
        else:
            return _start_backup(request, source)
    return render(request, "sources/setup.html", {"form": form, "account": account})


def _setup_form(request: HttpRequest, account: GoogleAccount) -> SourceForm:
    everything = queries.destinations_of(person(request)).filter(enabled=True)
    return SourceForm(
        request.POST or None,
        user=person(request),
        initial={"name": f"Drive of {account.email}", "destinations": everything},
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, source_id: int) -> HttpResponse:
    """Name, destinations and times of a source."""
    source = _source(request, source_id)
    before = Plan.of(source)
    form = SourceForm(request.POST or None, user=person(request), instance=source)
    if request.method == "POST" and form.is_valid():
        plan = form.plan
        form.save(commit=False).save()
        source_setup.keep_in(source, form.cleaned_data["destinations"])
        if plan != before:
            source_setup.replan(source, plan)
        when = next_look(source, timezone.now())
        messages.success(request, f"Saved. {source.name} is backed up next: {when}.")
        return redirect("dashboard")
    context = {"form": form, "source": source, "watch": _watch(source)}
    return render(request, "sources/edit.html", context)


def _watch(source: Source) -> dict[str, Any]:
    """When the source is looked at, and how Google tells of changes."""
    kept = _stored(source)
    realtime = kept.mode == Source.Mode.REALTIME
    return {
        "next": next_look(kept, timezone.now()),
        "realtime": realtime,
        "push": push.standing(kept) if realtime else "",
        "source": kept,
    }


def _stored(source: Source) -> Source:
    """The row as it is, whatever a form has put into the instance."""
    return Source.objects.select_related("account").get(pk=source.pk)


@action
def backup(request: HttpRequest, source_id: int) -> HttpResponse:
    """Sync now."""
    return _start_backup(request, _source(request, source_id))


def _start_backup(request: HttpRequest, source: Source) -> HttpResponse:
    return started(
        request,
        lambda: runs.request_backup(source, by=person(request)),
        begins=f"The backup of {source.name} begins.",
        already=f"A backup of {source.name} is under way already.",
    )


@action
def verify(request: HttpRequest, source_id: int) -> HttpResponse:
    """Check what is stored; `all`: read every copy back."""
    source, everything = _source(request, source_id), request.POST.get("all") == "1"
    what = "every stored copy is read back" if everything else "everything is listed and compared"
    return started(
        request,
        lambda: runs.request_verify(source, by=person(request), everything=everything),
        begins=f"The verification of {source.name} begins: {what}.",
        already=f"{source.name} is being verified already.",
    )


@action
def pause(request: HttpRequest, source_id: int) -> HttpResponse:
    """Move nothing more until resumed; what is under way is kept."""
    source = _source(request, source_id)
    runs.pause(source)
    messages.info(request, f"{source.name} is paused.")
    return back(request)


@action
def resume(request: HttpRequest, source_id: int) -> HttpResponse:
    """Go on."""
    source = _source(request, source_id)
    runs.resume(source)
    messages.info(request, f"{source.name} goes on.")
    return back(request)


@action
def approve(request: HttpRequest, source_id: int) -> HttpResponse:
    """Let a run that stopped to ask do what it was about to."""
    source = _source(request, source_id)
    try:
        run = guard.approve(source, by=person(request))
    except BackupError as error:
        messages.error(request, error.message)
        return back(request)
    if run is None:
        messages.info(request, f"{source.name} holds nothing back.")
    else:
        messages.success(request, f"Agreed. The backup of {source.name} begins.")
    return back(request)


@action
def retry(request: HttpRequest, source_id: int) -> HttpResponse:
    """Try one version again (`version` in the form), in a backup that begins now."""
    chosen = row_number(request.POST.get("version", ""))
    return _retry(request, [_source(request, source_id)], [] if chosen is None else [chosen])


@action
def retry_all(request: HttpRequest) -> HttpResponse:
    """Try everything again that was given up; `refused`: what Google refused, too."""
    return _retry(request, queries.sources_of(person(request)), None)


def _retry(request: HttpRequest, sources: Iterable[Source], only: list[int] | None) -> HttpResponse:
    refused, total = request.POST.get("refused") == "1", 0
    for source in sources:
        if number := runs.retry_failed(source, refused=refused, only=only):
            total += number
            if source.paused:
                messages.info(request, f"{source.name} is paused: its files wait until it goes on.")
            else:
                runs.request_backup(source, by=person(request))
    if total:
        messages.info(request, f"{counted(total, 'file')} will be tried again.")
    else:
        messages.info(request, "There is nothing to try again.")
    return back(request)


def _source(request: HttpRequest, source_id: int) -> Source:
    return get_object_or_404(queries.sources_of(person(request)), pk=source_id)
