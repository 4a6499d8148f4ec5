"""How pages look in a real browser: what is cut off, what can't be made out, which theme holds."""

from __future__ import annotations

import pytest
from django.urls import reverse
from selenium.webdriver import Chrome

from tests.servers.web import RunningWeb
from tests.web.baked import Owned
from tests.web.test_browser import PHONE, ana, page, shared_browser, wait_for, web

__all__ = ["ana", "page", "shared_browser", "web"]

OUTSIDE = """
return [...document.querySelectorAll(".navbar-end button")].filter((button) =>
  [".navbar-end > *", ".navbar-end"].some((box) =>
    button.getBoundingClientRect().right > button.closest(box).getBoundingClientRect().right + 1))
  .map((button) => button.textContent);
"""
CONTRASTS = """
const area = new OffscreenCanvas(1, 1).getContext("2d");
const light = (...colours) => {
  for (const colour of colours) { area.fillStyle = colour; area.fillRect(0, 0, 1, 1); }
  const [red, green, blue] = [...area.getImageData(0, 0, 1, 1).data].map((value) =>
    value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
return [...document.querySelectorAll(".form-check-input:not(:checked)")].map((e) => {
  const ground = getComputedStyle(e.closest(".panel")).backgroundColor;
  const two = [light(ground), light(ground, getComputedStyle(e).borderTopColor)];
  return (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05);
});
"""

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]


def choose_theme(page: Chrome, theme: str) -> None:
    button = f"document.querySelector('[data-theme-choice={theme}]')"
    page.execute_script(f"{button}.click()")


def test_no_button_of_the_menu_is_cut_off_on_a_narrow_screen(
    page: Chrome, web: RunningWeb, ana: Owned
) -> None:
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    page.get(web.url + reverse("dashboard"))
    page.find_element("css selector", ".navbar-toggler").click()
    wait_for(page, lambda: page.find_elements("css selector", "#menu.collapse.show"))
    assert page.execute_script(OUTSIDE) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_boxes_that_are_not_ticked_can_be_made_out(
    page: Chrome, web: RunningWeb, ana: Owned, theme: str
) -> None:
    page.get(web.url + reverse("source_edit", args=[ana.source.pk]))
    choose_theme(page, theme)
    contrasts = page.execute_script(CONTRASTS)
    assert contrasts
    assert min(contrasts) >= 3, contrasts  # WCAG 1.4.11


def test_the_theme_that_is_chosen_holds_in_the_administration_too(
    page: Chrome, web: RunningWeb, ana: Owned
) -> None:
    ana.user.is_staff = True
    ana.user.save()
    page.get(web.url + reverse("dashboard"))
    for theme in ("dark", "light"):
        choose_theme(page, theme)
        page.get(web.url + reverse("admin:index"))
        assert page.execute_script("return document.documentElement.dataset.theme") == theme
        page.back()
