"""The report: one HTML page that opens from disk, and the same numbers as JSON.

In: datasets, and what is known about the model: evaluations, the gate's decision, the quality of the pseudo-labels.
Out: ``index.html`` (self-contained: no network, its scripts allowed by their digest alone) and ``report.json``. All
text that comes from the data is escaped; equal input gives equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from engine.artifacts import Store
from engine.statistics import dataset_report
from pipelines.gallery import Gallery, gallery
from pipelines.plots import dataset_plots, quality_plot
from schemas.recipes import SelectionChoice
from schemas.reports import DatasetReport, Document, EvaluationReport, PromotionDecision, PseudoLabelReport

PAGE = "index.html"
GALLERY_PICTURES = 24
TILES = {
    "pseudo": ("source_pairs", "images", "boxes", "unique_phrases", "boxes_per_image", "median_score"),
    "human": ("distinct_images", "boxes", "phrases", "unique_phrases", "boxes_per_image", "boxes_per_phrase"),
}
MAIN_METRICS = ("phrase_recall@1", "phrase_recall@5", "phrase_recall@10", "AP", "AP50", "AP75", "AP50/person")


class Report(Document):
    """``report.json``: everything that the page shows, but for the pictures."""

    datasets: list[DatasetReport]
    evaluations: dict[str, list[EvaluationReport]] = {}
    decision: PromotionDecision | None = None
    quality: PseudoLabelReport | None = None


def report(
    datasets: Sequence[str | Path],
    out: str | Path,
    *,
    evaluations: Mapping[str, Sequence[EvaluationReport]] | None = None,
    decision: PromotionDecision | None = None,
    quality: PseudoLabelReport | None = None,
    selection: SelectionChoice | None = None,
    title: str | None = None,
    pictures: int = GALLERY_PICTURES,
) -> Path | str:
    """Write the page over ``datasets`` into the folder ``out``; returns the path of the page.

    ``evaluations`` are by the model's name as a reader knows it ("teacher", "student"), the one compared with first.
    ``selection`` is a preset or numbers; each dataset's own where None. ``title`` heads the page; the datasets' names
    where None. ValueError where a dataset is none.
    """
    whole = Report(
        datasets=[dataset_report(dataset, selection) for dataset in datasets],
        evaluations={name: [_without_images(one) for one in reports] for name, reports in (evaluations or {}).items()},
        decision=decision,
        quality=quality,
    )
    galleries = [gallery(dataset, selection, limit=pictures) for dataset in datasets]
    store = Store(out)
    store.write("report.json", (whole.model_dump_json(indent=1) + "\n").encode())
    store.write(PAGE, render(whole, galleries, title or _title(whole)).encode())
    return Path(store.path(PAGE)) if store.is_local else f"{store.root}/{PAGE}"


def _without_images(evaluation: EvaluationReport) -> EvaluationReport:
    """The evaluation without the values of single images, which stay in its own ``evaluation.json``."""
    return evaluation.model_copy(update={"per_image": {}, "per_image_count": {}, "detections": None})


def render(whole: Report, galleries: Sequence[Gallery], title: str) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(whole=_whole, figure=_figure, percent=_percent, signed=_signed)
    scripts = [get_plotlyjs(), _asset("page.js")]
    of_datasets = [dataset_plots(one) for one in whole.datasets]
    figures = {f"{number}-{plot.name}": plot.figure for number, plots in enumerate(of_datasets) for plot in plots}
    of_quality = quality_plot(whole.quality) if whole.quality is not None else None
    if of_quality is not None:
        figures["quality"] = of_quality.figure
    return environment.get_template("page.html.j2").render(
        report=whole,
        title=title,
        galleries=galleries,
        dataset_plots=of_datasets,
        quality_plot=of_quality,
        plots=figures,
        tables=evaluation_tables(whole.evaluations),
        tiles=TILES,
        style=Markup(_asset("style.css")),
        scripts=[Markup(script) for script in scripts],
        script_sources=" ".join(_script_source(script) for script in scripts),
    )


def _asset(name: str) -> str:
    return resources.files("pipelines").joinpath("templates", name).read_text(encoding="utf-8")


def _script_source(script: str) -> str:
    """What the content security policy allows a script by: its digest, so that no other script runs on the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _title(whole: Report) -> str:
    names = [one.dataset for one in whole.datasets]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# ------------------------------------------------------------------------------------------------ evaluation tables


class EvaluationRow(Document):
    """One metric of one dataset: the value of each model, in order, and how many things it was taken over."""

    metric: str
    count: int
    baseline: float | None
    values: list[float | None]


class EvaluationTable(Document):
    """The models side by side on one dataset."""

    dataset: str
    images: int
    models: list[str]
    rows: list[EvaluationRow]


def evaluation_tables(evaluations: Mapping[str, Sequence[EvaluationReport]]) -> list[EvaluationTable]:
    """One table a dataset; a model that was not evaluated on it has empty cells."""
    names = list(dict.fromkeys(one.dataset for reports in evaluations.values() for one in reports))
    return [_table(name, evaluations) for name in names]


def _table(dataset: str, evaluations: Mapping[str, Sequence[EvaluationReport]]) -> EvaluationTable:
    by_model = {
        model: next((one for one in reports if one.dataset == dataset), None) for model, reports in evaluations.items()
    }
    present = [one for one in by_model.values() if one is not None]
    rows = []
    for metric in MAIN_METRICS:
        found = {model: _metric(one, metric) for model, one in by_model.items()}
        counts = [one.count for one in found.values() if one is not None]
        if counts and max(counts) > 0:
            values = [one.value if one is not None else None for one in found.values()]
            baseline = next((one.baseline for one in found.values() if one is not None), None)
            rows.append(EvaluationRow(metric=metric, count=max(counts), baseline=baseline, values=values))
    return EvaluationTable(dataset=dataset, images=max(one.images for one in present), models=list(by_model), rows=rows)


def _metric(evaluation: EvaluationReport | None, name: str) -> Any:
    return next((one for one in evaluation.metrics if one.name == name), None) if evaluation is not None else None


# ---------------------------------------------------------------------------------------------------------- numbers


def _whole(value: float) -> str:
    """12,345"""
    return f"{value:,.0f}"


def _figure(value: float | None) -> str:
    """A number with as many digits as help a reader; a dash for none."""
    if value is None:
        return "–"
    if value == int(value) and abs(value) >= 2:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _signed(value: float | None) -> str:
    """A difference in points, with its sign."""
    return "–" if value is None else f"{100 * value:+.1f}".replace("-", "−")
