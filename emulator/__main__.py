"""Starts the stand-in: `python -m emulator --port 0 --account sample --ready-file PATH`.

Listens on loopback only. The ready file is written, whole, once connections are accepted:
{"url": …, "pid": …}.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import logging
import os
import socket
import sys
from pathlib import Path

import uvicorn

from emulator.app import Emulator
from emulator.sample import sample_accounts
from emulator.synthetic import Sizes, synthetic_account
from emulator.world import Account, World

DEFAULT_UNITS = 325_000  # a minute and user; facts of 2026-05-01
BACKLOG = 1024


def main() -> int:
    """Parse, build the world, serve until a signal."""
    options = _options()
    if not _is_loopback(options.host):
        print(f"--host {options.host}: only loopback addresses are allowed", file=sys.stderr)
        return 2
    world = World(_accounts(options), units_per_minute=options.units_per_minute)
    try:
        listening = _listen(options.host, options.port)
    except OSError as error:
        print(f"--port {options.port}: {error.strerror}", file=sys.stderr)
        return 2
    scheme = "https" if options.tls_cert else "http"
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = f"{scheme}://{host}:{listening.getsockname()[1]}"
    _quieten_uvicorn()
    config = uvicorn.Config(
        Emulator(world),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )
    if options.ready_file:
        _announce(Path(options.ready_file), url)
    print(f"stand-in for Google at {url}", flush=True)
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--account", choices=("sample", "synthetic"), default="sample")
    parser.add_argument("--files", type=int, default=1000, help="of the synthetic account")
    parser.add_argument("--file-size", default="10240", help="bytes, or 'lognormal'")
    parser.add_argument("--big-file", type=int, default=0, help="one more file of so many bytes")
    parser.add_argument("--ready-file", help="written once connections are accepted")
    parser.add_argument("--units-per-minute", type=int, default=DEFAULT_UNITS, help="0: no limit")
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    options = parser.parse_args()
    if bool(options.tls_cert) != bool(options.tls_key):
        parser.error("--tls-cert and --tls-key go together")
    if options.file_size != "lognormal" and not options.file_size.isdecimal():
        parser.error("--file-size: bytes, or 'lognormal'")
    return options


def _accounts(options: argparse.Namespace) -> list[Account]:
    if options.account == "sample":
        return sample_accounts()
    fixed = None if options.file_size == "lognormal" else int(options.file_size)
    return [synthetic_account(options.files, Sizes(fixed), big_file=options.big_file)]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen(BACKLOG)
    return listening


def _announce(path: Path, url: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps({"url": url, "pid": os.getpid()}))
    part.replace(path)


def _quieten_uvicorn() -> None:
    """An answer cut short is a fault that a test asked for: no error in the log."""
    cut = "ASGI callable returned without completing response."
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.getMessage() != cut)


if __name__ == "__main__":
    sys.exit(main())
