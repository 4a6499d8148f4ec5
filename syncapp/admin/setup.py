"""Sources and destinations: what may be changed here, and the actions on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import User
from syncapp import destinations
from syncapp.destinations import destination_class
from syncapp.engine import destination_setup, push, record, runs, schedule, source_setup
from syncapp.engine.source_setup import Plan
from syncapp.errors import BackupError, ConfigurationError
from syncapp.models import Destination, Source
from syncapp.option_forms import PREFIX, SetUpForm, form_for

if TYPE_CHECKING:
    _SourceAdmin = admin.ModelAdmin[Source]
    _DestinationAdmin = admin.ModelAdmin[Destination]
else:
    _SourceAdmin = _DestinationAdmin = admin.ModelAdmin


def _by(request: HttpRequest) -> User:
    return cast(User, request.user)


_PLAN = ("mode", "cron", "time_zone", "reconcile_days")


class SourceForm(SetUpForm):
    """Nothing of one person's may lead to another's."""

    def clean(self) -> dict[str, Any]:
        """Account and destinations must belong to the owner; a schedule must be one."""
        cleaned: dict[str, Any] = super().clean() or {}
        asked = {name: cleaned[name] for name in _PLAN if cleaned.get(name) not in ("", None)}
        try:
            replace(Plan(), **asked).check()
        except ConfigurationError as error:
            raise ValidationError(error.message) from error
        owner = cleaned.get("owner") or getattr(self.instance, "owner", None)
        account = cleaned.get("account")
        if account is not None and account.user != owner:
            raise ValidationError("The Google account belongs to somebody else than the source.")
        for destination in cleaned.get("destinations") or ():
            if destination.owner != owner:
                raise ValidationError(f"{destination.name} belongs to somebody else.")
        return cleaned


@admin.register(Source)
class SourceAdmin(_SourceAdmin):
    """Everybody's sources."""

    form = SourceForm
    list_display = (
        *("name", "owner", "account", "kind", "mode", "paused", "blocked_code"),
        *("next_at", "polled_at", "scanned_at"),
    )
    list_filter = ("paused", "mode", "kind", ("blocked_code", admin.EmptyFieldListFilter), "owner")
    list_select_related = ("owner", "account")
    search_fields = ("name", "slug", "owner__username", "account__email")
    date_hierarchy = "created_at"
    raw_id_fields = ("owner", "account")
    filter_horizontal = ("destinations",)
    fields = (
        *("owner", "account", "name", "kind", "destinations", "bwlimit", "paused", *_PLAN),
        *("slug", "next_at", "polled_at", "scanned_at"),
        *("blocked_code", "blocked_reason", "created_at"),
    )
    readonly_fields = (
        *("slug", "next_at", "polled_at", "scanned_at"),
        *("blocked_code", "blocked_reason", "created_at"),
    )
    actions = ("sync_now", "pause", "resume", "retry_failed", "verify")

    def get_readonly_fields(self, request: HttpRequest, obj: Source | None = None) -> Any:
        """Whose it is, and of which account, is decided once."""
        fixed = ("owner", "account", "kind", "paused") if obj else ("paused",)
        return (*self.readonly_fields, *fixed)

    def has_delete_permission(self, request: HttpRequest, obj: Source | None = None) -> bool:
        """Only one that never ran: else its copies, or its history, would be forgotten."""
        allowed = super().has_delete_permission(request, obj)
        return allowed and obj is not None and not obj.files.exists() and not obj.runs.exists()

    def delete_model(self, request: HttpRequest, obj: Source) -> None:
        """Google shall call for it no more."""
        push.stop_all(obj)
        super().delete_model(request, obj)

    def save_model(self, request: HttpRequest, obj: Source, form: Any, change: bool) -> None:
        """Choose the slug of a new one, and keep an event."""
        if not change:
            obj.slug = source_setup.free_slug(obj.account.email)
        super().save_model(request, obj, form, change)
        if set(_PLAN) & set(form.changed_data):
            schedule.begin_anew(obj)
        done = "changed" if change else "made"
        self._event(request, obj, f"source_{done}", f"{obj.name} was {done}")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Destinations that were away catch up."""
        source_setup.keep_in(form.instance, form.cleaned_data["destinations"])
        super().save_related(request, form, formsets, change)

    @admin.action(description="Sync now", permissions=["change"])
    def sync_now(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        """Ask for a backup of each."""
        self._each(
            request,
            queryset,
            "backup_requested",
            "A backup of {} was asked for",
            runs.request_backup,
        )

    @admin.action(description="Verify", permissions=["change"])
    def verify(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        """Read everything stored back, and compare."""
        self._each(
            request, queryset, "verify_requested", "{} is to be verified", runs.request_verify
        )

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        """Move nothing more."""
        self._each(request, queryset, "paused_by_admin", "{} was paused", runs.pause)

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        """Go on."""
        self._each(request, queryset, "resumed_by_admin", "{} goes on", runs.resume)

    @admin.action(description="Retry failed", permissions=["change"])
    def retry_failed(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        """Try everything again that was given up, in a backup that begins now."""

        def retry(source: Source) -> object:
            runs.refuse_paused(source)
            number = runs.retry_failed(source)
            return runs.request_backup(source, by=_by(request)) if number else None

        self._each(request, queryset, "retry_requested", "What failed of {} is tried again", retry)

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Source],
        code: str,
        sentence: str,
        act: Callable[[Source], object],
    ) -> None:
        for source in queryset.select_related("owner"):
            try:
                act(source)
            except BackupError as error:
                self.message_user(request, f"{source.name}: {error.message}", messages.ERROR)
                continue
            self._event(request, source, code, sentence.format(source.name))
            self.message_user(request, f"{sentence.format(source.name)}.")

    def _event(self, request: HttpRequest, source: Source, code: str, sentence: str) -> None:
        message = f"{sentence}, by the administrator {_by(request).username}."
        record.event(source.owner, code, message, source=source)


@admin.register(Destination)
class DestinationAdmin(_DestinationAdmin):
    """Everybody's destinations. Another kind's fields: `?kind=…` at the page that adds one."""

    list_display = ("name", "owner", "kind", "enabled", "blocked_code", "created_at")
    list_filter = ("kind", "enabled", ("blocked_code", admin.EmptyFieldListFilter), "owner")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username")
    date_hierarchy = "created_at"
    raw_id_fields = ("owner",)
    actions = ("test",)
    _state = ("blocked_code", "blocked_reason", "blocked_at", "created_at")

    def _kind(self, request: HttpRequest, obj: Destination | None) -> str:
        if obj is not None:
            return obj.kind
        asked = request.POST.get("kind") or request.GET.get("kind", "")
        return asked if asked in destinations.KINDS else next(iter(destinations.KINDS))

    def get_form(
        self, request: HttpRequest, obj: Destination | None = None, change: bool = False, **kw: Any
    ) -> Any:
        """The form of the kind, with its options as fields."""
        kw["form"] = form_for(self._kind(request, obj), _by(request))
        kw["fields"] = ["name", "enabled", "bwlimit"] + ([] if obj else ["owner", "kind"])
        return super().get_form(request, obj, change, **kw)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """The kind whose fields are shown is the one that is chosen."""
        return {**super().get_changeform_initial_data(request), "kind": self._kind(request, None)}

    def get_fields(self, request: HttpRequest, obj: Destination | None = None) -> Any:
        """The row's own fields, then the options."""
        options = destination_class(self._kind(request, obj)).options
        named = ["owner", "kind", "name", "enabled", *(PREFIX + o.name for o in options), "bwlimit"]
        return [*named, *self._state] if obj else named

    def get_readonly_fields(self, request: HttpRequest, obj: Destination | None = None) -> Any:
        """Owner and kind are decided once; the state is the engine's."""
        return ("owner", "kind", *self._state) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Destination | None = None) -> bool:
        """Only one without copies: else what is there would be forgotten."""
        allowed = super().has_delete_permission(request, obj)
        return allowed and obj is not None and not obj.copies.exists()

    def save_model(self, request: HttpRequest, obj: Destination, form: Any, change: bool) -> None:
        """Keep an event of who changed it; the options were set by the form."""
        super().save_model(request, obj, form, change)
        if change and obj.enabled and "enabled" in form.changed_data:
            destination_setup.catch_up(obj)
        done = "changed" if change else "made"
        message = f"{obj.name} was {done} by the administrator {_by(request).username}."
        record.event(obj.owner, f"destination_{done}", message, destination=obj)

    @admin.action(description="Test", permissions=["change"])
    def test(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        """Try each for real."""
        for destination in queryset.select_related("owner"):
            lines = destination_setup.probe(destination)
            failed = [line for line in lines if line.level == "error"]
            for line in failed:
                text = f"{destination.name}: {line.name}: {line.message}"
                self.message_user(request, text, messages.ERROR)
            if not failed:
                self.message_user(request, f"{destination.name} works.", messages.SUCCESS)
            outcome = "failed" if failed else "passed"
            who = _by(request).username
            message = f"{destination.name} {outcome} a test by the administrator {who}."
            record.event(destination.owner, "destination_tested", message, destination=destination)
