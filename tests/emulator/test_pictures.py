"""Pictures and films of the stand-in, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from emulator.documents import build
from emulator.sample import sample_accounts
from tests.servers.browser import browser

__all__ = ["browser"]

SHOWN = """
const [kind, address, done] = arguments;
const shown = document.createElement(kind);
shown.onload = () => done([shown.naturalWidth, shown.naturalHeight]);
shown.onseeked = () => done([shown.videoWidth, shown.videoHeight]);
shown.onloadeddata = () => { shown.currentTime = shown.duration / 2; };
shown.onerror = () => done("damaged");
shown.src = address;
document.body.append(shown);
"""

pytestmark = pytest.mark.needs("chromium")


def test_a_browser_shows_the_photos_and_the_film_of_the_sample_account(
    browser: Chrome, tmp_path: Path
) -> None:
    contents = {
        item.name: item.content.read(0, item.content.size)
        for item in sample_accounts()[0].corpus.items.scan(0)
        if item.content and item.name.endswith((".jpg", ".png", ".mp4"))
    }
    contents |= {
        f"export.{end}": build(kind, "Export", "stamp")
        for end, kind in (("jpg", "image/jpeg"), ("png", "image/png"), ("mp4", "video/mp4"))
    }
    (tmp_path / "page.html").write_text("<!doctype html><body>")
    browser.get((tmp_path / "page.html").as_uri())
    assert len(contents) > 50
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
        kind = "video" if name.endswith(".mp4") else "img"
        size = browser.execute_async_script(SHOWN, kind, name)
        assert size != "damaged", name
        assert min(size) > 90, name
