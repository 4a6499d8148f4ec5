"""The form of a destination, made from its kind's own options; for the dashboard and the admin.

Secrets are write-only: never rendered, and an empty field keeps what is stored. Must not know a
kind by name.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, cast

from django import forms
from django.core.exceptions import ValidationError
from django.forms.models import ModelFormMetaclass

from accounts.models import User
from syncapp.destinations import destination_class
from syncapp.engine import bandwidth, destination_setup
from syncapp.errors import ConfigurationError
from syncapp.models import Destination
from syncapp.types import Option
from syncapp.visible import plain

PREFIX = "option_"  # so that no option can be taken for a field of the model


class SetUpForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form of what is set up: it has a name and a bandwidth limit."""

    def clean_name(self) -> str:
        """The name, if nothing in it steers what is beside it on a page."""
        try:
            return plain(self.cleaned_data["name"])
        except ConfigurationError as error:
            raise ValidationError(error.message) from error

    def clean_bwlimit(self) -> str:
        """The limit, if it is one."""
        text = " ".join(str(self.cleaned_data["bwlimit"]).split())
        try:
            bandwidth.parse(text)
        except ConfigurationError as error:
            raise ValidationError(error.message) from error
        return text


class OptionsForm(SetUpForm):
    """Name and options of a destination. Valid only if an adapter can be made of them."""

    depending: frozenset[str]  # fields that are needed or not as others say
    kind: ClassVar[str]
    by: ClassVar[User]

    class Meta:
        model = Destination
        fields = ["name", "bwlimit"]
        help_texts = {"name": "How you call it, for example “Scaleway Paris”."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kept = json.loads(self.instance.secrets or "{}")
        options = destination_class(self.kind).options
        self.depending = frozenset(
            PREFIX + o.name for o in options if o.depends and o.name not in kept
        )
        for option in options:
            field = self.fields[PREFIX + option.name]
            if option.name in kept:
                field.required = False
                field.widget.attrs["placeholder"] = "unchanged"
            elif option.name in self.instance.options:
                field.initial = self.instance.options[option.name]
        self.order_fields([name for name in self.fields if name != "bwlimit"])

    def clean(self) -> dict[str, Any]:
        """Hold the options against the kind itself, which knows best."""
        cleaned: dict[str, Any] = super().clean() or {}
        if self.instance.owner_id:
            self._refuse_second(cleaned.get("name", ""))
        if not self.errors:
            self.instance.kind = self.kind
            values = {
                option.name: cleaned.get(PREFIX + option.name) or ""
                for option in destination_class(self.kind).options
            }
            try:
                destination_setup.configure(self.instance, values, by=self.by)
            except ConfigurationError as error:
                raise ValidationError(error.message) from error
        return cleaned

    def _refuse_second(self, name: str) -> None:
        others = Destination.objects.filter(owner=self.instance.owner_id, name=name)
        if others.exclude(pk=self.instance.pk).exists():
            self.add_error("name", "There is a destination of this name already.")


def form_for(kind: str, by: User, base: type[OptionsForm] = OptionsForm) -> type[OptionsForm]:
    """The form class of a kind, for what `by` may do."""
    fields: dict[str, Any] = {
        PREFIX + option.name: _field(option) for option in destination_class(kind).options
    }
    made = ModelFormMetaclass("DestinationForm", (base,), {**fields, "kind": kind, "by": by})
    return cast("type[OptionsForm]", made)


def _field(option: Option) -> forms.Field:
    common: dict[str, Any] = {
        "label": option.label,
        "help_text": option.help,
        "required": option.required,
        "initial": option.default,
    }
    if option.choices:
        return forms.ChoiceField(choices=option.choices, **common)
    if option.secret:
        widget = forms.PasswordInput(attrs={"autocomplete": "off"}, render_value=False)
        return forms.CharField(widget=widget, **common)
    return forms.CharField(**common)
