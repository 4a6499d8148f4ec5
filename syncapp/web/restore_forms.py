"""What a person says of a restore: where to, from where, which state, by which rule."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.html import format_html

from accounts.models import GoogleAccount, User
from accounts.scopes import may_write
from syncapp.models import Destination, Restore, Source
from syncapp.types import JsonObject
from syncapp.web import queries
from syncapp.web.forms import _style

DOWNLOAD = "download"
Target, Prefer, Collision = Restore.Target, Restore.Prefer, Restore.Collision
_FORMAT = "%Y-%m-%dT%H:%M:%S"
CONVERT, PERMISSIONS = "convert", "permissions"


class RestoreForm(forms.Form):
    """The wish, without what was chosen (`source` and `file` are in the address)."""

    depending = frozenset({"path", "destination", "account"})  # needed as `target` says

    target = forms.ChoiceField(label="Where to", widget=forms.RadioSelect, initial=DOWNLOAD)
    path = forms.CharField(
        label="Folder", required=False, help_text="An absolute path; it is made if need be."
    )
    destination = forms.ModelChoiceField(
        Destination.objects.none(), label="Destination", required=False, empty_label=None
    )
    below = forms.CharField(
        label="Folder in the destination",
        required=False,
        help_text="Below “restored”, beside the backups. Empty: today's date.",
    )
    account = forms.ModelChoiceField(
        GoogleAccount.objects.none(), label="Google account", required=False, empty_label=None
    )
    folder = forms.CharField(
        label="New folder in Drive",
        required=False,
        help_text="Nothing that is in Drive is touched. Empty: named for this moment.",
    )
    wishes = forms.MultipleChoiceField(
        label="In Drive",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        choices=[
            (CONVERT, "Make Docs, Sheets and Slides of Office files that were such"),
            (PERMISSIONS, "Share as it was shared"),
        ],
    )
    collision = forms.ChoiceField(
        label="Where something has the name already",
        widget=forms.RadioSelect,
        choices=Collision.choices,
        initial=Collision.SKIP,
    )
    at = forms.DateTimeField(
        label="As it was on",
        required=False,
        input_formats=[_FORMAT, "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"],
        widget=forms.DateTimeInput({"type": "datetime-local", "step": "1"}, _FORMAT),
        error_messages={"invalid": "This is not a date and time."},
    )
    origin = forms.ChoiceField(label="Read from", initial=Prefer.FASTEST)

    def __init__(
        self, *args: Any, user: User, source: Source, moment: datetime | None = None, **kwargs: Any
    ) -> None:
        """`moment` is what `at` begins with."""
        super().__init__(*args, **kwargs)
        kept_in = list(source.destinations.all())
        self._choices("target", self._targets(user))
        self._choices(
            "origin",
            [
                (Prefer.FASTEST, "The fastest destination that is well"),
                (Prefer.CHEAPEST, "The cheapest destination"),
                *((f"{Prefer.NAMED}:{d.pk}", f"{d.name} only") for d in kept_in),
            ],
        )
        destinations = queries.destinations_of(user).filter(enabled=True)
        self._rows("destination", destinations)
        accounts = queries.accounts_of(user)
        self._rows("account", accounts)
        self.fields["account"].initial = source.account_id
        # Scripts show and send it in the reader's own zone (static/app/page.js).
        self.fields["at"].help_text = format_html(
            "Empty: the latest. Time zone: <span data-zone>of the server ({})</span>.",
            settings.TIME_ZONE,
        )
        self.initial["at"] = moment_text(moment)
        if moment is not None:
            self.fields["at"].widget.attrs["data-moment"] = _whole(moment).isoformat()
        _style(self)

    def _targets(self, user: User) -> list[tuple[str, str]]:
        offered = [
            (DOWNLOAD, "A download: the file, or an archive (zip) of them all"),
            (Target.DRIVE, "Back to Google Drive, into a new folder"),
            (Target.DESTINATION, "Another destination"),
        ]
        if user.is_superuser or settings.RESTORE_ROOTS:
            offered.append((Target.FOLDER, "A folder on this server"))
        return [(str(value), label) for value, label in offered]

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        cast("forms.ChoiceField", self.fields[name]).choices = choices

    def _rows(self, name: str, rows: Any) -> None:
        cast("forms.ModelChoiceField[Any]", self.fields[name]).queryset = rows

    def clean(self) -> dict[str, Any]:
        """What the chosen target needs must be there."""
        cleaned: dict[str, Any] = super().clean() or {}
        needed = {
            Target.FOLDER: ("path", "Name a folder."),
            Target.DESTINATION: ("destination", "Choose a destination."),
            Target.DRIVE: ("account", "Choose an account."),
        }.get(cleaned.get("target", ""))
        if needed and not cleaned.get(needed[0]) and needed[0] not in self.errors:
            self.add_error(*needed)
        return cleaned

    @property
    def options(self) -> JsonObject:
        """As `request_restore` takes them."""
        cleaned = self.cleaned_data
        if cleaned["target"] == Target.FOLDER:
            return {"path": cleaned["path"]}
        if cleaned["target"] == Target.DESTINATION:
            return {"destination": cleaned["destination"].pk, "prefix": cleaned["below"]}
        return {"account": cleaned["account"].pk, "folder": cleaned["folder"]}

    @property
    def prefer(self) -> str:
        """How the origin is chosen."""
        return str(self.cleaned_data["origin"]).partition(":")[0]

    @property
    def origin_id(self) -> int | None:
        """The only destination to read from, if one was named."""
        return int(self.cleaned_data["origin"].partition(":")[2] or 0) or None

    @property
    def lacks_consent(self) -> GoogleAccount | None:
        """The account into which nothing may be written yet."""
        account: GoogleAccount | None = self.cleaned_data["account"]
        if self.cleaned_data["target"] != Target.DRIVE or account is None or may_write(account):
            return None
        return account

    @property
    def kept(self) -> list[tuple[str, str]]:
        """The form's values as they came, for hidden fields and addresses."""
        return [(name, value) for name in self.fields for value in self.data.getlist(name)]  # type: ignore[attr-defined]


def moment_text(at: datetime | None) -> str:
    """A moment as the form's field has it, in the server's zone."""
    return timezone.localtime(_whole(at)).strftime(_FORMAT) if at is not None else ""


def _whole(at: datetime) -> datetime:
    """Never earlier than it was: what was seen at that moment is to be there."""
    return (at + timedelta(seconds=1)).replace(microsecond=0) if at.microsecond else at


def address(path: str, source: Source, files: list[int], kept: list[tuple[str, str]]) -> str:
    """The address that has a wish in it."""
    chosen = [("source", str(source.pk)), *(("file", str(pk)) for pk in files)]
    return f"{path}?{urlencode([*chosen, *kept])}"
