"""Where the time goes in (1) and (2): py-spy looks at all worker processes during a backup."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import product
from bench.stand import running_stand

RATE_HZ = 200
SHOWN = 25


def case(files: int, size: int, in_flight: int) -> Callable[..., Any]:
    """A profile of one such backup."""

    def profile(folder: Path, scale: float) -> dict[str, Any]:
        number = max(int(files * scale), 1)
        with running_stand(folder, files=number, size=size, forget=True) as stand:
            stand.hash_everything()
            product.configure(folder, FILES_IN_FLIGHT=str(max(in_flight // product.WORKERS, 1)))
            source = product.link(stand)
            raw = folder / "stacks.txt"
            with product.running_workers(folder) as workers:
                spy = _start(workers.process.pid, raw)
                ran = workers.backup(source)
                spy.send_signal(signal.SIGINT)
                spy.wait(60)
        own = _self_time(raw)
        total = sum(own.values())
        return {
            "files": number,
            "size": size,
            "samples": total,
            "cpu_s": ran.cpu_s,
            "top": [[where, count / total] for where, count in own.most_common(SHOWN)],
        }

    profile.__doc__ = f"Profile of a backup of {files:,} × {size / 1e6:g} MB."
    return profile


def _start(pid: int, raw: Path) -> subprocess.Popen[bytes]:
    """Samples of threads that hold a core or the interpreter, in all processes below `pid`."""
    spy = [str(Path(sys.executable).with_name("py-spy")), "record", "--subprocesses"]
    spy += ["--pid", str(pid), "--rate", str(RATE_HZ), "--format", "raw", "--output", str(raw)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*spy, "--nonblocking"], stdout=quiet, stderr=quiet)


def _self_time(raw: Path) -> Counter[str]:
    """Samples by the function at the top of the stack."""
    own: Counter[str] = Counter()
    for line in raw.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        own[stack.rpartition(";")[2]] += int(count)
    return own
