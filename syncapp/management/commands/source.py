"""`manage.py source`: list, add, pause, resume, retry, limit, check.

JSON, stable: `list` → {sources: [S]}; `add` → {source: S}; `check` → {source: S, ok, checks:
[{name, level, message}]}. S: id, slug, name, kind, account, owner, paused, blocked_code,
blocked_reason, bwlimit, scanned_at, destinations (names).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser

from syncapp.engine import runs
from syncapp.engine.adapters import source_for
from syncapp.engine.source_setup import add_source
from syncapp.errors import ConfigurationError
from syncapp.management import lookup
from syncapp.management.base import (
    Exit,
    ReportCommand,
    add_json,
    check_document,
    usage,
    worst,
)
from syncapp.management.limits import add_limit, set_limit
from syncapp.management.output import moment, plural, printable, table
from syncapp.models import Source
from syncapp.types import JsonObject


class Command(ReportCommand):
    """What is backed up."""

    help = "Manage sources: the Google accounts that are backed up."

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
        add_json(add)
        check = actions.add_parser("check", help="Ask Google what can be read.")
        pause = actions.add_parser("pause", help="Start and continue nothing for now.")
        resume = actions.add_parser("resume", help="Go on.")
        retry = actions.add_parser("retry", help="Try its failed files again.")
        for action in (check, pause, resume, retry):
            action.add_argument("source", metavar="SOURCE", help="Id, slug or name.")
        add_json(check)
        limit = actions.add_parser("limit", help="How fast it may be read; acts at once.")
        limit.add_argument("source", metavar="SOURCE", help="Id, slug or name.")
        add_limit(limit)

    def answer(self, options: dict[str, Any]) -> Exit:
        """Do the one asked for."""
        actions = {
            "list": self._list,
            "add": self._add,
            "check": self._check,
            "pause": self._pause,
            "resume": self._resume,
            "retry": self._retry,
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
            headings = ("ID", "SLUG", "NAME", "ACCOUNT", "STATE", "SCANNED", "DESTINATIONS")
            self.say(table(headings, map(_row, sources)))
        else:
            self.say("There is no source yet: link a Google account in the browser, then add it.")
        return Exit.OK

    def _add(self, options: dict[str, Any]) -> Exit:
        account = lookup.find_account(options["account"])
        destinations = [lookup.find_destination(text) for text in options["destination"]]
        try:
            source = add_source(account, name=options["name"], destinations=destinations)
        except ConfigurationError as error:
            raise usage(printable(error.message)) from error
        if options["json"]:
            self.give({"source": _document(source)})
            return Exit.OK
        self.say(f"“{printable(source.name)}” is a source now; its id is {source.pk}.")
        if not destinations:
            self.warn("It is kept nowhere yet: `manage.py destination attach NAME --source …`.")
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
        self.say(f"“{printable(source.name)}”: {plural(number, 'failed file')} to try again.")
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
        "scanned_at": source.scanned_at,
        "destinations": [destination.name for destination in source.destinations.all()],
    }


def _row(source: Source) -> Sequence[object]:
    state = "paused" if source.paused else "active"
    if source.blocked_code:
        state = f"blocked: {source.blocked_reason}"
    names = ", ".join(destination.name for destination in source.destinations.all()) or "–"
    scanned = moment(source.scanned_at)
    return source.pk, source.slug, source.name, source.account.email, state, scanned, names
