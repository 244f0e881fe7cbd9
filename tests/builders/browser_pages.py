"""What the tests of pages ask of headless Chromium: a page that is listened to, and what axe finds on it.

Shared by the tests of the report's page and of the review server. The fixture ``chromium`` (``tests/pipelines/
conftest.py``) gives the browser: that of the system, no other is downloaded.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page

DESKTOP, PHONE = (1280, 900), (390, 844)
GRAVE = ("serious", "critical")


def chromium_path() -> str | None:
    """The Chromium or Chrome of this machine; None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass
class WatchedPage:
    """A page with what went wrong on it: console errors, uncaught exceptions, refused or failed requests."""

    page: Page
    troubles: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def open_page(
    browser: Browser, address: str, *, size: tuple[int, int] = DESKTOP, scheme: str = "light", **context: Any
) -> WatchedPage:
    """Open an address in a context of its own, which ends with the test."""
    width, height = size
    pages = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **context)
    watched = WatchedPage(pages.new_page())
    page = watched.page
    page.set_default_timeout(60_000)
    page.on("console", lambda line: watched.troubles.append(told(line)) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: watched.troubles.append(str(error)))
    page.on("requestfailed", lambda request: watched.troubles.append(f"failed: {request.url[:200]}"))
    page.on("request", lambda request: watched.requests.append(request.url))
    page.goto(address)
    return watched


def told(line: ConsoleMessage) -> str:
    """A line of the console, and what address it is about."""
    return f"{line.text} {line.location.get('url', '')}".strip()


def wait_until(page: Page, condition: str, seconds: float = 60.0) -> None:
    """Wait until a JavaScript expression holds. ``page.wait_for_function`` evaluates inside of the page, which our
    content security policy forbids."""
    for _ in range(int(20 * seconds)):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"after {seconds} s it does not hold that {condition}")


def grave_findings(page: Page) -> list[str]:
    """What axe finds on the page as it stands that is serious or critical: rule and the first elements of each."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): " + "; ".join(node["html"][:160] for node in one["nodes"][:3])
        for one in found
        if one["impact"] in GRAVE
    ]


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than its window; 0 where nothing scrolls sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
