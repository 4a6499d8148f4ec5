"""From the results' JSON files to RESULTS.md."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Result = dict[str, Any]
GB = 1e9

HEAD = """# Results

Written by `make bench`; each table says when. {cores} cores ({machine}), Linux {kernel}.

How to read this. Client, stand-ins for Google and S3 sinks share the machine's cores, so seconds
depend on what else ran; CPU seconds and ratios are steadier. Everything goes over TLS. "Equal
concurrency" is the number of files in flight in all: `--transfers N --checkers N` for rclone,
workers × FILES_IN_FLIGHT for the product. rclone reads once per destination; its best way to two
destinations counts. CPU is user + system of all client processes between request and end; servers
are told apart. The product's time starts when a person asks for the run and ends when the run says
that everything is stored; rclone's is the command's. Every result was compared with the source by
`rclone check` before it was written down.

Limits. Loopback has no loss, and latency is a delay before each answer. Google's own quota (27
downloads/s a user for new projects) is off: in real life it is the limit, and reading once for all
destinations is what helps.
"""


def line(result: Result) -> str:
    """One case in one line, for the terminal."""
    return "\n".join(_section(result))


def write(folder: Path, target: Path) -> None:
    """All results there are, as one document."""
    results = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    results.sort(key=lambda result: ORDER.index(result["case"]))
    head = HEAD.format(cores=os.cpu_count(), machine=platform.machine(), kernel=platform.release())
    parts = [head, *("\n".join(_section(result)) for result in results)]
    target.write_text("\n".join(parts) + "\n")


def _section(result: Result) -> Iterator[str]:
    title, rows = SECTIONS[result["case"]]
    scaled = "" if result["scale"] == 1 else f", scale {result['scale']:g}: NOT the full case"
    yield f"## {title}\n"
    yield f"{result['date'][:16].replace('T', ' ')} UTC{scaled}\n"
    yield from rows(result)
    yield ""


def _transfers(result: Result) -> Iterator[str]:
    """A first backup against rclone."""
    files, size = result["ours"]["files_done"], result["bytes"]
    yield (
        f"{files:,} files, {size / GB:.2f} GB, {result['in_flight']} in flight, "
        f"{result['delay_ms']:g} ms a request.\n"
    )
    yield (
        "| | files/s | MB/s read | seconds | CPU s / 1,000 files | CPU s / GB | peak MB | "
        "requests to Google / file |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    ours = result["ours"]
    yield _row("this program, two destinations", ours, files, size, ours["google_requests"])
    for peer in result["peers"]:
        passes = 1 if peer["best_way"] == "one pass and a copy" else 2
        asked = peer["google_requests_one_pass"] * passes
        yield _row(f"{peer['name']}, {peer['best_way']}", peer, files, size, asked)
    yield ""
    for peer in result["peers"]:
        yield (
            f"- against {peer['name']}: **{peer['wall_s'] / ours['wall_s']:.2f} × its speed**, "
            f"{ours['cpu_s'] / peer['cpu_s']:.2f} × its CPU. Its ways (seconds; CPU seconds): "
            + "; ".join(f"{n} {w:.1f}; {c:.1f}" for n, (w, c) in peer["ways"].items())
            + f". Both at once with twice the files in flight: {peer['full_each']:.1f} s."
        )
    yield (
        f"- this program: {ours['transfer_s']:.1f} s of its time in the transfer stage; "
        f"servers' CPU meanwhile {ours['servers_cpu_s']:.1f} s; rclone's comparison of both "
        f"destinations with the source: {result['rclone_check']}."
    )


def _row(name: str, spent: Result, files: int, size: int, asked: int) -> str:
    wall, cpu = spent["wall_s"], spent["cpu_s"]
    return (
        f"| {name} | {files / wall:.0f} | {size / wall / 1e6:.1f} | {wall:.1f} "
        f"| {cpu / files * 1000:.2f} | {cpu / size * GB:.2f} | {spent['peak_mb']:.0f} "
        f"| {asked / files:.4f} |"
    )


def _scans(result: Result) -> Iterator[str]:
    """Discovery, change log, whole listing; rclone's listing."""
    found = result["discovery"]
    yield f"{result['files']:,} files on {result['database']}.\n"
    yield "| | seconds | CPU s | peak MB | requests to Google |"
    yield "|---|---|---|---|---|"
    yield (
        f"| first discovery (scan and plan, two destinations) | {found['wall_s']:.1f} "
        f"| {found['cpu_s']:.1f} | {found['peak_mb']:.0f} | |"
    )
    wrote = result["segments"]
    yield (
        "| the catalog's segments and a backup of the database, to both destinations "
        f"| {wrote['wall_s']:.1f} | {wrote['cpu_s']:.1f} | {wrote['peak_mb']:.0f} | |"
    )
    yield (
        f"| no-change run, from request to end | {result['no_change_s']:.2f} "
        f"| {result['no_change_cpu_s']:.2f} | {result['worker_peak_mb']:.0f} "
        f"| {result['no_change_requests']:.1f} |"
    )
    yield (
        f"| whole listing, nothing changed | {result['rescan_s']:.1f} "
        f"| {result['rescan_cpu_s']:.1f} | {result['worker_peak_mb']:.0f} | |"
    )
    for peer in result["peers"]:
        yield (
            f"| {peer['name']} `copy --checksum`, one destination | {peer['wall_s']:.1f} "
            f"| {peer['cpu_s']:.1f} | {peer['peak_mb']:.0f} | {peer['google_requests']} |"
        )
        share, cpu = result["rescan_s"] / peer["wall_s"], result["rescan_cpu_s"] / peer["cpu_s"]
        note = f"\nThe whole listing takes **{share:.2f} × rclone's time**, {cpu:.2f} × its CPU."
    yield note if result["peers"] else ""
    yield f"\nThe database has {result['database_mb']:.0f} MB."


