"""The whole path in a real browser: logging in, a backup watched until its end, all restored.

Web server, workers, Google's stand-in and browser are processes of their own; the test reads the
catalog and the folder afterwards. Google is reached only at the stand-in's loopback address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from accounts.models import GoogleAccount, User
from emulator.tokens import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from syncapp.engine import runs
from syncapp.engine.adapters import destination_for
from syncapp.models import Copy, Destination, Run, Source
from tests.servers.browser import browser  # noqa: F401 - a fixture
from tests.servers.emulator import RunningEmulator, running_emulator
from tests.servers.process import free_port
from tests.servers.web import RunningWeb, collect_static, running_web
from tests.servers.workers import environment, running_workers, wait_until

FILES = 30
PASSPHRASE = "a long passphrase"
PATIENCE_S = 30
# Messages of the stream pass through the tabs' channel; whatever reloads the page forgets them.
LISTEN = """
window.heard = [];
window.listening = new BroadcastChannel(`backup-live-${document.body.dataset.user}`);
window.listening.onmessage = ({ data }) => window.heard.push(data.kind);
"""
BREAK_THE_RULE = """
const script = document.createElement("script");
script.textContent = "window.broken = true";
document.body.append(script);
return window.broken === true;
"""

pytestmark = pytest.mark.needs("chromium")


@dataclass
class Site:
    """The running product, Google's stand-in, and two folders that an administrator has."""

    web: RunningWeb
    google: RunningEmulator
    kept: Destination
    unused: Destination


@pytest.fixture
def site(transactional_db: None, tmp_path: Path, settings: Any) -> Iterator[Site]:
    # The web server checks passwords by the product's hashers, not by the tests' quick one.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    person = User.objects.create_superuser("root", "root@example.org", PASSPHRASE)
    kept, unused = (_folder(person, name, tmp_path) for name in ("Attic", "Cellar"))
    port = free_port()
    with running_emulator("synthetic", files=FILES, file_size=5000) as google:
        # Slow enough for a person to see it going on.
        google.control.add_fault("alt=media", delay_s=0.5)
        changes = _google_settings(google.url) | {"PUBLIC_URL": f"http://127.0.0.1:{port}"}
        env = environment(tmp_path, **changes)
        collect_static(env)
        with (
            running_workers(tmp_path, **changes) as workers,
            running_web(env, tmp_path / "web.log", port) as web,
        ):
            wait_until(runs.worker_alive, PATIENCE_S, f"a worker's heartbeat\n{workers.log}")
            yield Site(web, google, kept, unused)


def _folder(person: User, name: str, folder: Path) -> Destination:
    path = folder / name
    path.mkdir()
    made = Destination.objects.create(
        owner=person, name=name, kind="local", options={"path": str(path)}
    )
    destination_for(made).prepare()  # type: ignore[attr-defined]
    return made


def _google_settings(url: str) -> dict[str, str]:
    return {
        "GOOGLE_CLIENT_ID": DEFAULT_CLIENT_ID,
        "GOOGLE_CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
        "GOOGLE_AUTHORIZE_URL": f"{url}/o/oauth2/v2/auth",
        "GOOGLE_TOKEN_URL": f"{url}/token",
        "GOOGLE_REVOKE_URL": f"{url}/revoke",
        "GOOGLE_CERTS_URL": f"{url}/oauth2/v1/certs",
        "GOOGLE_IDENTITY_URL": f"{url}/oauth2/v2/userinfo",
        "GOOGLE_DRIVE_URL": f"{url}/drive/v3/",
        "GOOGLE_FORMS_URL": f"{url}/",
    }


@dataclass
class Eyes:
    """A person in front of the browser: waits for what they want to press, then presses it."""

    browser: Chrome

    def see(self, selector: str, how: str = By.CSS_SELECTOR) -> WebElement:
        found: WebElement = self._wait(lambda: self._shown(selector, how), selector)
        return found

    def press(self, selector: str) -> None:
        self._click(self.see(selector))

    def press_words(self, words: str) -> None:
        control = f"//*[self::a or self::button][contains(normalize-space(), '{words}')]"
        self._click(self.see(control, By.XPATH))

    def _click(self, element: WebElement) -> None:
        # Bootstrap scrolls smoothly, and a driver clicks where the element was before.
        into_view = "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})"
        self.browser.execute_script(into_view, element)
        element.click()

    def wait_for_words(self, selector: str, words: str) -> None:
        script = "return document.querySelector(arguments[0])?.textContent.includes(arguments[1])"
        self._wait(lambda: self.browser.execute_script(script, selector, words), words)

    def wait_until_gone(self, selector: str) -> None:
        script = "return document.querySelector(arguments[0]) === null"
        self._wait(lambda: self.browser.execute_script(script, selector), f"no {selector}")

    def _shown(self, selector: str, how: str) -> WebElement | None:
        return next(
            (e for e in self.browser.find_elements(how, selector) if e.is_displayed()), None
        )

    def _wait(self, condition: Callable[[], Any], what: str) -> Any:
        page = self.browser
        try:
            # A live part may be drawn anew between being found and being asked: looked at again.
            wait = WebDriverWait(page, PATIENCE_S, 0.05, [StaleElementReferenceException])
            return wait.until(lambda _: condition())
        except Exception as error:
            error.add_note(f"waited for {what} at {page.current_url}:\n{page.page_source[:6000]}")
            raise


