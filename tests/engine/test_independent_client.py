"""rclone and sha256sum, which know nothing of the catalog, find every file in both stores."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

from syncapp.models import File, Version
from tests.engine.conftest import Setting
from tests.servers.rclone_s3 import binary

# What rclone needs to show names with control characters as it shows them in Drive.
ENCODING = "Slash,Ctl,Del,Dot,InvalidUtf8"


def true_hashes(setting: Setting) -> Counter[str]:
    """SHA-256 of every blob that Google gives, from the stand-in's own manifest."""
    listed = File.objects.filter(source=setting.source).exclude(problem="")
    read = Version.objects.filter(state="refused")
    excluded = {
        *listed.values_list("remote_id", flat=True),
        *read.values_list("file__remote_id", flat=True),
    }
    truth = setting.truth()
    assert len(excluded) < 20
    return Counter(
        entry["sha256"]
        for remote_id, entry in truth.items()
        if entry.get("sha256") and remote_id not in excluded
    )


def made_here(setting: Setting) -> Counter[str]:
    """Hashes of exports, forms and shortcuts: they have no counterpart in Drive."""
    made = Version.objects.filter(state="stored").exclude(file__content="blob")
    return Counter(made.values_list("sha256", flat=True))


def test_sha256sum_finds_every_file_in_the_folder(sample: Setting) -> None:
    sample.back_up()
    root = Path(sample.folder.options["path"]) / "drive" / "files"
    command = ["find", str(root), "-type", "f", "-exec", "sha256sum", "--zero", "{}", "+"]
    listed = subprocess.run(command, capture_output=True, check=True).stdout.split(b"\0")
    found = Counter(line.split(b" ")[0].decode() for line in listed if line)
    assert found == true_hashes(sample) + made_here(sample)


def test_rclone_finds_every_file_in_the_bucket_under_its_drive_name(sample: Setting) -> None:
    sample.back_up()
    options, secrets = sample.bucket.options, json.loads(sample.bucket.secrets)
    remote = (
        f":s3,provider=Other,endpoint='{options['endpoint']}',force_path_style=true,"
        f"access_key_id={secrets['access_key_id']},"
        f"secret_access_key={secrets['secret_access_key']}"
        f":{options['bucket']}/{options['prefix']}/drive/files"
    )
    command = [binary(), "--config", "", "--s3-encoding", ENCODING, "hashsum", "sha256"]
    listed = subprocess.run(
        [*command, "--download", remote], capture_output=True, check=True
    ).stdout.decode()
    lines = [line.split("  ", 1) for line in listed.split("\n") if line]
    assert Counter(digest for digest, _ in lines) == true_hashes(sample) + made_here(sample)
    names = Counter(path.rpartition("/")[2] for _, path in lines)
    truth = Counter(e["name"] for e in sample.truth().values() if e.get("sha256"))
    plain = {name for name in truth if name.isprintable() and "/" not in name}
    assert len([name for name in plain if name in names]) > 150
