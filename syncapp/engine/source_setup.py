"""Setting up a source: its name, its folder in every destination, where it is kept.

For the web, the admin and the command line alike. A slug is chosen once and kept: it is the first
folder of every key. Must not attach one person's source to another's destination.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass

from django.conf import settings
from django.db import transaction
from django.utils.text import slugify

from accounts.models import GoogleAccount
from syncapp.engine import cron, planning, schedule
from syncapp.errors import ConfigurationError
from syncapp.models import Destination, Source
from syncapp.sources import KINDS
from syncapp.visible import plain

logger = logging.getLogger(__name__)

DRIVE = "google_drive"
MAX_SLUG = 60


@dataclass(frozen=True, slots=True)
class Plan:
    """When a source is looked at. `cron` and `time_zone` ("": the server's) are the schedule's;
    every `reconcile_days` the whole listing is read again, 0 for never."""

    mode: str = Source.Mode.REALTIME
    cron: str = cron.DAILY
    time_zone: str = ""
    reconcile_days: int = 7

    @classmethod
    def of(cls, source: Source) -> Plan:
        """The one that a source has."""
        return cls(source.mode, source.cron, source.time_zone, source.reconcile_days)

    def check(self) -> None:
        """ConfigurationError unless it can be kept; a schedule counts only where it is used."""
        if self.mode not in Source.Mode.values:
            raise ConfigurationError(
                f"There is no mode “{self.mode}”. Known: {', '.join(Source.Mode.values)}.",
                code="bad_mode",
            )
        if self.mode == Source.Mode.SCHEDULED or self.cron:
            cron.check(self.cron, self.time_zone or settings.TIME_ZONE)


def replan(source: Source, plan: Plan) -> None:
    """Look at the source as the plan says from now on."""
    plan.check()
    Source.objects.filter(pk=source.pk).update(**asdict(plan))
    for name, value in asdict(plan).items():
        setattr(source, name, value)
    schedule.begin_anew(source)


def add_source(
    account: GoogleAccount,
    *,
    kind: str = DRIVE,
    name: str = "",
    destinations: Collection[Destination] = (),
    plan: Plan | None = None,
    bwlimit: str = "",
) -> Source:
    """Make the source of a linked account; ConfigurationError if there is one of this kind."""
    plan = plan or Plan()
    plan.check()
    if kind not in KINDS:
        raise ConfigurationError(f"There is no source kind “{kind}”. Known: {', '.join(KINDS)}.")
    name = plain(name.strip()) or f"Drive of {account.email}"
    for destination in destinations:
        _check_owner(account.user_id, destination)
    with transaction.atomic():
        if Source.objects.filter(account=account, kind=kind).exists():
            raise ConfigurationError(f"{account.email} is a source already.", code="exists")
        source = Source.objects.create(
            owner=account.user,
            account=account,
            name=name[: Source._meta.get_field("name").max_length],
            slug=free_slug(account.email),
            kind=kind,
            bwlimit=bwlimit,
            **asdict(plan),
        )
        source.destinations.set(destinations)
    logger.info("source added source=%s account=%s", source.pk, account.pk)
    return source


def attach(source: Source, destination: Destination) -> bool:
    """Keep the source there too, from its next backup on; False if it is already."""
    _check_owner(source.owner_id, destination)
    if source.destinations.filter(pk=destination.pk).exists():
        return False
    with transaction.atomic():
        source.destinations.add(destination)
        planning.plan_anew(destination.pk, [source.pk])
    return True


def keep_in(source: Source, destinations: Collection[Destination]) -> None:
    """Keep the source in exactly these: attach and detach what differs."""
    with transaction.atomic():
        for gone in source.destinations.exclude(pk__in=[one.pk for one in destinations]):
            detach(source, gone)
        for destination in destinations:
            attach(source, destination)


def detach(source: Source, destination: Destination) -> bool:
    """Send nothing more there; what is there stays. False if it was not attached."""
    if not source.destinations.filter(pk=destination.pk).exists():
        return False
    source.destinations.remove(destination)
    return True


def free_slug(text: str) -> str:
    """A slug made of the text that no other source has: two people may share a bucket, and have
    linked one account."""
    base = slugify(re.sub(r"[@._+]", "-", text))[: MAX_SLUG - 4].strip("-") or "source"
    taken = set(Source.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    numbered = (f"{base}-{number}" for number in range(2, len(taken) + 3))
    return base if base not in taken else next(slug for slug in numbered if slug not in taken)


def _check_owner(owner_id: int, destination: Destination) -> None:
    if destination.owner_id != owner_id:
        raise ConfigurationError(
            f"The destination “{destination.name}” belongs to somebody else than the source.",
            code="foreign_destination",
        )
