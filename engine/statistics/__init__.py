"""What is in a dataset: counts through the funnel, boxes, scores, the head and the tail of the phrases.

In: a dataset's manifests, ``rejects/*.parquet``, ``annotations/*.parquet`` (one row a box), of the shards a sample of
captions, never the pictures. Out: a :class:`~schemas.dataset_report.DatasetReport`. Only whole units count, and the
report tells of the others. Numbers are asked of tables in DuckDB, which works out of core, and each carries its SQL.
Candidates are stored from a low floor; a selection is applied while the tables are filled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from engine.artifacts import Store, canonical_json
from engine.box_batches import TEXT
from engine.box_tables import MEMORY_LIMIT, Connection, box_database
from engine.dataset.annotation_tables import TableFault, read_unit_tables
from engine.dataset.shard_files import read_card
from engine.dataset.wholeness import Examination, examine
from engine.duplicates import Duplicates
from engine.selection import check_teacher, chosen_rules, chosen_selection
from engine.statistics.captions import caption_sample
from engine.statistics.histograms import heat_maps, histograms
from engine.statistics.numbers import numbers
from engine.statistics.phrases import head_lemmas, head_phrases, novelty, phrase_counts, tail_phrases
from engine.statistics.rejects import fill_rejects, reject_counts, unit_rejects, worst_hosts
from engine.statistics.review import review_numbers, review_table
from engine.statistics.rows import Filled, fill
from engine.statistics.selection import box_selection, calibration_summary, left_out_numbers, reader_stages
from engine.statistics.tables import StatisticsTables
from engine.statistics.units import UnitRows, funnel, slowest_units, stage_times, unit_numbers, unit_seconds
from engine.statistics.vocabulary_laws import paper_figures, rank_frequency, vocabulary_growth, zipf_fit
from engine.view import open_view
from schemas.dataset_report import DatasetReport, SizeCount
from schemas.dataset_vocabulary import PhraseCount
from schemas.recipes import SelectionChoice
from schemas.shards import DatasetCard

IMAGE_SIZES = 20
_HUMAN_SCHEMA = pa.schema([("phrase_text", TEXT), ("head_lemma", TEXT)])


@dataclass(frozen=True)
class DatasetStatistics:
    """A dataset's report, and its tables for further questions while the database is open."""

    report: DatasetReport
    tables: StatisticsTables

    def phrase_counts(self, texts: Collection[str]) -> dict[str, PhraseCount]:
        """Counts of some phrases in the whole dataset, by the texts as given, in any case."""
        return phrase_counts(self.tables, texts)


def dataset_report(
    dataset: str | Path,
    selection: SelectionChoice | None = None,
    *,
    human: Sequence[str | Path] = (),
    price_per_hour: float | None = None,
    memory_limit: str = MEMORY_LIMIT,
) -> DatasetReport:
    """The statistics of the dataset in a folder or prefix, under a selection (its card's own where none is given).

    Human boxes are not selected. ``human``: datasets whose phrases are no new concepts; ``price_per_hour`` of a worker,
    for the cost. A dataset in which nothing is committed gives zeros. ValueError where there is no dataset or no such
    selection.
    """
    with statistics_of(
        [dataset], selection, human=human, price_per_hour=price_per_hour, memory_limit=memory_limit
    ) as found:
        return found[0].report


@contextmanager
def statistics_of(
    datasets: Sequence[str | Path],
    selection: SelectionChoice | None = None,
    *,
    human: Sequence[str | Path] = (),
    price_per_hour: float | None = None,
    memory_limit: str = MEMORY_LIMIT,
) -> Iterator[list[DatasetStatistics]]:
    """The statistics of several datasets in one database, as :func:`dataset_report` has them.

    Where no ``human`` dataset is named, those among ``datasets`` are the vocabulary of the others.
    """
    stores = [Store(dataset) for dataset in datasets]
    cards = [read_card(store) for store in stores]
    named = [Store(dataset) for dataset in human]
    for store in named:
        read_card(store)
    known = named or [store for store, card in zip(stores, cards, strict=True) if card.origin == "human"]
    with box_database(on_disk=True, memory_limit=memory_limit) as (connection, _):
        yield [
            _statistics(connection, f"dataset_{number}", store, card, selection, known, price_per_hour)
            for number, (store, card) in enumerate(zip(stores, cards, strict=True))
        ]