def _pages(result: Result) -> Iterator[str]:
    yield f"{result['files']:,} files on {result['database']}; one person, one request at a time.\n"
    yield "| page | p50 ms | p95 ms |"
    yield "|---|---|---|"
    for name, spent in result["pages"].items():
        yield f"| {name} | {spent['p50']:.0f} | {spent['p95']:.0f} |"


def _recovery(result: Result) -> Iterator[str]:
    files, share = result["files"], result["files"] / 100_000
    yield (
        f"{files:,} files with {result['versions']:,} versions and a copy of each on "
        f"{result['database']}; segments of {result['segment_mb']:.0f} MB in a folder.\n"
    )
    yield "| | seconds | CPU s | seconds / 100,000 files | peak MB |"
    yield "|---|---|---|---|---|"
    for name, key in (("whole catalog written", "written"), ("checked and rebuilt", "rebuilt")):
        spent = result[key]
        yield (
            f"| {name} | {spent['wall_s']:.0f} | {spent['cpu_s']:.0f} "
            f"| {spent['wall_s'] / share:.1f} | {spent['peak_mb']:.0f} |"
        )


def _restores(result: Result) -> Iterator[str]:
    files, total = result["files"], result["files"] * result["size"]
    yield (
        f"{files:,} × {result['size']:,} bytes, {result['in_flight']} in flight, "
        f"{result['delay_ms']:g} ms a request.\n"
    )
    yield "| | files/s | MB/s | seconds | CPU s / 1,000 files | CPU s / GB | peak MB |"
    yield "|---|---|---|---|---|---|---|"
    ours, peer = result["ours"], result["peer"]
    for name, spent in (("this program", ours), (peer["name"], peer)):
        wall, cpu = spent["wall_s"], spent["cpu_s"]
        yield (
            f"| {name} | {files / wall:.1f} | {total / wall / 1e6:.1f} | {wall:.1f} "
            f"| {cpu / files * 1000:.2f} | {cpu / total * GB:.2f} | {spent['peak_mb']:.0f} |"
        )
    yield (
        f"\n**{peer['wall_s'] / ours['wall_s']:.2f} × its speed**, "
        f"{ours['cpu_s'] / peer['cpu_s']:.2f} × its CPU; servers' CPU meanwhile "
        f"{ours['servers_cpu_s']:.1f} s. SHA-256 of every file compared, every file synced."
    )


def _hosts(result: Result) -> Iterator[str]:
    one, three = result["rates"]["1"], result["rates"]["3"]
    yield (
        f"{result['files']:,} files, {result['delay_ms']} ms a request, one worker with "
        f"{result['in_flight']} files in flight on each host (network namespaces).\n"
    )
    yield f"One host {one['files_per_s']:.1f} files/s, three {three['files_per_s']:.1f} files/s: "
    yield f"**{three['files_per_s'] / one['files_per_s']:.2f} ×**."


def _profile(result: Result) -> Iterator[str]:
    yield (
        f"{result['files']:,} × {result['size'] / 1e6:g} MB, no latency; {result['samples']:,} "
        f"samples of busy threads, {result['cpu_s']:.1f} CPU s. Self time, the largest first.\n"
    )
    yield "| share | where |"
    yield "|---|---|"
    for where, share in result["top"]:
        yield f"| {share:.1%} | `{where}` |"


Rows = Callable[[Result], Iterator[str]]
SECTIONS: dict[str, tuple[str, Rows]] = {
    "small-0ms": ("1a. Small files, no latency", _transfers),
    "small-30ms": ("1b. Small files, 30 ms a request", _transfers),
    "big": ("2. Big files", _transfers),
    "capped": ("2b. One big file, 30 MB/s a connection", _transfers),
    "mixed": ("3. Sizes as in real life", _transfers),
    "scans-1k": ("4, 5, 7. Scans of 1,000 files", _scans),
    "scans-10k": ("4, 5, 7. Scans of 10,000 files", _scans),
    "scans-100k": ("4, 5, 7. Scans of 100,000 files", _scans),
    "scans-1M": ("4, 5, 7. Scans of 1,000,000 files", _scans),
    "scans-100k-postgres": ("4, 5. Scans of 100,000 files on PostgreSQL", _scans),
    "scans-1M-postgres": ("4, 5. Scans of 1,000,000 files on PostgreSQL", _scans),
    "pages": ("6. Pages", _pages),
    "pages-postgres": ("6. Pages on PostgreSQL", _pages),
    "recovery": ("9. Disaster recovery", _recovery),
    "recovery-postgres": ("9. Disaster recovery on PostgreSQL", _recovery),
    "restore-small-0ms": ("10. Restore of small files, no latency", _restores),
    "restore-small-30ms": ("10. Restore of small files, 30 ms a request", _restores),
    "restore-big-0ms": ("10. Restore of big files, no latency", _restores),
    "restore-big-30ms": ("10. Restore of big files, 30 ms a request", _restores),
    "hosts": ("8. Three hosts against one", _hosts),
    "profile-small": ("Profile of 1", _profile),
    "profile-big": ("Profile of 2", _profile),
}
ORDER = list(SECTIONS)
