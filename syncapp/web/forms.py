"""Forms of the dashboard, in Bootstrap's clothes. A destination's own come from its kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from zoneinfo import available_timezones

from django import forms
from django.conf import settings

from accounts.models import User
from syncapp.engine import cron
from syncapp.engine.source_setup import Plan
from syncapp.engine.when import span
from syncapp.errors import ConfigurationError
from syncapp.models import Destination, Source
from syncapp.option_forms import OptionsForm, SetUpForm
from syncapp.web import queries


class DestinationForm(OptionsForm):
    """Name and options of a destination."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["bwlimit"].help_text += (
            " Backups, verifications, restores and drills keep to it; downloads and previews in the"
            " browser, which somebody waits for, do not."
        )
        _style(self)


PLAN = ("mode", "cron", "time_zone", "reconcile_days")


class SourceForm(SetUpForm):
    """A source's name, which of the person's destinations keep it, and when it is looked at."""

    class Meta:
        model = Source
        fields = ["name", "destinations", *PLAN, "bwlimit"]
        widgets = {"destinations": forms.CheckboxSelectMultiple}
        labels = {"time_zone": "Time zone of the schedule"}
        help_texts = {
            "name": "How you call it on these pages.",
            "reconcile_days": (
                "Google's change log can miss something: every so many days everything is listed "
                "and compared. 0: never."
            ),
        }

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast("forms.ModelMultipleChoiceField[Destination]", self.fields["destinations"])
        field.queryset = queries.destinations_of(user)
        field.required = True
        field.help_text = "Each keeps a whole copy."
        field.error_messages["required"] = "Choose at least one destination."
        self.fields["mode"] = forms.ChoiceField(
            label="When",
            choices=_modes(),
            required=False,
            initial=Source.Mode.REALTIME,
            widget=forms.RadioSelect,
        )
        self.fields["time_zone"].widget = forms.Select(choices=_zones())
        self.fields["cron"].help_text = self._cron_in_words()
        self.fields["reconcile_days"].required = False
        _style(self)

    def clean(self) -> dict[str, Any]:
        """A schedule must be one, in a zone that exists."""
        cleaned: dict[str, Any] = super().clean() or {}
        try:
            self._plan(cleaned).check()
        except ConfigurationError as error:
            self.add_error("time_zone" if error.code == cron.BAD_ZONE else "cron", error.message)
        return cleaned

    @property
    def plan(self) -> Plan:
        """What was chosen; what the form was not asked about stays."""
        return self._plan(self.cleaned_data)

    def _plan(self, cleaned: dict[str, Any]) -> Plan:
        known = {name: cleaned[name] for name in PLAN if cleaned.get(name) not in ("", None)}
        known["time_zone"] = cleaned.get("time_zone") or ""
        if "cron" in self.data and known.get("mode") == Source.Mode.SCHEDULED:
            known["cron"] = cleaned.get("cron") or ""  # emptied is not left out
        return replace(Plan.of(self.instance), **known)

    def _cron_in_words(self) -> str:
        expression = str(self.data.get("cron") or self.initial.get("cron") or cron.DAILY)
        fields = f"Five fields: {cron.FIELDS}."
        try:
            return f"{fields} “{expression}” means: {cron.explain(expression)}."
        except ConfigurationError:
            return f"{fields} “{cron.DAILY}” means: {cron.explain(cron.DAILY)}."


def _modes() -> list[tuple[str, str]]:
    """One sentence each."""
    soon = span(timedelta(seconds=settings.POLL_SECONDS))
    return [
        (Source.Mode.REALTIME, f"Real-time: what changes in Google is backed up within {soon}."),
        (Source.Mode.SCHEDULED, "On a schedule: what has changed is backed up at fixed times."),
        (Source.Mode.MANUAL, "Only when asked: nothing happens until you press “Sync now”."),
    ]


def _zones() -> list[tuple[str, str]]:
    """All that have a place in their name; an old name that is in use stays valid but unseen."""
    named = sorted(
        zone
        for zone in available_timezones()
        if "/" in zone and not zone.startswith(("Etc/", "SystemV/", "US/"))
    )
    return [("", f"As on these pages ({settings.TIME_ZONE})"), ("UTC", "UTC")] + [
        (zone, zone.replace("_", " ")) for zone in named
    ]


def _style(form: forms.BaseForm) -> None:
    for field in form.fields.values():
        if isinstance(field.widget, forms.CheckboxSelectMultiple | forms.RadioSelect):
            css = "form-check-input"
        else:
            css = "form-select" if isinstance(field.widget, forms.Select) else "form-control"
        field.widget.attrs["class"] = css
