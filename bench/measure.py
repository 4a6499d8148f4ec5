"""What a run cost: CPU seconds and memory of process trees, from /proc."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Usage:
    """CPU seconds (user + system, own and of children that ended), by process id."""

    seconds: dict[int, float]

    def since(self, before: Usage) -> float:
        """CPU seconds spent after `before` was taken, by those that live now."""
        return sum(spent - before.seconds.get(pid, 0.0) for pid, spent in self.seconds.items())

    @property
    def total(self) -> float:
        """CPU seconds of all of them since they started."""
        return sum(self.seconds.values())


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it that live."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def usage(*pids: int) -> Usage:
    """CPU of these processes and everything below them."""
    seconds: dict[int, float] = {}
    for pid in pids:
        for process in tree(pid):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            ended = times.children_user + times.children_system
            seconds[process.pid] = times.user + times.system + ended
    return Usage(seconds)


def peak_mb(pid: int) -> float:
    """The most memory a process ever had resident, MB; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def peaks_mb(pid: int) -> list[float]:
    """The peak of each process of a tree, the largest first."""
    return sorted((peak_mb(process.pid) for process in tree(pid)), reverse=True)
