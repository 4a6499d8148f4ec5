"""Ceph's RADOS Gateway on one monitor and one disk, all in one folder: the strict S3 server."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

from tests.servers import certificates, programs
from tests.servers.buckets import make_buckets
from tests.servers.certificates import Certificates
from tests.servers.process import DidNotStart, free_port, launch, stop, wait_for_port
from tests.servers.shared import Info, Started

BUCKET = "backup"
VERSIONED = "versioned"
ACCESS_KEY, SECRET_KEY = "ceph-key", "ceph-secret-0123456789"
OSD_BYTES = 8 * 1024**3  # sparse; with less, writes hang

_CONF = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
public addr = 127.0.0.1
cluster addr = 127.0.0.1
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
mon allow pool delete = true
mon data avail crit = 1
mon data avail warn = 2
mon osd full ratio = 0.99
mon osd nearfull ratio = 0.98
mon max pg per osd = 1000
osd pool default pg autoscale mode = off
admin socket =
run dir = {folder}
pid file =
log file = {folder}/$name.log
log to stderr = false
err to stderr = true
debug ms = 0
ms bind msgr2 = true

[mon]
paxos propose interval = 0.01
paxos min wait = 0.01
mon election timeout = 1
mon osd min in ratio = 0
mon data = {folder}/mon
mon initial members = a
mon cluster log file = {folder}/cluster.log

[osd]
osd data = {folder}/osd
osd objectstore = bluestore
bluestore block size = {size}
bluestore block create = true
bluestore fsck on mount = false
osd memory target = 939524096
osd class update on start = true
osd crush update on start = true
osd op num shards = 2
osd heartbeat interval = 1
osd mon report interval = 1
osd max pg per osd hard ratio = 100

[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port} ssl_endpoint=127.0.0.1:{tls_port} \
ssl_certificate={certificate} ssl_private_key={key}
rgw lc debug interval = 5
rgw enable usage log = false
rgw thread pool size = 64
rgw dns name =
"""


KEYS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "client.rgw": {"mon": "allow *", "osd": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
}


def start(folder: Path) -> Started:
    """A gateway over http and https with a plain and a versioned bucket; about 10 seconds."""
    pids: list[int] = []
    try:
        info = _start(folder, pids)
    except BaseException:
        stop(pids)
        raise
    # The gateway first, the monitor last: each asks the next while it ends.
    return Started(info, pids[::-1])


def _start(folder: Path, pids: list[int]) -> Info:
    made = certificates.make(folder)
    ports = {name: free_port() for name in ("v1", "v2", "port", "tls_port")}
    fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
    _configure(folder, fsid, ports, made)
    _make_keys(folder)

    _make_monitor(folder, fsid, ports)
    pids.append(_daemon(folder, "ceph-mon", "-i", "a"))
    wait_for_port(pids[-1], folder / "ceph-mon.out", ports["v2"])

    (folder / "osd").mkdir()
    _run(folder, "ceph", "osd", "new", osd, "0")
    _run(folder, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
    pids.append(_daemon(folder, "ceph-osd", "-i", "0"))

    _run(
        folder,
        "radosgw-admin",
        "user",
        "create",
        "--uid=test",
        "--display-name=test",
        f"--access-key={ACCESS_KEY}",
        f"--secret-key={SECRET_KEY}",
        "-n",
        "client.rgw",
    )
    pids.append(_daemon(folder, "radosgw", "-n", "client.rgw"))
    wait_for_port(pids[-1], folder / "radosgw.out", ports["port"])
    info = {
        "endpoint": f"http://127.0.0.1:{ports['port']}",
        "tls_endpoint": f"https://127.0.0.1:{ports['tls_port']}",
        "bucket": BUCKET,
        "versioned": VERSIONED,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "authority": str(made.authority),
    }
    make_buckets(info)
    return info


def _configure(folder: Path, fsid: str, ports: dict[str, int], made: Certificates) -> None:
    text = _CONF.format(
        **ports,
        folder=folder,
        fsid=fsid,
        size=OSD_BYTES,
        certificate=made.certificate,
        key=made.key,
    )
    (folder / "ceph.conf").write_text(text)


def _make_keys(folder: Path) -> None:
    ring = str(folder / "keyring")
    for number, (name, caps) in enumerate(KEYS.items()):
        words = [word for service, cap in caps.items() for word in ("--cap", service, cap)]
        create = [] if number else ["--create-keyring"]
        _run(folder, "ceph-authtool", *create, ring, "--gen-key", "-n", name, *words)


def _make_monitor(folder: Path, fsid: str, ports: dict[str, int]) -> None:
    monmap, ring = str(folder / "monmap"), str(folder / "keyring")
    address = f"[v2:127.0.0.1:{ports['v2']},v1:127.0.0.1:{ports['v1']}]"
    _run(folder, "monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monmap)
    _run(folder, "ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", ring)


def _daemon(folder: Path, program: str, *words: str) -> int:
    command = [programs.find(program) or program, "-c", str(folder / "ceph.conf"), *words, "-f"]
    return launch(command, folder / f"{program}.out")


def _run(folder: Path, program: str, *words: str) -> None:
    conf = [] if program in ("ceph-authtool", "monmaptool") else ["-c", str(folder / "ceph.conf")]
    done = subprocess.run(
        [programs.find(program) or program, *conf, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise DidNotStart(f"{program} {words[:2]}: {done.stdout[-500:]} {done.stderr[-2000:]}")
