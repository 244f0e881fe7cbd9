"""The report: one HTML page that opens from disk, and the same numbers as JSON, as Markdown and as Parquet tables.

In: datasets, and what is known about the model: evaluations, the gate's decision, the quality of the pseudo-labels.
Out: ``index.html`` (self-contained: no network, its scripts allowed by digest alone), ``report.json`` (its schema is
``docs/report.schema.json``), ``report.md`` and ``tables/``. All text that comes from the data is escaped; equal input
gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.artifacts import Store
from engine.dataset.shard_files import read_card
from engine.statistics import DatasetStatistics, statistics_of
from engine.statistics.comparison import compare
from pipelines.labelling.bookkeeping import difference_of
from pipelines.pages.gallery import Gallery, gallery
from pipelines.pages.report_markdown import markdown
from pipelines.pages.report_page import gallery_bytes, render
from pipelines.pages.report_tables import write_tables
from schemas.dataset_comparison import DatasetComparison
from schemas.recipes import SelectionChoice
from schemas.report_document import Report
from schemas.reports import EvaluationReport, PromotionDecision, PseudoLabelReport

PAGE = "index.html"
GALLERY_PICTURES = 240


def report(
    datasets: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    evaluations: Mapping[str, Sequence[EvaluationReport]] | None = None,
    decision: PromotionDecision | None = None,
    quality: PseudoLabelReport | None = None,
    selection: SelectionChoice | None = None,
    human: str | Path | Sequence[str | Path] = (),
    compared: tuple[str | Path, str | Path] | None = None,
    price_per_hour: float | None = None,
    title: str | None = None,
    pictures: int = GALLERY_PICTURES,
    seed: int = 0,
    progress: bool = False,
) -> Path | str:
    """Write the page over ``datasets``, one or several, into the folder ``out``; returns the path of the page.

    ``evaluations`` are by the model's name as a reader knows it ("teacher", "student"), the one compared with first.
    ``selection`` is a preset or numbers; each dataset's own where None. ``human`` datasets are the vocabulary that
    phrases are new to; the human ones among ``datasets`` where none is given. ``compared`` are two datasets to stand
    side by side, which join ``datasets``. ``price_per_hour`` of a worker, for the cost. ``title`` heads the page; the
    datasets' names where None. Each gallery is a sample of at most ``pictures`` drawn by ``seed``, in as many bytes as
    keep the page below 25 MB. ``progress``: what is not whole is told on the terminal too. ValueError where a dataset
    is none, or where there is none.
    """
    datasets, human = ([one] if isinstance(one, str | Path) else one for one in (datasets, human))
    shown = list(dict.fromkeys([*map(str, datasets), *map(str, compared or ())]))
    if not shown:
        raise ValueError("a report needs at least one dataset: give DATASET, or --compare A B")
    for dataset in shown:
        read_card(Store(dataset))
    store = Store(out)
    store.check_writable()
    with statistics_of(shown, selection, human=human, price_per_hour=price_per_hour) as found:
        comparison = None if compared is None else _compare(shown, found, compared)
        store.delete(PAGE)  # of an earlier report, whose tables are being replaced; it is written last
        room = gallery_bytes(len(shown))
        galleries, reports = [], []
        for number, (dataset, statistics) in enumerate(zip(shown, found, strict=True)):
            sample, problem = _gallery(dataset, selection, pictures, seed, room)
            galleries.append(sample.with_counts(statistics.phrase_counts(sample.phrases())))
            reports.append(statistics.report.with_message(problem))
            write_tables(store, number, statistics)
    whole = Report(
        datasets=reports,
        comparison=comparison,
        evaluations={name: [_without_images(one) for one in listed] for name, listed in (evaluations or {}).items()},
        decision=decision,
        quality=quality,
    )
    for one in reports if progress else ():
        for message in one.whole.messages:
            print(f"{one.dataset}: {message}")
    name = title or _title(whole)
    store.write_document("report.json", whole)
    store.write("report.md", markdown(whole, name).encode(errors="replace"))
    store.write(PAGE, render(whole, galleries, name).encode(errors="replace"))
    return Path(store.path(PAGE)) if store.is_local else f"{store.root}/{PAGE}"


def _compare(
    shown: Sequence[str], found: Sequence[DatasetStatistics], compared: tuple[str | Path, str | Path]
) -> DatasetComparison:
    before, after = (found[shown.index(str(one))] for one in compared)
    cards = [read_card(Store(one)) for one in compared]
    return compare(before, after, difference_of(cards[0], cards[1]))


def _gallery(
    dataset: str, selection: SelectionChoice | None, pictures: int, seed: int, room: int
) -> tuple[Gallery, str | None]:
    """The sample of pictures; none, and why, where shards are missing or broken: the numbers need none."""
    try:
        return gallery(dataset, selection, limit=pictures, seed=seed, max_bytes=room), None
    except FileNotFoundError as error:
        problem = f"{error.filename or error} is missing"
    except ValueError as error:
        problem = str(error)
    return Gallery((), samples=0, units_read=0, units=0, seed=seed), f"There are no pictures to show: {problem}"


def _without_images(evaluation: EvaluationReport) -> EvaluationReport:
    """The evaluation without the values of single images, which stay in its own ``evaluation.json``."""
    matches = dict.fromkeys(("detections", "federated", "voc"))
    return evaluation.model_copy(update={"per_image": {}, "per_image_count": {}, **matches})


def _title(whole: Report) -> str:
    names = [one.dataset for one in whole.datasets]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
