"""Restores: say what and where to, see beforehand what it means, watch it, read its report."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.actions import action
from accounts.models import GoogleAccount
from accounts.scopes import may_write
from syncapp.engine import drive_restore, restorable, restore_report, restoring, runs, targets
from syncapp.engine.moment import descend
from syncapp.engine.restore_estimate import estimate
from syncapp.errors import BackupError
from syncapp.models import Destination, File, Restore, Source
from syncapp.types import Content
from syncapp.web import queries, restored
from syncapp.web.paging import newest_first
from syncapp.web.progress import progress_of
from syncapp.web.pump import DOWNLOADS
from syncapp.web.restore_forms import (
    CONVERT,
    DOWNLOAD,
    PERMISSIONS,
    RestoreForm,
    address,
)
from syncapp.web.serving import as_download, streamed
from syncapp.web.views.access import person
from syncapp.web.views.archive import asked_for, moment_of
from syncapp.words import counted

ADD_UP_S = 20.0  # a page comes sooner than a proxy's patience ends


@login_required
@require_safe
def wizard(request: HttpRequest) -> HttpResponse:
    """What is to be restored where to: `source`, `file` (none: everything), `at`."""
    if not request.GET.get("source"):
        return _choose_source(request)
    source, files = asked_for(request)
    given = {name: request.GET[name] for name in RestoreForm.base_fields if name in request.GET}
    if "wishes" in given:
        given["wishes"] = request.GET.getlist("wishes")  # type: ignore[assignment]
    moment = moment_of(request.GET.get("at", ""))
    form = RestoreForm(initial=given, user=person(request), source=source, moment=moment)
    return _show_wizard(request, form, source, files)


def _choose_source(request: HttpRequest) -> HttpResponse:
    sources = list(queries.sources_of(person(request)))
    if len(sources) == 1:
        return redirect(f"{reverse('restore')}?source={sources[0].pk}")
    return render(request, "restores/sources.html", {"sources": sources})


def _show_wizard(
    request: HttpRequest, form: RestoreForm, source: Source, files: list[int]
) -> HttpResponse:
    chosen, more = restored.chosen(source, files)
    context = {"form": form, "source": source, "files": files, "chosen": chosen, "more": more}
    return render(request, "restores/wizard.html", context)


@login_required
@require_safe
def check(request: HttpRequest) -> HttpResponse:
    """The dry run: files, bytes, cost, time, and what is missing before it can begin."""
    source, files = asked_for(request)
    form = RestoreForm(request.GET, user=person(request), source=source)
    if not form.is_valid():
        return _show_wizard(request, form, source, files)
    at = form.cleaned_data["at"]
    target = form.cleaned_data["target"]
    try:
        if target in (Restore.Target.FOLDER, Restore.Target.DESTINATION):
            targets.check(source, target, form.options, person(request))
        restorable.check(source, files, at)
    except BackupError as error:
        form.add_error(None, error.message)
        return _show_wizard(request, form, source, files)
    found = estimate(
        source,
        files=files,
        at=at,
        prefer=form.prefer,
        origin_id=form.origin_id,
        target=target,
        onto=form.cleaned_data["destination"] if target == Restore.Target.DESTINATION else None,
        within_s=ADD_UP_S,
    )
    chosen, more = restored.chosen(source, files)
    download = form.cleaned_data["target"] == DOWNLOAD
    context = {
        "source": source,
        "files": files,
        "chosen": chosen,
        "more": more,
        "at": at,
        "found": found,
        "form": form,
        "target_label": dict(form.fields["target"].choices)[form.cleaned_data["target"]],  # type: ignore[attr-defined]
        "lacks_consent": form.lacks_consent,
        "download": _download_address(source, files, form) if download else "",
        "back": address(reverse("restore"), source, files, form.kept),
        "worker_alive": runs.worker_alive(),
    }
    return render(request, "restores/check.html", context)


def _download_address(source: Source, files: list[int], form: RestoreForm) -> str:
    """Of the one file that was chosen, or of an archive."""
    at = form.cleaned_data["at"]
    only = File.objects.filter(pk__in=files).exclude(content=Content.FOLDER)
    if len(files) == 1 and (file := only.first()):
        version = next(one.version_id for found in descend(source.pk, files, at) for one in found)
        if version is not None:
            return reverse("version_download", args=[source.pk, file.pk, version])
    kept = [("at", at.isoformat())] if at else []
    return address(reverse("archive", args=[source.pk]), source, files, kept)


@action
def start(request: HttpRequest) -> HttpResponse:
    """Begin what was checked."""
    source, files = asked_for(request)
    form = RestoreForm(request.POST, user=person(request), source=source)
    if not form.is_valid() or form.cleaned_data["target"] == DOWNLOAD:
        return _show_wizard(request, form, source, files)
    wishes = form.cleaned_data["wishes"]
    try:
        run = restoring.request_restore(
            source,
            by=person(request),
            files=files,
            at=form.cleaned_data["at"],
            target=form.cleaned_data["target"],
            options=form.options,
            prefer=form.prefer,
            origin=_origin(source, form),
            collision=form.cleaned_data["collision"],
            convert=CONVERT in wishes,
            permissions=PERMISSIONS in wishes,
        )
    except BackupError as error:
        form.add_error(None, error.message)
        return _show_wizard(request, form, source, files)
    return redirect("restore_run", run.pk)


def _origin(source: Source, form: RestoreForm) -> Destination | None:
    if form.origin_id is None:
        return None
    return Destination.objects.filter(pk=form.origin_id, owner=source.owner_id).first()


@action
def back(request: HttpRequest, source_id: int, file_id: int) -> HttpResponse:
    """One click: a file or folder, as it was last, back into a new folder of its own Drive."""
    source = get_object_or_404(queries.sources_of(person(request)), pk=source_id)
    file = get_object_or_404(File, source=source, pk=file_id)
    if not may_write(source.account):
        kept = [("target", str(Restore.Target.DRIVE))]
        return redirect(address(reverse("restore_check"), source, [file.pk], _plain(source, kept)))
    try:
        run = restoring.request_restore(
            source,
            by=person(request),
            files=[file.pk],
            target=Restore.Target.DRIVE,
            options={"account": source.account_id, "folder": ""},
            convert=file.content == Content.EXPORT,
        )
    except BackupError as error:
        messages.error(request, error.message)
        return redirect("file", source.pk, file.pk)
    return redirect("restore_run", run.pk)


def _plain(source: Source, kept: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The rest of a wish as the form would have it untouched."""
    return [
        *kept,
        ("account", str(source.account_id)),
        ("collision", str(Restore.Collision.SKIP)),
        ("origin", str(Restore.Prefer.FASTEST)),
    ]


