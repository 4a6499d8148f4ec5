"""What a finished copy of the synthetic account looks like in a sink, without copying it."""

from __future__ import annotations

from collections.abc import Iterator

from bench.sink_store import Forgotten, Store, Stored
from emulator.items import FOLDER
from emulator.synthetic import Sizes, synthetic_account


def synthetic_objects(store: Store, told: str) -> None:
    """`told` is BUCKET/PREFIX:FILES:BYTES: one object for each file, in its folders."""
    place, files, size = told.rsplit(":", 2)
    bucket, _, prefix = place.partition("/")
    store.bucket(bucket).update(_objects(prefix, int(files), int(size)))


def _objects(prefix: str, files: int, size: int) -> Iterator[tuple[str, Stored]]:
    corpus = synthetic_account(files, Sizes(size)).corpus
    paths = {corpus.root.id: prefix}
    # The account lists files before folders, and folders from the top down.
    for item in corpus.items.scan(files):
        if item.mime_type == FOLDER:
            paths[item.id] = f"{paths[item.parents[0]]}/{item.name}"
    for item in corpus.items.scan(0):
        if item.content is not None:
            key = f"{paths[item.parents[0]]}/{item.name}"
            md5 = item.content.digest("md5")
            yield key, Stored((Forgotten(size),), size, md5, modified=item.modified_ms / 1000)
