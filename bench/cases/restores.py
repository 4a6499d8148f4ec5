"""(10) The way back: everything from one S3 sink to a folder of this machine.

The product: one restore, wall time from the request to the run's end; each file's SHA-256 is
compared before it gets its name, and each is durable (fsync) before it counts. rclone copies the
same objects at equal concurrency; it compares MD5 and does not fsync. What came back is held
against the sink by `rclone check` before anything is written down.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import product
from bench.peers import Rclone, peers
from bench.stand import Stand, running_stand

IN_FLIGHT = 32
BIG_IN_FLIGHT = 4


def case(files: int, size: int, delay_ms: float, in_flight: int) -> Callable[..., Any]:
    """One size of files at one latency."""

    def restore(folder: Path, scale: float) -> dict[str, Any]:
        number = max(int(files * scale), 1)
        with running_stand(folder, files=number, size=size, delay_ms=delay_ms) as stand:
            stand.hash_everything()
            product.configure(folder, FILES_IN_FLIGHT=str(max(in_flight // product.WORKERS, 1)))
            rclone = peers(stand)[0]
            ours = _ours(stand)
            theirs = _peer(stand, rclone, in_flight)
            here, there = str(folder / "ours" / "My Drive"), _place(stand, "/My Drive")
            rclone.run(rclone.command("check", there, here, in_flight=in_flight))
        return {
            "files": number,
            "size": size,
            "delay_ms": delay_ms,
            "in_flight": in_flight,
            "ours": ours,
            "peer": theirs,
        }

    restore.__doc__ = f"(10) {files:,} × {size:,} bytes from a bucket to a folder, {delay_ms:g} ms."
    return restore


def _ours(stand: Stand) -> dict[str, Any]:
    """Backed up to the first sink, then restored by the same workers."""
    from syncapp.engine import restoring
    from syncapp.models import Restore

    source = product.link(stand)
    source.destinations.set(source.destinations.filter(name=stand.sinks[0].name))
    target = {"path": str(stand.folder / "ours")}
    with product.running_workers(stand.folder) as workers:
        workers.backup(source)
        workers.write_catalog(source)
        before = stand.servers_cpu_s()
        ran = workers.run(
            lambda: restoring.request_restore(source, target=Restore.Target.FOLDER, options=target)
        )
    run = ran.run
    if run.outcome != run.Outcome.OK or run.files_done != run.files_total:
        raise RuntimeError(f"the restore ended {run.outcome}: {run.error_message}")
    return {
        "wall_s": ran.wall_s,
        "cpu_s": ran.cpu_s,
        "peak_mb": ran.worker_peak_mb,
        "servers_cpu_s": stand.servers_cpu_s() - before,
        "files_done": run.files_done,
    }


def _peer(stand: Stand, rclone: Rclone, in_flight: int) -> dict[str, Any]:
    target = str(stand.folder / "theirs")
    spent = rclone.run(rclone.command("copy", _place(stand), target, in_flight=in_flight))
    return {
        "name": rclone.name,
        "wall_s": spent.wall_s,
        "cpu_s": spent.cpu_s,
        "peak_mb": spent.peak_mb,
    }


def _place(stand: Stand, below: str = "") -> str:
    return f"a:{stand.sinks[0].bucket}/ours/drive/files{below}"
