"""One seed, in a process of its own (Django's settings are read once): prints one line of JSON.

A backup of a synthetic account by real workers, while files are edited and everything fails; then
the faults and edits end, and the product has to end well by itself: a last backup and a
verification, as its schedule would start them, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from bench import product
from bench.stand import die_with_parent
from tests.chaos.edits import Editor
from tests.chaos.servers import ACCESS_KEY, BUCKET, ROOT, SECRET_KEY, Servers, running_servers
from tests.chaos.troubles import Troubles
from tests.servers.workers import Workers

if TYPE_CHECKING:
    from syncapp.models import Run, Source

HASTY = ROOT / "tests" / "chaos" / "hasty.py"
PACE_S = 0.12  # between edits, on average
TROUBLE = 0.2  # chance of one with each edit
LEAST_TROUBLES = 12
LONGEST_S = 45.0  # of trouble, should the backup not get on
IGNORED = shutil.ignore_patterns("spool", "disk", "postgres*")
ROUNDS = 4  # a copy that rotted needs a second one
CALM_S = 240.0  # for one run, once all faults are over


class Host:
    """The workers, started again when they are killed, as systemd does."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "workers.log"
        self.workers = self._start()

    def _start(self) -> Workers:
        command = [sys.executable, str(HASTY), "runworkers", "--grace", "5"]
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        return Workers(process, self._log)

    def keep(self) -> None:
        """Start them again if they ended."""
        if self.workers.supervisor.poll() is not None:
            self.workers = self._start()

    def stop(self) -> None:
        """Ask them to end; kill what does not."""
        below = self.workers.processes()
        self.workers.supervisor.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.workers.supervisor.wait(20)
        for process in [*below, self.workers.supervisor]:
            with suppress(Exception):
                process.kill()


def tried(ask: Callable[[], Any]) -> Any:
    """The answer, or None while the database is away."""
    from django.db import Error, connection

    try:
        return ask()
    except Error:
        with suppress(Error):
            connection.close()
        return None


def surely(ask: Callable[[], Any]) -> Any:
    """The answer; the pool of connections may need a moment after the last outage."""
    deadline = time.monotonic() + CALM_S
    while (answer := tried(ask)) is None:
        assert time.monotonic() < deadline, "the database does not come back"
        time.sleep(0.1)
    return answer


def set_up(servers: Servers) -> Source:
    """The product on this seed's servers, one source with two destinations."""
    url = servers.google.url
    product.configure(
        servers.folder,
        DATABASE_URL=servers.database_url(),
        GOOGLE_TOKEN_URL=f"{url}/token",
        GOOGLE_DRIVE_URL=f"{url}/drive/v3/",
        GOOGLE_FORMS_URL=f"{url}/",
        LEASE_SECONDS="3",
        FILES_IN_FLIGHT="16",
        SPOOL_DIR=str(servers.folder / "spool"),
        LOG_LEVEL="INFO",
    )
    if servers.postgres is not None:
        _use_no_pool()
    from syncapp.models import Policy

    source = product.link_source(servers.google.control)
    # The editor changes more than a guard lets pass, and nobody is there to be asked.
    Policy.objects.create(owner=source.owner, guard_percent=100, guard_files=10**6)
    secrets = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    for name, place in (("disk", servers.disk.url), ("sink", servers.sink.url)):
        options = {"provider": "other", "endpoint": place, "bucket": BUCKET, "prefix": "chaos"}
        source.destinations.create(
            owner=source.owner, name=name, kind="s3", options=options, secrets=json.dumps(secrets)
        )
    return source


def _use_no_pool() -> None:
    """The web's pool would wait half a minute for a database that only this thread starts again."""
    from django.db import connections
    from django.db.backends.postgresql.base import DatabaseWrapper

    connection = connections["default"]
    connection.close()
    assert isinstance(connection, DatabaseWrapper)
    connection.close_pool()
    del connection.settings_dict["OPTIONS"]["pool"]


