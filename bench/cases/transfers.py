"""First backups to two destinations: small files, big files, sizes as in real life.

The product: one run, wall time from the request to the run's end. rclone, at equal concurrency
(so many files in flight in all): a pass to each destination one after the other; both passes at
once with half the files in flight each; a pass and a copy from one sink to the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import product
from bench.peers import Rclone, Spent, peers
from bench.stand import SinkServer, Stand, running_stand

IN_FLIGHT = 32
BIG_IN_FLIGHT = 4
CONNECTION_BYTES_PER_S = 30_000_000
Ways = dict[str, Callable[[Rclone], Spent]]


def small_without_latency(folder: Path, scale: float) -> dict[str, Any]:
    """(1) 5,000 × 10 KB."""
    return _compare(folder, files=int(5000 * scale), size=10_240, delay_ms=0, in_flight=IN_FLIGHT)


def small_with_latency(folder: Path, scale: float) -> dict[str, Any]:
    """(1) The same, every request answered 30 ms late, at Google and at the stores."""
    return _compare(folder, files=int(5000 * scale), size=10_240, delay_ms=30, in_flight=IN_FLIGHT)


def big(folder: Path, scale: float) -> dict[str, Any]:
    """(2) 4 × 1 GB. The sinks hash bodies and forget them."""
    size = int(1024**3 * scale)
    return _compare(
        folder, files=4, size=size, delay_ms=0, in_flight=BIG_IN_FLIGHT, copy=False, forget=True
    )


def capped(folder: Path, scale: float) -> dict[str, Any]:
    """(2) One file of 1 GB where no connection to Google gives more than 30 MB/s.

    rclone reads it with four streams too (its default for files this big).
    """
    return _compare(
        folder, files=1, size=int(1024**3 * scale), delay_ms=0, in_flight=BIG_IN_FLIGHT,
        copy=False, connection_bytes_per_s=CONNECTION_BYTES_PER_S, forget=True,
    )  # fmt: skip


def mixed(folder: Path, scale: float) -> dict[str, Any]:
    """(3) 20,000 files, log-normal: median 60 KB, at most 16 MiB."""
    files = int(20_000 * scale)
    return _compare(
        folder, files=files, size="lognormal", delay_ms=0, in_flight=IN_FLIGHT, forget=True,
        copy=False,
    )  # fmt: skip


def _compare(
    folder: Path,
    *,
    files: int,
    size: int | str,
    delay_ms: float,
    in_flight: int,
    copy: bool = True,
    connection_bytes_per_s: int = 0,
    **sink_flags: Any,
) -> dict[str, Any]:
    with running_stand(folder, files=files, size=size, delay_ms=delay_ms, **sink_flags) as stand:
        stand.hash_everything()
        if connection_bytes_per_s:
            stand.control.add_fault("alt=media", drip_bytes_per_s=connection_bytes_per_s)
        product.configure(folder, FILES_IN_FLIGHT=str(max(in_flight // product.WORKERS, 1)))
        ours = _ours(stand)
        total = ours["bytes"]
        rows = [_peer(stand, rclone, in_flight, copy) for rclone in peers(stand)]
        checked = _check(stand, folder, peers(stand)[0], in_flight)
    return {
        "files": files,
        "size": size,
        "bytes": total,
        "delay_ms": delay_ms,
        "in_flight": in_flight,
        "ours": ours,
        "peers": rows,
        "rclone_check": checked,
    }


def _ours(stand: Stand) -> dict[str, Any]:
    source = product.link(stand)
    with product.running_workers(stand.folder) as workers:
        stand.control.reset_counters()
        servers = stand.servers_cpu_s()
        ran = workers.backup(source)
    run = ran.run
    if run.outcome != run.Outcome.OK:
        why = [row.blocked_reason for row in source.destinations.all() if row.blocked_reason]
        raise RuntimeError(f"the backup ended {run.outcome}: {run.error_message} {why}")
    return {
        "wall_s": ran.wall_s,
        "transfer_s": (run.ended_at - run.transfer_started_at).total_seconds(),
        "cpu_s": ran.cpu_s,
        "servers_cpu_s": stand.servers_cpu_s() - servers,
        "peak_mb": ran.worker_peak_mb,
        "google_requests": stand.google_requests(),
        "files_done": run.files_done,
        "bytes": run.bytes_done,
    }


def _peer(stand: Stand, rclone: Rclone, in_flight: int, copy: bool) -> dict[str, Any]:
    """Each way once; the fastest counts."""
    stand.control.reset_counters()
    place = f"bench/{rclone.place}"
    one = rclone.command("copy", "drive:", f"a:{place}/one", in_flight=in_flight)
    first = rclone.run(one)
    requests = stand.google_requests()
    ways = {"one destination": first}
    second = rclone.run(rclone.command("copy", "drive:", f"b:{place}/one", in_flight=in_flight))
    ways["two passes"] = _sum(first, second)
    half = [
        rclone.command("copy", "drive:", f"{sink}:{place}/half", in_flight=max(in_flight // 2, 1))
        for sink in "ab"
    ]
    ways["both at once, half each"] = rclone.run(*half)
    if copy:
        between = rclone.command("copy", f"a:{place}/one", f"b:{place}/copied", in_flight=in_flight)
        ways["one pass and a copy"] = _sum(first, rclone.run(between))
    _drop(rclone)
    two = {name: spent for name, spent in ways.items() if name != "one destination"}
    best = min(two, key=lambda name: two[name].wall_s)
    return {
        "name": rclone.name,
        "best_way": best,
        "wall_s": two[best].wall_s,
        "cpu_s": two[best].cpu_s,
        "peak_mb": two[best].peak_mb,
        "google_requests_one_pass": requests,
        "ways": {name: [spent.wall_s, spent.cpu_s] for name, spent in ways.items()},
        "full_each": _full_each(rclone, in_flight),
    }


def _full_each(rclone: Rclone, in_flight: int) -> float:
    """Wall time of both passes at once with twice the files in flight: for information only."""
    full = [
        rclone.command("copy", "drive:", f"{sink}:bench/{rclone.place}/full", in_flight=in_flight)
        for sink in "ab"
    ]
    spent = rclone.run(*full)
    _drop(rclone)
    return spent.wall_s


def _drop(rclone: Rclone) -> None:
    """What its ways stored: sinks hold small objects in memory, and the next way needs it."""
    for sink in "ab":
        rclone.run(rclone.command("purge", f"{sink}:bench/{rclone.place}", in_flight=IN_FLIGHT))


def _sum(first: Spent, second: Spent) -> Spent:
    return Spent(
        first.wall_s + second.wall_s,
        first.cpu_s + second.cpu_s,
        max(first.peak_mb, second.peak_mb),
    )


def _check(stand: Stand, folder: Path, rclone: Rclone, in_flight: int) -> str:
    """rclone's own comparison of what the product stored with the source; raises if they differ."""
    for sink, name in zip(stand.sinks, "ab", strict=True):
        place = f"{name}:{_bucket(sink)}/ours/drive/files/My Drive"
        rclone.run(rclone.command("check", "drive:", place, "--one-way", in_flight=in_flight))
    return "no differences"


def _bucket(sink: SinkServer) -> str:
    return sink.bucket
