"""``report.md``: the numbers of a report for a pull request, in Markdown that shows text from data as text.

In: a :class:`~schemas.report_document.Report`. Out: Markdown. The same report gives the same bytes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence

from pipelines.console.number_formats import counted, percent
from pipelines.pages.evaluation_tables import evaluation_tables
from pipelines.pages.findings import Finding, findings
from schemas.dataset_comparison import DatasetComparison
from schemas.dataset_report import DatasetReport, Statistic
from schemas.report_document import Report

SECTIONS = {
    "funnel": "Funnel",
    "size": "Size",
    "review": "Review",
    "phrases": "Phrases",
    "scores": "Scores",
    "boxes": "Boxes",
    "images": "Images",
    "duplicates": "Duplicates and leaks",
    "cost": "Time and cost",
}
ROWS = 15
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~-])")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


def markdown(report: Report, title: str) -> str:
    """The whole document."""
    lines = [f"# {text(title)}", ""]
    for one in report.datasets:
        lines += _dataset(one)
    if report.comparison is not None:
        lines += _comparison(report.comparison)
    lines += _model(report)
    return "\n".join(lines).rstrip() + "\n"


def text(value: object) -> str:
    """Text from data as one line that is neither Markdown nor HTML; what cannot be seen is left out."""
    plain = html.escape(_UNSEEN.sub(" ", str(value)), quote=False)
    return _SPECIAL.sub(r"\\\1", plain)


def figure(value: float | None) -> str:
    """A number with as many digits as help a reader; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.4g}"


def _dataset(report: DatasetReport) -> Iterator[str]:
    yield f"## {text(report.dataset)}"
    yield ""
    selection = "as annotated" if report.selection is None else f"selection {text(report.selection)}"
    yield f"{report.origin}, {report.task}, {selection}, {counted(report.whole.units_counted, 'unit')}."
    yield ""
    yield from (f"> {text(message)}\n" for message in report.whole.messages)
    noted = findings(report)
    if noted:
        yield from ("### What stands out", "", *map(_finding, noted), "")
    for section, title in SECTIONS.items():
        yield from _numbers(title, [one for one in report.numbers if one.section == section])
    yield from _table("Stages", ("stage", "came in", "went on", "dropped"), _stages(report))
    rejects = [(text(one.reason), text(one.stage), figure(one.count), text(one.example)) for one in report.rejects]
    yield from _table("Rejects", ("reason", "stage", "count", "example"), rejects[:ROWS])
    figures = [(text(one.title), figure(one.here), figure(one.extrapolated), figure(one.paper)) for one in report.paper]
    yield from _table("Beside the paper's 24M pairs", ("", "here", "extrapolated", "paper"), figures)
    phrases = [(text(one.text), figure(one.occurrences), figure(one.boxes)) for one in report.head_phrases]
    yield from _table("Most frequent phrases", ("phrase", "occurrences", "boxes"), phrases[:ROWS])
    if report.novelty is not None:
        names = ", ".join(text(name) for name in report.novelty.human_datasets)
        new = [(text(one.text), figure(one.occurrences), figure(one.boxes)) for one in report.novelty.phrases]
        yield f"{figure(report.novelty.new_phrases)} unique phrases are not in {names}."
        yield ""
        yield from _table("New concepts", ("phrase", "occurrences", "boxes"), new[:ROWS])


def _finding(one: Finding) -> str:
    example = f" For example: {text(one.example)}." if one.example else ""
    return f"- **{text(one.text)}**{example} {text(one.advice)}"


def _stages(report: DatasetReport) -> list[tuple[str, ...]]:
    return [
        (
            text(one.stage),
            figure(one.came_in),
            figure(one.went_on),
            ", ".join(f"{text(reason)} {count:,}" for reason, count in one.dropped.items()),
        )
        for one in report.stages
    ]


def _numbers(title: str, numbers: Sequence[Statistic]) -> Iterator[str]:
    rows = [(text(one.title), figure(one.value), text(one.unit), text(one.definition)) for one in numbers]
    yield from _table(title, ("", "value", "unit", "definition"), rows)


def _comparison(found: DatasetComparison) -> Iterator[str]:
    before, after = text(found.before), text(found.after)
    yield f"## {before} and {after}"
    yield ""
    yield text(f"What differs: {found.difference or 'nothing in source, recipe and teacher'}.")
    yield ""
    numbers = [
        (text(one.title), figure(one.before), figure(one.after), figure(one.difference)) for one in found.numbers
    ]
    yield from _table("Numbers", ("", before, after, "difference"), numbers)
    drifts = [(text(one.title), figure(one.jensen_shannon), figure(one.psi)) for one in found.drifts]
    yield from _table("Drift", ("distribution", "Jensen-Shannon, bits", "PSI"), drifts)
    changes = [(text(one.text), figure(one.before_per_million), figure(one.after_per_million)) for one in found.phrases]
    columns = ("phrase", f"{before}, per million", f"{after}, per million")
    yield from _table("Phrases that changed most", columns, changes[:ROWS])


def _model(report: Report) -> Iterator[str]:
    """The gate's decision, the models side by side, and the quality of the labels, as far as they are known."""
    if report.decision is not None:
        yield from ("## Decision", "", text(report.decision.reason), "")
        rules = [
            (text(one.metric), text(one.dataset), text(one.rule), "yes" if one.passed else "no", text(one.reason))
            for one in report.decision.comparisons
        ]
        yield from _table("Rules", ("metric", "dataset", "rule", "passed", "why"), rules)
    for one in evaluation_tables(report.evaluations):
        rows = [(text(row.metric), *map(percent, row.values), figure(row.count)) for row in one.rows]
        yield from _table(f"Evaluation on {text(one.dataset)}", ("metric, %", *map(text, one.models), "over"), rows)
    if report.quality is not None:
        columns = ("selection", "precision, %", "phrase recall, %", "box recall, %", "boxes")
        presets = [
            (text(one.selection), *map(percent, (one.precision, one.phrase_recall, one.box_recall)), figure(one.boxes))
            for one in report.quality.presets
        ]
        yield from _table(f"Label quality by {text(report.quality.truth)}", columns, presets)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table under a heading; nothing for no rows."""
    found = list(rows)
    if not found:
        return
    yield f"### {title}"
    yield ""
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    yield from (f"| {' | '.join(row)} |" for row in found)
    yield ""
