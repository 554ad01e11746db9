"""The report in a real browser, opened from disk; every request that isn't for the file itself would be an error."""

from collections.abc import Iterator
from typing import Any

import pytest

from browser import chromium, console, load, overflow, requested, resize, settle, wait
from report_made import Made

INTERACTIVE_S = 2.0


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


def open_page(browser: Any, made: Made, width: int = 1280, is_dark: bool = False) -> None:
    resize(browser, width, is_dark=is_dark)
    load(browser, (made.folder / "index.html").as_uri())
    wait(browser, "return document.documentElement.dataset.drawn")


def test_every_chart_is_drawn_without_an_error_or_a_request(browser: Any, full: Made) -> None:
    console(browser)
    requested(browser)
    open_page(browser, full)
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('.plot')].map(p => [p.id, p.querySelectorAll('svg .trace').length])"
    )
    assert [key for key, _ in drawn] == list(full.figures)
    assert all(num > 0 for _, num in drawn)
    assert console(browser) == []
    assert requested(browser) == [(full.folder / "index.html").as_uri()]


def test_all_charts_stand_after_two_seconds_of_processor_time(browser: Any, full: Made) -> None:
    # By the clock it would be the machine's other work that decides.
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    taken_s = []
    for _ in range(3):
        open_page(browser, full)
        metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        taken_s += [metric["value"] for metric in metrics if metric["name"] == "ThreadTime"]
    browser.execute_cdp_cmd("Performance.disable", {})
    assert 0 < min(taken_s) < INTERACTIVE_S


def test_pointing_at_a_model_shows_its_name_and_numbers(browser: Any, full: Made) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    open_page(browser, full)
    plot = browser.find_element("id", "chart-trend")
    browser.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot
    )
    x, y = browser.execute_script(
        """const plot = arguments[0], box = plot.getBoundingClientRect(), {xaxis, yaxis} = plot._fullLayout;
        const trace = plot.data.find(t => t.name === 'open');
        const place = trace.hovertext.findIndex(text => text.includes('alert(1)'));
        return [box.left + xaxis._offset + xaxis.d2p(trace.x[place]), box.top + yaxis._offset + yaxis.d2p(trace.y[place])]""",
        plot,
    )
    actions = ActionChains(browser)
    actions.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    actions.perform()
    text = wait(browser, "return document.querySelector('#chart-trend .hoverlayer')?.textContent")
    assert "<script>alert(1)</script>" in text
    assert "2025-01-15, open weights" in text
    assert "5 benchmarks; <b>us</b>" in text
    assert "index" in text


def test_the_button_turns_colours_of_page_and_charts_and_is_kept(browser: Any, full: Made) -> None:
    open_page(browser, full)
    colours = """const of = (s, p) => getComputedStyle(document.querySelector(s))[p];
        return [of('body', 'backgroundColor'), of('#chart-trend .xtick text', 'fill'), of('#theme', 'color')]"""
    light = browser.execute_script(colours)
    browser.find_element("id", "theme").click()
    turned = f"const now = (() => {{ {colours} }})(); return now.every((c, i) => c !== arguments[0][i]) && now"
    dark = wait(browser, turned, light)
    browser.refresh()
    settle(browser)
    wait(browser, "return document.documentElement.dataset.drawn")
    assert browser.execute_script(colours) == dark
    assert browser.find_element("id", "theme").text == "Light"
    browser.execute_script("localStorage.clear()")


def test_a_dark_system_gets_a_dark_page(browser: Any, full: Made) -> None:
    open_page(browser, full, is_dark=True)
    rgb = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in rgb[4:-1].split(",")) < 60


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_page_never_scrolls_sideways(browser: Any, full: Made, width: int) -> None:
    open_page(browser, full, width)
    browser.execute_script("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    # Charts in what has just been opened take its width a moment later.
    widest = "Math.max(...[...document.querySelectorAll('.plot svg')].map(s => s.getBoundingClientRect().right))"
    wait(browser, f"return {widest} <= arguments[0]", width)
    assert overflow(browser) <= 0


@pytest.mark.parametrize("width", [390, 1280])
def test_a_board_ends_at_a_whole_column_wherever_it_is_scrolled_to(
    browser: Any, full: Made, width: int
) -> None:
    open_page(browser, full, width)
    cut = browser.execute_script("""const board = document.querySelector('.board'), found = [];
        for (const at of [0, 150, 1e4]) {
          board.scrollLeft = at;
          const end = board.getBoundingClientRect().right;
          for (const head of board.querySelectorAll('thead th')) {
            const box = head.getBoundingClientRect();
            if (box.left < end - 1 && box.right > end + 1) found.push([at, head.textContent]);
          }
        }
        return found""")
    assert cut == []


def test_charts_follow_the_width(browser: Any, full: Made) -> None:
    open_page(browser, full, 1280)
    resize(browser, 600)
    wait(
        browser,
        "return document.querySelector('#chart-trend .main-svg').getBoundingClientRect().width <= 600",
    )


def test_the_keyboard_reaches_content_first(browser: Any, full: Made) -> None:
    from selenium.webdriver.common.keys import Keys

    open_page(browser, full)
    browser.switch_to.active_element.send_keys(Keys.TAB)
    focused = browser.switch_to.active_element
    assert focused.text == "Skip to content"
    assert focused.rect["x"] >= 0
    focused.send_keys(Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "main"


def test_an_empty_store_draws_its_trend(browser: Any, empty: Made) -> None:
    console(browser)
    open_page(browser, empty)
    assert console(browser) == []
    assert browser.find_elements("css selector", "#chart-trend svg .trace")
