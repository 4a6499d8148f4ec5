"""The order of a test run on several processes: long tests are begun first."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.conftest import dealt


def item(name: str, *, long: bool = False) -> pytest.Item:
    made = Mock(spec=pytest.Item)
    made.name, made.path = name, Path(name[0])
    made.get_closest_marker.return_value = "long" if long else None
    return made  # type: ignore[no-any-return]


def test_each_process_begins_with_its_share_of_the_long_tests() -> None:
    long = [item(name, long=True) for name in ("A", "B", "C", "D", "E", "A2")]
    items = [item(f"s{n}") for n in range(8)] + long
    order = dealt(items, 4)
    assert sorted(i.name for i in order) == sorted(i.name for i in items)
    stretches = [order[:3], order[3:6], order[6:10], order[10:]]  # as pytest-xdist cuts them
    assert [s[0].name for s in stretches] == ["A", "B", "C", "D"]
    assert [i.name for i in order[:3]] == ["A", "E", "A2"], "one file's stay together"


@pytest.mark.parametrize("processes", [1, 4])
def test_nothing_is_lost_where_there_are_fewer_tests_than_processes(processes: int) -> None:
    items = [item("s"), item("L1", long=True), item("L2", long=True)]
    assert sorted(i.name for i in dealt(items, processes)) == ["L1", "L2", "s"]
    assert dealt([], processes) == []