@pytest.mark.long
def test_a_person_logs_in_links_google_and_watches_the_first_backup(
    site: Site,
    browser: Chrome,  # noqa: F811 - the fixture
) -> None:
    eyes = Eyes(browser)
    _log_in(eyes, site)
    _link_google(eyes, site)
    _start_the_first_backup(eyes, site)
    _watch_it_end(eyes, site)
    _assert_all_is_stored(site)
    _restore_it_all(eyes, site)
    _assert_the_console_is_clean(eyes, site)


def _log_in(eyes: Eyes, site: Site) -> None:
    eyes.browser.get(site.web.url)
    eyes.see("[name=login]").send_keys("root")
    eyes.see("[name=password]").send_keys(PASSPHRASE)
    eyes.press_words("Log in")
    eyes.see("#status")


def _link_google(eyes: Eyes, site: Site) -> None:
    eyes.press_words("Google accounts")
    eyes.press_words("Link a Google account")
    eyes.press("#account-1")
    assert eyes.browser.current_url.startswith(site.google.url)
    eyes.press("#approve")
    eyes.see("[name=destinations]")
    linked = GoogleAccount.objects.get()
    assert linked.state == GoogleAccount.State.CONNECTED
    assert eyes.browser.current_url == f"{site.web.url}/sources/setup/{linked.pk}/"


def _start_the_first_backup(eyes: Eyes, site: Site) -> None:
    for place in (site.kept, site.unused):
        assert eyes.see(f"[name=destinations][value='{place.pk}']").is_selected()
    eyes.press(f"[name=destinations][value='{site.unused.pk}']")
    eyes.press_words("Start the first backup")
    eyes.see("#active .run-progress")
    assert eyes.browser.current_url == f"{site.web.url}/"
    assert list(Source.objects.get().destinations.all()) == [site.kept]


def _watch_it_end(eyes: Eyes, site: Site) -> None:
    eyes.browser.execute_script(LISTEN)
    eyes.wait_for_words("#active [data-field=stage]", "Transferring")
    eyes.wait_until_gone("#active .run-progress")
    eyes.wait_for_words("#sources", f"{FILES} files")
    heard = eyes.browser.execute_script("return window.heard")
    assert heard, "the page was loaded anew instead of being told"
    assert {"progress", "state"} <= set(heard)
    run = Run.objects.get()
    assert (run.kind, run.outcome) == (Run.Kind.BACKUP, Run.Outcome.OK), run.error_message


def _assert_all_is_stored(site: Site) -> None:
    truth = {e["id"]: e["sha256"] for e in site.google.control.manifest() if e.get("sha256")}
    copies = Copy.objects.select_related("version__file")
    assert {(copy.state, copy.destination_id) for copy in copies} == {("stored", site.kept.pk)}
    store = destination_for(site.kept)
    stored = {}
    for copy in copies:
        with store.read(copy.object_key) as chunks:
            digest = hashlib.sha256(b"".join(chunks)).hexdigest()
        stored[copy.version.file.remote_id] = digest
    assert len(copies) == FILES
    assert stored == truth


def _restore_it_all(eyes: Eyes, site: Site) -> None:
    back = Path(site.kept.options["path"]).parent / "back"
    eyes.press_words("Restores")
    eyes.press_words("Restore something")
    eyes.press("[name=target][value=folder]")
    eyes.see("[name=path]").send_keys(str(back))
    eyes.press_words("See what it means")
    eyes.wait_for_words("main", f"{FILES}")
    eyes.press_words("Restore now")
    eyes.wait_for_words("#outcome", "Restored")
    run = Run.objects.get(kind=Run.Kind.RESTORE)
    assert (run.outcome, run.files_failed) == (Run.Outcome.OK, 0), run.error_message
    truth = sorted(e["sha256"] for e in site.google.control.manifest() if e.get("sha256"))
    found = (file.read_bytes() for file in back.rglob("*") if file.is_file())
    assert sorted(hashlib.sha256(data).hexdigest() for data in found) == truth


def _assert_the_console_is_clean(eyes: Eyes, site: Site) -> None:
    said = eyes.browser.get_log("browser")
    ours = [line["message"] for line in said if site.google.url not in line["message"]]
    assert [text for text in ours if "Content Security Policy" in text] == []
    assert [line for line in said if line["level"] == "SEVERE" and line["message"] in ours] == []
    # The console would have told: a script that the page must not run is refused there.
    assert not eyes.browser.execute_script(BREAK_THE_RULE)
    assert any("Content Security Policy" in e["message"] for e in eyes.browser.get_log("browser"))
