"""From what a person types to the row that is meant; never a guess between two.

An id wins over a slug, a slug over a name. What fits nothing, or several, is a usage error that
lists what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, time
from typing import TypeVar

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from accounts.models import GoogleAccount, User
from syncapp.management.base import usage
from syncapp.management.output import printable
from syncapp.models import Destination, Source

Row = TypeVar("Row", Source, Destination, GoogleAccount)
MAX_LISTED = 20


def find_source(text: str) -> Source:
    """The source with this id, slug or name."""
    rows = Source.objects.select_related("owner", "account")
    steps = [rows.filter(slug=text), rows.filter(name=text)]
    if text.isdecimal():
        steps.insert(0, rows.filter(pk=int(text)))
    return _only(text, "source", steps, rows.order_by("pk"), describe_source)


def find_destination(text: str) -> Destination:
    """The destination with this id or name."""
    rows = Destination.objects.select_related("owner")
    steps = [rows.filter(name=text)]
    if text.isdecimal():
        steps.insert(0, rows.filter(pk=int(text)))
    return _only(text, "destination", steps, rows.order_by("pk"), describe_destination)


def find_account(email: str) -> GoogleAccount:
    """The linked Google account with this address."""
    rows = GoogleAccount.objects.select_related("user")
    steps = [rows.filter(email__iexact=email)]
    return _only(email, "linked Google account", steps, rows.order_by("pk"), _describe_account)


def find_owner(username: str | None) -> User:
    """The person named, or the only superuser there is."""
    if username is None:
        administrators = list(User.objects.filter(is_superuser=True, is_active=True)[:2])
        if len(administrators) == 1:
            return administrators[0]
        raise usage("Say whose it is with --owner: there is not exactly one administrator.")
    owner = User.objects.filter(username=username).first()
    if owner is None:
        raise usage(f"There is no user “{printable(username)}”.")
    return owner


def describe_source(source: Source) -> str:
    """One line that tells it from all others."""
    return f"{source.pk}  {source.slug}  “{printable(source.name)}” of {source.account.email}"


def describe_destination(destination: Destination) -> str:
    """One line that tells it from all others."""
    owner = printable(destination.owner.username)
    return f"{destination.pk}  “{printable(destination.name)}” of {owner}"


def _describe_account(account: GoogleAccount) -> str:
    return f"{account.email} linked by {printable(account.user.username)}"


def _only(
    text: str,
    noun: str,
    steps: Sequence[Iterable[Row]],
    everything: Iterable[Row],
    describe: Callable[[Row], str],
) -> Row:
    for step in steps:
        rows = list(step)
        if len(rows) == 1:
            return rows[0]
        if rows:
            raise usage(f"“{printable(text)}” fits several:\n{_listed(rows, describe)}")
    there = _listed(everything, describe)
    hint = f" There is:\n{there}" if there else " There is none yet."
    raise usage(f"There is no {noun} “{printable(text)}”.{hint}")


def _listed(rows: Iterable[Row], describe: Callable[[Row], str]) -> str:
    lines = [f"  {describe(row)}" for row in list(rows)[: MAX_LISTED + 1]]
    if len(lines) > MAX_LISTED:
        lines[MAX_LISTED] = "  …"
    return "\n".join(lines)


def find_past(text: str | None, option: str) -> datetime | None:
    """A moment that is over: of today, the present; a usage error if it is yet to come."""
    when, now = find_moment(text, option), timezone.now()
    if text is None or when is None or when <= now:
        return when
    if text == f"{timezone.localdate():%Y-%m-%d}":
        return now
    told = f"{option}: “{printable(text)}” lies in the future."
    raise usage(f"{told} Leave it out for the latest state.")


def find_moment(text: str | None, option: str, *, end_of_day: bool = True) -> datetime | None:
    """A time, or a day's end or beginning; in the server's time zone unless it names another."""
    if not text:
        return None
    try:
        when = parse_datetime(text.replace(" ", "T", 1)) if len(text) > 10 else None
        day = parse_date(text) if len(text) <= 10 else None
        if day is not None:
            when = datetime.combine(day, time.max if end_of_day else time.min)
        if when is not None:
            return (when if timezone.is_aware(when) else timezone.make_aware(when)).astimezone(UTC)
    except (ValueError, OverflowError):
        when = None
    example = "is no time such as 2026-11-25 or 2026-11-25T14:30."
    raise usage(f"{option}: “{printable(text)}” {example}")
