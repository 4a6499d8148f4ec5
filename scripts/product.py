"""The product's programs as the scripts start them: commands of manage.py, web server, workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from scripts import ports
from scripts.processes import Service
from scripts.reporting import ROOT, Failure

MANAGE = (sys.executable, str(ROOT / "manage.py"))
# The workers drain what they have in flight before they end.
DRAIN_S = 75


def web(port: int, env: Mapping[str, str], log: Path | None = None) -> Service:
    """The web server. ASGI, because event streams send nothing over WSGI; open streams get 5 s."""
    command = (
        sys.executable,
        *("-m", "gunicorn", "backupproject.asgi:application", "-k", "asgi"),
        *("--bind", f"{ports.HOST}:{port}", "--workers", "1"),
        *("--graceful-timeout", "5", "--timeout", "60", "--log-level", "warning"),
        *("--asgi-lifespan", "off", "--no-control-socket"),
    )
    return Service("web server", command, env, log)


def workers(env: Mapping[str, str], log: Path | None = None) -> Service:
    """The workers of this host."""
    return Service("workers", (*MANAGE, "runworkers"), env, log, stop_s=DRAIN_S)


def prepare(env: Mapping[str, str]) -> None:
    """Bring the database and the static files up to date."""
    manage(env, "migrate", "--no-input", "--verbosity", "0")
    manage(env, "collectstatic", "--no-input", "--verbosity", "0")


def manage(env: Mapping[str, str], *arguments: str, text: str = "") -> str:
    """Run a command of manage.py that must succeed, with `text` as its input; what it printed."""
    done = attempt(env, *arguments, text=text)
    if done.returncode != 0:
        raise Failure(f"manage.py {arguments[0]}: {_reason(done)}")
    return done.stdout


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """The lines that say what went wrong: checks that failed, and the last word on stderr."""
    failed = [line for line in done.stdout.splitlines() if line.startswith("error")]
    last = done.stderr.strip().splitlines()[-1:]
    return "; ".join([*failed, *last]) or f"status {done.returncode}"


def attempt(
    env: Mapping[str, str], *arguments: str, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command of manage.py, whatever its end."""
    return subprocess.run(
        [*MANAGE, *arguments], cwd=ROOT, env=dict(env), input=text, capture_output=True, text=True
    )


def environment(**settings: str) -> dict[str, str]:
    """This process's environment with other settings."""
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "backupproject.settings", **settings}
