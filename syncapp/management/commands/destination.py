"""`manage.py destination`: add, test, list, enable, disable, limit, attach, detach.

Must not take a secret as an argument (any user of the machine can read those), nor print one.

JSON, stable: `list` → {destinations: [D]}; `add` → {destination: D, saved, checks: [C]};
`test` → {destination: D, ok, checks: [C]}. D: id, name, kind, owner, enabled, blocked_code,
blocked_reason, down_until (the next try of one that is not reachable, else null), bwlimit, options
(no secrets), sources (slugs). C: name, level, message.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser

from accounts.models import User
from syncapp.destinations import KINDS
from syncapp.engine import breakers, source_setup
from syncapp.engine.destination_setup import configure, probe, switch
from syncapp.errors import ConfigurationError
from syncapp.management import lookup
from syncapp.management.base import (
    EXIT_HELP,
    Exit,
    HelpFormatter,
    ReportCommand,
    add_json,
    check_document,
    usage,
    worst,
)
from syncapp.management.limits import LIMIT_HELP, add_limit, read_limit, set_limit
from syncapp.management.option_values import kinds_help, read_values
from syncapp.management.output import moment, printable, table
from syncapp.models import Destination, Source
from syncapp.types import CheckResult, JsonObject
from syncapp.visible import plain


class Command(ReportCommand):
    """Where copies are kept."""

    help = "Manage destinations: buckets and folders in which copies are kept."
    examples = (
        "add local --name Attic --set path=/mnt/backup",
        "add s3 --name Cellar --set provider=aws --set region=eu-central-1 "
        "--set bucket=B --secret access_key_id --secret secret_access_key",
        "test Attic",
        "attach Attic --source 1",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """One sub-command each."""
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        add = actions.add_parser(
            "add",
            help="Set up a destination, after testing it.",
            epilog=f"{kinds_help()}\n\n{EXIT_HELP}",
            formatter_class=HelpFormatter,
        )
        _add_add_arguments(add)
        _add_take_over(add)
        test = actions.add_parser("test", help="Write, read, list and delete there, for real.")
        test.add_argument("name", metavar="NAME", help="Id or name.")
        _add_take_over(test)
        add_json(test)
        add_json(actions.add_parser("list", help="All destinations."))
        for action, text in (
            ("enable", "Let it take copies again."),
            ("disable", "Send nothing there for now; what is there stays."),
        ):
            actions.add_parser(action, help=text).add_argument("name", metavar="NAME")
        limit = actions.add_parser("limit", help="How fast it may be sent to; acts at once.")
        limit.add_argument("name", metavar="NAME")
        add_limit(limit)
        for action, text in (
            ("attach", "Keep a source there too."),
            ("detach", "Stop keeping a source there; what is there stays."),
        ):
            links = actions.add_parser(action, help=text)
            links.add_argument("name", metavar="NAME")
            links.add_argument("--source", required=True, help="Id, slug or name.")

    def answer(self, options: dict[str, Any]) -> Exit:
        """Do the one asked for."""
        actions = {
            "add": self._add,
            "test": self._test,
            "list": self._list,
            "enable": self._switch,
            "disable": self._switch,
            "limit": self._limit,
            "attach": self._link,
            "detach": self._link,
        }
        return actions[options["action"]](options)

    def _add(self, options: dict[str, Any]) -> Exit:
        owner = lookup.find_owner(options["owner"])
        sources = [lookup.find_source(text) for text in options["source"]]
        destination = Destination(
            owner=owner,
            name=options["name"],
            kind=options["kind"],
            bwlimit=read_limit(options["bwlimit"]),
        )
        values = read_values(
            options["kind"],
            plain=options["set"],
            from_stdin=options["secret"],
            from_environment=options["secret_env"],
        )
        _configure(destination, values)
        for source in sources:
            if source.owner_id != owner.pk:
                raise usage(f"“{printable(source.name)}” belongs to somebody else.")
        lines = () if options["no_test"] else probe(destination, take_over=options["take_over"])
        code = worst(lines)
        if code is Exit.OK:
            destination.save()
            for source in sources:
                source_setup.attach(source, destination)
        self._tell(destination, lines, {"saved": code is Exit.OK}, as_json=options["json"])
        if not options["json"]:
            shown = printable(destination.name)
            saved = f"“{shown}” is set up; its id is {destination.pk}."
            self.say(saved if code is Exit.OK else "Nothing was saved.")
        return code

    def _test(self, options: dict[str, Any]) -> Exit:
        destination = lookup.find_destination(options["name"])
        lines = probe(destination, take_over=options["take_over"])
        code = worst(lines)
        self._tell(destination, lines, {"ok": code is Exit.OK}, as_json=options["json"])
        return code

    def _tell(
        self,
        destination: Destination,
        lines: Sequence[CheckResult],
        verdict: JsonObject,
        *,
        as_json: bool,
    ) -> None:
        if as_json:
            shown = {"destination": _document(destination)}
            self.give(shown | verdict | {"checks": check_document(lines)})
        else:
            self.say_checks(lines)

    def _list(self, options: dict[str, Any]) -> Exit:
        destinations = list(
            Destination.objects.select_related("owner").prefetch_related("sources").order_by("pk")
        )
        if options["json"]:
            self.give({"destinations": [_document(d) for d in destinations]})
        elif destinations:
            headings = ("ID", "NAME", "KIND", "OWNER", "STATE", "SOURCES")
            self.say(table(headings, map(_row, destinations)))
        else:
            self.say("There is no destination yet. `manage.py destination add --help` tells how.")
        return Exit.OK

    def _switch(self, options: dict[str, Any]) -> Exit:
        destination = lookup.find_destination(options["name"])
        enabled = options["action"] == "enable"
        switch(destination, on=enabled)
        self.say(f"“{printable(destination.name)}” is {options['action']}d.")
        return Exit.OK

    def _limit(self, options: dict[str, Any]) -> Exit:
        destination = lookup.find_destination(options["name"])
        self.say(set_limit(destination, options["bwlimit"]))
        return Exit.OK

    def _link(self, options: dict[str, Any]) -> Exit:
        destination = lookup.find_destination(options["name"])
        source = lookup.find_source(options["source"])
        names = f"“{printable(source.name)}”", f"“{printable(destination.name)}”"
        if options["action"] == "detach":
            changed = source_setup.detach(source, destination)
            after = "is no longer kept in {}; what is there stays." if changed else "was not in {}."
        else:
            changed = source_setup.attach(source, destination)
            after = "is kept in {} from its next backup on." if changed else "is in {} already."
        self.say(f"{names[0]} {after.format(names[1])}")
        return Exit.OK


def _add_take_over(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="Take the place of another installation that kept its backups there and is gone.",
    )


def _add_add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help=f"One of: {', '.join(KINDS)}.")
    parser.add_argument("--name", required=True, help="What to call it.")
    parser.add_argument("--owner", help="User name; may be left out if there is one administrator.")
    _repeated(parser, "--set", "OPTION=VALUE", "An option that is no secret; may be repeated.")
    _repeated(parser, "--secret", "OPTION", "A secret, read from stdin (a line each, in order).")
    _repeated(
        parser, "--secret-env", "OPTION=NAME", "A secret, read from the environment variable NAME."
    )
    _repeated(parser, "--source", "SOURCE", "Keep this source there; id, slug or name.")
    parser.add_argument("--bwlimit", default="", metavar="LIMIT", help=LIMIT_HELP)
    parser.add_argument("--no-test", action="store_true", help="Save without trying it.")
    parser.add_argument("--json", action="store_true", help="Answer in JSON, on stdout.")


def _repeated(parser: ArgumentParser, flag: str, metavar: str, text: str) -> None:
    parser.add_argument(flag, action="append", default=[], metavar=metavar, help=text)


def _configure(destination: Destination, values: dict[str, str]) -> None:
    """Fill in and validate; whoever has a shell on the server is its administrator."""
    others = Destination.objects.filter(owner=destination.owner, name=destination.name)
    if others.exclude(pk=destination.pk).exists():
        raise usage(f"There is a destination “{printable(destination.name)}” already.")
    try:
        plain(destination.name)
        configure(destination, values, by=User(is_superuser=True))
        destination.full_clean()
    except ConfigurationError as error:
        raise usage(printable(error.message)) from error
    except ValidationError as error:
        raise usage(printable(" ".join(error.messages))) from error


def _document(destination: Destination) -> JsonObject:
    options = {k: v for k, v in destination.options.items() if not k.startswith("_")}
    saved = destination.pk is not None
    return {
        "id": destination.pk,
        "name": destination.name,
        "kind": destination.kind,
        "owner": destination.owner.username,
        "enabled": destination.enabled,
        "blocked_code": destination.blocked_code,
        "blocked_reason": destination.blocked_reason,
        "down_until": breakers.down_until(destination),
        "bwlimit": destination.bwlimit,
        "options": options,
        "sources": [source.slug for source in destination.sources.all()] if saved else [],
    }


def _row(destination: Destination) -> Sequence[object]:
    state = "enabled" if destination.enabled else "disabled"
    if destination.blocked_code:
        state = f"blocked: {destination.blocked_reason}"
    elif until := breakers.down_until(destination):
        state = f"not reachable, next try {moment(until)}"
    sources: list[Source] = list(destination.sources.all())
    names = ", ".join(source.slug for source in sources) or "–"
    owner = destination.owner.username
    return destination.pk, destination.name, destination.kind, owner, state, names
