"""Speed, bars, and how lines are drawn."""

from __future__ import annotations

import io

import pytest

from syncapp.management.progress import Display, Pace, Sample, run_line
from syncapp.models import Run, Source


class Terminal(io.StringIO):
    """A stream with Django's signature of write, which says that a person is looking."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def write(self, msg: str = "", style_func: object = None, ending: str | None = None) -> int:
        return super().write(msg + ("\n" if ending is None else ending))


def transferring(**figures: int) -> Run:
    return Run(source=Source(name="Drive\x1b"), stage=Run.Stage.TRANSFER, **figures)


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    for second in range(61):
        pace.add(Sample(second, files=second if second < 30 else 30 + (second - 30) * 5, bytes=0))
    assert pace.files_per_s == pytest.approx(5)
    assert len(pace.samples) < 30


def test_the_estimate_follows_whichever_takes_longer() -> None:
    pace = Pace()
    pace.add(Sample(0, 0, 0))
    pace.add(Sample(10, 100, 1000))
    assert pace.eta_s(files_left=10, bytes_left=10_000) == pytest.approx(100)
    assert pace.eta_s(files_left=1000, bytes_left=100) == pytest.approx(100)
    assert pace.eta_s(files_left=0, bytes_left=0) == 0


def test_nothing_is_estimated_while_nothing_moves() -> None:
    pace = Pace()
    pace.add(Sample(0, 5, 5))
    pace.add(Sample(10, 5, 5))
    assert pace.eta_s(files_left=1, bytes_left=0) is None


def test_a_stage_that_counts_anew_has_no_negative_pace() -> None:
    pace = Pace()
    pace.add(Sample(0, 100, 100))
    pace.add(Sample(1, 0, 0))
    assert pace.files_per_s == 0


def test_a_line_shows_share_speed_and_what_is_left() -> None:
    pace = Pace()
    pace.add(Sample(0, 0, 0))
    pace.add(Sample(10, 50, 500_000_000))
    run = transferring(
        files_total=200, files_done=95, files_refused=3, files_failed=2, bytes_total=10**9,
        bytes_done=500_000_000,
    )  # fmt: skip
    assert run_line(run, pace) == (
        "Drive\\x1b  [##########----------]  50%  100/200 files  500.0 MB of 1.0 GB  5.0 files/s  "
        "50.0 MB/s  ETA 20 s  2 failed"
    )


def test_exports_whose_bytes_were_not_foreseen_do_not_pass_a_hundred_percent() -> None:
    line = run_line(transferring(files_total=2, files_done=1, bytes_total=1, bytes_done=99), Pace())
    assert " 50%" in line
    assert "99 Bytes of 99 Bytes" in line


def test_a_scan_tells_what_it_has_seen() -> None:
    run = Run(source=Source(name="D"), stage=Run.Stage.SCAN, files_seen=12_000, files_new=3)
    assert run_line(run, Pace()) == "D  scanning  12,000 seen  3 new"


def test_a_terminal_is_redrawn_in_place_and_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "11")
    stream = Terminal(terminal=True)
    display = Display(stream)
    display.show(["one", "a line too long"])
    display.show(["two"])
    display.clear()
    assert stream.getvalue() == (
        "\x1b[Jone\na line to…\n" "\x1b[2F\x1b[Jtwo\n" "\x1b[1F\x1b[J"
    )  # fmt: skip


def test_elsewhere_plain_lines_come_every_ten_seconds() -> None:
    now = 0.0
    stream = Terminal(terminal=False)
    display = Display(stream, lambda: now)
    for _ in range(25):
        display.show([f"at {now:.0f}"])
        now += 1
    display.clear()
    assert stream.getvalue() == "at 0\nat 10\nat 20\n"
