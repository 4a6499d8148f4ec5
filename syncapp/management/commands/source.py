"""`manage.py source`: list, show, add, set, pause, resume, retry, approve, limit,
check.

JSON, stable: `list` → {sources: [S]}; `show`, `add` and `set` → {source: S}; `check` → {source: S,
ok, checks: [{name, level, message}]}. S: id, slug, name, kind, account, owner, paused,
blocked_code, blocked_reason, bwlimit, mode, cron, time_zone, reconcile_days, next_at, next (in
words), polled_at, scanned_at, push (in words), destinations (names).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from syncapp.engine import cron, guard, push, runs
from syncapp.engine.adapters import source_for
from syncapp.engine.schedule import zone_of
from syncapp.engine.source_setup import Plan, add_source, replan
from syncapp.engine.when import next_look
from syncapp.errors import ConfigurationError
from syncapp.management import lookup
from syncapp.management.base import (
    Exit,
    ReportCommand,
    add_json,
    check_document,
    read_number,
    usage,
    worst,
)
from syncapp.management.limits import add_limit, set_limit
from syncapp.management.output import moment, printable, table
from syncapp.models import Source
from syncapp.types import JsonObject
from syncapp.words import counted


class Command(ReportCommand):
    """What is backed up."""

    help = "Manage sources: the Google accounts that are backed up."
    examples = (
        "list",
        'set 1 --mode scheduled --cron "0 3 * * *" --time-zone Europe/Berlin',
        'limit 1 "08:00,512k 19:00,off"',
        "approve 1",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """One sub-command each."""
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        add_json(actions.add_parser("list", help="All sources."))
        add = actions.add_parser("add", help="Back up a Google account that has been linked.")
        add.add_argument("--account", required=True, metavar="EMAIL", help="The linked account.")
        add.add_argument("--name", default="", help="What to call it.")
        add.add_argument(
            "--destination",
            nargs="+",
            action="extend",
            default=[],
            metavar="NAME",
            help="Where to keep it; id or name, one or several.",
        )
        _add_plan(add)
        add_json(add)
        change = actions.add_parser("set", help="Change when it is backed up.")
        _add_plan(change)
        show = actions.add_parser("show", help="When it is looked at, and how it stands.")
        check = actions.add_parser("check", help="Ask Google what can be read.")
        pause = actions.add_parser("pause", help="Start and continue nothing for now.")
        resume = actions.add_parser("resume", help="Go on.")
        retry = actions.add_parser("retry", help="Try its failed files again.")
        approve = actions.add_parser("approve", help="Let the next run change as much as it wants.")
        for action in (check, change, show, pause, resume, retry, approve):
            action.add_argument("source", metavar="SOURCE", help="Id, slug or name.")
        for action in (check, change, show):
            add_json(action)
        limit = actions.add_parser("limit", help="How fast it may be read; acts at once.")
        limit.add_argument("source", metavar="SOURCE", help="Id, slug or name.")
        add_limit(limit)

    def answer(self, options: dict[str, Any]) -> Exit:
        """Do the one asked for."""
        actions = {
            "list": self._list,
            "add": self._add,
            "set": self._set,
            "show": self._show,
            "check": self._check,
            "pause": self._pause,
            "resume": self._resume,
            "retry": self._retry,
            "approve": self._approve,
            "limit": self._limit,
        }
        return actions[options["action"]](options)

    def _list(self, options: dict[str, Any]) -> Exit:
        sources = list(
            Source.objects.select_related("owner", "account")
            .prefetch_related("destinations")
            .order_by("pk")
        )
        if options["json"]:
            self.give({"sources": [_document(source) for source in sources]})
        elif sources:
            headings = ("ID", "SLUG", "NAME", "ACCOUNT", "STATE", "MODE", "NEXT", "DESTINATIONS")
            self.say(table(headings, map(_row, sources)))
        else:
            self.say("There is no source yet: link a Google account in the browser, then add it.")
        return Exit.OK

    def _add(self, options: dict[str, Any]) -> Exit:
        account = lookup.find_account(options["account"])
        destinations = [lookup.find_destination(text) for text in options["destination"]]
        try:
            source = add_source(
                account,
                name=options["name"],
                destinations=destinations,
                plan=_plan(Plan(), options),
            )
        except ConfigurationError as error:
            raise usage(printable(error.message)) from error
        if options["json"]:
            self.give({"source": _document(source)})
            return Exit.OK
        self.say(f"“{printable(source.name)}” is a source now; its id is {source.pk}.")
        self.say(f"It is backed up next: {next_look(source, timezone.now())}.")
        if not destinations:
            self.warn("It is kept nowhere yet: `manage.py destination attach NAME --source …`.")
        return Exit.OK

    def _set(self, options: dict[str, Any]) -> Exit:
        source = lookup.find_source(options["source"])
        try:
            replan(source, _plan(Plan.of(source), options))
        except ConfigurationError as error:
            raise usage(printable(error.message)) from error
        return self._tell(source, options)

    def _show(self, options: dict[str, Any]) -> Exit:
        return self._tell(lookup.find_source(options["source"]), options)

    def _tell(self, source: Source, options: dict[str, Any]) -> Exit:
        if options["json"]:
            self.give({"source": _document(source)})
            return Exit.OK
        for name, value in _details(source):
            self.say(f"{name + ':':24}{printable(value)}")
        return Exit.OK

    def _check(self, options: dict[str, Any]) -> Exit:
        source = lookup.find_source(options["source"])
        lines = source_for(source).check()
        code = worst(lines)
        if options["json"]:
            checks = check_document(lines)
            self.give({"source": _document(source), "ok": code is Exit.OK, "checks": checks})
        else:
            self.say_checks(lines)
        return code

    def _limit(self, options: dict[str, Any]) -> Exit:
        source = lookup.find_source(options["source"])
        self.say(set_limit(source, options["bwlimit"]))
        return Exit.OK

    def _pause(self, options: dict[str, Any]) -> Exit:
        source = lookup.find_source(options["source"])
        runs.pause(source)
        self.say(f"“{printable(source.name)}” is paused.")
        return Exit.OK

    def _resume(self, options: dict[str, Any]) -> Exit:
        source = lookup.find_source(options["source"])
        runs.resume(source)
        self.say(f"“{printable(source.name)}” goes on.")
        return Exit.OK

    def _retry(self, options: dict[str, Any]) -> Exit:
        source = lookup.find_source(options["source"])
        number = runs.retry_failed(source)
        self.say(f"“{printable(source.name)}”: {counted(number, 'failed file')} to try again.")
        return Exit.OK

    def _approve(self, options: dict[str, Any]) -> Exit:
        source = lookup.find_source(options["source"])
        if guard.approve(source) is None:
            self.say(f"“{printable(source.name)}” holds nothing back.")
        else:
            self.say(f"“{printable(source.name)}”: agreed; a backup begins.")
        return Exit.OK


def _document(source: Source) -> JsonObject:
    return {
        "id": source.pk,
        "slug": source.slug,
        "name": source.name,
        "kind": source.kind,
        "account": source.account.email,
        "owner": source.owner.username,
        "paused": source.paused,
        "blocked_code": source.blocked_code,
        "blocked_reason": source.blocked_reason,
        "bwlimit": source.bwlimit,
        **asdict(Plan.of(source)),
        "next_at": source.next_at,
        "next": next_look(source, timezone.now()),
        "polled_at": source.polled_at,
        "scanned_at": source.scanned_at,
        "push": push.standing(source) if source.mode == Source.Mode.REALTIME else "",
        "destinations": [destination.name for destination in source.destinations.all()],
    }


def _row(source: Source) -> Sequence[object]:
    state = "paused" if source.paused else "active"
    if source.blocked_code:
        state = f"blocked: {source.blocked_reason}"
    names = ", ".join(destination.name for destination in source.destinations.all()) or "–"
    when = next_look(source, timezone.now())
    named = source.pk, source.slug, source.name, source.account.email
    return *named, state, source.mode, when, names


def _details(source: Source) -> Iterator[tuple[str, str]]:
    yield "Source", f"{source.name} ({source.account.email})"
    yield "Mode", source.mode
    if source.mode == Source.Mode.SCHEDULED:
        words = cron.explain(source.cron)
        yield "Schedule", f"{source.cron} ({words}, {zone_of(source)})"
    yield "Next", next_look(source, timezone.now())
    if source.mode == Source.Mode.REALTIME:
        yield "Push", push.standing(source)
    yield "Change log last read", moment(source.polled_at)
    yield "Everything compared", moment(source.scanned_at)
    days = source.reconcile_days
    yield "Compared again after", counted(days, "day") if days else "never"


def _add_plan(parser: CommandParser) -> None:
    parser.add_argument(
        "--mode",
        choices=Source.Mode.values,
        help="realtime: as Google changes (the default of new sources); scheduled; manual.",
    )
    parser.add_argument(
        "--cron", metavar="LINE", help=f"Its schedule, as in crontab: “{cron.DAILY}” is {_daily()}."
    )
    parser.add_argument(
        "--time-zone", metavar="ZONE", help="Of the schedule, such as Europe/Paris."
    )
    parser.add_argument(
        "--reconcile-days",
        type=_days,
        metavar="DAYS",
        help="List and compare everything again after so many days; 0: never.",
    )


def _days(text: str) -> int:
    return read_number(text, "number of days", Source, "reconcile_days")


def _daily() -> str:
    return cron.explain(cron.DAILY).lower()


def _plan(known: Plan, options: dict[str, Any]) -> Plan:
    asked = {name: options[name] for name in asdict(known) if options[name] is not None}
    if options["cron"] is not None and options["mode"] is None:
        asked["mode"] = Source.Mode.SCHEDULED.value
    return replace(known, **asked)
