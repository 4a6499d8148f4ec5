"""Forms for sources and destinations. A destination's fields come from its kind's own options.

Secrets are write-only: never rendered, and an empty field keeps what is stored.
"""

from __future__ import annotations

import json
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError

from accounts.models import User
from syncapp.destinations import destination_class
from syncapp.engine import destination_setup
from syncapp.errors import ConfigurationError
from syncapp.models import Destination, Source
from syncapp.types import Option
from syncapp.web import queries

_PREFIX = "option_"  # so that no option can be taken for a field of the model


class DestinationForm(forms.ModelForm):  # type: ignore[type-arg]
    """Name and options of a destination; `instance` has owner and kind. Saves when it can work."""

    class Meta:
        model = Destination
        fields = ["name"]
        help_texts = {"name": "How you call it, for example “Scaleway Paris”."}

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._by = by
        self._kind_options = destination_class(self.instance.kind).options
        kept = json.loads(self.instance.secrets or "{}")
        for option in self._kind_options:
            field = _field(option)
            if option.name in kept:
                field.required = False
                field.widget.attrs["placeholder"] = "unchanged"
            elif option.name in self.instance.options:
                field.initial = self.instance.options[option.name]
            self.fields[_PREFIX + option.name] = field
        _style(self)

    def clean(self) -> dict[str, Any]:
        """Hold the options against the kind itself, which knows best."""
        cleaned: dict[str, Any] = super().clean() or {}
        taken = Destination.objects.filter(owner=self.instance.owner, name=cleaned.get("name"))
        if taken.exclude(pk=self.instance.pk).exists():
            self.add_error("name", "You have a destination of this name already.")
        if not self.errors:
            values = {o.name: cleaned.get(_PREFIX + o.name) or "" for o in self._kind_options}
            try:
                destination_setup.configure(self.instance, values, by=self._by)
            except ConfigurationError as error:
                raise ValidationError(error.message) from error
        return cleaned


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
        return forms.CharField(widget=widget, strip=True, **common)
    return forms.CharField(**common)


class SourceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A source's name, and which of the person's destinations keep it."""

    class Meta:
        model = Source
        fields = ["name", "destinations"]
        widgets = {"destinations": forms.CheckboxSelectMultiple}
        help_texts = {"name": "How you call it on these pages."}

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast("forms.ModelMultipleChoiceField[Destination]", self.fields["destinations"])
        field.queryset = queries.destinations_of(user)
        field.required = True
        field.help_text = "Each keeps a whole copy."
        field.error_messages["required"] = "Choose at least one destination."
        _style(self)


def _style(form: forms.BaseForm) -> None:
    """Bootstrap's classes on the widgets."""
    for field in form.fields.values():
        if isinstance(field.widget, forms.CheckboxSelectMultiple):
            css = "form-check-input"
        else:
            css = "form-select" if isinstance(field.widget, forms.Select) else "form-control"
        field.widget.attrs["class"] = css
