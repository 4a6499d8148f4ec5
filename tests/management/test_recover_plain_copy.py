"""Recovery from a copy of a destination that kept the bytes and the names, and nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from pathlib import Path

import boto3
import pytest
from django.db.models import QuerySet

from syncapp.destinations.base import Destination as Store
from syncapp.engine import findings, restoring, segments
from syncapp.engine.adapters import origin_for
from syncapp.models import Copy, Destination, Finding, Run, Source
from syncapp.types import ObjectMeta
from tests.engine.conftest import Setting
from tests.engine.vault import SEEN, part_of
from tests.management.conftest import Shell
from tests.management.recovering import change_a_lot, keys, lose_everything, recover

__all__ = ["keys"]


def copied_folder(few: Setting, tmp_path: Path) -> Destination:
    """As by `cp -r`, or over a FAT disk: other times, no extended attributes."""
    was, here = Path(few.folder.options["path"]), tmp_path / "copied"
    shutil.copytree(was, here, copy_function=shutil.copyfile)
    shutil.rmtree(was)
    return Destination(kind="local", name="Folder", options={"path": str(here)})


def copied_bucket(few: Setting, tmp_path: Path) -> Destination:
    """As by a program that takes the bytes only: other ids, other ETags, no metadata."""
    options = {**few.bucket.options, "prefix": f"mirror-{uuid.uuid4().hex}"}
    owner = few.source.owner
    mirror = Destination(
        kind="s3", name="Bucket", options=options, secrets=few.bucket.secrets, owner=owner
    )
    secrets = json.loads(few.bucket.secrets)
    client = boto3.client(
        "s3",
        endpoint_url=options["endpoint"],
        aws_access_key_id=secrets["access_key_id"],
        aws_secret_access_key=secrets["secret_access_key"],
        region_name="us-east-1",
    )
    was = origin_for(few.bucket)
    for info in was.objects():
        key = f"{options['prefix']}/{info.key}"
        client.put_object(Bucket=options["bucket"], Key=key, Body=_bytes(was, info.key))
        was.purge(info.key)
    return mirror


MADE = {"Folder": copied_folder, "Bucket": copied_bucket}


def _back_up(few: Setting) -> None:
    """Also: the first bucket encrypts with a key of its own, so that its ETags are no MD5."""
    few.back_up()
    Copy.objects.filter(destination=few.bucket).update(etag="e" * 32)
    segments.write(few.source.pk)


def _here(name: str) -> QuerySet[Copy]:
    return Copy.objects.filter(destination__name=name, state__in=findings.STORED)


def _bytes(store: Store, key: str) -> bytes:
    with store.read(key) as chunks:
        return b"".join(chunks)


def _spoil(store: Store, key: str) -> None:
    store.put(key, part_of(bytes(len(_bytes(store, key)))), ObjectMeta(SEEN, ""))


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("name", MADE)
def test_every_byte_comes_back_from_a_copy_that_kept_bytes_and_names_only(
    few: Setting, shell: Shell, tmp_path: Path, name: str
) -> None:
    _back_up(few)
    change_a_lot(few)
    sums = sorted(_here(name).values_list("version__sha256", flat=True))
    place = MADE[name](few, tmp_path)
    lose_everything()

    (told,) = recover(shell, place)

    assert (told["missing"], told["foreign"], told["adopted"]) == (0, 0, 0)
    (note,) = told["notes"]
    assert note.startswith("Known by their bytes alone")
    here = _here(name)
    assert sorted(here.values_list("version__sha256", flat=True)) == sums
    few.source = Source.objects.get()
    out = tmp_path / "out"
    run = restoring.request_restore(few.source, target="folder", options={"path": str(out)})
    assert few.work(run).outcome == Run.Outcome.OK, run.error_message
    found = {hashlib.sha256(p.read_bytes()).hexdigest() for p in out.rglob("*") if p.is_file()}
    present = here.filter(version__current=True, version__file__vanished_at=None)
    assert found == set(present.values_list("version__sha256", flat=True))
    few.source.destinations.set(Destination.objects.filter(name=name))
    run = few.verify()
    assert run.outcome == Run.Outcome.OK, run.error_message


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("name", MADE)
def test_an_object_whose_bytes_are_not_the_catalogs_is_taken_for_no_copy(
    few: Setting, shell: Shell, tmp_path: Path, name: str
) -> None:
    _back_up(few)
    spoilt = Copy.objects.filter(destination__name=name, version__size__gt=0).latest("pk")
    key, sha256 = spoilt.object_key, spoilt.version.sha256
    place = MADE[name](few, tmp_path)
    _spoil(origin_for(place), key)
    lose_everything()
    (told,) = recover(shell, place, code=1)
    assert (told["missing"], told["foreign"]) == (1, 1)
    copy = Copy.objects.get(destination__name=name, state=Copy.State.DAMAGED)
    assert (copy.object_key, copy.version.sha256) == (key, sha256)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("name", MADE)
def test_a_recovery_that_found_nothing_is_mended_by_comparing_again(
    few: Setting, shell: Shell, tmp_path: Path, name: str
) -> None:
    """As after the copying was interrupted: what was missing is there now."""
    _back_up(few)
    place = MADE[name](few, tmp_path)
    store = origin_for(place)
    away = Copy.objects.filter(destination__name=name, version__size__gt=0).latest("pk").object_key
    data = _bytes(store, away)
    store.purge(away)
    lose_everything()
    (told,) = recover(shell, place, "--take-over", code=1)
    assert told["missing"] == 1
    store.put(away, part_of(data), ObjectMeta(SEEN, ""))
    answer = shell("recover", "--destination", name, "--compare", "--json")
    assert answer.code == 0
    (told,) = answer.document["sources"]
    assert (told["missing"], told["foreign"], told["adopted"]) == (0, 0, 0)
    assert not Copy.objects.filter(destination__name=name, state=Copy.State.DAMAGED).exists()
    assert not Finding.objects.filter(copy__destination__name=name, healed_at=None).exists()
