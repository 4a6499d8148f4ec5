"""The programs that some tests need beside Python packages, and where Debian puts them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Debian keeps servers out of an ordinary user's PATH, and PostgreSQL's out of everybody's.
_PATH = os.pathsep.join(
    [
        os.environ.get("PATH", ""),
        "/usr/sbin",
        "/sbin",
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
)
# What `@pytest.mark.needs(…)` may name, and the programs that stand for it.
TOOLS = {
    "chromium": ("chromium", "chromedriver"),
    "postgresql": ("initdb", "pg_ctl"),
    "redis": ("redis-server",),
    "ceph": ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin"),
    "nginx": ("nginx",),
    "netns": ("ip", "unshare", "nsenter"),
    "archivers": ("unzip", "bsdtar"),
}


def find(program: str) -> str | None:
    """Where a program is, None if it is not installed."""
    return shutil.which(program, path=_PATH)


def missing(tool: str) -> list[str]:
    """The programs of a tool that are not installed."""
    return [program for program in TOOLS[tool] if find(program) is None]
