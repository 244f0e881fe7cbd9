"""The report opens from disk, says what the data say, and executes nothing of them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.artifacts import Store
from engine.promotion import decide
from engine.shards import LabelledImage, write_card, write_shard
from pipelines.gallery import MAX_CAPTION_CHARS, caption_parts, draw, gallery, thumbnail
from pipelines.pseudo_quality import pseudo_quality
from pipelines.report import Report, evaluation_tables, report
from schemas.recipes import GateRecipe, PromotionRule
from schemas.records import BoxXYXY, Reject, UnitRef
from schemas.reports import EvaluationReport, MetricValue, StageCounts
from schemas.shards import DatasetCard, SampleBox, SampleLabels, SamplePhrase

HOSTILE = '<script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'
CARD = DatasetCard(
    origin="pseudo", task="grounding", source_fingerprint="s" * 64, recipe_digest="r" * 64, complete=True
)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def encoded(size: tuple[int, int] = (160, 120), colour: str = "teal") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG")
    return file.getvalue()


def sample(
    key: str,
    caption: str,
    spans: list[tuple[int, int]],
    boxes: list[tuple[int, BoxXYXY, float]],
    image: bytes | None = None,
) -> LabelledImage:
    labels = SampleLabels(
        key=key,
        caption=caption,
        phrases=[
            SamplePhrase(text=caption[a:b], start=a, end=b, head_lemma=caption[a:b].split()[-1]) for a, b in spans
        ],
        boxes=[SampleBox(phrase=phrase, box_xyxy=box, score=score) for phrase, box, score in boxes],
        width=160,
        height=120,
        image_sha256=hashlib.sha256(key.encode()).hexdigest(),
        locator="test",
        recipe_digest="r",
    )
    return LabelledImage(labels, image or encoded(), "jpg")


def dog(number: int) -> LabelledImage:
    return sample(
        f"{number:03d}", "a dog by a tree", [(0, 5), (9, 15)], [(0, (10, 10, 60, 80), 0.9), (1, (80, 5, 150, 110), 0.6)]
    )


def write_dataset(folder: Path, samples: list[LabelledImage], card: DatasetCard = CARD) -> Path:
    rejects = [Reject("bad", "read", "image_unreadable", HOSTILE)]
    rows = len(samples) + 1
    stages = [StageCounts(stage="read", came_in=rows, went_on=rows - 1, dropped={"image_unreadable": 1})]
    store = Store(folder)
    write_shard(store, UnitRef(0, "test", 0, rows), samples, rejects, work_digest="w", stages=stages)
    write_card(store, card)
    return folder


class Page(HTMLParser):
    """What a browser would see: elements with attributes, scripts with their content, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._open: str = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self._open == "script" and self.scripts:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._open = ""
        if tag in ("td", "th", "p"):
            self.text += " "


def page_of(path: Path | str) -> Page:
    return Page(Path(path).read_text(encoding="utf-8"))


def test_the_page_loads_nothing_and_allows_its_own_scripts_by_digest(tmp_path: Path) -> None:
    page = page_of(report([write_dataset(tmp_path / "dogs", [dog(1)])], tmp_path / "out"))
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action"):
            value = attributes.get(name) or ""
            assert not value or value.startswith(("#", "data:image/jpeg;base64,")), (tag, name, value[:80])
        assert not any(name.startswith("on") for name in attributes), tag
    [policy] = [a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2]
    running = [content for attributes, content in page.scripts if attributes.get("type") != "application/json"]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in running]
    assert [f"'sha256-{digest}'" in policy for digest in digests] == [True, True]


def test_markup_in_captions_phrases_keys_and_messages_is_text(tmp_path: Path) -> None:
    evil = sample("<b>key<b>", HOSTILE, [(0, len(HOSTILE))], [(0, (1, 1, 50, 50), 0.9)])
    path = report([write_dataset(tmp_path / "<i>name", [evil])], tmp_path / "out", title=HOSTILE)
    page = page_of(path)
    assert len(page.scripts) == 3
    assert all(a.get("src", "").startswith("data:") for t, a in page.elements if t == "img")  # type: ignore[union-attr]
    assert page.text.count(HOSTILE) >= 3, "caption, title, reject message, phrase: all are shown as they are"
    assert "<b>key<b>" in page.text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium installed")
