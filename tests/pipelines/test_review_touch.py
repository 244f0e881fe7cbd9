"""The review page under a finger: real touches, for which the browser would rather scroll."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser_pages import PHONE
from report_datasets import dog, write_dataset
from review_pages import on_screen, opened, said

from engine.artifacts import Store
from engine.review.verdicts import read_verdicts

SIZE = (160, 120)
Pixel = tuple[float, float]


@pytest.fixture(scope="module")
def dogs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("touch") / "dogs", [dog(n) for n in range(4)])


@pytest.fixture
def visit(chromium: Any, address: str) -> Callable[[str], Any]:
    def visit(key: str) -> Any:
        page = opened(chromium, address, key, size=PHONE, has_touch=True, is_mobile=True)
        page.evaluate("document.querySelector('#frame').scrollIntoView({ block: 'center' })")
        return page

    return visit


def swipe(page: Any, start: Pixel, end: Pixel) -> None:
    """A finger goes from pixel to pixel of the picture."""
    (x, y), (to_x, to_y) = on_screen(page, start, SIZE), on_screen(page, end, SIZE)
    steps = [(x + (to_x - x) * part, y + (to_y - y) * part) for part in (0, 0.3, 0.6, 1)]
    session = page.context.new_cdp_session(page)
    for kind, point in zip(["touchStart", *["touchMove"] * 3], steps, strict=True):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": point[0], "y": point[1]}]})
        page.wait_for_timeout(30)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def drawn(dogs: Path, number: int) -> Any:
    """The box of the only verdict on a picture."""
    [verdict] = read_verdicts(Store(dogs)).of(dog(number).labels)
    return verdict.drawn_xyxy


def test_a_corner_is_dragged_by_a_finger(visit: Callable[[str], Any], dogs: Path) -> None:
    page = visit("001")
    swipe(page, (60, 80), (70, 100))
    said(page, "corrected: a dog")
    assert drawn(dogs, 1) == pytest.approx((10, 10, 70, 100), abs=0.6)


def test_a_box_is_moved_by_its_edge_with_a_finger(visit: Callable[[str], Any], dogs: Path) -> None:
    page = visit("002")
    swipe(page, (60, 45), (80, 65))
    said(page, "corrected: a dog")
    assert drawn(dogs, 2) == pytest.approx((30, 30, 80, 100), abs=0.6)


def test_a_box_is_drawn_with_a_finger(visit: Callable[[str], Any], dogs: Path) -> None:
    page = visit("003")
    page.locator("[data-do=draw]").tap()
    said(page, "Drag over the picture")
    page.evaluate("document.querySelector('#frame').scrollIntoView({ block: 'center' })")
    swipe(page, (90, 20), (140, 100))
    said(page, "added: a dog")
    assert drawn(dogs, 3) == pytest.approx((90, 20, 140, 100), abs=0.6)


def test_elsewhere_on_the_picture_a_finger_scrolls(visit: Callable[[str], Any]) -> None:
    page = visit("000")
    before = page.evaluate("scrollY")
    swipe(page, (150, 110), (150, 20))
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") > before
    assert page.inner_text("#status") == ""
