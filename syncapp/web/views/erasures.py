"""The right to be forgotten: say what, confirm by typing, watch it, keep the proof."""

from __future__ import annotations

from collections.abc import Generator

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from accounts.actions import action
from syncapp.engine import erasure_given_up, erasure_report
from syncapp.engine.erase import request_erasure
from syncapp.errors import BackupError
from syncapp.models import Destination, Erasure, Source
from syncapp.web import restored
from syncapp.web.forms import _style
from syncapp.web.paging import newest_first, row_number
from syncapp.web.pump import DOWNLOADS
from syncapp.web.serving import as_download, streamed
from syncapp.web.views.access import person
from syncapp.web.views.archive import asked_for

ACCOUNT, LOCKED = "account", "locked"
STEPS = (
    ("surveyed_at", "Looked for every object"),
    ("marked_at", "Decided: nothing of it comes back"),
    ("removed_at", "Removed from stores and database"),
    ("rewritten_at", "Catalogs and database backups written anew"),
    ("proven_at", "Asked for every object once more"),
)


class EraseForm(forms.Form):
    """The wish, and the words that nobody types by mistake."""

    wishes = forms.MultipleChoiceField(
        label="Besides", required=False, widget=forms.CheckboxSelectMultiple
    )
    typed = forms.CharField(label="To confirm", max_length=100)

    def __init__(self, *args: object, source: Source, whole: bool) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._source = source
        offered = [(LOCKED, "Erase the rest even if an object lock protects some of it")]
        if whole:
            offered.append((ACCOUNT, "Forget the source itself and its Google account, too"))
        self.fields["wishes"].choices = offered  # type: ignore[attr-defined]
        self.fields["typed"].widget.attrs["autocomplete"] = "off"
        self.fields["typed"].help_text = f"Type the name of the source: {source.name}"
        _style(self)

    def clean_typed(self) -> str:
        """Exactly the name."""
        typed = str(self.cleaned_data["typed"]).strip()
        if typed != self._source.name.strip():
            raise forms.ValidationError("This is not the name of the source.")
        return typed


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def erase(request: HttpRequest) -> HttpResponse:
    """What is to be erased: `source`, `file` (none: everything)."""
    source, files = asked_for(request)
    form = EraseForm(request.POST or None, source=source, whole=not files)
    chosen, more = restored.chosen(source, files)
    if request.method == "POST" and form.is_valid():
        names = [thing.file.name for thing in chosen] + [f"and {more} more"] * bool(more)
        erasure = Erasure(
            owner=person(request),
            source=source,
            source_name=source.name,
            what=", ".join(names) or "everything",
            files=files,
            account=ACCOUNT in form.cleaned_data["wishes"],
            all_but_locked=LOCKED in form.cleaned_data["wishes"],
        )
        try:
            with transaction.atomic():
                erasure.save()
                request_erasure(source, erasure)
        except BackupError as error:
            form.add_error(None, error.message)
        else:
            return redirect("erasure", erasure.pk)
    context = {"source": source, "files": files, "chosen": chosen, "more": more, "form": form}
    return render(request, "erasures/erase.html", context)


@login_required
@require_safe
def erasures(request: HttpRequest) -> HttpResponse:
    """All erasures, the newest first."""
    rows = Erasure.objects.filter(owner=person(request)).select_related("run")
    page = newest_first(rows, request.GET.get("before", ""))
    return render(request, "erasures/erasures.html", {"page": page})


@login_required
@require_safe
def erasure(request: HttpRequest, erasure_id: int) -> HttpResponse:
    """How far an erasure is, and what stands in its way."""
    found = _erasure(request, erasure_id)
    counts = found.objects_erased.aggregate(
        objects=Count("pk"),
        absent=Count("pk", filter=Q(absent_at__isnull=False)),
        locked=Count("pk", filter=Q(locked_until__isnull=False, absent_at__isnull=True)),
        until=Max("locked_until", filter=Q(absent_at__isnull=True)),
    )
    context = {
        "erasure": found,
        "run": found.run,
        "steps": [(label, getattr(found, name)) for name, label in STEPS],
        "counts": counts,
        "stopped": _stopped(found),
        "given_up": list(erasure_given_up.told(found)),
        "may_be_lost": Destination.objects.filter(owner=found.owner, enabled=False).exclude(
            pk__in=erasure_given_up.places(found)
        ),
    }
    return render(request, "erasures/erasure.html", context)


@action
def resume(request: HttpRequest, erasure_id: int) -> HttpResponse:
    """Go on; `locked=1`: also where an object lock protects some of it; `give_up`: without
    this destination."""
    found = _erasure(request, erasure_id)
    if not _stopped(found) or found.source is None:
        messages.info(request, "It is under way, or done.")
        return redirect("erasure", erasure_id)
    if request.POST.get("locked") == "1":
        found.all_but_locked = True
    try:
        if lost := request.POST.get("give_up"):
            mine = Destination.objects.filter(owner=person(request))
            destination = get_object_or_404(mine, pk=row_number(lost))
            erasure_given_up.give_up(found, destination, person(request).username)
        request_erasure(found.source, found)
    except BackupError as error:
        messages.error(request, error.message)
    return redirect("erasure", erasure_id)


@login_required
@require_safe
def report(request: HttpRequest, erasure_id: int) -> HttpResponseBase:
    """The proof: a line for each object, and when it was found absent."""
    found = _erasure(request, erasure_id)
    answer = streamed(request, _lines(found), pool=DOWNLOADS)
    as_download(answer, f"erasure {found.pk} proof.txt", "text/plain; charset=utf-8")
    return answer


def _lines(found: Erasure) -> Generator[bytes, None, None]:
    for line in erasure_report.lines(found):
        yield f"{line}\n".encode(errors="replace")


def _stopped(found: Erasure) -> bool:
    """Whether it waits for a person: neither done nor under way."""
    over = found.run is None or found.run.ended_at is not None
    return found.proven_at is None and over


def _erasure(request: HttpRequest, erasure_id: int) -> Erasure:
    mine = Erasure.objects.filter(owner=person(request)).select_related("run", "source")
    return get_object_or_404(mine, pk=erasure_id)
