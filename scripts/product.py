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
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        reason = said[-1] if said else f"status {done.returncode}"
        raise Failure(f"manage.py {arguments[0]}: {reason}")
    return done.stdout


def attempt(
    env: Mapping[str, str], *arguments: str, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command of manage.py, whatever its end."""
    return subprocess.run(
        [*MANAGE, *arguments], cwd=ROOT, env=dict(env), input=text, capture_output=True, text=True
    )


def environment(**settings: str) -> dict[str, str]:
    """This process's environment with other settings."""
    return {**os.environ, **settings}
