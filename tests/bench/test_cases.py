"""The benchmark's cases can be started, and told."""

from __future__ import annotations

from bench import report
from bench.cases import CASES


def test_every_case_has_its_section_in_the_results() -> None:
    assert set(CASES) == set(report.SECTIONS)
