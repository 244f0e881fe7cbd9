"""What is in a dataset: counts through the funnel, boxes, scores, the head and the tail of the phrases.

In: a dataset's manifests, ``rejects/*.parquet`` and ``annotations/*.parquet`` (one row a box), never the pictures. Out:
a :class:`~schemas.reports.DatasetReport`. Only committed units count. Numbers are asked of DuckDB, which works out of
core, and each carries the SQL that made it (the table is called ``boxes``). Candidates are stored from a low floor; a
selection is applied while reading, into a temporary table of the same columns.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import fsspec
import pyarrow.parquet as pq

from engine import statistics_queries as queries
from engine.artifacts import Store, canonical_json
from engine.selection import resolve_selection, select_with_reasons
from engine.shards import (
    ShardReader,
    annotation_table,
    annotations_name,
    committed_units,
    read_card,
    read_manifest,
    rejects_name,
)
from schemas.reports import DatasetReport, RejectCount, StageCounts, Statistic
from schemas.shards import ANNOTATION_SCHEMA, DatasetCard, SampleLabels, ShardManifest

MAX_EXAMPLE_CHARS = 300
MEMORY_LIMIT = "1GB"


def dataset_report(dataset: str | Path, selection: str | None = None) -> DatasetReport:
    """The statistics of the dataset in a folder or prefix, under a preset (its card's own where none is given).

    Human boxes are not selected. A dataset in which nothing is committed gives zeros. ValueError where there is no
    dataset or no such preset.
    """
    store = Store(dataset)
    card = read_card(store)
    chosen = chosen_selection(card, selection)
    manifests = [manifest for unit in committed_units(store) if (manifest := read_manifest(store, unit)) is not None]
    dropped: Counter[str] = Counter()
    with _boxes(store, [manifest.unit for manifest in manifests], chosen, dropped) as connection:
        numbers = [*_counted(manifests), *queries.numbers(connection)]
        values = {number.name: int(number.value or 0) for number in numbers}
        return DatasetReport(
            dataset=Path(store.root).name,
            origin=card.origin,
            task=card.task,
            selection=chosen if chosen is None or isinstance(chosen, str) else canonical_json(chosen),
            complete=card.complete,
            units=len(manifests),
            source_fingerprint=card.source_fingerprint,
            recipe_digest=card.recipe_digest,
            teacher_digest=card.teacher_digest,
            stages=[*_stages(manifests), *_image_selection(chosen, values)],
            box_selection=_box_selection(chosen, values, dropped),
            rejects=_rejects(store, manifests),
            numbers=numbers,
            histograms=queries.histograms(connection),
            head_phrases=queries.head_phrases(connection),
            tail_phrases=queries.tail_phrases(connection),
            rank_frequency=queries.rank_frequency(connection),
        )


SelectionChoice = str | dict[str, object]


def chosen_selection(card: DatasetCard, selection: str | None) -> SelectionChoice | None:
    """The selection that a dataset is read with: the one asked for, else its card's own; None for human boxes.

    ValueError where there is no such preset.
    """
    if card.origin == "human":
        return None
    chosen = selection or card.selection
    resolve_selection(chosen)
    return chosen


# ------------------------------------------------------------------------------------------------------- the table


@contextmanager
def _boxes(
    store: Store, units: list[int], selection: SelectionChoice | None, dropped: Counter[str]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which ``boxes`` is the table of the selected boxes; what a rule drops is added to ``dropped``."""
    with tempfile.TemporaryDirectory(prefix="glip-engine-") as folder, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute(f"SET temp_directory = '{folder}/spill'")
        if selection is None:
            files = _stored_tables(connection, store, units)
        else:
            files = [_write_selected(store, unit, selection, Path(folder), dropped) for unit in units]
        if not files:
            empty = Path(folder) / "empty.parquet"
            pq.write_table(ANNOTATION_SCHEMA.empty_table(), empty)
            files = [str(empty)]
        connection.read_parquet(files).create_view("boxes")
        yield connection


def _stored_tables(connection: duckdb.DuckDBPyConnection, store: Store, units: list[int]) -> list[str]:
    if store.is_local:
        return [store.path(annotations_name(unit)) for unit in units]
    protocol = store.root.partition("://")[0]
    connection.register_filesystem(fsspec.filesystem(protocol))
    return [f"{store.root}/{annotations_name(unit)}" for unit in units]


def _write_selected(store: Store, unit: int, selection: SelectionChoice, folder: Path, dropped: Counter[str]) -> str:
    """The unit's boxes that the selection keeps, as a table of the dataset's own columns."""
    rules = resolve_selection(selection)
    kept: list[SampleLabels] = []
    reader = ShardReader(store, unit)
    try:
        for row in range(len(reader)):
            labels, reasons = select_with_reasons(reader.labels(row), rules)
            kept.append(labels)
            dropped.update(reasons)
    finally:
        reader.close()
    path = folder / f"{unit:06d}.parquet"
    pq.write_table(annotation_table(kept), path)
    return str(path)


# ------------------------------------------------------------------------------------------------------- the funnel


def _stages(manifests: list[ShardManifest]) -> list[StageCounts]:
    """Counts of the stages over all units, in flow order."""
    sums: dict[str, StageCounts] = {}
    for manifest in manifests:
        for counts in manifest.stages:
            sums[counts.stage] = sums[counts.stage] + counts if counts.stage in sums else counts
    return list(sums.values())


def _image_selection(selection: SelectionChoice | None, values: dict[str, int]) -> list[StageCounts]:
    """The selection as the last stage of the funnel, in images; none for human boxes."""
    if selection is None:
        return []
    samples, kept = values["samples"], values["images"]
    dropped = {"no_box_selected": samples - kept} if samples > kept else {}
    return [StageCounts(stage="selection", came_in=samples, went_on=kept, dropped=dropped)]


def _box_selection(
    selection: SelectionChoice | None, values: dict[str, int], dropped: Counter[str]
) -> StageCounts | None:
    """What the rules of the selection did to the candidate boxes."""
    if selection is None:
        return None
    reasons = dict(dropped.most_common())
    return StageCounts(stage="boxes", came_in=values["candidate_boxes"], went_on=values["boxes"], dropped=reasons)


def _rejects(store: Store, manifests: list[ShardManifest]) -> list[RejectCount]:
    """Rejects by stage and reason, most frequent first."""
    counts: dict[tuple[str, str], tuple[int, str]] = {}
    for manifest in manifests:
        if not manifest.rejects:
            continue
        with store.open(rejects_name(manifest.unit)) as file:
            rows = pq.read_table(file, columns=["stage", "reason", "message"]).to_pylist()
        for row in rows:
            count, example = counts.get((row["stage"], row["reason"]), (0, row["message"]))
            counts[row["stage"], row["reason"]] = (count + 1, example)
    found = [
        RejectCount(stage=stage, reason=reason, count=count, example=example[:MAX_EXAMPLE_CHARS])
        for (stage, reason), (count, example) in counts.items()
    ]
    return sorted(found, key=lambda one: (-one.count, one.stage, one.reason))


def _counted(manifests: list[ShardManifest]) -> list[Statistic]:
    """What the manifests say, before any selection."""
    seconds = sum(manifest.seconds for manifest in manifests)
    rows = sum(manifest.rows for manifest in manifests)
    return [
        Statistic(name="source_pairs", title="Source pairs", value=rows, definition="Rows of the source's units done."),
        Statistic(
            name="samples",
            title="Stored samples",
            value=sum(manifest.samples for manifest in manifests),
            definition="Samples in the shards: at least one candidate box above the recipe's floor.",
        ),
        Statistic(
            name="parsed_phrases",
            title="Parsed phrases",
            value=sum(manifest.phrases for manifest in manifests),
            definition="Noun phrases of the stored samples, with or without a box.",
        ),
        Statistic(
            name="candidate_boxes",
            title="Candidate boxes",
            value=sum(manifest.boxes for manifest in manifests),
            definition="Stored candidates, before the selection.",
        ),
        Statistic(
            name="pairs_per_second",
            title="Pairs per second",
            value=rows / seconds if seconds else None,
            definition="Source pairs divided by the seconds that their units took, added up over workers.",
        ),
    ]
