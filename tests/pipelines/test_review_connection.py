"""The review page on a connection that is slow or breaks, and its address: nothing is lost without a word, and a reload
or the browser's Back lead to where a reviewer was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser_pages import wait_until
from report_datasets import dog, write_dataset
from review_pages import VERDICTS, answered_by, at_sample, held, held_up, opened, said, states


@pytest.fixture(scope="module")
def dogs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("connection") / "dogs", [dog(n) for n in range(30)], units=2)


def test_a_lost_verdict_of_a_picture_that_was_left_is_told_until_somebody_looks_again(
    chromium: Any, address: str, dogs: Path
) -> None:
    page = opened(chromium, address, "003")
    waiting = held_up(page, VERDICTS)
    page.keyboard.press("a")
    page.keyboard.press("ArrowRight")
    at_sample(page, "004")
    waiting.pop().abort()
    wait_until(page, "document.querySelector('#lost').innerText.includes('003')")
    page.unroute(VERDICTS)
    page.keyboard.press("r")
    said(page, "rejected: a dog")
    assert page.text_content("#lost") == "Perhaps not saved, look again: 003", "another verdict is no answer to it"
    page.click("#lost a")
    at_sample(page, "003")
    assert states(page) == ["", ""]
    assert page.inner_text("#lost") == ""
    assert held(dogs, dog(3).labels) == []


def test_who_closes_the_page_while_a_verdict_is_on_its_way_is_asked(chromium: Any, address: str, dogs: Path) -> None:
    page = opened(chromium, address, "005")
    asked: list[str] = []

    def stay(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    waiting = held_up(page, VERDICTS)
    page.keyboard.press("a")
    said(page, "Saving …")
    page.close(run_before_unload=True)
    while not asked:
        page.wait_for_timeout(50)
    assert asked == ["beforeunload"]
    waiting.pop().continue_()
    said(page, "accepted: a dog")
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    assert asked == ["beforeunload"], "what is saved can be left"
    assert held(dogs, dog(5).labels) == [("ann", "accepted", "a dog")]


def test_the_browsers_back_leads_to_the_search_before_and_its_picture(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "006")
    page.fill("[name=phrase]", "tree")
    page.keyboard.press("Enter")
    wait_until(page, "document.querySelector('#totals').textContent.startsWith('30 pictures, 30 boxes')")
    at_sample(page, "000")
    page.keyboard.press("ArrowRight")
    at_sample(page, "001")
    page.go_back()
    at_sample(page, "006")
    assert page.input_value("[name=phrase]") == ""
    page.go_forward()
    at_sample(page, "001")
    assert page.input_value("[name=phrase]") == "tree"


def test_a_reload_comes_back_to_the_search_and_its_page(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "007")
    page.fill("[name=phrase]", "dog")
    page.select_option("[name=order]", "highest")
    at_sample(page, "000")
    page.click("#page-next")
    at_sample(page, "024")
    page.keyboard.press("ArrowRight")
    at_sample(page, "025")
    page.reload()
    at_sample(page, "025")
    assert (page.input_value("[name=phrase]"), page.input_value("[name=order]")) == ("dog", "highest")
    page.keyboard.press("ArrowRight")
    at_sample(page, "026")
    page.click("#page-back")
    at_sample(page, "000")


def test_a_server_that_does_not_answer_at_first_is_told_and_the_word_stays(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "008")
    answered_by(page, "**/api/samples?*", lambda route: route.abort())
    page.reload(wait_until="networkidle")  # also after what else the page asks for: the address names a picture
    wait_until(page, "document.querySelector('#empty').innerText.startsWith('The server does not answer.')", seconds=5)


def test_a_page_that_did_not_come_can_be_asked_for_again_and_left_again(chromium: Any, address: str) -> None:
    page = opened(chromium, address, "000")
    answered_by(page, "**/api/samples?*", lambda route: route.abort())
    page.click("#page-next")
    said(page, "The server does not answer.")
    page.unroute("**/api/samples?*")
    page.click("#page-next")
    at_sample(page, "024")
    page.click("#page-back")
    at_sample(page, "000")
