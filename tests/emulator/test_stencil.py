"""The quick way of listing synthetic files says what the true one says."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from emulator.fields import parse_mask
from emulator.resources import RENDERERS, FileRenderer
from emulator.stencil import Stencil
from emulator.synthetic import LazyFile, Sizes, SyntheticStore, synthetic_account
from syncapp.sources.drive_items import ITEM_FIELDS

MASKS = ["*", ITEM_FIELDS, "id,name,parents,mimeType", "id,size,owners/emailAddress", "kind"]


def renderer(mask: str) -> FileRenderer:
    account = synthetic_account(1000, Sizes(10240))
    return FileRenderer(parse_mask(mask), account, "http://127.0.0.1:1")


def store(files: int = 1000, size: int | None = 10240) -> SyntheticStore:
    items = synthetic_account(files, Sizes(size)).corpus.items
    assert isinstance(items, SyntheticStore)
    return items


def by_stencil(mask: str, file: Any) -> Any:
    assert isinstance(file, LazyFile)
    return orjson.loads(orjson.dumps(Stencil(renderer(mask).render).fill(file)))


@pytest.mark.parametrize("mask", [*MASKS, *RENDERERS])
@pytest.mark.parametrize("size", [0, 20, 10240, None])
def test_filled_stencil_is_what_the_renderer_gives(mask: str, size: int | None) -> None:
    items = store(size=size)
    listed = list(items.scan(0))
    for number in (0, 1, 199, 200, 999):
        whole = items.get(f"1SynF{number:028d}")
        assert whole is not None
        for _ in range(2):  # computed, then known
            assert by_stencil(mask, listed[number]) == renderer(mask).render(whole)


def test_listed_file_is_the_whole_file_once_it_is_looked_at() -> None:
    items = store()
    listed, whole = next(iter(items.scan(5))), items.get(f"1SynF{5:028d}")
    assert whole is not None
    for name in type(whole).__slots__:
        if name != "content":
            assert getattr(listed, name) == getattr(whole, name), name


def test_changed_file_no_longer_fits_the_stencil() -> None:
    items = store()
    file_id = next(iter(items.children(f"1SynD{0:028d}", 0))).id
    whole = items.get(file_id)
    assert whole is not None
    whole.trashed = True
    items.update(whole)
    for listed in (next(iter(items.scan(0))), next(iter(items.children(f"1SynD{0:028d}", 0)))):
        assert (listed.id, listed.trashed) == (file_id, True)
        assert not isinstance(listed, LazyFile)


def test_what_a_list_shows_is_not_taken_back() -> None:
    items = store()
    with pytest.raises(TypeError):
        items.update(next(iter(items.scan(0))))
