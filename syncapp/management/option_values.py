"""A destination's options as a command line gives them; secrets by stdin or the environment.

Must not take a secret from an argument, which any user of the machine can read, nor repeat a value
in a message.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from getpass import getpass

from syncapp.destinations import KINDS, destination_class
from syncapp.errors import ConfigurationError
from syncapp.management.base import usage
from syncapp.management.output import printable
from syncapp.types import Option


def kinds_help() -> str:
    """Each kind's options, for `--help`."""
    lines = ["kinds and their options:"]
    for kind in KINDS:
        lines.append(f"  {kind}")
        lines += [f"    {_option_line(option)}" for option in destination_class(kind).options]
    return "\n".join(lines)


def _option_line(option: Option) -> str:
    notes = [
        "required" if option.required else "",
        "secret" if option.secret else "",
        f"default {option.default}" if option.default else "",
        f"one of {', '.join(value or 'empty' for value, _ in option.choices)}"
        if option.choices
        else "",
    ]
    note = ", ".join(filter(None, notes))
    text = " ".join(filter(None, (f"{option.label}.", option.help)))
    return f"{option.name:22} {text}{f' ({note})' if note else ''}"


def read_values(
    kind: str,
    *,
    plain: Sequence[str],
    from_stdin: Sequence[str],
    from_environment: Sequence[str],
) -> dict[str, str]:
    """All options' values by name; a usage error names the one that is unknown or misplaced."""
    try:
        known = {option.name: option for option in destination_class(kind).options}
    except ConfigurationError as error:
        raise usage(printable(error.message)) from error
    values = {name: option.default for name, option in known.items()}
    values |= _plain_values(plain, known)
    values |= _environment_values(from_environment, known)
    values |= {name: _read_secret(_known(name, known)) for name in from_stdin}
    for name, option in known.items():
        if option.required and not values[name].strip():
            flag = f"--secret {name}" if option.secret else f"--set {name}=…"
            raise usage(f"{kind} needs the option {name} ({option.label}): {flag}.")
    return values


def _plain_values(pairs: Sequence[str], known: dict[str, Option]) -> Iterator[tuple[str, str]]:
    for name, value in _pairs(pairs, "--set"):
        if _known(name, known).secret:
            raise usage(
                f"{name} is a secret, and anybody on this machine can read a command line. "
                f"Use --secret {name} (reads stdin) or --secret-env {name}=VARIABLE."
            )
        yield name, value


def _environment_values(
    pairs: Sequence[str], known: dict[str, Option]
) -> Iterator[tuple[str, str]]:
    for name, variable in _pairs(pairs, "--secret-env"):
        _known(name, known)
        if not os.environ.get(variable):
            raise usage(f"The environment variable {variable} for {name} is not set.")
        yield name, os.environ[variable]


def _read_secret(option: Option) -> str:
    """Asked for without echo where there is a person, else the next line of stdin."""
    if sys.stdin.isatty():
        value = getpass(f"{option.label}: ")
    else:
        value = sys.stdin.readline().rstrip("\r\n")
    if not value:
        raise usage(f"No value for {option.name} came on stdin.")
    return value


def _known(name: str, known: dict[str, Option]) -> Option:
    if name not in known:
        raise usage(f"There is no option “{printable(name)}”. Known: {', '.join(known)}.")
    return known[name]


def _pairs(texts: Sequence[str], flag: str) -> Iterator[tuple[str, str]]:
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            # Not repeated in the message: it could be a secret that was put into the wrong place.
            raise usage(f"{flag} wants OPTION=VALUE.")
        yield name, value
