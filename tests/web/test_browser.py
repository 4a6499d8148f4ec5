"""Pages in a real browser: narrow screens, themes, time zones, tabs, and life without a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from model_bakery import baker
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from accounts.models import User
from syncapp.engine import record
from syncapp.models import File, Restore, Run, Source, Version
from tests.engine.vault import Vault
from tests.servers.browser import fresh_tab, running_browser
from tests.servers.web import RunningWeb, collect_static, running_web
from tests.servers.workers import environment
from tests.web import baked, taking
from tests.web.baked import Owned

PATIENCE_S = 30
PHONE = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
TOO_WIDE = """
return [...document.querySelectorAll("body *")]
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && e.offsetWidth > 1)
  .map((e) => e.outerHTML.slice(0, 100));
"""
BROKEN_WORDS = """
const found = [];
const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  for (const word of texts.currentNode.data.matchAll(/\\w+/g)) {
    const range = document.createRange();
    range.setStart(texts.currentNode, word.index);
    range.setEnd(texts.currentNode, word.index + word[0].length);
    const lines = new Set([...range.getClientRects()].map((box) => box.top));
    if (lines.size > 1) found.push(word[0]);
  }
}
return found;
"""
BEYOND_PANEL = """
return [...document.querySelectorAll(".panel > table")]
  .filter((e) => e.getBoundingClientRect().right > e.parentElement.getBoundingClientRect().right)
  .map((e) => e.outerHTML.slice(0, 100));
"""
CHECK = "?source={}&file={}&account={}&target=drive&collision=skip&origin=fastest&at="
LOCKS = """
const done = arguments[arguments.length - 1];
navigator.locks.query().then((found) => done([found.held.length, found.pending.length]));
"""
MIDDLE = """
const done = arguments[arguments.length - 1];
const bytes = Uint8Array.from(atob(arguments[0]), (char) => char.charCodeAt(0));
createImageBitmap(new Blob([bytes])).then((shown) => {
  const area = new OffscreenCanvas(1, 1).getContext("2d");
  area.drawImage(shown, -Math.floor(shown.width / 2), -Math.floor(shown.height / 2));
  done([...area.getImageData(0, 0, 1, 1).data.slice(0, 3)]);
});
"""

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]


@pytest.fixture
def ana(transactional_db: None) -> Owned:
    baked.worker()
    owned = baked.owned("ana", is_superuser=True)
    long = "a-name-without-any-space-" * 8
    baked.failed(baked.file(owned.source, "l", "folder", long), owned.destinations, owned.run)
    return owned


@pytest.fixture(scope="module")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWeb]:
    """One for all tests here: what a test makes is in the database."""
    folder = tmp_path_factory.mktemp("web")
    env = environment(folder, LOG_LEVEL="WARNING")
    collect_static(env)
    with running_web(env, folder / "web.log") as running:
        yield running


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One for all tests here, each in a tab that knows of no other."""
    with running_browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture
def page(web: RunningWeb, ana: Owned, shared_browser: Chrome) -> Chrome:
    """A browser in which Ana is logged in."""
    browser = shared_browser
    client = Client()
    client.force_login(ana.user)
    fresh_tab(browser, web.url)
    browser.get(f"{web.url}/healthz")
    name = django_settings.SESSION_COOKIE_NAME
    browser.add_cookie({"name": name, "value": client.cookies[name].value})
    return browser


def wait_for(page: Chrome, condition: Callable[[], Any]) -> None:
    WebDriverWait(page, PATIENCE_S, 0.05).until(lambda _: condition())


def text_of(page: Chrome, selector: str) -> str:
    script = "return document.querySelector(arguments[0])?.textContent ?? ''"
    return str(page.execute_script(script, selector))


def test_pages_fit_a_narrow_screen_and_break_no_rule(
    page: Chrome, web: RunningWeb, ana: Owned
) -> None:
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    addresses = [
        *(
            reverse(name)
            for name in ("dashboard", "failures", "refused", "log", "destination_kinds")
        ),
        reverse("run", args=[ana.run.pk]),
        reverse("source_files", args=[ana.source.pk]) + "?folder=folder",
        reverse("source_files", args=[ana.source.pk]) + "?folder=folder&at=2100-01-01T00:00Z",
        reverse("search") + "?q=name",
        reverse("file", args=[ana.source.pk, ana.file.pk]),
        reverse("source_edit", args=[ana.source.pk]),
        reverse("destination", args=[ana.destinations[0].pk]),
        reverse("destination_add", args=["s3"]),
        reverse("policy"),
        reverse("source_policy", args=[ana.source.pk]),
        reverse("restores"),
        reverse("restore") + f"?source={ana.source.pk}&file={ana.file.pk}&target=folder",
        reverse("restore_check") + CHECK.format(ana.source.pk, ana.file.pk, ana.account.pk),
        reverse("preview", args=[ana.source.pk, ana.file.pk, ana.version.pk]),
        "/accounts/google/",
    ]
    for address in addresses:
        page.get(web.url + address)
        assert page.execute_script(TOO_WIDE) == [], address
    severe = [line for line in page.get_log("browser") if line["level"] == "SEVERE"]
    assert severe == []


