"""The review page in a browser: a person searches, judges by keys and mouse, and finds it stored after a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_pages import DESKTOP, PHONE, WatchedPage, grave_findings, open_page, overflow
from report_datasets import HOSTILE, dog, sample, write_dataset
from review_pages import at_sample, drag, held, said, states, watched_at
from review_servers import review_server

from engine.artifacts import Store
from engine.review.verdicts import read_verdicts

SIZE = (160, 120)
DOG, TREE = (10.0, 10.0, 60.0, 80.0), (80.0, 5.0, 150.0, 110.0)
EVIL = sample(
    "evil", f"a \u202egod\u202c 🐈 {HOSTILE}", [(2, 7), (10, 10 + len(HOSTILE))], [(0, DOG, 0.9), (1, TREE, 0.8)]
)
LOW = sample("low", "a cat", [(0, 5)], [(0, DOG, 0.2)])


@pytest.fixture(scope="module")
def dogs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = [*(dog(number) for number in range(30)), EVIL, LOW]
    return write_dataset(tmp_path_factory.mktemp("review") / "dogs", samples, units=3)


@pytest.fixture
def visit(chromium: Any, address: str) -> Iterator[Callable[..., WatchedPage]]:
    """Opens the page, at a sample where a key is given; it must stay without an error to the end."""
    opened: list[WatchedPage] = []

    def open_it(key: str = "000", **options: Any) -> WatchedPage:
        opened.append(watched_at(chromium, address, key, **options))
        return opened[-1]

    yield open_it
    troubles = [trouble for watched in opened for trouble in watched.troubles]
    assert troubles == []


def test_the_page_shows_the_dataset_and_asks_nobody_else(visit: Callable[..., WatchedPage], address: str) -> None:
    watched = visit()
    page = watched.page
    assert "token" not in page.url
    assert page.title() == "dogs · glip-engine review"
    page.wait_for_function("() => document.getElementById('totals').textContent !== ''")
    assert page.inner_text("#totals") == "31 pictures, 62 boxes", "of what the dataset's own selection keeps"
    assert page.locator("#samples img").count() == 24
    assert page.inner_text("#caption") == "a dog by a tree"
    assert all(request.startswith(address.partition("?")[0]) for request in watched.requests)


def test_a_link_on_another_page_leads_in_without_leaving_the_token(chromium: Any, address: str) -> None:
    """As from a terminal in a browser: the cookie is strict, and this page is another site's."""
    page = chromium.new_context().new_page()
    page.goto(f"data:text/html,<a href='{address}'>review</a>")
    page.click("a")
    page.wait_for_selector("#boxes li")
    assert "token" not in page.url
    page.context.close()


def test_a_search_by_phrase_score_and_page_finds(visit: Callable[..., WatchedPage]) -> None:
    page = visit().page
    page.keyboard.press("/")
    page.keyboard.type("CAT")
    page.fill("[name=min_score]", "0.1")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('#samples li').length === 1")
    page.wait_for_function("() => document.querySelector('#caption').innerText === 'a cat'")  # asked for after the list
    page.fill("[name=phrase]", "tree")
    page.click("#search [type=submit]")
    page.wait_for_function("() => document.querySelectorAll('#samples li').length === 24")
    page.click("#page-next")
    page.wait_for_function("() => document.querySelectorAll('#samples li').length === 6")
    page.click("#page-back")
    page.wait_for_function("() => document.querySelectorAll('#samples li').length === 24")
    page.fill("[name=phrase]", "no such thing")
    page.keyboard.press("Enter")
    page.wait_for_selector("#empty:not([hidden])")


def test_keys_accept_and_reject_and_a_reload_shows_it(visit: Callable[..., WatchedPage], dogs: Path) -> None:
    page = visit("001").page
    page.keyboard.press("a")
    page.keyboard.press("r")  # at once: it is about the next box
    said(page, "rejected: a tree")
    assert held(dogs, dog(1).labels) == [("ann", "accepted", "a dog"), ("ann", "rejected", "a tree")]
    page.reload()
    at_sample(page, "001")
    assert states(page) == ["✓ accepted by ann", "✗ rejected by ann"]
    page.keyboard.press("ArrowRight")
    at_sample(page, "002")


@pytest.mark.parametrize("size", [(1024, 768), DESKTOP], ids=["laptop", "desktop"])
def test_picture_caption_and_boxes_are_on_the_first_screen(visit: Callable[..., WatchedPage], size: Any) -> None:
    page = visit(size=size).page
    for part in ("#frame", "#caption", ".tools", "#boxes li:last-child"):
        place = page.locator(part).bounding_box()
        assert place["y"] + place["height"] <= size[1], part


def test_the_verdicts_that_hold_are_counted_as_they_are_given(visit: Callable[..., WatchedPage], dogs: Path) -> None:
    page = visit("016").page
    before = len(read_verdicts(Store(dogs)))
    page.keyboard.press("Shift+A")
    said(page, "accepted 2 boxes")
    assert page.inner_text("#verdicts") == f"{before + 2} verdicts"
    page.keyboard.press("u")
    said(page, "taken back")
    assert len(read_verdicts(Store(dogs))) == before
    assert page.inner_text("#verdicts") == ("1 verdict" if before == 1 else f"{before} verdicts")


