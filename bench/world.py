"""A world of the benchmark's own: Google's names lead to the stand-in, which is trusted.

The run gets namespaces of its own (unshare(1): mounts, network), where /etc/hosts and the lists of
trusted authorities are others. So rclone and the product speak TLS to www.googleapis.com:443
without a proxy in between, nothing of the machine changes, and no port is taken twice.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import certifi

from emulator.tls import HOSTS

INSIDE = "BENCH_INSIDE"
SYSTEM_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")

ELSEWHERE = frozenset(
    ["aws_ca_bundle", "requests_ca_bundle", "curl_ca_bundle", "https_proxy", "http_proxy"]
)


def enter() -> None:
    """Start this program again inside and never return; inside, bring loopback up."""
    if os.environ.get(INSIDE):
        _run("ip", "link", "set", "lo", "up")
        return
    unshare = shutil.which("unshare")
    if unshare is None:
        sys.exit("bench: unshare (util-linux) is needed: Linux only.")
    rights = [] if os.getuid() == 0 else ["--map-root-user"]
    kinds = ["--mount", "--net", "--propagation", "private"]
    again = [sys.executable, *sys.orig_argv[1:]]
    os.environ[INSIDE] = "1"
    os.execv(unshare, [unshare, *rights, *kinds, *again])


def furnish(folder: Path, authorities: list[Path]) -> None:
    """Name Google's hosts, trust these authorities too. Only inside."""
    assert os.environ.get(INSIDE), "outside it would change the machine"
    names = " ".join(host for host in HOSTS if not host.startswith("*"))
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {os.uname().nodename} {names}\n")
    _run("mount", "--bind", str(hosts), "/etc/hosts")
    added = "\n".join(path.read_text() for path in authorities)
    for number, trusted in enumerate((SYSTEM_AUTHORITIES, Path(certifi.where()))):
        if not trusted.exists():
            continue
        more = folder / f"trusted-{number}.pem"
        more.write_text(f"{trusted.read_text()}\n{added}\n")
        _run("mount", "--bind", str(more), str(trusted))
        os.environ["SSL_CERT_FILE"] = str(more)  # for this Python's own ssl module
    # Others of the kind would name a list without these authorities, or a way around this world.
    for name in [n for n in os.environ if n.lower() in ELSEWHERE]:
        del os.environ[name]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