def trouble(source: Source, host: Host, editor: Editor, troubles: Troubles, dice: Random) -> None:
    """Until most files are stored, but not before a dozen troubles."""
    from syncapp.engine import runs
    from syncapp.models import Version

    began, wanted = time.monotonic(), editor.files * dice.uniform(0.5, 1.0)
    while time.monotonic() - began < LONGEST_S:
        host.keep()
        troubles.go_on()
        editor.edit()
        if dice.random() < TROUBLE:
            troubles.make(host.workers)
        tried(lambda: runs.request_backup(source))
        stored = tried(lambda: Version.objects.filter(state="stored").count()) or 0
        if stored >= wanted and troubles.made.total() >= LEAST_TROUBLES:
            return
        time.sleep(dice.uniform(0, 2 * PACE_S))


def calm(source: Source, host: Host, servers: Servers) -> tuple[int, int]:
    """What the schedule would do until all is well, or all that is lost was told: how many rounds
    that took, and how many copies are lost."""
    from syncapp.engine import runs
    from syncapp.models import Copy, Run
    from tests.chaos.rotten import told_as_lost

    for active in surely(lambda: list(Run.objects.filter(ended_at=None))):
        ended(active, host)
    # Of an older version Google has nothing any more from which a rotten copy could be mended.
    bad = Copy.objects.filter(state__in=("damaged", "failed"), version__current=True)
    for number in range(1, ROUNDS + 1):
        backup = ended(surely(lambda: runs.request_backup(source))[0], host)
        check = ended(surely(lambda: runs.request_verify(source, everything=True))[0], host)
        lost = told_as_lost(check, servers)
        well = backup.outcome in ("ok", "warnings") and (check.outcome == "ok" or lost > 0)
        if well and not bad.exists():
            return number, lost
    raise AssertionError(f"not well: {backup.error_message} {check.error_message}")


def ended(run: Run, host: Host) -> Run:
    """The run, once it has ended. Hours pass for files that Google wants later."""
    from django.utils import timezone

    from syncapp.models import Version

    deferred = Version.objects.filter(state="pending", error_code="download_quota_exceeded")
    deadline = time.monotonic() + CALM_S
    while True:
        host.keep()
        if tried(lambda: run.refresh_from_db() or True) and run.ended_at is not None:
            return run
        assert time.monotonic() < deadline, f"stuck: {run} in {run.stage}: {run.error_message}"
        tried(lambda: deferred.update(due_at=timezone.now()))
        time.sleep(0.1)


def run(seed: int, files: int, folder: Path) -> dict[str, Any]:
    """Everything; the line to print."""
    dice, began = Random(seed), time.monotonic()
    on_postgres = bool(seed % 2)
    with running_servers(folder, files, on_postgres=on_postgres) as servers:
        source = set_up(servers)
        from tests.chaos.judge import judge

        editor = Editor(servers.google.control, files, dice)
        troubles, host = Troubles(servers, dice), Host(folder)
        failure, rounds, lost = "", 0, 0
        try:
            trouble(source, host, editor, troubles, dice)
            troubles.over()
            rounds, lost = calm(source, host, servers)
        except AssertionError as error:
            failure = str(error)
        finally:
            host.stop()
        stores = {"disk": servers.disk, "sink": servers.sink}
        verdict = judge(servers.google.control, stores, editor.ever, folder / "spool")
        return {
            "seed": seed,
            "database": "postgresql" if on_postgres else "sqlite",
            "seconds": round(time.monotonic() - began, 1),
            "live": verdict.live,
            "copies": verdict.copies,
            "edits": sum(editor.done.values()),
            "troubles": dict(troubles.made),
            "wrong_bytes": {k: v for k, v in servers.sink.fired().items() if v},
            "rounds": rounds,
            "told_as_lost": lost,
            "failure": failure,
            "wrong": dict(verdict.wrong),
            "examples": verdict.examples,
        }


def main() -> int:
    """0 if all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.seed", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--keep", action="store_true", help="keep the folder of a bad seed")
    options = parser.parse_args()
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stop the servers on the way out
    with tempfile.TemporaryDirectory(prefix=f"chaos-{options.seed}-") as folder:
        told = run(options.seed, options.files, Path(folder))
        bad = bool(told["failure"] or told["wrong"])
        if bad and options.keep:
            kept = Path(tempfile.mkdtemp(prefix=f"chaos-kept-{options.seed}-"))
            shutil.copytree(folder, kept, dirs_exist_ok=True, ignore=IGNORED)
            told["kept"] = str(kept)
    sys.stdout.write(json.dumps(told) + "\n")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