def test_a_dragged_corner_corrects_a_box_and_undo_takes_it_back(visit: Callable[..., WatchedPage], dogs: Path) -> None:
    page = visit("003").page
    drag(page, (60, 80), (70, 100), SIZE)
    said(page, "corrected: a dog")
    [found] = read_verdicts(Store(dogs)).of(dog(3).labels)
    assert (found.verdict, found.box_xyxy) == ("corrected", DOG)
    assert found.drawn_xyxy == pytest.approx((10, 10, 70, 100), abs=0.6)
    page.keyboard.press("u")
    said(page, "taken back")
    assert held(dogs, dog(3).labels) == []
    assert len(list((dogs / "verdicts").iterdir())) >= 2, "what was taken back is still on record"


def test_boxes_are_moved_and_corrected_by_keys(visit: Callable[..., WatchedPage], dogs: Path) -> None:
    page = visit("004").page
    page.keyboard.press("e")
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowRight", "Enter"):
        page.keyboard.press(key)
    said(page, "corrected: a dog")
    [found] = read_verdicts(Store(dogs)).of(dog(4).labels)
    assert found.drawn_xyxy == pytest.approx((11.6, 11.2, 63.2, 81.2))


def test_a_box_is_drawn_for_a_phrase_and_the_rest_accepted(visit: Callable[..., WatchedPage], dogs: Path) -> None:
    page = visit("005").page
    page.select_option("#draw-phrase", label="a tree")
    page.keyboard.press("d")
    drag(page, (20, 90), (60, 118), SIZE)
    said(page, "added: a tree")
    page.keyboard.press("Shift+A")
    said(page, "accepted 2 boxes")
    assert held(dogs, dog(5).labels) == [
        ("ann", "added", "a tree"), ("ann", "accepted", "a dog"), ("ann", "accepted", "a tree"),
    ]  # fmt: skip


def test_candidates_that_are_not_selected_can_be_judged_too(visit: Callable[..., WatchedPage], dogs: Path) -> None:
    page = visit("low").page
    assert "No box is selected" in page.inner_text("#boxes")
    page.click("[data-do=candidates]")
    assert states(page) == ["not selected"]
    page.locator("#boxes .accept").click()
    said(page, "accepted: a cat")
    assert held(dogs, LOW.labels) == [("ann", "accepted", "a cat")]


def test_a_second_reviewer_sees_the_first_and_adds_to_it(
    visit: Callable[..., WatchedPage], chromium: Any, dogs: Path
) -> None:
    first = visit("006").page
    first.keyboard.press("a")
    said(first, "accepted: a dog")
    before = {path: path.read_bytes() for path in (dogs / "verdicts").iterdir()}
    with review_server(dogs, "bob") as other:
        page = open_page(chromium, other).page
        page.wait_for_selector("#boxes li")
        page.evaluate("location.hash = '006'; location.reload()")
        at_sample(page, "006")
        assert states(page) == ["✓ accepted by ann", ""]
        page.locator("#boxes .reject").first.click()
        said(page, "rejected: a dog")
        page.context.close()
    assert {path: path.read_bytes() for path in before} == before
    assert held(dogs, dog(6).labels) == [("bob", "rejected", "a dog")]
    first.reload()
    first.wait_for_function("() => document.querySelector('#boxes .state')?.textContent.includes('bob')")
    first.click("#history-part summary")
    assert first.locator("#history li").count() == 2


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pictures_of_many_boxes_fit_into_the_list(chromium: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    boxes = [(0, (n / 2, n / 2, 60 + n / 2, 50 + n / 2), 0.9) for n in range(120)]
    crowded = [sample(key, "a dog", [(0, 5)], boxes) for key in ("one", "two")]
    with review_server(write_dataset(tmp_path / "crowded", crowded), "ann") as found:
        page = open_page(chromium, found, size=size).page
        page.wait_for_selector("#samples .n >> nth=1")
        wide = "parts => parts.filter(part => part.scrollWidth > part.clientWidth).map(part => part.outerHTML)"
        assert page.eval_on_selector_all(".found, #samples, #samples button", wide) == []
        page.context.close()


def test_captions_of_any_kind_are_shown_as_text(visit: Callable[..., WatchedPage]) -> None:
    page = visit("evil").page
    assert page.title() == "dogs · glip-engine review"
    assert page.text_content("#caption") == EVIL.labels.caption
    assert page.locator("#caption script, #boxes script, #caption img, #boxes img").count() == 0
    assert HOSTILE in (page.text_content("#boxes") or "")
    assert HOSTILE in (page.text_content("#draw-phrase") or "")


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light")])
def test_axe_finds_nothing_grave(visit: Callable[..., WatchedPage], size: tuple[int, int], scheme: str) -> None:
    page = visit("007", size=size, scheme=scheme).page
    page.keyboard.press("r")
    said(page, "rejected")
    page.click("#keys summary")
    assert grave_findings(page) == []
    assert overflow(page) == 0
