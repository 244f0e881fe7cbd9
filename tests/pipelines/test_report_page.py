"""The report's page in a browser, from disk: it shows, finds and points, and runs nothing of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser_pages import DESKTOP, PHONE, WatchedPage, grave_findings, open_page, overflow, wait_until
from report_datasets import HOSTILE, dog, sample, write_dataset
from report_documents import full_report

from engine.shards import LabelledImage
from engine.statistics import dataset_report
from pipelines.pages.gallery import gallery
from pipelines.pages.report_page import render
from schemas.dataset_vocabulary import PhraseCount
from schemas.report_document import Report

RIGHT_TO_LEFT = "كلب أسود و قطة"
EMOJI = "👩‍🚀 a cat 🐈"
NARROW = (320, 640)
SPACED = {
    "textContent": "* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important }"
}
OVERRIDE = "a \u202egod\u202c by a tree"


def pictures() -> list[LabelledImage]:
    """Twenty dogs, and four pictures of other sources with what pages break by."""
    box = (10.0, 10.0, 60.0, 80.0)
    others = [
        sample("arabic", RIGHT_TO_LEFT, [(0, 8)], [(0, box, 0.7)], locator="https://a.example/1.jpg"),
        sample("emoji", EMOJI, [(4, 9)], [(0, (5, 5, 20, 20), 0.95)], locator="https://b.example/2.jpg"),
        sample("override", OVERRIDE, [(0, 7)], [(0, box, 0.55)], locator="c.tar#3"),
        sample("evil", HOSTILE, [(0, len(HOSTILE))], [(0, box, 0.51)], locator=f"{HOSTILE}#4"),
    ]
    return [*(dog(number) for number in range(30)), *others]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with all that a report may hold, on disk."""
    work = tmp_path_factory.mktemp("page")
    folder = write_dataset(work / "dogs", pictures())
    shown = gallery(folder, None, limit=100)
    counts = {text: PhraseCount(text=text, occurrences=1, images=1, boxes=1, new=True) for text in shown.phrases()}
    counts["a dog"] = PhraseCount(text="a dog", occurrences=150, images=100, boxes=170, new=False)
    counts["a tree"] = PhraseCount(text="a tree", occurrences=30, images=30, boxes=30, new=False)
    page = work / "index.html"
    page.write_text(render(full_report(dataset_report(folder), HOSTILE), [shown.with_counts(counts)], HOSTILE))
    return page.as_uri()


@dataclass(frozen=True)
class Shown:
    """The page and what a reader does on it."""

    watched: WatchedPage

    @property
    def page(self) -> Any:
        return self.watched.page

    def keys(self) -> list[str]:
        """The pictures that are shown, in order."""
        found: list[str] = self.page.eval_on_selector_all(".picture", "cards => cards.map(card => card.dataset.key)")
        return found

    def choose(self, name: str, value: str) -> None:
        self.page.select_option(f"select[name={name}]", value)

    def on(self, key: str) -> list[str]:
        """What is lit of a card: tag and phrase."""
        lit = "parts => parts.map(part => part.tagName.toLowerCase() + part.dataset.phrase)"
        found: list[str] = self.page.eval_on_selector_all(f"[data-key='{key}'] [data-phrase].on", lit)
        return sorted(found)

    def draw_all(self) -> None:
        """Scroll through, so that every figure is drawn."""
        for place in self.page.query_selector_all("[data-plot]"):
            place.scroll_into_view_if_needed()
        wait_until(self.page, "[...document.querySelectorAll('[data-plot]')].every(p => p.querySelector('svg'))")


@pytest.fixture
def shown(chromium: Any, address: str) -> Callable[..., Shown]:
    def show(**options: Any) -> Shown:
        return Shown(open_page(chromium, address, **options))

    return show


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_is_accessible_and_quiet_and_fits(shown: Callable[..., Shown], size: Any, scheme: str) -> None:
    found = shown(size=size, scheme=scheme)
    found.draw_all()
    for details in found.page.query_selector_all("details"):
        details.evaluate("details => { details.open = true }")
    assert overflow(found.page) == 0
    assert grave_findings(found.page) == []
    assert found.watched.troubles == []
    assert [one for one in found.watched.requests if not one.startswith(("file:", "data:"))] == []


