"""Forms of the dashboard, in Bootstrap's clothes. A destination's own come from its kind."""

from __future__ import annotations

from typing import Any, cast

from django import forms

from accounts.models import User
from syncapp.models import Destination, Source
from syncapp.option_forms import BandwidthForm, OptionsForm
from syncapp.web import queries


class DestinationForm(OptionsForm):
    """Name and options of a destination."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _style(self)


class SourceForm(BandwidthForm):
    """A source's name, and which of the person's destinations keep it."""

    class Meta:
        model = Source
        fields = ["name", "destinations", "bwlimit"]
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
    for field in form.fields.values():
        if isinstance(field.widget, forms.CheckboxSelectMultiple):
            css = "form-check-input"
        else:
            css = "form-select" if isinstance(field.widget, forms.Select) else "form-control"
        field.widget.attrs["class"] = css