def test_no_list_breaks_its_words_on_a_usual_screen(
    page: Chrome, web: RunningWeb, ana: Owned
) -> None:
    User.objects.update(is_staff=True)
    Source.objects.update(name="Drive of ada.lovelace@example.com", polled_at=timezone.now())
    for kind in Run.Kind.values:
        ended = {"ended_at": timezone.now(), "outcome": Run.Outcome.WARNINGS}
        counts = {"files_done": 1_356, "files_failed": 2, "bytes_done": 346_400_000}
        baker.make(Run, source=ana.source, kind=kind, stage=Run.Stage.DONE, **ended, **counts)
    wish = {"target": Restore.Target.FOLDER, "options": {"path": "/srv/" + "long name " * 30}}
    baker.make(Restore, run=Run.objects.get(kind=Run.Kind.RESTORE), **wish)
    lists = [reverse(name) for name in ("dashboard", "restores")]
    lists += [reverse(f"admin:syncapp_{name}_changelist") for name in ("source", "run", "file")]
    for address in lists:
        page.get(web.url + address)
        assert page.execute_script(BROKEN_WORDS) == [], address
        if not address.startswith("/admin/"):
            assert page.execute_script(BEYOND_PANEL) == [], address


def test_a_pdf_is_shown_in_its_sandbox(
    page: Chrome, web: RunningWeb, ana: Owned, tmp_path: Path
) -> None:
    vault = Vault.make(tmp_path, owner="reader")
    version = vault.file("red.pdf", red_pdf())
    Version.objects.filter(pk=version.pk).update(content_type="application/pdf")
    Source.objects.filter(pk=vault.source.pk).update(owner=ana.user, slug="vault")
    page.get(web.url + taking.address(version, "preview"))
    wait_for(page, lambda: middle_of(page, "iframe") == [255, 0, 0])
    assert [line for line in page.get_log("browser") if line["level"] == "SEVERE"] == []


def middle_of(page: Chrome, selector: str) -> list[int]:
    """Red, green and blue of a box's middle, as it is on the screen."""
    shown = page.find_element("css selector", selector).screenshot_as_base64
    found: list[int] = page.execute_async_script(MIDDLE, shown)
    return found


def red_pdf() -> bytes:
    """A page that is all red."""
    ink = b"1 0 0 rg 0 0 300 300 re f"
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(ink), ink),
    )
    made, starts = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        starts.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    end = b"trailer<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(made)
    return made + b"xref\n0 5\n0000000000 65535 f \n" + table + end


def test_the_theme_stays_and_times_are_those_of_the_reader(
    page: Chrome, web: RunningWeb, ana: Owned
) -> None:
    page.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kathmandu"})
    page.get(web.url + reverse("run", args=[ana.run.pk]))
    ended = ana.run.ended_at
    minute = (ended.minute + 45) % 60  # Nepal is 5 h 45 min ahead
    assert f":{minute:02} " in text_of(page, "#run dl").replace("\u202f", " ")
    for theme in ("dark", "light"):
        page.find_element("css selector", f"[data-theme-choice={theme}]").click()
        page.refresh()
        assert page.execute_script("return document.documentElement.dataset.bsTheme") == theme


def _let_be_older(source: Source) -> None:
    """All of it was there at the beginning of 2026 already."""
    before = datetime(2025, 12, 1, tzinfo=UTC)
    File.objects.filter(source=source).update(placed_at=before, first_seen_at=before)
    Version.objects.filter(source=source).update(first_seen_at=before)


def test_a_moment_is_chosen_in_the_readers_own_time(
    page: Chrome, web: RunningWeb, ana: Owned
) -> None:
    _let_be_older(ana.source)
    page.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kathmandu"})
    wish = f"?source={ana.source.pk}&at=2026-01-05T00:00:00.5Z"
    page.get(web.url + reverse("restore") + wish)
    field = page.find_element("name", "at")
    assert field.get_property("value").startswith("2026-01-05T05:45:01")
    page.execute_script("arguments[0].value = '2026-01-05T06:00'", field)
    field.submit()
    wait_for(page, lambda: "/check/" in page.current_url)
    assert "at=2026-01-05T00%3A15%3A00.000Z" in page.current_url
    assert "6:00" in text_of(page, "main time")
    page.find_element("link text", "Change").click()
    wait_for(page, lambda: "/check/" not in page.current_url)
    assert page.find_element("name", "at").get_property("value").startswith("2026-01-05T06:00")