def test_no_table_scrolls_sideways_on_a_phone(shown: Callable[..., Shown]) -> None:
    page = shown(size=PHONE).page
    for details in page.query_selector_all("details"):
        details.evaluate("details => { details.open = true }")
    wide = "parts => parts.filter(part => part.scrollWidth > part.clientWidth).map(part => part.ariaLabel)"
    assert page.eval_on_selector_all(".scroll", wide) == []


def test_the_page_fits_a_window_at_four_times_its_size_with_its_letters_spaced(shown: Callable[..., Shown]) -> None:
    """WCAG 1.4.10 and 1.4.12."""
    found = shown(size=NARROW)
    found.draw_all()
    for details in found.page.query_selector_all("details"):
        details.evaluate("details => { details.open = true }")
    assert overflow(found.page) == 0
    found.page.evaluate("css => document.head.append(Object.assign(document.createElement('style'), css))", SPACED)
    assert overflow(found.page) == 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE, NARROW], ids=["desktop", "phone", "narrow"])
def test_the_numbers_of_a_large_dataset_are_not_cut_off(chromium: Any, tmp_path: Path, size: Any) -> None:
    dogs, html = write_dataset(tmp_path / "dogs", [dog(0)]), tmp_path / "index.html"
    one = dataset_report(dogs)
    numbers = [number.model_copy(update={"value": 12_345_678_901}) for number in one.numbers]
    report = Report(datasets=[one.model_copy(update={"numbers": numbers})])
    html.write_text(render(report, [gallery(dogs, None, limit=1)], "a"))
    page = open_page(chromium, html.as_uri(), size=size).page
    # The text itself is measured: what stands out of its tile, or of all tiles, is covered or cut off.
    stands_out = """tiles => tiles.filter((tile) => {
      const text = document.createRange();
      text.selectNodeContents(tile);
      const ends = [tile, tile.parentElement].map((place) => place.getBoundingClientRect().right);
      return text.getBoundingClientRect().right > Math.min(...ends);
    }).map((tile) => tile.textContent)"""
    assert page.eval_on_selector_all(".tile", stands_out) == []


def test_a_frequent_phrase_can_be_read_to_its_end(chromium: Any, tmp_path: Path) -> None:
    phrase = "a small brown dog of the neighbours with a red ball"
    dogs = write_dataset(tmp_path / "dogs", [sample("a", phrase, [(0, len(phrase))], [(0, (10, 10, 60, 80), 0.9)])])
    html = tmp_path / "index.html"
    html.write_text(render(Report(datasets=[dataset_report(dogs)]), [gallery(dogs, None, limit=1)], "a"))
    page = open_page(chromium, html.as_uri(), size=PHONE).page
    hidden = "parts => parts.map(part => [part.scrollWidth - part.clientWidth, part.scrollHeight - part.clientHeight])"
    assert page.eval_on_selector_all(".ranked .text", hidden)[0] == [0, 0]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_what_has_the_focus_is_never_under_the_links_at_the_top(shown: Callable[..., Shown], size: Any) -> None:
    """Backwards through the page, as each next element comes into the window at its top (WCAG 2.4.11)."""
    page = shown(size=size, reduced_motion="reduce").page
    page.focus("summary >> nth=-1")
    covered = """() => {
      const [nav, here] = [document.querySelector("nav"), document.activeElement];
      if (nav.contains(here)) return null;
      return here.getBoundingClientRect().top < nav.getBoundingClientRect().bottom && [here.outerHTML];
    }"""
    passed = 0
    while (under := page.evaluate(covered)) is not None:
        assert under is False
        passed += 1
        page.keyboard.press("Shift+Tab")
    assert passed > 80


def test_the_button_of_the_colours_moves_nothing_as_it_comes(shown: Callable[..., Shown]) -> None:
    tops = [shown(java_script_enabled=scripts).page.locator("h1").bounding_box() for scripts in (True, False)]
    assert tops[0] == tops[1]


def test_fields_on_a_phone_have_letters_that_safari_does_not_zoom_into(shown: Callable[..., Shown]) -> None:
    sizes = "fields => fields.map(field => parseFloat(getComputedStyle(field).fontSize))"
    assert min(shown(size=PHONE).page.eval_on_selector_all("input, select", sizes)) >= 16


