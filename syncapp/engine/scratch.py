"""Where the files of a drill stand while they are compared; removed at its end, or by the next."""

from __future__ import annotations

import shutil
from pathlib import Path

from django.conf import settings

from syncapp.models import Run


def root() -> Path:
    """Where the folders of all drills are."""
    return Path(settings.DATA_DIR) / "drills"


def folder_of(run: Run) -> Path:
    """Where its files stand while they are compared."""
    return root() / str(run.pk)


def sweep() -> None:
    """Remove what drills that have ended left behind (a killed worker's)."""
    if not root().is_dir():
        return
    for folder in root().iterdir():
        known = folder.name.isdigit() and Run.objects.filter(
            pk=int(folder.name), ended_at__isnull=True
        )
        if not (known and known.exists()):
            shutil.rmtree(folder, ignore_errors=True)