def test_one_tab_holds_the_stream_for_all_and_another_takes_over(
    page: Chrome, web: RunningWeb, ana: Owned
) -> None:
    page.get(web.url + reverse("log"))
    wait_for(page, lambda: page.execute_async_script(LOCKS) == [1, 0])
    first = page.current_window_handle
    page.switch_to.new_window("tab")
    page.get(web.url + reverse("log"))
    wait_for(page, lambda: page.execute_async_script(LOCKS) == [1, 1])
    record.event(ana.user, "told", "told by the other tab")
    wait_for(page, lambda: "told by the other tab" in text_of(page, "#events"))
    second = page.current_window_handle
    page.switch_to.window(first)
    page.close()
    page.switch_to.window(second)
    wait_for(page, lambda: page.execute_async_script(LOCKS) == [1, 0])
    record.event(ana.user, "told", "told by its own stream")
    wait_for(page, lambda: "told by its own stream" in text_of(page, "#events"))


def test_without_a_stream_the_page_asks_again_by_itself(
    page: Chrome, web: RunningWeb, ana: Owned
) -> None:
    page.execute_cdp_cmd("Network.enable", {})
    page.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/events/"]})
    page.get(web.url + reverse("log"))
    page.execute_script("window.sameDocument = true")
    record.event(ana.user, "told", "found by asking again")
    wait_for(page, lambda: "found by asking again" in text_of(page, "#events"))
    assert page.execute_script("return window.sameDocument") is True


def test_progress_moves_without_loading_the_page_anew(
    page: Chrome, web: RunningWeb, ana: Owned
) -> None:
    ana.run.ended_at, ana.run.outcome, ana.run.stage = None, "running", "transfer"
    ana.run.files_total, ana.run.files_done = 100, 10
    ana.run.save()
    page.get(web.url + reverse("dashboard"))
    wait_for(page, lambda: page.execute_script("return document.body.dataset.stream") == "open")
    ana.run.files_done, ana.run.files_failed = 59, 0
    ana.run.bytes_done = 3_000_000

    def shows(field: str, *words: str) -> None:
        """A worker tells again and again: the page may have been fetched anew since the last."""

        def shown() -> bool:
            record.progress(ana.run, ana.user.pk, files_per_s=7.25, bytes_per_s=1_500_000)
            return text_of(page, f"#active [data-field={field}]") in words

        wait_for(page, shown)

    shows("files_done", "59")
    shows("bytes_per_s", "1.5 MB/s")
    shows("files_per_s", "7.2", "7.3")
    wait_for(
        page,
        lambda: page.execute_script(
            "return document.querySelector('#active progress').value == 79"
        ),
    )


def test_a_schedule_is_chosen_with_the_keyboard_alone(
    page: Chrome, web: RunningWeb, ana: Owned
) -> None:
    page.get(web.url + reverse("source_edit", args=[ana.source.pk]))
    cron = page.find_element("name", "cron")
    assert not cron.is_displayed(), "a real-time source has no schedule"
    page.find_element("css selector", "[name=mode]:checked").send_keys(Keys.ARROW_DOWN)
    assert page.execute_script("return document.querySelector('[name=mode]:checked').value") == (
        "scheduled"
    )
    assert cron.is_displayed()
    cron.clear()
    cron.send_keys("15 4 * * *", Keys.TAB)
    assert page.switch_to.active_element.get_attribute("name") == "time_zone"
    page.switch_to.active_element.send_keys("Asia/Kath")
    cron.send_keys(Keys.ENTER)
    wait_for(page, lambda: "04:15 Asia/Kathmandu" in text_of(page, "main"))
    ana.source.refresh_from_db()
    assert (ana.source.mode, ana.source.time_zone) == ("scheduled", "Asia/Kathmandu")


def test_a_moment_and_a_choice_are_taken_as_they_are_made(
    page: Chrome, web: RunningWeb, ana: Owned
) -> None:
    _let_be_older(ana.source)
    page.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
    page.get(web.url + reverse("source_files", args=[ana.source.pk]) + "?folder=folder")
    page.execute_script(
        "const on = document.querySelector('[name=on]'); on.value = '2026-05-01T12:00';"
        "on.form.requestSubmit();"
    )
    wait_for(page, lambda: "at=2026-05-01T06%3A30%3A00" in page.current_url)
    shown = page.execute_script("return document.querySelector('[name=on]').value")
    assert shown.startswith("2026-05-01T12:00")
    button = page.find_element("css selector", "button[data-needs-choice]")
    assert not button.is_enabled()
    page.find_element("css selector", "[data-choose-all]").click()
    assert button.is_enabled()
    chosen = page.find_elements("css selector", "[name=file]:checked")
    assert len(chosen) == 3
    button.click()
    wait_for(page, lambda: page.current_url.count("&file=") == 3)
    assert "at=2026-05-01T06%3A30%3A00" in page.current_url
