"""Three worker hosts back up one account; one is killed, one cut off and brought back.

Run as a program, in namespaces of its own; prints one line of JSON. See bench/hosts.py.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import world
from bench.hosts import Host, lay_bridge
from tests.scaleout.scene import ended, running_scene, until

if TYPE_CHECKING:
    from syncapp.models import Run, Source

FILES = 3000  # one host alone has work left while two are away
DELAY_MS = 60
LEASE_S = 4
AWAY_S = 3 * LEASE_S  # long enough for others to have taken all over


def run(folder: Path) -> dict[str, Any]:
    """The whole story; what is to be asserted about it."""
    lay_bridge()
    settings = {"WORKERS": "1", "FILES_IN_FLIGHT": "8", "LEASE_SECONDS": str(LEASE_S)}
    with running_scene(folder, FILES, DELAY_MS, **settings) as scene:
        google, stores, source = scene.google, scene.stores, scene.source
        from syncapp.engine import runs
        from syncapp.models import Run, Version
        from tests.chaos.judge import judge

        hosts = [Host(number, folder, {}) for number in (1, 2, 3)]
        try:
            for host in hosts:
                host.start()
            backup, _ = runs.request_backup(source)
            stored = Version.objects.filter(state="stored")
            until(lambda: stored.count() > FILES // 6, "a first part stored")
            until(lambda: len(_at_work(backup)) == 3, "all three hosts at work")
            hosts[0].kill()
            hosts[1].cut()
            time.sleep(AWAY_S)
            alone = _at_work(backup)
            hosts[1].rejoin()
            until(lambda: ended(backup), "the backup's end")
            scheduled = _schedule(source)
        except AssertionError as error:
            logs = "\n".join(f"{host.name}: {host.log[-2000:]}" for host in hosts)
            raise AssertionError(f"{error}\n{logs}") from error
        finally:
            for host in hosts:
                host.close()
        ever = {entry["id"]: {entry.get("sha256")} for entry in google.control.manifest()}
        verdict = judge(google.control, stores, ever, folder / "host2" / "spool")
        claimed = set(_keys())
        there = set().union(*(store.all_keys() for store in stores.values()))
        stray = {key for key in there if not key.startswith("chaos/.catalog/")} - claimed
        return {
            "outcome": backup.outcome,
            "live": verdict.live,
            "copies": verdict.copies,
            "wrong": dict(verdict.wrong),
            "examples": verdict.examples,
            "stray": sorted(stray)[:5],
            "at_work_while_two_were_away": sorted(alone),
            "scheduled_runs": scheduled,
            "downloads_twice": sum(n > 1 for n in google.control.counters()["downloads"].values()),
            "runs": Run.objects.count(),
        }


def _at_work(run: Run) -> set[str]:
    """Hosts with a lane of the run that shows signs of life."""
    from syncapp.engine.dispatch import silent_since

    lanes = run.lanes.filter(ended_at=None, heartbeat_at__gte=silent_since()).exclude(owner="")
    return {owner.partition(":")[0] for owner in lanes.values_list("owner", flat=True)}


def _schedule(source: Source) -> int:
    """How many runs one due moment of the schedule begins, with two hosts looking."""
    from django.utils import timezone

    from syncapp.models import Run, Source

    known = Run.objects.count()
    Source.objects.filter(pk=source.pk).update(
        mode="scheduled", cron="0 0 1 1 *", next_at=timezone.now() + timedelta(seconds=2)
    )
    until(lambda: Run.objects.count() > known, "the scheduled run")
    until(lambda: not Run.objects.filter(ended_at=None).exists(), "the scheduled run's end")
    time.sleep(3)  # a second one would come within a tick
    return Run.objects.count() - known


def _keys() -> Iterator[str]:
    from syncapp.models import Copy

    for key in Copy.objects.filter(state="stored").values_list("object_key", flat=True):
        yield f"chaos/{key}"


def main() -> int:
    """Print what happened."""
    world.enter()
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:
        Path(folder).chmod(0o755)
        sys.stdout.write(json.dumps(run(Path(folder))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