def test_names_of_datasets_that_have_no_gap_do_not_widen_the_page(chromium: Any, tmp_path: Any) -> None:
    dogs, page = write_dataset(tmp_path / ("a" * 90), [dog(0)]), tmp_path / "index.html"
    both = full_report(dataset_report(dogs), "").model_copy(update={"datasets": [dataset_report(dogs)] * 2})
    page.write_text(render(both, [gallery(dogs, None, limit=1)] * 2, "a"))
    assert overflow(open_page(chromium, page.as_uri(), size=PHONE).page) == 0


def test_a_phrase_as_long_as_a_page_takes_three_lines_of_the_tail(chromium: Any, tmp_path: Any) -> None:
    long = sample("long", "word " * 2000, [(0, 9999)], [(0, (10, 10, 60, 80), 0.9)])
    dogs, html = write_dataset(tmp_path / "dogs", [long, dog(0)]), tmp_path / "index.html"
    document = full_report(dataset_report(dogs), "").model_copy(update={"datasets": [dataset_report(dogs)]})
    html.write_text(render(document, [gallery(dogs, None, limit=1)], "a"))
    page = open_page(chromium, html.as_uri(), size=PHONE).page
    heights = page.eval_on_selector_all("#d0 .cloud li", "lines => lines.map(line => line.offsetHeight)")
    assert len(heights) == 3
    assert max(heights) < 100


def test_the_data_run_nothing_and_are_shown_as_they_are(shown: Callable[..., Shown]) -> None:
    found = shown()
    found.draw_all()
    found.page.fill("input[name=phrase]", "<script>")
    assert found.keys() == ["evil"]
    assert found.page.inner_text("[data-key=evil] .caption") == HOSTILE
    assert HOSTILE in found.page.title()
    assert "<b>low</b>" in found.page.text_content("[data-plot=compare-drift-scores] .xaxislayer-above")
    assert found.page.inner_text("h1") == HOSTILE
    assert found.page.inner_text(".notice code") == "glip-engine verify"
    found.page.fill("input[name=phrase]", "كلب")
    assert found.page.inner_text("[data-key=arabic] .caption") == RIGHT_TO_LEFT
    side = "caption => getComputedStyle(caption).direction"
    assert found.page.eval_on_selector("[data-key=arabic] .caption", side) == "rtl"
    assert found.watched.troubles == []


def test_a_script_that_got_into_the_page_would_not_run(shown: Callable[..., Shown]) -> None:
    found = shown()
    found.page.evaluate(
        "html => { const place = document.createElement('div'); document.body.append(place); place.innerHTML = html;"
        " const script = document.createElement('script'); script.textContent = 'document.title = \"owned\"';"
        " document.body.append(script) }",
        HOSTILE,
    )
    found.page.wait_for_timeout(200)
    assert found.page.title() != "owned"
    assert any("Content Security Policy" in line for line in found.watched.troubles)


def test_pictures_are_made_as_they_are_shown(shown: Callable[..., Shown]) -> None:
    found = shown()
    assert len(found.keys()) == 24
    assert found.page.inner_text("[role=status]") == "34 pictures, 24 shown"
    found.page.click("text=Show more pictures")
    assert len(found.keys()) == 34
    assert not found.page.is_visible("text=Show more pictures")
    focused = "document.activeElement.closest('.picture').dataset.key"
    assert found.page.evaluate(focused) == "024", "the keyboard goes on where the new pictures begin"


def test_search_filters_and_order_together(shown: Callable[..., Shown]) -> None:
    found = shown()
    found.page.fill("input[name=phrase]", "cat")
    assert found.keys() == ["emoji"]
    found.page.fill("input[name=phrase]", "no such thing")
    assert found.keys() == []
    assert "No picture of the sample fits" in found.page.inner_text("[role=status]")
    found.page.click("text=Reset")
    wait_until(found.page, "document.querySelectorAll('.picture').length === 24")
    found.choose("order", "best")
    assert found.keys()[0] == "emoji"
    found.choose("order", "worst")
    assert found.keys()[:2] == ["evil", "override"]
    found.choose("novelty", "new")
    assert found.keys() == ["evil", "override", "arabic", "emoji"]
    found.choose("size", "small")
    assert found.keys() == ["emoji"]
    found.choose("size", "")
    found.choose("source", "a.example")
    assert found.keys() == ["arabic"]
    found.page.click("text=Reset")
    found.choose("rarity", "frequent")
    assert "30 of 34 pictures" in found.page.inner_text("[role=status]")


