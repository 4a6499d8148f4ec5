"""CPU and pace of several ways to PUT objects into an S3 store over TLS, one against the other.

The sink is nginx with WebDAV on a memory file system: it costs little, keeps connections, and its
own CPU is not counted. Each way runs in a process of its own; CPU seconds are those of that
process, user and system. `obstore` is no requirement of the product: install it to see its line.
With `--reads`, a GET of the same size from the Drive adapter: as a stream, and whole.

    python -m bench.data_plane [--count 3000] [--threads 1 32] [--big 16] [--reads]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import certifi
from google.oauth2.credentials import Credentials

from bench.data_plane_ways import WAYS, Put
from syncapp.sources.google_client import GoogleEndpoints
from syncapp.sources.google_drive import DRIVE_SCOPES, GoogleDriveSource
from syncapp.types import Content, RemoteFile
from tests.servers import certificates
from tests.servers.process import free_port, launch, stop, wait_for_port
from tests.servers.programs import find

ROOT = Path(__file__).resolve().parents[1]
MIB = 1024**2
SMALL = 10_000
BIG_THREADS, BIG_COUNT = 4, 60

NGINX = """
{user}worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 0; keepalive_requests 10000000; keepalive_timeout 600;
  client_body_temp_path {folder}/tmp; client_body_buffer_size 32k; etag off;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {key};
    location / {{
      root {folder}/data; dav_methods PUT DELETE; create_full_put_path on;
      add_header ETag '"d41d8cd98f00b204e9800998ecf8427e"' always;
      add_header x-amz-request-id tx00000123456789abcdef always;
    }}
  }}
}}
"""


def start_sink(folder: Path) -> tuple[str, str, int]:
    """The sink's address, the file of its authority, the process to stop."""
    made = certificates.make(folder)
    stored = folder / "data" / "drive" / "v3" / "files"
    stored.mkdir(parents=True)
    (stored / "f1").write_bytes(bytes(SMALL))
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        NGINX.format(
            user="user root; " * (os.geteuid() == 0),
            folder=folder,
            port=port,
            cert=made.certificate,
            key=made.key,
        )
    )
    pid = launch([str(find("nginx")), "-c", str(config), "-p", str(folder)], folder / "log")
    wait_for_port(pid, folder / "log", port)
    return f"https://127.0.0.1:{port}", str(made.authority), pid


def by_stream(url: str, authority: str) -> Put:
    """The Drive adapter's stream, for files of any size."""
    source, file = _drive(url, authority)

    def get(_key: str, _data: bytes) -> None:
        with source.download(file) as download:
            assert sum(map(len, download.chunks)) == SMALL

    return get


def by_read_small(url: str, authority: str) -> Put:
    """The Drive adapter's one call for a small file."""
    source, file = _drive(url, authority)

    def get(_key: str, _data: bytes) -> None:
        got = source.read_small(file)
        assert got is not None
        assert len(got[0]) == SMALL

    return get


def _drive(url: str, authority: str) -> tuple[GoogleDriveSource, RemoteFile]:
    certifi.where = lambda: authority
    endpoints = GoogleEndpoints(f"{url}/drive/v3/", f"{url}/")
    source = GoogleDriveSource(Credentials(token="t" * 150), endpoints, scopes=DRIVE_SCOPES)
    return source, RemoteFile("f1", "", "f1", "x/y", Content.BLOB, "r1", size=SMALL)


READS: dict[str, Callable[[str, str], Put]] = {
    "GET as a stream": by_stream,
    "GET in one call (pycurl)": by_read_small,
}


def measure(
    way: str, url: str, authority: str, size: int, count: int, threads: int
) -> dict[str, float]:
    """CPU and wall time of `count` requests by this process."""
    put = (WAYS | READS)[way](url, authority)
    data = (bytes(range(256)) * (-(-size // 256)))[:size]
    share = count // threads

    def work(thread: int) -> None:
        for number in range(share):
            put(f"dir/{thread}/{number % 50} name.bin", data)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda n: put(f"warm/{n}", data), range(threads * 4)))
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        list(pool.map(work, range(threads)))
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    user = after.ru_utime - before.ru_utime
    cpu = user + after.ru_stime - before.ru_stime
    done = share * threads
    return {
        "cpu_ms": cpu * 1000 / done,
        "user_ms": user * 1000 / done,
        "per_s": done / wall,
        "cpu_s_gb": cpu / (done * size / 1e9),
        "mb_s": done * size / wall / 1e6,
        "rss_mb": after.ru_maxrss / 1024,
    }


def run(way: str, url: str, authority: str, *numbers: int) -> None:
    """One line of the table: size, count and threads, measured in a process of its own."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench.data_plane",
            "--one",
            way,
            url,
            authority,
            *map(str, numbers),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "AWS_CA_BUNDLE": authority},
    )
    size, _, threads = numbers
    if done.returncode:
        print(f"| {way} | {size} | {threads} | failed: {done.stderr.splitlines()[-1][:90]} |")
        return
    form = "{cpu_ms:.3f} | {user_ms:.3f} | {per_s:.0f} | {cpu_s_gb:.2f} | {mb_s:.0f} | {rss_mb:.0f}"
    print(f"| {way} | {size} | {threads} | {form.format(**json.loads(done.stdout))} |", flush=True)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--count", type=int, default=3000)
    options.add_argument("--threads", type=int, nargs="+", default=[1, 32])
    options.add_argument("--big", type=int, default=16, help="MiB a part; 0 for none")
    options.add_argument("--ways", nargs="+", default=list(WAYS))
    options.add_argument("--reads", action="store_true")
    options.add_argument("--one", nargs=6, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        way, url, authority, *numbers = chosen.one
        print(json.dumps(measure(way, url, authority, *map(int, numbers))))
        return
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    url, authority, pid = start_sink(folder)
    print("| way | bytes | threads | CPU ms | of it user | a second | CPU s/GB | MB/s | MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    try:
        for threads in chosen.threads:
            for way in [*chosen.ways, *(READS if chosen.reads else ())]:
                run(way, url, authority, SMALL, chosen.count, threads)
        for way in chosen.ways if chosen.big else ():
            run(way, url, authority, chosen.big * MIB, BIG_COUNT, BIG_THREADS)
    finally:
        stop([pid])
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
