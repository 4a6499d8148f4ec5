"""`--help` of each reporting command shows examples that its own parser takes."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator

import pytest
from django.core.management import get_commands, load_command_class

from syncapp.management.base import ReportCommand

# Those that report: the workers of `runworkers` only run.
COMMANDS = sorted(
    {name for name, app in get_commands().items() if app == "syncapp"} - {"runworkers"}
)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_command_are_taken_by_it(name: str) -> None:
    command = load_command_class("syncapp", name)
    assert isinstance(command, ReportCommand)
    parser = command.create_parser("manage.py", name)
    assert command.examples
    for example in command.examples:
        assert f"manage.py {name} {example}".rstrip() in parser.format_help()
        parser.parse_args(shlex.split(example))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_action_of_a_command_can_show_its_help(name: str) -> None:
    parser = load_command_class("syncapp", name).create_parser("manage.py", name)
    for action in _with_actions(parser):
        assert "--help" in action.format_help()


def _with_actions(parser: ArgumentParser) -> Iterator[ArgumentParser]:
    yield parser
    for group in parser._actions:
        if isinstance(group, _SubParsersAction):
            for action in group.choices.values():
                yield from _with_actions(action)
