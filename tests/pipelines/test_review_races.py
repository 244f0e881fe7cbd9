"""The review page where answers come late, in another order or not at all: the newest request counts, what is on its
way is shown as said, and nobody is led away from a picture or back to one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from browser_pages import open_page, wait_until
from playwright.sync_api import expect
from report_datasets import dog, write_dataset
from review_pages import (
    VERDICTS,
    answered_by,
    arrived,
    at_labels,
    at_sample,
    drag_to,
    held,
    held_up,
    on_screen,
    opened,
    said,
    states,
)
from review_servers import review_server

SIZE = (160, 120)
Visit = Callable[[str], Any]
SAMPLE, SAMPLES, TOTALS = (f"**/api/{name}?*" for name in ("sample", "samples", "totals"))


@pytest.fixture(scope="module")
def dogs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("races") / "dogs", [dog(n) for n in range(60)], units=2)


@pytest.fixture
def visit(chromium: Any, address: str) -> Visit:
    return partial(opened, chromium, address)


def on_to(page: Any, key: str) -> None:
    """From the picture before it."""
    page.keyboard.press("ArrowRight")
    at_sample(page, key)


def quiet(page: Any) -> None:
    """Gives the page time for what it must not do."""
    page.wait_for_timeout(300)


def shown_keys(page: Any) -> list[str]:
    return [label.split()[1].rstrip(",") for label in page.eval_on_selector_all(
        "#samples button", "buttons => buttons.map(button => button.getAttribute('aria-label'))"
    )]  # fmt: skip


# ------------------------------------------------------------------------------------------------ searches and pages


def test_a_page_that_fails_after_a_newer_search_changes_nothing(visit: Visit) -> None:
    page = visit("000")
    waiting = held_up(page, SAMPLES)
    page.click("#page-next")
    arrived(page, waiting, 1)
    page.fill("[name=phrase]", "dog")
    page.keyboard.press("Enter")
    arrived(page, waiting, 2)[1].continue_()
    wait_until(page, "document.querySelector('#totals').textContent.startsWith('60 pictures, 60 boxes')")
    waiting[0].abort()
    quiet(page)
    assert page.inner_text("#status") == ""
    page.unroute(SAMPLES)
    page.click("#page-next")
    at_sample(page, "024")
    assert page.is_enabled("#page-back")
    page.click("#page-back")
    at_sample(page, "000")
    assert page.is_disabled("#page-back")


def test_no_page_is_turned_while_a_search_is_under_way(visit: Visit) -> None:
    page = visit("000")
    waiting = held_up(page, SAMPLES)
    page.select_option("[name=order]", "random")
    arrived(page, waiting, 1)
    page.click("#page-next")
    quiet(page)
    assert [route.request.url for route in waiting if "after" in route.request.url] == []
    waiting[0].continue_()
    wait_until(page, "document.querySelector('#totals').textContent.startsWith('60 pictures')")
    assert len(set(shown_keys(page))) == 24
    assert page.is_disabled("#page-back")


def test_a_page_is_turned_in_the_search_that_is_shown(visit: Visit) -> None:
    """Whatever stands in the form by then, or was searched for in vain."""
    page = visit("000")
    page.fill("[name=phrase]", "tree")
    page.click("#page-next")
    at_sample(page, "024")
    answered_by(page, SAMPLES, lambda route: route.abort())
    page.click("#search [type=submit]")
    said(page, "The server does not answer.")
    page.unroute(SAMPLES)
    page.click("#page-next")
    at_sample(page, "048")
    assert "phrase" not in page.url
    assert page.inner_text("#totals") == "60 pictures, 120 boxes"


def test_totals_of_a_search_come_after_its_page_was_turned(visit: Visit) -> None:
    page = visit("000")
    waiting = held_up(page, TOTALS)
    page.select_option("[name=size]", "large")
    arrived(page, waiting, 1)
    page.click("#page-next")
    at_labels(page, "024")
    waiting[0].continue_()
    expect(page.locator("#totals")).to_have_text("60 pictures, 120 boxes")


def test_the_picture_of_an_address_does_not_wait_for_totals(visit: Visit) -> None:
    page = visit("007")
    waiting = held_up(page, TOTALS)
    seen = []
    page.on("request", lambda request: seen.append(request.url))
    page.reload()
    at_labels(page, "007")
    arrived(page, waiting, 1)
    assert [url for url in seen if "/api/sample?" in url and "key=000" in url] == [], "no other picture is shown before"


def test_back_twice_at_once_leads_to_the_first_search_and_its_picture(visit: Visit) -> None:
    page = visit("003")
    page.select_option("[name=order]", "highest")
    at_sample(page, "000")
    on_to(page, "001")
    page.select_option("[name=order]", "lowest")
    at_sample(page, "000")
    waiting = held_up(page, SAMPLES)
    page.evaluate("history.back()")
    arrived(page, waiting, 1)
    page.evaluate("history.back()")
    arrived(page, waiting, 2)[1].continue_()
    at_labels(page, "003")
    waiting[0].continue_()
    quiet(page)
    at_sample(page, "003")
    page.unroute(SAMPLES)
    page.go_forward()
    at_sample(page, "001")
    assert page.input_value("[name=order]") == "highest"


def test_an_address_that_is_no_key_is_told_and_the_first_picture_shown(visit: Visit) -> None:
    page = visit("005")
    page.goto(page.url.replace("#005", "#50%25%"))
    page.reload()
    said(page, "no sample with a box has this key")
    at_sample(page, "000")
    assert len(shown_keys(page)) == 24


def test_a_score_that_was_cleared_is_none_after_a_reload_too(tmp_path: Path, chromium: Any) -> None:
    folder = write_dataset(tmp_path / "dogs", [dog(0)])
    with review_server(folder, "ann", "--selection", "glip") as address:
        page = open_page(chromium, address).page
        page.wait_for_selector("#boxes li")
        assert page.input_value("[name=min_score]") == "0.5"
        page.fill("[name=min_score]", "")
        page.keyboard.press("Enter")
        page.reload(wait_until="networkidle")
        assert page.input_value("[name=min_score]") == "0"
        page.context.close()


# ---------------------------------------------------------------------------------------------------------- pictures


def test_a_picture_that_did_not_come_is_not_passed_over(visit: Visit) -> None:
    page = visit("008")
    answered_by(page, SAMPLE, lambda route: route.abort())
    page.keyboard.press("ArrowRight")
    said(page, "The server does not answer.")
    page.unroute(SAMPLE)
    on_to(page, "009")


def test_of_a_picture_that_was_passed_no_error_is_told(visit: Visit) -> None:
    page = visit("008")
    waiting = held_up(page, SAMPLE)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    arrived(page, waiting, 2)[1].continue_()
    at_labels(page, "010")
    waiting[0].abort()
    quiet(page)
    assert page.inner_text("#status") == ""
    page.unroute(SAMPLE)
    on_to(page, "011")


# ---------------------------------------------------------------------------------------------------------- verdicts


def test_what_is_on_its_way_is_no_rest_to_accept(visit: Visit, dogs: Path) -> None:
    page = visit("012")
    waiting = held_up(page, VERDICTS)
    page.keyboard.press("a")
    page.keyboard.press("r")
    arrived(page, waiting, 1)[0].continue_()
    arrived(page, waiting, 2)
    assert states(page) == ["✓ accepted by ann", "✗ rejected by you"]
    page.keyboard.press("Shift+A")
    said(page, "Every shown box has a verdict.")
    waiting[1].continue_()
    said(page, "rejected: a tree")
    assert held(dogs, dog(12).labels) == [("ann", "accepted", "a dog"), ("ann", "rejected", "a tree")]


def test_who_comes_back_to_a_picture_sees_what_was_said_there(visit: Visit) -> None:
    page = visit("013")
    waiting = held_up(page, VERDICTS)
    page.keyboard.press("r")
    arrived(page, waiting, 1)
    page.keyboard.press("ArrowRight")
    at_labels(page, "014")
    page.keyboard.press("ArrowLeft")
    quiet(page)
    waiting[0].continue_()
    at_sample(page, "013")
    assert states(page) == ["✗ rejected by ann", ""]


def test_a_verdict_that_is_lost_disturbs_nobody_at_another_picture(visit: Visit) -> None:
    page = visit("015")
    waiting = held_up(page, VERDICTS)
    page.keyboard.press("a")
    on_to(page, "016")
    page.keyboard.press("d")
    waiting[0].abort()
    wait_until(page, "document.querySelector('#lost').innerText.includes('015')")
    quiet(page)
    assert page.get_attribute("[data-do=draw]", "aria-pressed") == "true"


def test_a_verdict_that_is_lost_calls_nobody_back_who_is_leaving(visit: Visit) -> None:
    page = visit("017")
    waiting, pictures = held_up(page, VERDICTS), held_up(page, SAMPLE)
    page.keyboard.press("a")
    page.keyboard.press("ArrowRight")
    arrived(page, pictures, 1)
    arrived(page, waiting, 1)[0].abort()
    wait_until(page, "document.querySelector('#lost').innerText.includes('017')")
    pictures[0].continue_()
    at_labels(page, "018")
    page.unroute(SAMPLE)
    assert page.text_content("#lost") == "Perhaps not saved, look again: 017"
    on_to(page, "019")


def test_a_picture_that_was_left_says_nothing_on_the_next(visit: Visit) -> None:
    page = visit("019")
    waiting, before = held_up(page, VERDICTS), page.inner_text("#verdicts")
    page.keyboard.press("Shift+A")
    arrived(page, waiting, 1)
    on_to(page, "020")
    waiting[0].continue_()
    wait_until(page, f"document.querySelector('#verdicts').innerText !== '{before}'")
    quiet(page)
    assert page.inner_text("#status") == ""
    assert states(page) == ["", ""]


def test_an_edit_is_never_saved_for_another_box(visit: Visit, dogs: Path) -> None:
    page = visit("021")
    page.keyboard.press("e")
    page.keyboard.press("ArrowRight")
    page.click("[data-do=accept]")
    said(page, "accepted: a dog")
    page.focus("#main")  # and no longer the button, which Enter would press
    page.keyboard.press("Enter")
    quiet(page)
    assert held(dogs, dog(21).labels) == [("ann", "accepted", "a dog")]


def test_a_drag_goes_on_while_another_verdict_is_saved(visit: Visit, dogs: Path) -> None:
    page = visit("022")
    waiting = held_up(page, VERDICTS)
    page.keyboard.press("a")
    arrived(page, waiting, 1)
    page.mouse.move(*on_screen(page, (150, 110), SIZE))
    page.mouse.down()
    drag_to(page, (140, 100), SIZE)
    waiting[0].continue_()
    said(page, "accepted: a dog")
    drag_to(page, (130, 90), SIZE)
    page.mouse.up()
    arrived(page, waiting, 2)[1].continue_()
    said(page, "corrected: a tree")
    assert held(dogs, dog(22).labels) == [("ann", "accepted", "a dog"), ("ann", "corrected", "a tree")]


def test_enter_that_is_held_on_a_button_gives_one_verdict(visit: Visit, dogs: Path) -> None:
    page = visit("023")
    page.focus("[data-do=accept]")
    for _ in range(4):
        page.keyboard.down("Enter")  # the second and later ones are repeats
    page.keyboard.up("Enter")
    said(page, "accepted: a dog")
    quiet(page)
    assert held(dogs, dog(23).labels) == [("ann", "accepted", "a dog")]


def test_taking_back_twice_takes_back_the_last_two(visit: Visit, dogs: Path) -> None:
    page = visit("001")
    for key in ("001", "002", "003"):
        at_sample(page, key)
        page.keyboard.press("r")
        said(page, "rejected: a dog")
        page.keyboard.press("ArrowRight")
    at_sample(page, "004")
    waiting = held_up(page, SAMPLE)
    page.keyboard.press("u")
    page.keyboard.press("u")
    arrived(page, waiting, 1)
    page.wait_for_timeout(200)
    page.unroute(SAMPLE)  # what waits goes on
    at_sample(page, "002")
    said(page, "taken back")
    assert [len(held(dogs, dog(number).labels)) for number in (1, 2, 3)] == [1, 0, 0]


def test_an_answer_that_breaks_off_is_told_as_one_that_never_came(visit: Visit) -> None:
    page = visit("006")
    answered_by(page, VERDICTS, lambda route: route.fulfill(body='{"key": "00'))
    page.keyboard.press("a")
    said(page, "The server does not answer.")
    wait_until(page, "document.querySelector('#boxes .state').textContent === ''")


def test_pictures_that_were_judged_are_marked_in_the_list(visit: Visit) -> None:
    page = visit("010")
    mark = page.locator("#samples button").nth(10).locator(".judged")
    assert not mark.is_visible()
    page.keyboard.press("a")
    said(page, "accepted: a dog")
    assert mark.inner_text() == "1 judged"
    page.keyboard.press("r")
    said(page, "rejected: a tree")
    page.reload()
    at_sample(page, "010")
    assert mark.inner_text() == "2 judged"
    assert page.locator("#samples button").nth(10).get_attribute("aria-label").endswith(", 2 judged")
    page.keyboard.press("Shift+a")
    on_to(page, "011")
    assert not page.locator("#samples button").nth(11).locator(".judged").is_visible()
