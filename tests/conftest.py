"""Rules of the whole suite: what a test needs, and what happens where that is missing.

`@pytest.mark.needs("ceph")`: on a machine without the tool the test is left out, and the
summary names it with the command that brings the tool. With CI=true nothing may be left out: a
missing tool fails the test, and so does any other skip. `@pytest.mark.database("postgresql")`: the
test belongs to the runs on that database (`make test-postgres`) and to no other.
`@pytest.mark.long`: the test takes many seconds and is begun first, so that at the end of a run no
process is left alone with it.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
from django.db import connection

from tests.servers import programs
from tests.servers.database import django_db_setup  # noqa: F401 - a fixture
from tests.servers.emulator import _emulator_process, google  # noqa: F401 - fixtures
from tests.servers.postgres import postgres_server, postgres_url  # noqa: F401 - fixtures
from tests.servers.redis import redis_server, redis_url  # noqa: F401 - fixtures

# What is imported and collected stays until the end: to look through it for garbage again and again
# would be a sixth of a run.
gc.disable()

LEFT_OUT = "left out, no "
IN_CI = os.environ.get("CI", "").lower() == "true"


@pytest.hookimpl(wrapper=True, tryfirst=True)  # what others leave out and shuffle comes before
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    yield
    of_another = [item for item in items if not _is_about(item, connection.vendor)]
    config.hook.pytest_deselected(items=of_another)
    rest = [item for item in items if item not in of_another]
    items[:] = dealt(rest, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def dealt(items: list[pytest.Item], processes: int) -> list[pytest.Item]:
    """The order of a run: pytest-xdist gives each process a stretch, which begins with its long
    tests. Those of one file are one process's: at once they would crowd each other."""
    long = [item for item in items if item.get_closest_marker("long")]
    short = [item for item in items if not item.get_closest_marker("long")]
    files = list(dict.fromkeys(item.path for item in long))
    order: list[pytest.Item] = []
    for process in range(processes):
        first = [item for item in long if files.index(item.path) % processes == process]
        stretch = (len(items) - len(order)) // (processes - process)
        taken = max(stretch - len(first), 0)
        order += first + short[:taken]
        short = short[taken:]
    return order + short


def _is_about(item: pytest.Item, vendor: str) -> bool:
    return all(vendor in marker.args for marker in item.iter_markers("database"))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for tool in marker.args:
            if programs.missing(tool):
                reason = f"{LEFT_OUT}{tool}: `make test-deps` brings it"
                pytest.fail(reason, pytrace=False) if IN_CI else pytest.skip(reason)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    counts: dict[str, int] = {}
    for report in skipped:
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        reason = reason.removeprefix("Skipped: ").removeprefix(LEFT_OUT)
        counts[reason] = counts.get(reason, 0) + 1
    terminalreporter.section("not allowed with CI=true: left out" if IN_CI else "left out")
    for reason, count in sorted(counts.items()):
        terminalreporter.write_line(f"{count:4} tests: {reason}")
