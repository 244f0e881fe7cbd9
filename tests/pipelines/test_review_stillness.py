"""What stands on the review page stays where it is: nothing moves from under the pointer or the finger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser_pages import DESKTOP, PHONE, open_page, wait_until
from report_datasets import dog, write_dataset
from review_pages import arrived, at_sample, held_up, said
from review_servers import review_server


@pytest.fixture(scope="module")
def dogs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("review") / "dogs", [dog(n) for n in range(16)])


def place(page: Any, selector: str) -> Any:
    """Where an element is in the window, at this moment."""
    return page.eval_on_selector(selector, "element => element.getBoundingClientRect().toJSON()")


def test_a_picture_far_down_the_list_is_at_its_place_at_once(chromium: Any, address: str) -> None:
    """Where the list scrolls the window smoothly, a drag begun meanwhile misses its corner."""
    page = open_page(chromium, address).page
    page.wait_for_selector("#boxes li")
    page.evaluate("globalThis.heights = []; addEventListener('scroll', () => heights.push(scrollY))")
    page.evaluate("location.hash = '015'")
    at_sample(page, "015")
    page.wait_for_timeout(500)
    assert len(page.evaluate("heights")) == 1


def test_the_next_picture_leaves_a_phone_where_it_was_scrolled_to(chromium: Any, address: str) -> None:
    page = open_page(chromium, address, size=PHONE).page
    page.wait_for_selector("#boxes li")
    page.evaluate("document.querySelector('#viewer').scrollIntoView({ behavior: 'instant' })")
    button = place(page, "[data-do=next]")
    for key in ("001", "002", "003", "004"):
        page.locator("[data-do=next]").click()
        at_sample(page, key)
    page.wait_for_timeout(500)
    assert place(page, "[data-do=next]") == button
    assert page.eval_on_selector("#samples", "list => list.scrollLeft") > 0, "the list shows the picture all the same"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_totals_that_come_late_move_nothing(chromium: Any, address: str, size: tuple[int, int]) -> None:
    page = open_page(chromium, address, size=size).page
    page.wait_for_selector("#boxes li")
    wait_until(page, "document.querySelector('#totals').textContent !== ''")
    waiting = held_up(page, "**/api/totals?*")
    page.fill("[name=phrase]", "dog")
    page.keyboard.press("Enter")
    [totals] = arrived(page, waiting, 1)
    assert page.inner_text("#totals") == ""
    before = place(page, "#samples"), place(page, "#frame")
    totals.continue_()
    wait_until(page, "document.querySelector('#totals').textContent !== ''")
    assert (place(page, "#samples"), place(page, "#frame")) == before


def test_a_number_of_verdicts_breaks_no_line_of_the_head(chromium: Any, address: str) -> None:
    """A line more or less of it would move the picture, unless the browser scrolls to make up for it."""
    page = open_page(chromium, address).page
    page.wait_for_selector("#boxes li")
    heights = """counts => new Set(counts.map((count) => {
      globalThis.glip.page.verdicts(count);
      return document.querySelector('.masthead').offsetHeight;
    })).size"""
    for width in range(340, 460, 6):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate(heights, [0, 1, 2, 10, 100, 1000]) == 1, width


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_first_verdict_moves_nothing(chromium: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    with review_server(write_dataset(tmp_path / "dogs", [dog(0), dog(1)]), "ann") as address:
        page = open_page(chromium, address, size=size).page
        page.wait_for_selector("#boxes li")
        at_sample(page, "000")
        before = place(page, "#frame")
        page.keyboard.press("a")
        said(page, "accepted: a dog")
        assert place(page, "#frame") == before
        page.context.close()
