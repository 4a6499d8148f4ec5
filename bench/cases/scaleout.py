"""(8) One worker host and three, PostgreSQL and Redis, latency-bound: three times the work?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.hosts import Host, lay_bridge
from tests.scaleout.scene import ended, running_scene, until

FILES = 3000
DELAY_MS = 250
IN_FLIGHT = 8  # so few, and so slow, that the cores are no limit


def hosts(folder: Path, scale: float) -> dict[str, Any]:
    """(8) Three hosts against one, 250 ms a request."""
    lay_bridge()
    settings = {"WORKERS": "1", "FILES_IN_FLIGHT": str(IN_FLIGHT)}
    rates: dict[str, Any] = {}
    with running_scene(folder, int(FILES * scale), DELAY_MS, **settings) as scene:
        for number in (1, 3):
            rates[str(number)] = _rate(scene, folder, number, f"p{number}")
    return {
        "files": int(FILES * scale),
        "delay_ms": DELAY_MS,
        "in_flight": IN_FLIGHT,
        "rates": rates,
    }


def _rate(scene: Any, folder: Path, number: int, prefix: str) -> dict[str, float]:
    """A whole backup by so many hosts; files/s of its transfers."""
    from django.utils import timezone

    from syncapp.engine import runs
    from syncapp.models import Copy, File, Version, Worker

    for model in (Copy, Version, File):
        model.objects.all().delete()
    for destination in scene.source.destinations.all():
        destination.options["prefix"] = prefix
        destination.save()
    scene.source.cursor, scene.source.planned_for, scene.source.scanned_at = {}, [], None
    scene.source.save()
    (folder / prefix).mkdir()
    there = [Host(10 * number + n, folder / prefix, {}) for n in range(number)]
    try:
        for host in there:
            host.start()
        since = timezone.now()
        alive = Worker.objects.filter(heartbeat_at__gte=since)
        until(lambda: alive.values("host").distinct().count() == number, "all hosts")
        run, _ = runs.request_backup(scene.source)
        until(lambda: ended(run), "the backup's end")
    finally:
        for host in there:
            host.close()
    if run.outcome != "ok":
        raise RuntimeError(f"{run.outcome}: {run.error_message}")
    seconds = (run.ended_at - run.transfer_started_at).total_seconds()
    return {"seconds": seconds, "files_per_s": run.files_done / seconds}
