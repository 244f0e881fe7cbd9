"""The report is written whole, says what the data say, and holds nothing of them that could run."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from report_datasets import CARD, HOSTILE, dog, sample, write_dataset

from engine.promotion import decide
from engine.statistics import dataset_report
from pipelines.evaluation.pseudo_quality import pseudo_quality
from pipelines.pages.evaluation_tables import evaluation_tables
from pipelines.pages.gallery import Gallery
from pipelines.pages.page_templates import breakable, embedded_json
from pipelines.pages.picture_cards import Picture
from pipelines.pages.report_page import gallery_bytes, render
from pipelines.report import report
from schemas.recipes import GateRecipe, PromotionRule
from schemas.report_document import Report
from schemas.reports import DetectionMatches, EvaluationReport, MetricValue


class Page(HTMLParser):
    """What a browser would see: elements with attributes, scripts with their content, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._open: str = ""
        self.feed(text)

    def data(self, name: str) -> str:
        """What stands in the data script of this id."""
        [found] = [content for attributes, content in self.scripts if attributes.get("id") == name]
        return found

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
            assert not value or value.startswith("#"), (tag, name, value[:80])
        assert not any(name.startswith("on") for name in attributes), tag
    [policy] = [a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    allowed = policy.partition("script-src")[2].partition(";")[0].split()
    running = [content for attributes, content in page.scripts if "type" not in attributes]
    library = gzip.decompress(base64.b64decode(page.data("plotly")))
    scripts = [*(script.encode() for script in running), library]
    assert allowed == [f"'sha256-{base64.b64encode(hashlib.sha256(one).digest()).decode()}'" for one in scripts]


def test_text_of_the_data_stays_text(tmp_path: Path) -> None:
    evil = sample("<b>key<b>", HOSTILE, [(0, len(HOSTILE))], [(0, (1, 1, 50, 50), 0.9)], locator=f"{HOSTILE}#1")
    page = page_of(report([write_dataset(tmp_path / "<i>name", [evil])], tmp_path / "out", title=HOSTILE))
    plain = page_of(report([write_dataset(tmp_path / "dogs", [dog(1)])], tmp_path / "plain"))
    assert [a for a, _ in page.scripts] == [a for a, _ in plain.scripts], "no script came with the data"
    assert not [tag for tag, _ in page.elements if tag in ("img", "b", "i") and tag not in dict(plain.elements)]
    assert page.text.count(HOSTILE) >= 3, "title, reject message, phrase: all are shown as they are"
    [card] = json.loads(page.data("gallery-d0"))
    assert (card["key"], card["source"], card["caption"]) == ("<b>key<b>", HOSTILE, [[HOSTILE, 0]])


def test_what_no_text_file_can_hold_is_replaced(tmp_path: Path) -> None:
    path = report([write_dataset(tmp_path / "dogs", [dog(1)])], tmp_path / "out", title="half a \ud83d smile")
    assert "half a ? smile" in Path(path).read_text(encoding="utf-8")


def test_embedded_json_cannot_end_its_script() -> None:
    value = ["</script><!--", "\u2028\u2029", {"'": '"&'}]
    text = str(embedded_json(value))
    assert not set(text) & set("<>&'\u2028\u2029")
    assert json.loads(text) == value


def test_a_page_of_a_large_gallery_stays_below_25_mb(tmp_path: Path) -> None:
    picture = Picture("k", "s", 448, 448, (), {}, (), 0, jpeg="A" * 40_000)
    whole = Report(datasets=[dataset_report(write_dataset(tmp_path / "dogs", [dog(1)]))] * 3)
    room = gallery_bytes(3)
    shown = Gallery((picture,) * (room // len(picture.jpeg)), 10**6, 48, 1000, 0)
    size = len(render(whole, [shown] * 3, "large").encode())
    assert 20_000_000 < size < 25_000_000


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dogs", [dog(1), dog(2)])
    first, second = report([folder], tmp_path / "a"), report([folder], tmp_path / "b")
    assert Path(first).read_bytes() == Path(second).read_bytes()
    assert (tmp_path / "a" / "report.json").read_bytes() == (tmp_path / "b" / "report.json").read_bytes()


def test_one_dataset_needs_no_list(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dogs", [dog(1)])
    pages = [report(one, tmp_path / str(n), human=one) for n, one in enumerate(([folder], folder, str(folder)))]
    assert len({Path(page).read_bytes() for page in pages}) == 1


def test_the_json_holds_what_the_page_shows(tmp_path: Path) -> None:
    report([write_dataset(tmp_path / "dogs", [dog(n) for n in range(5)])], tmp_path / "out", selection="grit")
    whole = Report.model_validate_json((tmp_path / "out" / "report.json").read_text())
    assert whole.datasets[0].selection == "grit"
    assert whole.datasets[0].number("boxes") == 5
    text = page_of(tmp_path / "out" / "index.html").text
    assert "5 pseudo-labelled boxes for 5 phrases in 5 captioned images" in text
    assert "All 5 pictures." in text
    assert "image unreadable" in text


def evaluation(model: str, recall: float) -> EvaluationReport:
    images = {f"{number:03d}": 1.0 if number < 100 * recall else 0.0 for number in range(100)}
    name, matches = "phrase_recall@1", DetectionMatches(images=list(images), classes=[])
    return EvaluationReport(
        model_digest=model,
        dataset="val",
        dataset_fingerprint="f",
        metrics=[MetricValue(name=name, value=recall, count=100, baseline=0.2)],
        per_image={name: images},
        per_image_count={name: dict.fromkeys(images, 1)},
        detections=matches,
        federated=matches,
        voc=matches,
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
    assert "Promoted The candidate becomes the next teacher. 1 of 1 rule passed." in text
    assert "phrase_recall@1 20.0 50.0 75.0 +25.0 100" in text
    assert "glip 100.0 100.0 100.0 6 0" in text
    told = (tmp_path / "out" / "report.md").read_text()
    assert "## Decision\n\nPromoted: " in told
    assert "| phrase\\_recall@1 | 50.0 | 75.0 | 100 |" in told
    assert "| glip | 100.0 | 100.0 | 100.0 | 6 |" in told
    whole = Report.model_validate_json((tmp_path / "out" / "report.json").read_text())
    kept = whole.evaluations["student"][0]
    of_images = (kept.per_image, kept.per_image_count, kept.detections, kept.federated, kept.voc)
    assert not any(of_images), "the values of single images stay in evaluation.json"


def test_a_rule_about_the_value_alone_is_drawn_as_a_value_and_not_as_a_difference(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "pseudo", [dog(1)])
    old, new = evaluation("old", 0.5), evaluation("new", 0.75)
    rule = PromotionRule(metric="phrase_recall@1", must="exceed", margin=0.6)
    gate = GateRecipe(rules=(rule,), resamples=100)
    path = report([folder], tmp_path / "out", decision=decide([new], [old], gate))
    (drawn,) = re.findall(r'<div class="interval".*?</div>', Path(path).read_text(encoding="utf-8"))
    assert re.findall(r'class="(\w+)" style="left:([\d.]+)%', drawn) == [("zero", "60.0"), ("point", "75.0")]
    text = " ".join(page_of(path).text.split())
    assert "on val is 75.0: it must be at least 60.0, and it is." in text
    assert "better" not in text


def test_models_stand_side_by_side_where_one_lacks_a_dataset() -> None:
    other = evaluation("new", 0.75).model_copy(update={"dataset": "other"})
    tables = evaluation_tables({"teacher": [evaluation("old", 0.5)], "student": [other]})
    assert [(table.dataset, table.rows[0].values) for table in tables] == [
        ("val", [0.5, None]),
        ("other", [None, 0.75]),
    ]


def test_figures_of_every_protocol_are_compared_and_those_of_single_classes_are_not() -> None:
    names = ("lvis_APr", "referring_accuracy", "phrase_recall@1:tail", "AP50/person", "AP50/zebra")
    metrics = [MetricValue(name=name, value=0.5, count=3) for name in names]
    [table] = evaluation_tables({"student": [evaluation("new", 0.75).model_copy(update={"metrics": metrics})]})
    assert [row.metric for row in table.rows] == list(names[:4])


def test_styles_and_scripts_have_no_outside_address() -> None:
    for file in (resources.files("pipelines") / "templates").iterdir():
        if file.name.endswith((".css", ".js", ".j2")):
            text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"https?:|@import|url\(", text), file.name


def test_quality_needs_images_that_the_truth_knows(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "pseudo", [dog(1)])
    gold: Any = write_dataset(tmp_path / "gold", [dog(2)], CARD.model_copy(update={"origin": "human"}))
    with pytest.raises(ValueError, match="no labelled image of"):
        pseudo_quality(folder, gold)
    with pytest.raises(ValueError, match="pseudo-labelled dataset"):
        pseudo_quality(folder, folder)


def test_a_name_goes_on_in_the_next_line_after_its_parts_and_is_no_markup() -> None:
    assert breakable("phrase_recall@1:head") == "phrase_<wbr>recall@<wbr>1:<wbr>head"
    assert breakable("AP50/<b>") == "AP50/<wbr>&lt;b&gt;"
