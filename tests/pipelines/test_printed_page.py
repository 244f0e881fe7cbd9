"""The report's page on paper: in light colours, with every figure, and each as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from browser_pages import open_page, wait_until
from report_datasets import dog, write_dataset
from report_documents import full_report

from engine.statistics import dataset_report
from pipelines.pages.gallery import gallery
from pipelines.pages.report_page import render

# Of all figures: by how many pixels the widest stands out of its place.
STANDS_OUT = """
Math.max(...[...document.querySelectorAll("[data-plot]")].flatMap((place) => [...place.querySelectorAll(".main-svg")]
  .map((svg) => svg.getBoundingClientRect().right - place.getBoundingClientRect().right)))
"""
A4 = "718px"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    work = tmp_path_factory.mktemp("printed")
    folder = write_dataset(work / "dogs", [dog(number) for number in range(5)])
    page = work / "index.html"
    page.write_text(render(full_report(dataset_report(folder), "dogs"), [gallery(folder, None, limit=5)], "dogs"))
    return page.as_uri()


def test_the_page_prints_in_light_colours_with_its_figures(chromium: Any, address: str) -> None:
    page = open_page(chromium, address, scheme="dark").page
    wait_until(page, "globalThis.Plotly !== undefined")
    assert len(page.pdf()) > 20_000
    assert page.evaluate("[...document.querySelectorAll('[data-plot]')].every(p => p.querySelector('svg'))")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.is_visible("nav")


def test_a_table_that_can_be_folded_has_its_heading_on_paper(chromium: Any, address: str) -> None:
    page = open_page(chromium, address).page
    page.emulate_media(media="print")
    for summary in page.query_selector_all("details:not(.plot *) > summary"):
        assert summary.is_visible(), summary.inner_text()
    assert page.is_visible("text=Phrases that changed most")
    assert not page.is_visible(".plot summary")
    assert page.eval_on_selector("h3", "heading => getComputedStyle(heading).breakAfter") == "avoid"


def test_no_figure_is_cut_off_on_paper_that_is_narrower_than_the_screen(chromium: Any, address: str) -> None:
    page = open_page(chromium, address).page
    wait_until(page, "globalThis.Plotly !== undefined")
    page.emulate_media(media="print")
    # The narrow page is measured before anything could draw anew for it, as a browser prints.
    narrow = f"dispatchEvent(new Event('beforeprint')), document.body.style.width = '{A4}', {STANDS_OUT}"
    assert page.evaluate(narrow) < 1
    page.emulate_media(media="screen")
    page.evaluate("document.body.style.width = '', dispatchEvent(new Event('afterprint'))")
    wait_until(page, f"Math.abs({STANDS_OUT}) < 1")
    assert page.evaluate("document.querySelector('.main-svg').getAttribute('viewBox')") is None
