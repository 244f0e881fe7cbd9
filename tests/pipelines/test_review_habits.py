"""The review page under the hands of somebody in a hurry, on a slow or a stopped server: no verdict goes astray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser_pages import DESKTOP, PHONE, grave_findings, overflow, wait_until
from PIL import Image
from report_datasets import dog, sample, write_dataset
from review_pages import answered_by, arrived, at_sample, drag, held, held_up, opened, said, states, watched_at
from turned_photos import stored_as

from engine.artifacts import Store
from engine.review.verdicts import read_verdicts
from schemas.orientation import box_as_stored

SEEN = (160, 120)  # the turned photo's size as it is seen, and a box there
LAMP = (100.0, 10.0, 140.0, 30.0)
WORD = "x" * 700
TURNED = sample(
    "turned", "a lamp", [(0, 6)], [(0, box_as_stored(LAMP, 6, 120, 160), 0.9)],
    stored_as(Image.new("RGB", SEEN, "teal"), 6), size=(120, 160),
)  # fmt: skip
LONG = "word " * 500 + "a dog" + " word" * 500
CAPTIONED = sample("long", LONG, [(2500, 2505)], [(0, (10, 10, 60, 80), 0.9)])
CROWD = sample("crowd", "a bird", [(0, 6)], [(0, (10 + n, 10, 60 + n, 80), 0.9) for n in range(30)])
STRIP = sample("strip", f"a {WORD}", [(0, 702)], [(0, (10, 0, 500, 4), 0.9)], size=(4000, 4))


@pytest.fixture(scope="module")
def dogs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(
        tmp_path_factory.mktemp("review") / "dogs", [*(dog(n) for n in range(12)), TURNED, STRIP, CAPTIONED, CROWD]
    )


def test_a_photo_that_is_turned_is_corrected_as_it_is_seen(chromium: Any, address: str, dogs: Path) -> None:
    page = opened(chromium, address, "turned")
    wait_until(
        page, "document.getElementById('picture').naturalWidth > document.getElementById('picture').naturalHeight"
    )
    drag(page, (140, 30), (150, 60), SEEN)
    said(page, "corrected: a lamp")
    [found] = read_verdicts(Store(dogs)).of(TURNED.labels)
    assert found.box_xyxy == TURNED.labels.boxes[0].box_xyxy
    assert found.drawn_xyxy == pytest.approx(box_as_stored((100, 10, 150, 60), 6, 120, 160), abs=0.6)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_what_was_said_stays_in_sight_above_a_long_list_of_boxes(chromium: Any, address: str, size: Any) -> None:
    page = opened(chromium, address, "crowd", size=size, reduced_motion="reduce")

    def in_sight() -> None:
        line, held_box = (page.locator(part).bounding_box() for part in ("#status", "#boxes .held"))
        assert line["y"] >= 0
        if size == DESKTOP:  # on a phone the list does not follow: it would scroll the picture away
            assert line["y"] + line["height"] <= held_box["y"]
            assert held_box["y"] + held_box["height"] <= size[1] + 1

    for _ in range(25):
        page.keyboard.press("ArrowDown")
    page.evaluate("document.querySelector('#boxes .held').scrollIntoView({ block: 'nearest' })")
    page.keyboard.press("a")
    said(page, "accepted: a bird")
    in_sight()
    for _ in range(25):
        page.keyboard.press("ArrowUp")
    in_sight()
    page.keyboard.press("u")
    said(page, "taken back")


def test_the_picture_before_is_never_under_the_boxes_of_the_next(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "000")
    seen = "picture => getComputedStyle(picture).opacity"
    assert page.eval_on_selector("#picture", seen) == "1"
    waiting = held_up(page, "**/api/picture?key=001&size=large")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('#meta span').textContent === '001'")
    assert page.eval_on_selector("#picture", seen) == "0"
    assert page.is_visible("#overlay")
    arrived(page, waiting, 1)[0].continue_()
    wait_until(page, "getComputedStyle(document.getElementById('picture')).opacity === '1'")


def test_a_key_that_is_held_down_gives_one_verdict_and_a_second_press_none(
    chromium: Any, address: str, dogs: Path
) -> None:
    page = opened(chromium, address, "002")
    for _ in range(5):
        page.keyboard.down("r")  # the second and later ones are repeats
    page.keyboard.up("r")
    page.keyboard.press("a")
    said(page, "accepted: a tree. Every shown box has a verdict.")
    files = len(list((dogs / "verdicts").iterdir()))
    page.keyboard.press("a")
    said(page, "accepted: a tree, as before")
    assert states(page) == ["✗ rejected by ann", "✓ accepted by ann"]
    assert len(list((dogs / "verdicts").iterdir())) == files


def test_with_caps_lock_on_a_letter_means_what_it_means_without(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "001")
    page.keyboard.press("A")  # as Caps Lock sends it: a capital, and no Shift
    said(page, "accepted: a dog")
    page.keyboard.press("U")
    said(page, "taken back")
    page.keyboard.press("Shift+a")
    said(page, "accepted 2 boxes")


def test_the_next_box_is_the_first_without_a_verdict_where_none_follows(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "003")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("a")
    said(page, "accepted: a tree")
    page.keyboard.press("a")
    said(page, "accepted: a dog")


def test_undo_at_once_takes_back_the_verdict_before_it(chromium: Any, address: str, dogs: Path) -> None:
    page = opened(chromium, address, "004")
    page.keyboard.press("a")
    said(page, "accepted: a dog")
    page.keyboard.press("r")
    page.keyboard.press("u")
    said(page, "taken back")
    assert held(dogs, dog(4).labels) == [("ann", "accepted", "a dog")]


def test_what_cannot_be_saved_is_not_shown_as_said(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "005")
    answered_by(page, "**/api/**", lambda route: route.abort())
    page.keyboard.press("a")
    said(page, "The server does not answer.")
    wait_until(page, "document.querySelector('#boxes .state').textContent === ''")


def test_what_a_search_does_not_show_is_not_judged(chromium: Any, address: str, dogs: Path) -> None:
    page = opened(chromium, address, "006")
    page.fill("[name=phrase]", "no such thing")
    page.keyboard.press("Enter")
    page.wait_for_selector("#empty:not([hidden])")
    page.keyboard.press("a")
    page.wait_for_timeout(300)
    assert held(dogs, dog(6).labels) == []


def test_after_a_search_letters_are_keys_again(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "007")
    page.keyboard.press("/")
    page.keyboard.type("dog")
    page.keyboard.press("Enter")
    wait_until(page, "document.querySelector('#totals').textContent.startsWith('13 pictures')")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.input_value("[name=phrase]") == "dog"
    page.fill("[name=min_score]", "0.123")  # as a recipe may have it: no multiple of a hundredth
    page.keyboard.press("Enter")
    wait_until(page, "document.activeElement.id === 'main'")


def test_after_a_drag_letters_are_keys_again(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "009")
    page.keyboard.press("/")
    drag(page, (60, 80), (40, 60), (160, 120))
    said(page, "corrected: a dog")
    page.keyboard.press("u")
    said(page, "taken back")
    page.click("[data-do=draw]")
    page.focus("#draw-phrase")
    drag(page, (90, 90), (120, 110), (160, 120))
    said(page, "added: ")
    page.keyboard.press("u")
    said(page, "taken back")


def test_pictures_that_are_passed_quickly_are_counted(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "008")
    answered_by(page, "**/api/sample?key=009", lambda route: None)  # its answer never comes
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('#meta span').textContent === '010'")


def test_a_picture_comes_whole_where_the_browser_refuses_its_address(chromium: Any, address: str) -> None:
    """As WebKit does after a hundred in ten seconds: an arrow key that is held down gets there."""
    page = opened(chromium, address, "008")
    page.evaluate("history.replaceState = () => { throw new DOMException('too many', 'SecurityError') }; true")
    page.keyboard.press("c")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    at_sample(page, "009")
    assert page.inner_text("#status") == ""
    assert page.locator("#boxes .pick").first.get_attribute("aria-pressed") == "true", "not where the last picture was"


def test_the_next_picture_is_made_ready_while_this_one_is_looked_at(chromium: Any, address: str) -> None:
    watched = watched_at(chromium, address, "008")
    came = "performance.getEntriesByType('resource').some(({ name }) => name.includes('key=009&size=large'))"
    wait_until(watched.page, came)
    assert not any("key=010&size=large" in request for request in watched.requests)


def test_the_focus_stays_where_a_verdict_was_given(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "011")
    page.locator("#boxes .reject").nth(1).focus()
    page.keyboard.press("Enter")
    said(page, "rejected: a tree")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "reject a tree 0.60"


def test_a_strip_and_a_word_without_end_fit_on_a_phone(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "strip", size=PHONE)
    assert page.locator("#frame").bounding_box()["height"] >= 30
    page.locator("[data-do=accept]").click()
    said(page, "accepted")
    page.click("#history-part summary")
    assert overflow(page) == 0


def test_a_choice_made_with_the_mouse_gives_the_letters_back(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "010")
    page.click("[name=size]")
    page.select_option("[name=size]", "any")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_whole_of_a_long_caption_is_there_at_the_chosen_phrase(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "long", size=PHONE)
    assert page.text_content("#caption") == LONG
    inside = (
        "caption => { const [one, all] = [caption.querySelector('.on'), caption].map(e => e.getBoundingClientRect());"
    )
    assert page.eval_on_selector("#caption", inside + " return one.top >= all.top && one.bottom <= all.bottom; }")
    assert grave_findings(page) == []
