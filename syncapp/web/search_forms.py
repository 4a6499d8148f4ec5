"""What a person looks for among all files, as a form: nothing is required, everything narrows."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.models import User
from syncapp.engine import restorable
from syncapp.engine.search import Deleted, Kind, Wanted
from syncapp.errors import ConfigurationError
from syncapp.models import Source
from syncapp.web import queries
from syncapp.web.forms import _style

_KINDS = {
    Kind.IMAGE: "Images", Kind.VIDEO: "Videos", Kind.AUDIO: "Audio", Kind.PDF: "PDF",
    Kind.DOCUMENT: "Documents", Kind.ARCHIVE: "Archives", Kind.FOLDER: "Folders",
    Kind.OTHER: "Other types",
}  # fmt: skip
_DELETED = {
    Deleted.ALSO: "Deleted files too", Deleted.NO: "No deleted files",
    Deleted.ONLY: "Only deleted files",
}  # fmt: skip
MEGABYTE = 1_000_000
_MOST = 10**9  # megabytes: a petabyte
LOCAL = "%Y-%m-%dT%H:%M"


def zone_of(name: str) -> ZoneInfo:
    """The browser's time zone, as static/app/page.js gives it; else the server's own."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(timezone.get_default_timezone_name())


class MomentForm(forms.Form):
    """A moment in the person's own time zone; `at` of the cleaned data is it, or None."""

    on = forms.DateTimeField(
        label="As it was on",
        required=False,
        input_formats=[LOCAL, f"{LOCAL}:%S", "%Y-%m-%d"],
        widget=forms.DateTimeInput({"type": "datetime-local", "step": "1"}, LOCAL),
        error_messages={"invalid": "This is not a date and time."},
    )
    zone = forms.CharField(
        required=False, max_length=64, widget=forms.HiddenInput({"data-zone-name": ""})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _style(self)

    def clean(self) -> dict[str, Any]:
        """Every time in the zone that it is meant in."""
        cleaned = super().clean() or {}
        cleaned["at"] = told = cleaned.get("on")
        if told is not None and not _has_zone(self.data.get("on", "")):
            cleaned["at"] = self.in_zone(told)
        try:
            restorable.check_moment(cleaned["at"])
        except ConfigurationError as error:
            self.add_error("on", error.message)
        return cleaned

    def clean_on(self) -> datetime | None:
        """No year that a time zone could push out of the calendar."""
        told: datetime | None = self.cleaned_data["on"]
        if told is not None and not 1900 <= told.year <= 2200:
            raise forms.ValidationError("This is not a date and time.")
        return told

    def in_zone(self, told: datetime | None) -> datetime | None:
        """A time of the clock on the person's wall."""
        zone = zone_of(self.cleaned_data.get("zone") or "")
        return None if told is None else told.replace(tzinfo=zone)


def _megabytes(label: str) -> forms.DecimalField:
    return forms.DecimalField(
        label=label, required=False, min_value=0, max_value=_MOST, decimal_places=6
    )


def _day(label: str) -> forms.DateField:
    return forms.DateField(
        label=label,
        required=False,
        validators=[
            MinValueValidator(date(1900, 1, 1), "This is not a date."),
            MaxValueValidator(date(2200, 1, 1), "This is not a date."),
        ],
        widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"),
    )


def _has_zone(text: str) -> bool:
    """As static/app/page.js sends it; a browser without scripts sends what the clock shows."""
    found = parse_datetime(text.strip())
    return found is not None and timezone.is_aware(found)


class SearchForm(MomentForm):
    """The wish; `wanted()` is it in the engine's words, once valid."""

    field_order = ("q", "path", "kind", "source", "on", "deleted", "larger", "smaller")
    q = forms.CharField(label="Words in the name", required=False, max_length=200)
    path = forms.CharField(label="In folders", required=False, max_length=500)
    kind = forms.ChoiceField(label="Type", required=False)
    source = forms.ModelChoiceField(
        Source.objects.none(), label="Source", required=False, empty_label="All sources"
    )
    deleted = forms.ChoiceField(label="Deleted files", required=False, choices=_DELETED.items())
    larger = _megabytes("At least (MB)")
    smaller = _megabytes("At most (MB)")
    since = _day("Modified from")
    until = _day("Modified until")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sources = queries.sources_of(user)
        self.fields["source"].queryset = self._sources  # type: ignore[attr-defined]
        self.fields["kind"].choices = [("", "Any type"), *_KINDS.items()]  # type: ignore[attr-defined]

    @property
    def further(self) -> list[forms.BoundField]:
        """What narrows besides the words."""
        return [field for field in self.visible_fields() if field.name != "q"]

    @property
    def narrowed_by(self) -> int:
        """How many of the further fields are filled in, rightly or not."""
        return sum(field.value() not in (None, "", Deleted.ALSO) for field in self.further)

    @property
    def amiss(self) -> bool:
        """Whether a further field has an error, which must not be hidden."""
        return any(field.errors for field in self.further)

    @property
    def asks(self) -> bool:
        """Whether anything is wanted at all."""
        given = self.cleaned_data
        asked = ("q", "path", "kind", "larger", "smaller", "since", "until", "at")
        only = given.get("deleted") == Deleted.ONLY
        return only or any(given.get(name) not in (None, "") for name in asked)

    def wanted(self) -> Wanted:
        """The wish; days are whole ones, from midnight to midnight."""
        given = self.cleaned_data
        sources = [given["source"]] if given["source"] else list(self._sources)
        return Wanted(
            [source.pk for source in sources],
            text=given["q"],
            path=given["path"],
            kind=Kind(given["kind"]) if given["kind"] else None,
            larger=_bytes(given["larger"]),
            smaller=_bytes(given["smaller"]),
            since=self._midnight(given["since"]),
            until=self._midnight(given["until"], timedelta(days=1) - timedelta.resolution),
            at=given["at"],
            deleted=Deleted(given["deleted"] or Deleted.ALSO),
        )

    def _midnight(self, day: Any, later: timedelta = timedelta(0)) -> datetime | None:
        return None if day is None else self.in_zone(datetime.combine(day, time.min) + later)


def _bytes(megabytes: Any) -> int | None:
    return None if megabytes is None else int(megabytes * MEGABYTE)