@login_required
@require_safe
def restores(request: HttpRequest) -> HttpResponse:
    """All restores, the newest first."""
    page = newest_first(restored.restores_of(person(request)), request.GET.get("before", ""))
    now = timezone.now()
    places = targets.places_of(page.rows)
    rows = [(r, progress_of(r.run, now), to) for r, to in zip(page.rows, places, strict=True)]
    context = {"page": page, "rows": rows, "sources": queries.sources_of(person(request)).exists()}
    return render(request, "restores/restores.html", context)


@login_required
@require_safe
def run(request: HttpRequest, run_id: int) -> HttpResponse:
    """How far a restore is, and what it could not bring back."""
    restore = _restore(request, run_id)
    failed, following = restored.failed(restore, request.GET.get("after", ""))
    chosen, more = restored.chosen(restore.run.source, restore.files)
    events = queries.events_of(person(request)).filter(run=restore.run)
    context: dict[str, Any] = {
        "restore": restore,
        "run": restore.run,
        "progress": progress_of(restore.run, timezone.now()),
        "place": targets.places_of([restore])[0],
        "drive_folder": drive_restore.folder_made(restore),
        "lacks_consent": _lacks_consent(restore),
        "elsewhere": restored.elsewhere(restore) if _waits_for_a_place(restore) else "",
        "waits_for": "" if restore.run.ended_at else restoring.waits_for(restore.run),
        "failed": failed,
        "next": following,
        "first": not request.GET.get("after"),
        "left_alone": restored.left_alone(restore),
        "waiting": [] if restore.run.ended_at else restored.troubled(restore),
        "chosen": chosen,
        "more": more,
        "page": newest_first(events, "", 20),
    }
    return render(request, "restores/run.html", context)


def _waits_for_a_place(restore: Restore) -> bool:
    """Whether it may be that it can't go on where it is to go; in Drive Google has to allow it."""
    places = (Restore.Target.FOLDER, Restore.Target.DESTINATION)
    run = restore.run
    return run.paused and bool(run.error_code) and restore.target in places


def _lacks_consent(restore: Restore) -> GoogleAccount | None:
    """The account that has to allow writing before a paused restore can go on."""
    if not restore.run.paused or restore.target != Restore.Target.DRIVE:
        return None
    account = drive_restore.account_of(restore)
    return account if account is not None and not may_write(account) else None


@action
def pause(request: HttpRequest, run_id: int) -> HttpResponse:
    """Hold it; what is under way is kept."""
    runs.pause_run(_restore(request, run_id).run)
    return redirect("restore_run", run_id)


@action
def resume(request: HttpRequest, run_id: int) -> HttpResponse:
    """Go on where it was."""
    runs.resume_run(_restore(request, run_id).run)
    return redirect("restore_run", run_id)


@action
def retry(request: HttpRequest, run_id: int) -> HttpResponse:
    """Try again, in the same place, what failed."""
    number = restoring.retry(_restore(request, run_id).run)
    told = f"{counted(number, 'file')} will be tried again." if number else ""
    messages.info(request, told or "There is nothing that can be tried again.")
    return redirect("restore_run", run_id)


@login_required
@require_safe
def report(request: HttpRequest, run_id: int) -> HttpResponseBase:
    """Every item of a restore and what became of it; `format=json` for programs."""
    restore = _restore(request, run_id)
    as_json = request.GET.get("format") == "json"
    lines = (restore_report.as_json if as_json else restore_report.text)(restore)
    answer = streamed(request, _encoded(lines), pool=DOWNLOADS)
    name = f"restore {run_id} report"
    if as_json:
        as_download(answer, f"{name}.json", "application/json")
    else:
        as_download(answer, f"{name}.txt", "text/plain; charset=utf-8")
    return answer


def _encoded(lines: Iterator[str]) -> Generator[bytes, None, None]:
    for line in lines:
        yield line.encode(errors="replace")


def _restore(request: HttpRequest, run_id: int) -> Restore:
    return get_object_or_404(restored.restores_of(person(request)), run__pk=run_id)