def test_a_browser_draws_the_plots_and_runs_nothing_of_the_data(tmp_path: Path) -> None:
    evil = sample("evil", HOSTILE, [(0, len(HOSTILE))], [(0, (1, 1, 50, 50), 0.9)])
    path = report([write_dataset(tmp_path / "evil", [evil, dog(2)])], tmp_path / "out")
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
    flags += " --disable-sync --no-first-run --enable-logging=stderr --virtual-time-budget=3000 --window-size=1280,6000"
    done = subprocess.run(
        [str(CHROMIUM), *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"file://{path}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "<title>evil · glip-engine report</title>" in done.stdout
    assert "js-plotly-plot" in done.stdout
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line], "no error and no refused script"


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dogs", [dog(1), dog(2)])
    first, second = report([folder], tmp_path / "a"), report([folder], tmp_path / "b")
    assert Path(first).read_bytes() == Path(second).read_bytes()
    assert (tmp_path / "a" / "report.json").read_bytes() == (tmp_path / "b" / "report.json").read_bytes()


def test_the_json_holds_what_the_page_shows(tmp_path: Path) -> None:
    report([write_dataset(tmp_path / "dogs", [dog(n) for n in range(5)])], tmp_path / "out", selection="grit")
    whole = Report.model_validate_json((tmp_path / "out" / "report.json").read_text())
    assert whole.datasets[0].selection == "grit"
    assert whole.datasets[0].number("boxes") == 5
    text = page_of(tmp_path / "out" / "index.html").text
    assert "5 pseudo-labelled boxes for 5 phrases in 5 captioned images" in text
    assert "5 of 5 pictures" in text
    assert "image unreadable" in text


def evaluation(model: str, recall: float) -> EvaluationReport:
    images = {f"{number:03d}": 1.0 if number < 100 * recall else 0.0 for number in range(100)}
    name = "phrase_recall@1"
    return EvaluationReport(
        model_digest=model,
        dataset="val",
        dataset_fingerprint="f",
        metrics=[MetricValue(name=name, value=recall, count=100, baseline=0.2)],
        per_image={name: images},
        per_image_count={name: dict.fromkeys(images, 1)},
        images=100,
    )


def test_models_decision_and_label_quality_are_shown_when_known(tmp_path: Path) -> None:
    samples = [dog(n) for n in range(3)]
    folder = write_dataset(tmp_path / "pseudo", samples)
    gold_card = CARD.model_copy(update={"origin": "human"})
    truth = write_dataset(tmp_path / "gold", samples, gold_card)
    old, new = evaluation("old", 0.5), evaluation("new", 0.75)
    gate = GateRecipe(rules=(PromotionRule(metric="phrase_recall@1", must="improve"),), resamples=200)
    quality = pseudo_quality(folder, truth, tmp_path / "quality")
    assert json.loads((tmp_path / "quality" / "pseudo_quality.json").read_text()) == quality.model_dump(mode="json")
    path = report(
        [folder],
        tmp_path / "out",
        evaluations={"teacher": [old], "student": [new]},
        decision=decide([new], [old], gate),
        quality=quality,
    )
    text = " ".join(page_of(path).text.split())
    assert "Promoted The candidate becomes the next teacher. 1 of 1 rules passed." in text
    assert "phrase_recall@1 20.0 50.0 75.0 +25.0 100" in text
    assert "glip 100.0 100.0 100.0 6 0" in text
    whole = Report.model_validate_json((tmp_path / "out" / "report.json").read_text())
    assert whole.evaluations["student"][0].per_image == {}, "the values of single images stay in evaluation.json"


def test_models_stand_side_by_side_where_one_lacks_a_dataset() -> None:
    other = evaluation("new", 0.75).model_copy(update={"dataset": "other"})
    tables = evaluation_tables({"teacher": [evaluation("old", 0.5)], "student": [other]})
    assert [(table.dataset, table.rows[0].values) for table in tables] == [
        ("val", [0.5, None]),
        ("other", [None, 0.75]),
    ]


def test_pictures_are_taken_at_even_spaces_and_bounded(tmp_path: Path) -> None:
    large = [sample(f"{n:03d}", "a dog", [(0, 5)], [(0, (0, 0, 9, 9), 0.9)], encoded((1600, 1200))) for n in range(40)]
    shown = gallery(write_dataset(tmp_path / "dogs", large), "glip", limit=8)
    assert shown.samples == 40
    assert [int(picture.key) for picture in shown.pictures] == [0, 5, 10, 15, 20, 25, 30, 35]
    with Image.open(io.BytesIO(base64.b64decode(shown.pictures[0].jpeg))) as small:
        assert max(small.size) <= 560


def test_a_picture_without_selected_box_gives_its_place_to_the_next(tmp_path: Path) -> None:
    low = sample("000", "a dog", [(0, 5)], [(0, (0, 0, 9, 9), 0.1)])
    broken = sample("001", "a dog", [(0, 5)], [(0, (0, 0, 9, 9), 0.9)], b"no picture")
    shown = gallery(write_dataset(tmp_path / "dogs", [low, broken, dog(2)]), "glip", limit=1)
    assert [picture.key for picture in shown.pictures] == ["002"]


def test_a_huge_or_broken_picture_gives_no_thumbnail() -> None:
    assert thumbnail(b"", 100) is None
    assert thumbnail(encoded(), 200_000_000) is None
    assert thumbnail(encoded()[:300], 100) is None


def parts_of(caption: str, spans: list[tuple[int, int]], with_box: list[int]) -> list[tuple[str, int | None, bool]]:
    labels = sample("k", caption, spans, [(n, (0, 0, 9, 9), 0.9) for n in with_box]).labels
    parts = list(caption_parts(labels, {number: number for number in with_box}))
    return [(part.text, part.phrase, part.found) for part in parts if part.text]


def test_a_caption_is_cut_at_its_phrases_and_loses_no_character() -> None:
    caption = "🐶 a dog, a cat."
    parts = parts_of(caption, [(2, 7), (9, 14)], [1])
    assert parts == [
        ("🐶 ", None, False),
        ("a dog", 0, False),
        (", ", None, False),
        ("a cat", 1, True),
        (".", None, False),
    ]
    assert "".join(text for text, _, _ in parts) == caption


def test_of_overlapping_phrases_the_one_with_a_box_is_marked() -> None:
    assert parts_of("a dog in a field", [(0, 16), (0, 5), (9, 16)], [1]) == [
        ("a dog", 1, True),
        (" in ", None, False),
        ("a field", 2, False),
    ]


def test_a_long_caption_is_shortened() -> None:
    shown = "".join(text for text, _, _ in parts_of("word " * 1000, [(0, 4)], [0]))
    assert len(shown) == MAX_CAPTION_CHARS + 1
    assert shown.endswith("…")


def test_boxes_of_a_phrase_share_a_colour_and_the_best_are_kept() -> None:
    boxes: list[tuple[int, BoxXYXY, float]] = [(n % 2, (n, n, n + 10, n + 10), 0.3 + n / 200) for n in range(80)]
    picture = draw(sample("k", "a dog, a cat", [(0, 5), (7, 12)], boxes).labels, "")
    assert len(picture.boxes) == 60
    assert picture.boxes_left_out == 20
    assert {(box.phrase, box.colour) for box in picture.boxes} == {(0, 0), (1, 1)}
    assert min(box.score for box in picture.boxes) == pytest.approx(0.4)


def test_the_style_has_no_outside_address() -> None:
    templates = resources.files("pipelines") / "templates"
    ours = (templates / "style.css").read_text() + (templates / "page.js").read_text()
    assert not re.search(r"https?:|@import|url\(", ours)


def test_quality_needs_images_that_the_truth_knows(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "pseudo", [dog(1)])
    gold: Any = write_dataset(tmp_path / "gold", [dog(2)], CARD.model_copy(update={"origin": "human"}))
    with pytest.raises(ValueError, match="none of the 1 labelled images"):
        pseudo_quality(folder, gold)
    with pytest.raises(ValueError, match="pseudo-labelled dataset"):
        pseudo_quality(folder, folder)