def _statistics(
    connection: Connection,
    schema: str,
    store: Store,
    card: DatasetCard,
    selection: SelectionChoice | None,
    human: Sequence[Store],
    price_per_hour: float | None,
) -> DatasetStatistics:
    chosen = chosen_selection(card, selection)
    if chosen is not None:
        check_teacher(chosen, str(card.teacher_digest))
    units = UnitRows()
    found = examine(store, units.add)
    view = open_view(store, list(found.manifests.values()), chosen_rules(card, selection))
    tables = StatisticsTables(connection, schema)
    filled = fill(tables, store, found, view)
    units.fill(tables, found.manifests)
    fill_rejects(tables, store, found)
    others = [one for one in human if one.root != store.root] if card.origin == "pseudo" else []
    if others:
        tables.insert_human(batch for one in others for batch in _human_phrases(one))
    tables.count()
    gathered = _Gathered(store, card, chosen, found, filled, view.duplicates, others)
    return DatasetStatistics(_report(tables, gathered, price_per_hour), tables)


@dataclass(frozen=True)
class _Gathered:
    """What is known of a dataset once its tables are filled; ``selection`` is None for human boxes."""

    store: Store
    card: DatasetCard
    selection: SelectionChoice | None
    found: Examination
    filled: Filled
    duplicates: Duplicates
    human: Sequence[Store]


def _report(tables: StatisticsTables, gathered: _Gathered, price_per_hour: float | None) -> DatasetReport:
    card, chosen = gathered.card, gathered.selection
    scored = chosen is not None  # human boxes have no teacher's scores
    stages = funnel(tables)
    counted = [
        *unit_numbers(tables, price_per_hour),
        *left_out_numbers(card, stages, gathered.duplicates),
        *review_numbers(tables),
        *(one for one in numbers(tables) if scored or one.section != "scores"),
    ]
    values = {number.name: number.value for number in counted}
    growth = vocabulary_growth(tables)
    ranks = rank_frequency(tables)
    return DatasetReport(
        dataset=gathered.store.name,
        origin=card.origin,
        task=card.task,
        selection=chosen if chosen is None or isinstance(chosen, str) else canonical_json(chosen),
        complete=card.complete,
        units=len(gathered.found.manifests),
        source_fingerprint=card.source_fingerprint,
        recipe_digest=card.recipe_digest,
        teacher_digest=card.teacher_digest,
        whole=gathered.found.whole(card),
        stages=[*stages, *reader_stages(chosen, gathered.duplicates, values)],
        box_selection=box_selection(chosen, values, gathered.filled),
        rejects=reject_counts(tables),
        unit_rejects=unit_rejects(tables),
        link_rot=worst_hosts(tables) if _is_of_urls(card) else [],
        numbers=counted,
        tables=[*tables.definitions(), *review_table(tables)],
        histograms=[one for one in histograms(tables) if scored or one.section != "scores"],
        heat_maps=heat_maps(tables),
        image_sizes=_image_sizes(tables),
        captions=caption_sample(gathered.store, list(gathered.found.manifests.values())),
        calibration=calibration_summary(chosen, gathered.filled),
        head_phrases=head_phrases(tables),
        tail_phrases=tail_phrases(tables),
        head_lemmas=head_lemmas(tables),
        rank_frequency=ranks,
        zipf=zipf_fit(ranks),
        vocabulary_growth=growth,
        paper=paper_figures(values, growth),
        novelty=novelty(tables, [one.name for one in gathered.human]) if gathered.human else None,
        unit_seconds=unit_seconds(tables),
        slowest_units=slowest_units(tables),
        stage_times=stage_times(stages),
    )


def _human_phrases(store: Store) -> Iterable[pa.Table]:
    """Phrases with a box of a human dataset's whole units; a unit that is not whole gives none."""
    for stored in read_unit_tables(store, sorted(examine(store).manifests), _HUMAN_SCHEMA):
        if not isinstance(stored, TableFault):
            yield stored.table


def _image_sizes(tables: StatisticsTables) -> list[SizeCount]:
    rows = tables.rows(
        "SELECT width, height, count(*) AS images FROM images GROUP BY width, height "
        f"ORDER BY images DESC, width, height LIMIT {IMAGE_SIZES}"
    )
    return [SizeCount(width=width, height=height, images=images) for width, height, images in rows]


def _is_of_urls(card: DatasetCard) -> bool:
    """Whether the source of a labelled dataset is a list of urls."""
    source = card.recipe.get("source")
    return isinstance(source, dict) and source.get("kind") == "urls"
