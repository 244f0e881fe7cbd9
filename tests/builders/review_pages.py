"""What a person does on the review page in a browser, what the page says then, and what is stored."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browser_pages import WatchedPage, open_page, wait_until
from playwright.sync_api import expect

from engine.artifacts import Store
from engine.review.verdicts import read_verdicts
from schemas.shards import SampleLabels

PATIENCE_MS = 60_000
VERDICTS = "**/api/verdicts"


def watched_at(chromium: Any, address: str, key: str, **options: Any) -> WatchedPage:
    """The page, at a sample, and what goes wrong on it."""
    watched = open_page(chromium, address, **options)
    watched.page.wait_for_selector("#boxes li")
    watched.page.evaluate("(key) => { location.hash = key; }", key)
    at_sample(watched.page, key)
    return watched


def opened(chromium: Any, address: str, key: str, **options: Any) -> Any:
    """The page, at a sample."""
    return watched_at(chromium, address, key, **options).page


def answered_by(page: Any, pattern: str, answer: Callable[[Any], object]) -> None:
    """Requests from now on go to the test, and not to the server."""
    page.route(pattern, answer)
    page.evaluate("0")  # routes and keys come to the page by different ways; now this route is there


def held_up(page: Any, pattern: str) -> list[Any]:
    """Requests from now on do not arrive: they are kept, for a test to let go or to break off."""
    waiting: list[Any] = []
    answered_by(page, pattern, lambda route: waiting.append(route))  # a builtin gets no mark of playwright's
    return waiting


def arrived(page: Any, waiting: list[Any], count: int) -> list[Any]:
    """The requests that are held up, once there are so many."""
    for _ in range(PATIENCE_MS // 20):
        if len(waiting) >= count:
            return waiting
        page.wait_for_timeout(20)
    raise AssertionError(f"{len(waiting)} of {count} requests were sent")


def held(dogs: Path, labels: SampleLabels) -> list[tuple[str, str, str]]:
    """What is stored of a sample: reviewer, word, phrase."""
    return [(one.reviewer, one.verdict, one.phrase_text) for one in read_verdicts(Store(dogs)).of(labels)]


def at_sample(page: Any, key: str) -> None:
    """A sample is shown, and its picture is there, or known not to come."""
    at_labels(page, key)
    wait_until(page, "!document.querySelector('#picture.coming') || !document.querySelector('#no-picture').hidden")


def at_labels(page: Any, key: str) -> None:
    """A sample is shown, perhaps still without its picture."""
    expect(page.locator("#meta span").first).to_have_text(key, timeout=PATIENCE_MS)


def said(page: Any, text: str) -> None:
    expect(page.locator("#status")).to_have_text(re.compile(f"^{re.escape(text)}"), timeout=PATIENCE_MS)


def states(page: Any) -> list[str]:
    return [text.strip() for text in page.locator("#boxes .state").all_inner_texts()]


def on_screen(page: Any, pixel: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
    """Where a pixel of the picture, which has this size as it is seen, lies in the window."""
    (x, y), (width, height) = pixel, size
    frame = page.locator("#overlay").bounding_box()
    return frame["x"] + x / width * frame["width"], frame["y"] + y / height * frame["height"]


def drag_to(page: Any, pixel: tuple[float, float], size: tuple[int, int]) -> None:
    """On to a pixel of the picture, with the button held down."""
    page.mouse.move(*on_screen(page, pixel, size), steps=4)


def drag(page: Any, start: tuple[float, float], end: tuple[float, float], size: tuple[int, int]) -> None:
    """From pixel to pixel of the picture."""
    at = on_screen(page, start, size)
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0] + 8, at[1] + 8)
    drag_to(page, end, size)
    page.mouse.up()
