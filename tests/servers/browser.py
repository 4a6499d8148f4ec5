"""A real browser: Debian's Chromium, headless, with a profile that is thrown away.

It asks nobody on the Internet anything; the test is marked `needs("chromium")`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from tests.servers import programs

_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-search-engine-choice-screen",
    "--lang=en-US",
)


@contextmanager
def running_browser(profile: Path, *, width: int = 1280, height: int = 900) -> Iterator[Chrome]:
    """A browser with a fresh profile; its console is kept (`get_log("browser")`)."""
    options = ChromeOptions()
    options.binary_location = programs.find("chromium") or ""
    for argument in (*_QUIET, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, Service(programs.find("chromedriver")))
    try:
        driver.set_page_load_timeout(30)
        yield driver
    finally:
        driver.quit()


def fresh_tab(driver: Chrome, origin: str) -> None:
    """Leave one new tab, without emulation, cookies, stored things of the origin, or words."""
    old = driver.window_handles
    driver.switch_to.new_window("tab")
    new = driver.current_window_handle
    for handle in old:
        driver.switch_to.window(handle)
        driver.close()
    driver.switch_to.window(new)
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    what = {"origin": origin, "storageTypes": "all"}
    driver.execute_cdp_cmd("Storage.clearDataForOrigin", what)
    driver.get_log("browser")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    """A browser of 1280 × 900."""
    with running_browser(tmp_path / "profile") as driver:
        yield driver
