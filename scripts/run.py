"""`make run`: set up for real use, then web server and workers until Ctrl-C.

Writes `.env` with fresh keys where there is none and never changes one that exists.
"""

from __future__ import annotations

import argparse
import os
import secrets
from pathlib import Path

import environ
from cryptography.fernet import Fernet

from backupproject import environment
from scripts import ports, product
from scripts.processes import Services, Stopped
from scripts.reporting import ROOT, run_script, say


def main() -> int:
    """Prepare, start, keep running."""
    port = _port()
    ports.require(port, "make run")
    env_file = Path(os.environ.get("ENV_FILE", ROOT / ".env"))
    if not env_file.exists():
        write_env(env_file)
        say(f"Wrote {env_file.name} with fresh keys. Keep a copy of it in a safe place.")
    environ.Env.read_env(str(env_file))
    env = product.environment(
        PUBLIC_URL=os.environ.get("PUBLIC_URL", f"http://{ports.HOST}:{port}"),
    )
    say("Preparing the database and static files …")
    product.prepare(env)
    try:
        with Services() as services:
            services.start(product.web(port, env))
            services.wait_ready("web server", lambda: ports.answers(port))
            services.start(product.workers(env))
            _tell(env)
            services.keep_running()
    except Stopped:
        say("Stopped.")
    return 0


def write_env(file: Path) -> None:
    """The example with fresh keys filled in, readable by its owner only."""
    fresh = {
        "SECRET_KEY=": f"SECRET_KEY={secrets.token_urlsafe(50)}",
        "FIELD_KEYS=": f"FIELD_KEYS={Fernet.generate_key().decode()}",
    }
    lines = [fresh.get(line, line) for line in environment.example().splitlines()]
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write("\n".join(lines) + "\n")


def _port() -> int:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    port: int = parser.parse_args().port
    return port


def _tell(env: dict[str, str]) -> None:
    link = product.attempt(env, "setup_admin")
    if link.returncode == 0:  # there is no administrator yet
        say(f"Make the first administrator (good for 24 hours): {link.stdout.strip()}")
    say(f"Running at {env['PUBLIC_URL']} until Ctrl-C.")


if __name__ == "__main__":
    run_script(main)
