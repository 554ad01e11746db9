"""The viewer in a real browser: nothing on the console, nothing from elsewhere, nothing run that a model wrote."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import chromium, console, hosts, load, overflow, requested, resize, settle
from viewer.viewer_store import FIRST, ODD, SECOND

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")

COLOURS = f"/runs/{FIRST}/samples?task=colours"
EVIL = f"/runs/{ODD}/sample?task=texts&doc=0"
LONG = f"/runs/{ODD}/sample?task=texts&doc=1"
COMPARED = f"/compare?a={FIRST}&b={SECOND}"
PAGES = [
    "/",
    f"/runs/{FIRST}",
    COLOURS,
    f"/runs/{FIRST}/sample?task=colours&doc=5&other={SECOND}",
    EVIL,
    LONG,
    f"/runs/{FIRST}/curves",
    COMPARED,
    f"/compare?a={FIRST}&b={ODD}",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def base(store: Path, browser: Any) -> Iterator[str]:
    from evalharness.viewer.app import create_app

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(store), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(autouse=True)
def _fresh(browser: Any) -> None:
    resize(browser, 1280)
    console(browser)
    requested(browser)


def find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def find_all(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements("css selector", selector))


def arrive(browser: Any, part: str) -> None:
    """Wait until an address with this part is there."""
    end = time.monotonic() + 10
    while part not in browser.current_url:
        assert time.monotonic() < end, browser.current_url
        time.sleep(0.02)
    settle(browser)


@pytest.mark.parametrize("path", PAGES)
def test_pages_load_quietly_and_from_this_machine_only(browser: Any, base: str, path: str) -> None:
    load(browser, base + path)
    said = [line for line in console(browser) if "409 (Conflict)" not in line]  # a refusal
    assert said == []
    addresses = requested(browser)
    assert any(address.endswith("/static/viewer.css") for address in addresses)
    assert hosts(addresses) == {"127.0.0.1"}
    body = find(browser, "body")
    assert body.value_of_css_property("margin") == "0px"  # the style sheet was allowed


def test_what_the_browsers_own_pages_ask_for_is_not_ours(browser: Any, base: str) -> None:
    load(browser, "chrome://version/")
    load(browser, base)
    assert {address.removeprefix(base) for address in requested(browser)} <= {
        *("/", "/static/viewer.css", "/static/viewer.js", "/static/icon.svg")
    }


def test_a_page_is_looked_at_once_its_style_sheet_is_applied(browser: Any, base: str) -> None:
    load(browser, base)
    browser.set_network_conditions(latency=500, throughput=10**7)
    browser.execute_script(
        "const old = document.querySelector('link[rel=stylesheet]'), late = old.cloneNode();"
        "late.href += '?late'; old.replaceWith(late)"
    )
    settle(browser)
    pale = browser.execute_script(_PALE)
    browser.delete_network_conditions()
    assert pale == []


@pytest.mark.parametrize("path", PAGES)
def test_pages_fit_a_phone(browser: Any, base: str, path: str) -> None:
    resize(browser, 390)
    load(browser, base + path)
    assert overflow(browser) == 0


def test_dark_is_dark(browser: Any, base: str) -> None:
    colours = []
    for is_dark in (False, True):
        resize(browser, 1280, is_dark=is_dark)
        load(browser, base)
        colours.append(find(browser, "body").value_of_css_property("background-color"))
    assert colours == ["rgba(255, 255, 255, 1)", "rgba(20, 22, 26, 1)"]


def test_what_a_model_wrote_does_nothing(browser: Any, base: str) -> None:
    load(browser, base + EVIL)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert "<script>alert(1)</script>" in find(browser, "main").text
    assert find_all(browser, "main script, main img, #evil, main a[href^='javascript']") == []
    from selenium.common.exceptions import NoAlertPresentException

    with pytest.raises(NoAlertPresentException):
        _ = browser.switch_to.alert
    assert console(browser) == []


def test_a_script_of_another_page_would_be_refused(browser: Any, base: str) -> None:
    load(browser, base)
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)"
    )
    assert browser.execute_script("return window.ran") is None
    assert "Content Security Policy" in " ".join(console(browser))


def test_filters_are_applied_by_the_form(browser: Any, base: str) -> None:
    load(browser, base + COLOURS)
    find(browser, "input[value=truncated]").click()
    find(browser, "form.filters button").click()
    arrive(browser, "show=truncated")
    assert [cell.text for cell in find_all(browser, "tbody th")] == ["8"]
    assert find(browser, "input[value=truncated]").is_selected()
    find(browser, ".actions a").click()
    arrive(browser, "samples?task=colours")
    find(browser, "input[name=contains]").send_keys("the sky")
    find(browser, f"select[name=other] option[value={SECOND}]").click()
    find(browser, "form.filters button").click()
    arrive(browser, "other=" + SECOND)
    assert [cell.text for cell in find_all(browser, "tbody th")] == ["7"]
    find(browser, "tbody th a").click()
    arrive(browser, "doc=7")
    assert len(find_all(browser, "section.side")) == 2


def test_two_runs_are_compared_from_the_first_page(browser: Any, base: str) -> None:
    load(browser, base)
    find(browser, f"select[name=a] option[value={FIRST}]").click()
    find(browser, f"select[name=b] option[value={SECOND}]").click()
    find(browser, "form[action='/compare'] button").click()
    arrive(browser, COMPARED)
    find(browser, "select[name=way] option[value=better]").click()
    find(browser, "#flips button").click()
    arrive(browser, "way=better")
    assert [cell.text for cell in find_all(browser, "#flips tbody th")] == ["5"]
    find(browser, "#flips tbody th a").click()
    arrive(browser, "doc=5")
    assert len(find_all(browser, "section.side")) == 2
    find(browser, "a[href^='/compare']").click()
    arrive(browser, "task=colours")


def test_a_curve_is_drawn_within_its_frame(browser: Any, base: str) -> None:
    load(browser, f"{base}/runs/{FIRST}/curves")
    outside = browser.execute_script(
        "const frame = document.querySelector('.plot').getBoundingClientRect();"
        "return [...document.querySelectorAll('.plot :not(title, desc)')].map(e => e.getBoundingClientRect()).filter(r =>"
        " r.left < frame.left || r.right > frame.right || r.top < frame.top || r.bottom > frame.bottom).length"
    )
    assert outside == 0
    assert len(find_all(browser, ".plot polyline")) == 4
    colours = {e.value_of_css_property("stroke") for e in find_all(browser, ".plot polyline")}
    assert len(colours) == 4


def test_thinking_folds(browser: Any, base: str) -> None:
    load(browser, base + LONG)
    inside = find(browser, "details.thinking pre")
    assert not inside.is_displayed()
    find(browser, "details.thinking summary").click()
    assert inside.is_displayed()
    assert inside.text.startswith("Let me see.")


def test_all_of_a_long_line_is_shown_on_demand(browser: Any, base: str) -> None:
    load(browser, base + LONG)
    find(browser, "#a-response .gap a").click()
    arrive(browser, "#a-response")
    shown = browser.execute_script(
        "return document.querySelector('#a-response pre').textContent.length"
    )
    assert shown == 1_000_000
    assert overflow(browser) == 0


def test_arrow_keys_go_from_sample_to_sample(browser: Any, base: str) -> None:
    load(browser, f"{base}/runs/{FIRST}/sample?task=colours&show=right&doc=3")
    find(browser, "body").send_keys("\ue014")
    arrive(browser, "doc=6")
    find(browser, "body").send_keys("\ue012")
    arrive(browser, "doc=3")


def test_the_first_tab_skips_to_the_content(browser: Any, base: str) -> None:
    load(browser, base)
    find(browser, "body").send_keys("\ue004")
    focused = browser.switch_to.active_element
    assert focused.text == "Skip to the content"
    assert focused.rect["x"] >= 0
    focused.send_keys("\ue007")
    assert browser.switch_to.active_element.get_attribute("id") == "main"


@pytest.mark.parametrize("path", PAGES)
def test_every_field_has_a_label_and_every_page_one_heading(
    browser: Any, base: str, path: str
) -> None:
    load(browser, base + path)
    unlabelled = browser.execute_script(
        "return [...document.querySelectorAll('input:not([type=hidden]), select')].filter(e => !e.labels.length).length"
    )
    assert unlabelled == 0
    assert len(find_all(browser, "h1")) == 1
    assert find(browser, "html").get_attribute("lang") == "en"


@pytest.mark.parametrize("is_dark", [False, True])
def test_texts_have_enough_contrast(browser: Any, base: str, is_dark: bool) -> None:
    resize(browser, 1280, is_dark=is_dark)
    for path in PAGES:
        load(browser, base + path)
        assert browser.execute_script(_PALE) == []


_PALE = """
const parse = text => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
  .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = e => { for (; e; e = e.parentElement) {
  const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; }
  throw new Error('no colour behind the text: the style sheet is not applied'); };
return [...document.querySelectorAll('body *')]
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && e.checkVisibility()
          && !['OPTION', 'SELECT'].includes(e.tagName))
  .map(e => { const s = getComputedStyle(e); const a = light(parse(s.color)), b = light(behind(e));
    return [e.tagName, e.className, e.textContent.slice(0, 30), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]; })
  .filter(found => found[3] < 4.5);
"""
