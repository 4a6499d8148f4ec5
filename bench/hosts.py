"""Worker hosts as network namespaces, joined by a bridge to the servers' one (see `world.enter`).

A host has a name, a cable that can be pulled, and no loopback of its own: 127.0.0.1 leads over the
cable to the servers. It is a private world: nothing of the machine changes, and when the processes
have ended nothing is left.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from bench.stand import ROOT, die_with_parent

BRIDGE = "servers"
START_S = 10.0


def lay_bridge() -> None:
    """Where the servers' ends of the cables are plugged in."""
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("addr", "add", "10.77.0.1/24", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    # Loopback addresses may be reached over the bridge.
    Path("/proc/sys/net/ipv4/conf/all/route_localnet").write_text("1")


class Host:
    """One of them; `start` its workers, `kill` all of it, `cut` its cable and `rejoin`."""

    def __init__(self, number: int, folder: Path, env: Mapping[str, str]) -> None:
        self.name = f"host{number}"
        self._cable = f"cable{number}"
        self._folder = folder / self.name
        self._folder.mkdir()
        places = {"DATA_DIR": str(self._folder), "SPOOL_DIR": str(self._folder / "spool")}
        self._env = {**os.environ, **env, **places}
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--uts", "sleep", "infinity"], preexec_fn=die_with_parent
        )
        self._workers: subprocess.Popen[bytes] | None = None
        self._wait_for_namespace()
        self._plug_in(number)

    @property
    def log(self) -> str:
        """What its workers said."""
        return (self._folder / "workers.log").read_text(errors="replace")

    def start(self) -> None:
        """Start its workers."""
        command = [*self._inside(), sys.executable, "manage.py", "runworkers", "--grace", "10"]
        with (self._folder / "workers.log").open("ab") as log:
            self._workers = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._env,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def pids(self) -> list[int]:
        """Its supervisor and everything below."""
        if self._workers is None:
            return []
        with suppress(psutil.NoSuchProcess):
            top = psutil.Process(self._workers.pid)
            return [top.pid, *(child.pid for child in top.children(recursive=True))]
        return []

    def kill(self) -> None:
        """kill -9 of everything at once, as when the power fails."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        if self._workers is not None:
            self._workers.wait()
            self._workers = None

    def cut(self) -> None:
        """Pull the cable: connections hang, nothing is told to either side."""
        _ip("link", "set", self._cable, "down")

    def rejoin(self) -> None:
        """Plug it in again."""
        _ip("link", "set", self._cable, "up")

    def close(self) -> None:
        """End the host."""
        if self._workers is not None:
            self._workers.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._workers.wait(30)
            self.kill()
        self._holder.kill()
        self._holder.wait()

    def _inside(self) -> list[str]:
        return ["nsenter", "--target", str(self._holder.pid), "--net", "--uts"]

    def _wait_for_namespace(self) -> None:
        own, deadline = Path("/proc/self/ns/net").readlink(), time.monotonic() + START_S
        while Path(f"/proc/{self._holder.pid}/ns/net").readlink() == own:
            assert time.monotonic() < deadline, "no namespace"
            time.sleep(0.01)

    def _plug_in(self, number: int) -> None:
        peer = ["peer", "name", "eth0", "netns", str(self._holder.pid)]
        _ip("link", "add", self._cable, "type", "veth", *peer)
        _ip("link", "set", self._cable, "master", BRIDGE, "up")
        commands = (
            f"hostname {self.name} && ip addr add 10.77.0.{number + 10}/24 dev eth0 && "
            "ip link set eth0 up && echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet && "
            "ip route add 127.0.0.0/8 via 10.77.0.1"
        )
        subprocess.run([*self._inside(), "sh", "-c", commands], check=True, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
