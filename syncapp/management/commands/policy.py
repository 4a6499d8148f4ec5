"""`manage.py policy`: show and set what is kept for how long.

Without a source, a person's default is meant. What is set to `inherit` comes from there, or is
built in. JSON, stable: {policies: [{source (null: the default), owner, values: {NAME: {value,
origin}}}]}; origins are "built-in", "default" and "source"; `keep` has the rules as an object, all
null where every version is kept.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from accounts.models import User
from syncapp.engine import record
from syncapp.engine.policies import BUILT_IN, RULES, Effective, effective, effective_default
from syncapp.management import lookup
from syncapp.management.base import Exit, ReportCommand, add_json, read_number, usage
from syncapp.management.output import printable, table
from syncapp.management.policies import told_rules
from syncapp.management.searching import read_size
from syncapp.models import Policy, Source
from syncapp.retention import Rules
from syncapp.types import JsonObject

INHERIT = "inherit"
_TOLD: Mapping[str, str] = {
    "trash_days": "days in the trash",
    "guard_percent": "ask before changing more than (%)",
    "guard_files": "ask before changing more files than",
    "verify_days": "days in which every copy is read back",
    "verify_bytes": "most bytes read back a day (0: no limit)",
    "drill_days": "days between restore drills (0: none)",
    "drill_files": "files in a drill",
    "drill_cold_cents": "cents a month for drills from cold storage (0: none)",
}


class Command(ReportCommand):
    """What is kept."""

    help = "Show and set what is kept for how long, when to ask first, and regular checks."
    examples = (
        "show 1",
        "set --trash-days 60",
        "set 1 --keep-daily 7 --keep-weekly 4 --keep-monthly 12",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Show, or set."""
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        show = actions.add_parser("show", help="What holds, and where each value comes from.")
        change = actions.add_parser("set", help="Change some values; the others stay.")
        for action in (show, change):
            action.add_argument(
                "source", nargs="?", metavar="SOURCE", help="Id, slug or name; none: the default."
            )
            action.add_argument("--owner", metavar="NAME", help="Whose default.")
            add_json(action)
        keep = change.add_mutually_exclusive_group()
        keep.add_argument("--keep-all", action="store_true", help="Keep every version.")
        keep.add_argument("--keep-inherit", action="store_true", help="Keep as the default does.")
        for name in RULES:
            change.add_argument(
                f"--keep-{name}",
                type=_reader(f"keep_{name}"),
                metavar="N",
                help="A rule for versions; what any rule keeps stays. Rules not named are off.",
            )
        for name, told in _TOLD.items():
            option = f"--{name.replace('_', '-')}"
            kind, metavar = (
                (_size, "SIZE") if name == "verify_bytes" else (_reader(name, INHERIT), "N")
            )
            text = f"{told}, or {INHERIT}.".replace("%", "%%")  # argparse fills in what follows %
            change.add_argument(option, type=kind, metavar=metavar, help=text)

    def answer(self, options: dict[str, Any]) -> Exit:
        """Do the one asked for."""
        source = lookup.find_source(options["source"]) if options["source"] else None
        owner = source.owner if source else lookup.find_owner(options["owner"])
        if options["action"] == "set":
            _set(owner, source, options)
        shown: list[tuple[Source | None, Effective]] = [(source, _holds(owner, source))]
        if source is None and options["action"] == "show":
            own = Source.objects.filter(owner=owner, policy__isnull=False).order_by("pk")
            shown += [(one, effective(one)) for one in own]
        if options["json"]:
            self.give({"policies": [_document(owner, *one) for one in shown]})
        else:
            for one, holds in shown:
                name = f"“{printable(one.name)}”" if one else "Default of all sources"
                self.say(f"{name} of {printable(owner.username)}")
                self.say(table(("WHAT", "VALUE", "FROM"), _rows(holds)))
        return Exit.OK


def _holds(owner: User, source: Source | None) -> Effective:
    return effective(source) if source else effective_default(owner.pk)


def _set(owner: User, source: Source | None, options: dict[str, Any]) -> None:
    policy = Policy.objects.filter(owner=owner, source=source).first()
    policy = policy or Policy(owner=owner, source=source)
    before = _holds(owner, source)
    asked = {name: options[f"keep_{name}"] for name in RULES}
    named = {name: number for name, number in asked.items() if number is not None}
    others = any(options[name] is not None for name in _TOLD)  # 0 is a wish, too
    if not (named or others or options["keep_all"] or options["keep_inherit"]):
        raise usage("Say what to change: --keep-daily 7, --trash-days 60, … (`--help` has all).")
    if named and (options["keep_all"] or options["keep_inherit"]):
        raise usage("Rules for versions go neither with --keep-all nor with --keep-inherit.")
    if named:
        policy.keep = Policy.Keep.RULES
    elif options["keep_all"]:
        policy.keep = Policy.Keep.ALL
    elif options["keep_inherit"]:
        policy.keep = Policy.Keep.INHERITED
    if named or options["keep_all"] or options["keep_inherit"]:
        for name in RULES:
            setattr(policy, f"keep_{name}", named.get(name, 0))
    for name in _TOLD:
        if options[name] is not None:
            setattr(policy, name, None if options[name] == INHERIT else options[name])
    try:
        policy.full_clean()
    except ValidationError as error:
        told = (
            (_option(name), text) for name, texts in error.message_dict.items() for text in texts
        )
        raise usage("; ".join(f"{option}{text}" for option, text in told)) from error
    policy.save()
    if _holds(owner, source) != before:
        what = f"the policy of {source.name}" if source else "the default policy"
        message = f"{what[0].upper()}{what[1:]} was changed."
        record.event(owner, "policy_changed", message, source=source)


def _rows(holds: Effective) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [
        ("versions", told_rules(holds.rules), holds.origins["keep"].value)
    ]
    for name in BUILT_IN:
        rows.append((_TOLD[name], str(getattr(holds, name)), holds.origins[name].value))
    return rows


def _document(owner: User, source: Source | None, holds: Effective) -> JsonObject:
    values = {name: getattr(holds, name) for name in BUILT_IN}
    values["keep"] = {
        field.name: None if holds.rules.everything else getattr(holds.rules, field.name)
        for field in fields(Rules)
        if field.name != "everything"
    }
    return {
        "source": source.slug if source else None,
        "owner": owner.username,
        "values": {
            name: {"value": value, "origin": holds.origins[name].value}
            for name, value in values.items()
        },
    }


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}: " if name in _TOLD else ""


def _reader(name: str, word: str = "") -> Callable[[str], int | str]:
    """Of an option for a number of the policy; the word is let through."""

    def read(text: str) -> int | str:
        if word and text == word:
            return word
        return read_number(text, "whole number", Policy, name)

    return read


def _size(text: str) -> int | str | None:
    try:
        return INHERIT if text == INHERIT else read_size(text, "--verify-bytes")
    except CommandError as error:
        raise ArgumentTypeError(str(error).partition(": ")[2]) from error