def test_boxes_and_phrases_show_each_other_by_pointer(shown: Callable[..., Shown]) -> None:
    found = shown()
    found.page.hover("[data-key='000'] mark >> nth=1")
    assert found.on("000") == ["g1", "mark1", "span1"]
    found.page.hover("[data-key='000'] g[data-phrase='0']")
    assert found.on("000") == ["g0", "mark0", "span0"]
    found.page.hover("h1")
    assert found.on("000") == []


def test_boxes_and_phrases_show_each_other_by_keyboard(shown: Callable[..., Shown]) -> None:
    found = shown()
    found.page.focus("[data-key='000'] .frame")
    found.page.keyboard.press("ArrowRight")
    assert found.on("000") == ["g1", "mark1", "span1"], "the largest box comes first"
    assert found.page.inner_text("#spoken") == "box 1 of 2: a tree, score 0.60"
    found.page.keyboard.press("ArrowRight")
    assert found.on("000") == ["g0", "mark0", "span0"]
    found.page.keyboard.press("Tab")
    assert found.on("000") == ["g0", "mark0", "span0"], "the first phrase has the focus"
    found.page.keyboard.press("Tab")
    assert found.on("000") == ["g1", "mark1", "span1"]
    found.page.keyboard.press("Enter")
    assert found.page.get_attribute("[data-key='000'] mark >> nth=1", "aria-pressed") == "true"
    found.page.focus("#theme")
    assert found.on("000") == ["g1", "mark1", "span1"], "it is held"


def test_what_was_searched_for_is_lit(shown: Callable[..., Shown]) -> None:
    found = shown()
    found.page.fill("input[name=phrase]", "tree")
    assert found.on("000") == ["g1", "mark1", "span1"]
    found.page.fill("input[name=phrase]", "")
    assert found.on("000") == []


def test_what_colours_alone_tell_is_seen_in_the_readers_own_colours(shown: Callable[..., Shown]) -> None:
    found = shown(forced_colors="active")
    found.draw_all()
    page = found.page
    style = "(parts, name) => parts.map(part => getComputedStyle(part)[name])"
    bars = page.eval_on_selector_all(".bar .kept, .ranked .fill", style, "backgroundColor")
    assert set(bars) == {page.evaluate("getComputedStyle(document.body).color")}
    assert set(page.eval_on_selector_all(".bar", style, "borderTopStyle")) == {"solid"}, "a bar that is empty is seen"
    phrases = page.eval_on_selector_all("mark.c0, mark.c1", style, "boxShadow")
    assert len(set(phrases)) == 2, "a phrase has the colour of its boxes"
    points = page.eval_on_selector_all(".scatterlayer .point", style, "fill")
    assert len(set(points)) > 1, "what a figure compares stays apart"


def test_the_button_changes_the_colours_and_is_remembered(shown: Callable[..., Shown]) -> None:
    found = shown(scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = found.page.evaluate(background)
    assert found.page.get_attribute("#theme", "aria-pressed") == "true"
    found.page.click("#theme")
    light = found.page.evaluate(background)
    assert light != dark
    found.page.wait_for_timeout(300)  # another process of the browser writes it down
    found.page.reload()
    assert found.page.evaluate(background) == light
    found.draw_all()
    assert found.watched.troubles == []


def test_a_number_leads_to_its_definition_and_its_sql(shown: Callable[..., Shown]) -> None:
    found = shown()
    found.page.click(".tile >> nth=1")
    target = found.page.inner_text(":target")
    assert "Images with a box" in target
    assert "SELECT" in target
    links = found.page.eval_on_selector_all(
        "a[href^='#']", "links => links.map(link => link.hash.slice(1)).filter(id => !document.getElementById(id))"
    )
    assert links == [], "every link inside the page leads somewhere"


def test_without_scripts_the_numbers_are_there(shown: Callable[..., Shown]) -> None:
    found = shown(java_script_enabled=False)
    assert "Images with a box" in found.page.inner_text(".tiles")
    assert "The pictures are shown by a script" in found.page.inner_text("[data-gallery]")
    assert not found.page.is_visible(".canvas"), "no empty figure above its table"
