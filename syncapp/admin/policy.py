"""Policies, which may be changed here, and the upkeep that comes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts.models import User
from syncapp.admin.base import ReadOnlyAdmin
from syncapp.engine import record
from syncapp.models import Policy, Upkeep

if TYPE_CHECKING:
    _PolicyAdmin = admin.ModelAdmin[Policy]
    _PolicyForm = forms.ModelForm[Policy]
else:
    _PolicyAdmin, _PolicyForm = admin.ModelAdmin, forms.ModelForm


class PolicyForm(_PolicyForm):
    """A person's policy is about that person's sources."""

    def clean(self) -> dict[str, Any]:
        """The source must belong to the owner."""
        cleaned: dict[str, Any] = super().clean() or {}
        owner = cleaned.get("owner") or getattr(self.instance, "owner", None)
        source = cleaned.get("source")
        if source is not None and source.owner != owner:
            raise ValidationError("The source belongs to somebody else than the policy.")
        return cleaned


@admin.register(Policy)
class PolicyAdmin(_PolicyAdmin):
    """Everybody's policies; what is empty is inherited."""

    form = PolicyForm
    list_display = ("__str__", "owner", "source", "keep", "trash_days", "guard_percent")
    list_filter = ("keep", "owner")
    list_select_related = ("owner", "source")
    search_fields = ("owner__username", "source__name", "source__slug")
    raw_id_fields = ("owner", "source")

    def get_readonly_fields(self, request: HttpRequest, obj: Policy | None = None) -> Any:
        """Whose it is, and of which source, is decided once."""
        return ("owner", "source") if obj else ()

    def save_model(self, request: HttpRequest, obj: Policy, form: Any, change: bool) -> None:
        """Keep an event."""
        super().save_model(request, obj, form, change)
        what = f"The policy of {obj.source.name}" if obj.source else "The default policy"
        by = cast(User, request.user).username
        message = f"{what} was changed by the administrator {by}."
        record.event(obj.owner, "policy_changed", message, source=obj.source)


@admin.register(Upkeep)
class UpkeepAdmin(ReadOnlyAdmin):
    """When verifications, prunings and drills come next."""

    list_display = ("source", "kind", "next_at")
    list_filter = ("kind",)
    list_select_related = ("source",)
    search_fields = ("source__name", "source__slug")
