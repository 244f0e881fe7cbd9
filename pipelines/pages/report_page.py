"""The report's page as text: one HTML document that opens from disk, fetches nothing and runs its own scripts alone.

In: the report, a gallery a dataset. Out: HTML. All text that comes from the data is escaped or set as text by scripts;
the content security policy allows scripts by their digest, pictures as ``data:`` and nothing else. Equal input gives
equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipelines.pages.comparison_plots import drift_plots
from pipelines.pages.evaluation_tables import evaluation_tables
from pipelines.pages.findings import Finding, findings
from pipelines.pages.gallery import Gallery
from pipelines.pages.page_templates import embedded_json, environment, page_assets
from pipelines.pages.picture_cards import card_record
from pipelines.pages.plots import Plot, heat_map_plot, histogram_plots
from pipelines.pages.quality_plots import quality_plot, reliability_plot
from pipelines.pages.vocabulary_plots import vocabulary_plots
from schemas.dataset_report import DatasetReport, Section, Statistic
from schemas.report_document import Report

# The whole page stays below it, whatever the dataset: galleries share what the numbers and the library leave.
MAX_PAGE_BYTES = 25_000_000
RESERVED_BYTES = 5_000_000  # of the plotting library (2 MB as it stands in the page) and the numbers of some datasets
SCRIPTS = ("pointing.js", "card.js", "gallery.js", "plots.js")
TILES = {
    "pseudo": ("source_pairs", "images", "boxes", "unique_phrases", "boxes_per_image", "median_score"),
    "human": ("distinct_images", "boxes", "phrases", "unique_phrases", "boxes_per_image", "boxes_per_phrase"),
}
# The chapters of a dataset's page, with the sections of the report whose numbers and histograms stand in each.
CHAPTERS: dict[str, tuple[Section, ...]] = {
    "numbers": ("size",),
    "funnel": ("funnel",),
    "review": ("review",),
    "boxes": ("scores", "boxes"),
    "phrases": ("phrases",),
    "images": ("images", "captions"),
    "duplicates": ("duplicates",),
    "cost": ("cost",),
}


@dataclass(frozen=True)
class DatasetView:
    """One dataset as the templates show it: ``place`` begins the names of its anchors and figures."""

    place: str
    report: DatasetReport
    gallery: Gallery
    tiles: list[Statistic]
    facts: dict[str, list[Statistic]]
    plots: dict[str, list[Plot]]
    findings: list[Finding]

    @property
    def chapters(self) -> list[tuple[str, str]]:
        """Names and headings of the chapters that there is something to say of, for the navigation."""
        one = self.report
        there = {
            "numbers": True,
            "gallery": self.gallery.pictures,
            "funnel": True,
            "review": self.facts["review"],
            "boxes": self.plots["boxes"],
            "phrases": one.head_phrases,
            "images": self.plots["images"] or self.facts["images"],
            "duplicates": self.facts["duplicates"] or self.plots["duplicates"],
            "cost": self.facts["cost"] or one.slowest_units,
        }
        return [(name, name.capitalize()) for name, found in there.items() if found]


def gallery_bytes(datasets: int) -> int:
    """How many bytes of thumbnails the gallery of one of so many datasets may have."""
    return (MAX_PAGE_BYTES - RESERVED_BYTES) // max(datasets, 1)


def render(whole: Report, galleries: Sequence[Gallery], title: str) -> str:
    """The page as text; ``galleries`` in the order of the report's datasets."""
    views = [_view(f"d{n}", one, galleries[n]) for n, one in enumerate(whole.datasets)]
    of_quality = quality_plot(whole.quality) if whole.quality is not None else None
    drifts = drift_plots(whole.comparison) if whole.comparison is not None else []
    figures = {f"{view.place}-{plot.name}": plot.figure for view in views for of in view.plots.values() for plot in of}
    figures |= {f"compare-{plot.name}": plot.figure for plot in drifts}
    figures |= {"quality": of_quality.figure} if of_quality is not None else {}
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=whole,
            title=title,
            views=views,
            records=[_records(one) for one in galleries],
            drifts=drifts,
            quality_plot=of_quality,
            tables=evaluation_tables(whole.evaluations),
            figures=embedded_json(figures),
            **page_assets("report", SCRIPTS, with_figures=bool(figures)),
        )
    )


def _records(gallery: Gallery) -> Markup:
    """The cards of a gallery, without their thumbnails."""
    return embedded_json([card_record(one, gallery.counts, scored=gallery.scored) for one in gallery.pictures])


def _view(place: str, report: DatasetReport, gallery: Gallery) -> DatasetView:
    by_name = {number.name: number for number in report.numbers}
    tiles = [by_name[name] for name in TILES[report.origin] if name in by_name and by_name[name].value is not None]
    facts = {
        chapter: [
            one for one in report.numbers if one.section in sections and one not in tiles and one.value is not None
        ]
        for chapter, sections in CHAPTERS.items()
    }
    return DatasetView(place, report, gallery, tiles, facts, _plots(report), findings(report))


def _plots(report: DatasetReport) -> dict[str, list[Plot]]:
    """The figures by chapter."""
    histograms = [*report.histograms, *([report.unit_seconds] if report.unit_seconds is not None else [])]
    if report.captions is not None:
        histograms += [one for one in (report.captions.words, report.captions.characters) if one is not None]
    found = {
        chapter: histogram_plots([one for one in histograms if one.section in sections])
        for chapter, sections in CHAPTERS.items()
    }
    reliability = reliability_plot(report.calibration) if report.calibration is not None else None
    heat_maps = [heat_map_plot(one) for one in report.heat_maps if sum(map(sum, one.counts))]
    found["boxes"] = [*found["boxes"], *([reliability] if reliability is not None else []), *heat_maps]
    found["phrases"] = [*vocabulary_plots(report), *found["phrases"]]
    return found
