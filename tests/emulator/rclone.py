"""rclone as a client of the stand-in: an independent reader that believes to speak to Google.

Its addresses cannot be configured, so it goes through the CONNECT proxy of `emulator.tls`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.sample import ADA
from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from tests.emulator.calling import AUTH
from tests.emulator.serving import Serving

NEVER = "2099-01-01T00:00:00Z"
FLAGS = (
    # Its own brake against Google's limits, off.
    *("--drive-pacer-min-sleep", "0.01ms", "--drive-pacer-burst", "100000"),
    *("--retries", "1", "--low-level-retries", "1", "--transfers", "8", "--checkers", "8"),
    "--drive-acknowledge-abuse",
    *("--drive-export-formats", "docx,xlsx,pptx,svg,json"),
    # On disk the names that `lsjson` prints, and two spellings of é are two files.
    *("--local-encoding", "Slash,Del,Ctl,Dot,InvalidUtf8"),
    "--no-unicode-normalization",
)


class Rclone:
    """One configuration of one remote, `drive:`, that reads Ada's Drive."""

    def __init__(
        self,
        served: Serving,
        folder: Path,
        *,
        expiry: str = NEVER,
        token_url: str = "",
        scope: str = "drive.readonly",
    ) -> None:
        issued = served.world.oauth.issue(ADA.sub, [AUTH + scope])
        token = {key: issued[key] for key in ("access_token", "refresh_token", "token_type")}
        settings = {
            "type": "drive",
            "client_id": DEFAULT_CLIENT_ID,
            "client_secret": DEFAULT_CLIENT_SECRET,
            "scope": scope,
            "token": json.dumps(token | {"expiry": expiry}),
        }
        if token_url:
            settings["token_url"] = token_url
        lines = [f"{key} = {value}" for key, value in settings.items()]
        self.config = folder / "rclone.conf"
        self.config.write_text("\n".join(["[drive]", *lines, ""]))
        program = str(Path(sys.executable).with_name("rclone"))
        self._start = [program, "--config", str(self.config), "--ca-cert", str(served.ca_file)]
        # Nothing of the caller's environment: RCLONE_* variables and proxies would change it.
        self._environment = {
            "PATH": os.defpath,
            "HOME": str(folder),
            "HTTPS_PROXY": served.proxy_url,
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command, whatever its exit status."""
        return subprocess.run(
            [*self._start, *FLAGS, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """The JSON that a command prints; it must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)


@dataclass
class View:
    """What rclone listed and copied with one set of flags (My Drive, shared with me, …)."""

    listed: list[dict[str, Any]]
    folder: Path

    @classmethod
    def copy(cls, rclone: Rclone, folder: Path, *flags: str) -> View:
        """List and copy; refusals make rclone's exit status 1, the caller looks at the bytes."""
        listed = rclone.json("lsjson", "-R", "--hash", "drive:", *flags)
        rclone.run("copy", "drive:", str(folder), *flags)
        folder.mkdir(exist_ok=True)
        return cls(listed, folder)

    def ids_at(self) -> dict[Path, list[str]]:
        """The ids of the files listed at each path; of a shortcut its own, not its target's."""
        found: dict[Path, list[str]] = {}
        for entry in self.listed:
            if not entry["IsDir"]:
                own_id = entry["ID"].rpartition("\t")[2]
                found.setdefault(self.folder / entry["Path"], []).append(own_id)
        return found

    def files(self) -> list[Path]:
        """The files on disk."""
        return [path for path in self.folder.rglob("*") if path.is_file()]


def sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def name_in_rclone(name: str) -> str:
    """A Drive name as rclone shows it: `/`, control characters, `.` and `..` by look-alikes."""
    if name in (".", ".."):
        return "．" * len(name)
    shown = name.replace("/", "／").replace("\x7f", "␡")
    return "".join(chr(0x2400 + ord(char)) if char < " " else char for char in shown)
