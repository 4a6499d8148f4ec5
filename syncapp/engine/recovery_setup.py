"""Setting up again what a segment's header tells: people, accounts, sources, destinations, rules.

Without secrets: nobody can log in with what is made here, no account is linked, and a destination
that needs keys is blocked until somebody enters them. Makes nothing twice.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.utils import timezone

from accounts.models import GoogleAccount, User
from syncapp import destinations as kinds
from syncapp.engine import segment_header
from syncapp.errors import ConfigurationError, ReconnectRequired
from syncapp.models import Destination, Policy, Source
from syncapp.types import JsonObject

NO_KEYS = "no_keys"
RECONNECT = (
    "This account was recovered from a backup, which holds no tokens. Link it again to go on; "
    "what is stored stays and is not stored again."
)


def owner_of(header: JsonObject, username: str) -> User:
    """The person who gets it all: the one named, else the one of old; made if need be, then
    without a password, so that an administrator sets one."""
    name = username or str(header.get("owner", {}).get("username", ""))
    user = User.objects.filter(username=name).first()
    if user is not None:
        return user
    if not name:
        raise ConfigurationError("The catalog names no owner: say whose it is with --owner.")
    email = header.get("owner", {}).get("email", "") if not username else ""
    made: User = User.objects.create_user(name, email)
    return made


def destination_rows(
    header: JsonObject, owner: User, at_hand: Destination, at_hand_id: int
) -> dict[int, int]:
    """Rows for all destinations of the header; their keys by the ids that copies name.

    `at_hand` is the (saved) one that is recovered from, known there as `at_hand_id`.
    """
    rows: dict[int, int] = {}
    for told in header.get("destinations", ()):
        if told["id"] == at_hand_id:
            rows[at_hand_id] = at_hand.pk
        elif told["kind"] in kinds.KINDS:
            rows[told["id"]] = _destination(told, owner, {at_hand.pk, *rows.values()}).pk
    rows.setdefault(at_hand_id, at_hand.pk)
    return rows


def _destination(told: JsonObject, owner: User, taken: Collection[int]) -> Destination:
    """One that was set up for another source already, or a new one."""
    mine = Destination.objects.filter(owner=owner)
    for row in mine.filter(kind=told["kind"]).exclude(pk__in=taken):
        if row.options == told["options"]:
            return row
    row = Destination(owner=owner, name=free_name(owner, told["name"]), kind=told["kind"])
    for name in ("options", "enabled", "bwlimit"):
        setattr(row, name, told[name])
    if any(option.secret for option in kinds.destination_class(row.kind).options):
        row.blocked_code, row.blocked_at = NO_KEYS, timezone.now()
        row.blocked_reason = (
            "Recovered from a backup, which holds no keys. Enter the keys again and test it."
        )
    row.save()
    return row


def free_name(owner: User, name: str) -> str:
    """The name, with a number if another destination of the owner has it."""
    taken = set(Destination.objects.filter(owner=owner).values_list("name", flat=True))
    names = [name, *(f"{name[:90]} ({n})" for n in range(2, len(taken) + 3))]
    return next(free for free in names if free not in taken)


def source_row(header: JsonObject, owner: User) -> Source:
    """The source itself, not linked and blocked for that reason; one that is there is taken."""
    told, account = header["source"], header["account"]
    found = Source.objects.filter(owner=owner, slug=told["slug"]).first()
    if found is not None:
        return found
    linked, _ = GoogleAccount.objects.get_or_create(
        user=owner,
        uid=account["uid"],
        defaults={
            "email": account["email"],
            "name": account["name"],
            "state": GoogleAccount.State.RECONNECT,
            "state_reason": RECONNECT,
        },
    )
    names = ("slug", "name", "kind", "paused", "mode", "cron", "time_zone", "reconcile_days")
    return Source.objects.create(
        owner=owner,
        account=linked,
        blocked_code="recovering",
        blocked_reason="It is being rebuilt from a destination.",
        bwlimit=told["bwlimit"],
        **{name: told[name] for name in names},
    )


def open_source(source: Source, header: JsonObject, rows: dict[int, int]) -> None:
    """After the catalog is there: where it is kept, where its change logs stand. What is lacking
    now is the account's consent."""
    told = header["source"]
    attached = [rows[d["id"]] for d in header["destinations"] if d["attached"] and d["id"] in rows]
    source.destinations.set(attached)
    linked = source.account.state == GoogleAccount.State.CONNECTED
    Source.objects.filter(pk=source.pk).update(
        cursor=told["cursor"],
        scanned_at=_moment(told["scanned_at"]),
        planned_for=sorted(rows[pk] for pk in told["planned_for"] if pk in rows),
        blocked_code="" if linked else ReconnectRequired.code,
        blocked_reason="" if linked else RECONNECT,
    )
    source.refresh_from_db()


def policies(header: JsonObject, source: Source) -> None:
    """The source's rules, and its owner's, where there are none yet."""
    told = header.get("policies", {})
    for whose, of in (("default", None), ("source", source)):
        if whose in told and not Policy.objects.filter(owner=source.owner, source=of).exists():
            known: dict[str, Any] = {
                name: value for name, value in told[whose].items() if name in segment_header.POLICY
            }
            Policy.objects.create(owner=source.owner, source=of, **known)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
