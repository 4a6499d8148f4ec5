"""Run tests on a throw-away PostgreSQL: `python -m tests.servers.run_on_postgres tests/engine`."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.servers.postgres import running_postgres


def main(arguments: list[str]) -> int:
    """pytest's own exit status."""
    with running_postgres() as server:
        env = {**os.environ, "DATABASE_URL": server.new_database()}
        command = [sys.executable, "-m", "pytest", "-n", "4", "--dist", "worksteal", *arguments]
        return subprocess.run(command, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
