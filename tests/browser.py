"""A headless Chromium for tests of pages, or a skip where there is none: Debian's `chromium` and `chromium-driver`.

Nothing outside this machine can be reached from it: every other name resolves to nothing.
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


_FIRST = "data:text/html,%3Cmeta%20name=viewport%20content=width=device-width%3E"
"""An empty page that a phone shows as wide as it is."""


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A browser whose console and requests are recorded; skips the test where it can't be started.

    Args:
        profile: an empty folder for its data.
    """
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("no chromium: `apt-get install chromium chromium-driver`")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        load(started, _FIRST)  # the browser's own first page is over
        yield started
    finally:
        started.quit()


def console(browser: Any) -> list[str]:
    """What the pages have written to the console since it was asked last: errors and refused loads among it."""
    return [entry["message"] for entry in browser.get_log("browser")]


def requested(browser: Any) -> list[str]:
    """Addresses that the pages have asked for since it was asked last.

    What a page of the browser's own asks for (its first tab shows one, whose requests can come in late) is none of
    ours, and content within its address (data:) is not a request.
    """
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [
        request["request"]["url"]
        for request in asked
        if not request["documentURL"].startswith(_OWN_PAGES)
        and not request["request"]["url"].startswith("data:")
    ]


_OWN_PAGES = ("chrome:", "chrome-untrusted:", "chrome-search:", "chrome-extension:", "devtools:")


def load(browser: Any, address: str) -> None:
    """Open a page and wait until it is whole: the driver can return while a style sheet is still on its way."""
    browser.get(address)
    wait(browser, "return location.href === new URL(arguments[0]).href", address)
    settle(browser)


def settle(browser: Any) -> None:
    """Wait until the page that is open is whole: loaded, each of its style sheets applied, nothing moving."""
    wait(browser, _SETTLED)


_SETTLED = """
return document.readyState === 'complete' && document.getAnimations().every(a => a.playState === 'finished')
  && [...document.querySelectorAll('link[rel=stylesheet]')].every(link => link.sheet?.cssRules.length)
"""


def wait(browser: Any, script: str, *arguments: Any, most_s: float = 30) -> Any:
    """What the script returns as soon as that is something; an error if it never is."""
    until = time.monotonic() + most_s
    while time.monotonic() < until:
        if found := browser.execute_script(script, *arguments):
            return found
        time.sleep(0.02)
    raise AssertionError(f"never came true: {script} {arguments}")


def hosts(addresses: list[str]) -> set[str]:
    """The hosts of addresses in a network; the browser's own pages have none."""
    parts = [urlsplit(address) for address in addresses]
    return {str(part.hostname) for part in parts if part.scheme in ("http", "https", "ws", "wss")}


def resize(browser: Any, width: int, height: int = 900, *, is_dark: bool = False) -> None:
    """Show pages as on a screen of this size (CSS pixels) and colour scheme."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    shown = "return innerWidth === arguments[0] && matchMedia(`(prefers-color-scheme: ${arguments[1]})`).matches"
    wait(browser, shown, width, scheme["value"])


def overflow(browser: Any) -> int:
    """CSS pixels by which the page is wider than its window."""
    script = "const e = document.documentElement; return e.scrollWidth - e.clientWidth"
    return int(browser.execute_script(script))
