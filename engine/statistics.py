"""What is in a dataset: counts through the funnel, boxes, scores, the head and the tail of the phrases.

In: a dataset's manifests, ``rejects/*.parquet`` and ``annotations/*.parquet`` (one row a box), never the pictures. Out:
a :class:`~schemas.reports.DatasetReport`. Only committed units count. Numbers are asked of DuckDB, which works out of
core, and each carries the SQL that made it (the table is called ``boxes``). Candidates are stored from a low floor; a
selection is applied while reading, into a temporary table of the same columns.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from engine import statistics_queries as queries
from engine.artifacts import Store, canonical_json
from engine.box_tables import add_boxes, box_database
from engine.duplicates import EXACT, NEAR, Duplicates, read_duplicates
from engine.leaks import LEAK_REASONS
from engine.selection import resolve_selection
from engine.shards import committed_units, read_card, read_manifest, rejects_name
from schemas.recipes import SelectionChoice
from schemas.reports import DatasetReport, RejectCount, StageCounts, Statistic
from schemas.shards import DatasetCard, ShardManifest

MAX_EXAMPLE_CHARS = 300


def dataset_report(dataset: str | Path, selection: SelectionChoice | None = None) -> DatasetReport:
    """The statistics of the dataset in a folder or prefix, under a selection (its card's own where none is given).

    Human boxes are not selected. A dataset in which nothing is committed gives zeros. ValueError where there is no
    dataset or no such selection.
    """
    store = Store(dataset)
    card = read_card(store)
    chosen = chosen_selection(card, selection)
    manifests = [manifest for unit in committed_units(store) if (manifest := read_manifest(store, unit)) is not None]
    rules = None if chosen is None else resolve_selection(chosen)
    duplicates = Duplicates() if chosen is None else read_duplicates(store, manifests)
    with box_database() as (connection, folder):
        units = [manifest.unit for manifest in manifests]
        dropped = add_boxes(connection, folder, "boxes", store, units, rules, duplicates)
        numbers = [*_counted(manifests), *_left_out(card, manifests, duplicates), *queries.numbers(connection)]
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
            stages=[*_stages(manifests), *_views(chosen, duplicates, values)],
            box_selection=_box_selection(chosen, values, dropped),
            rejects=_rejects(store, manifests),
            numbers=numbers,
            histograms=queries.histograms(connection),
            head_phrases=queries.head_phrases(connection),
            tail_phrases=queries.tail_phrases(connection),
            rank_frequency=queries.rank_frequency(connection),
        )


def chosen_selection(card: DatasetCard, selection: SelectionChoice | None) -> SelectionChoice | None:
    """The selection that a dataset is read with: the one asked for, else its card's own; None for human boxes.

    ValueError where there is no such selection.
    """
    if card.origin == "human":
        return None
    chosen = selection or card.selection
    resolve_selection(chosen)
    return chosen


# ------------------------------------------------------------------------------------------------------- the funnel


def _stages(manifests: list[ShardManifest]) -> list[StageCounts]:
    """Counts of the stages over all units, in flow order."""
    sums: dict[str, StageCounts] = {}
    for manifest in manifests:
        for counts in manifest.stages:
            sums[counts.stage] = sums[counts.stage] + counts if counts.stage in sums else counts
    return list(sums.values())


def _views(selection: SelectionChoice | None, duplicates: Duplicates, values: dict[str, int]) -> list[StageCounts]:
    """What readers leave out as the last stages of the funnel, in images: duplicates, where they were looked for, and
    what the selection leaves no box; none for human boxes."""
    if selection is None:
        return []
    stages, samples, kept = [], values["samples"], values["images"]
    if duplicates.digest is not None:
        rest = samples - len(duplicates)
        stages.append(StageCounts(stage="dedupe", came_in=samples, went_on=rest, dropped=duplicates.counts))
        samples = rest
    dropped = {"no_box_selected": samples - kept} if samples > kept else {}
    return [*stages, StageCounts(stage="selection", came_in=samples, went_on=kept, dropped=dropped)]


def _left_out(card: DatasetCard, manifests: list[ShardManifest], duplicates: Duplicates) -> list[Statistic]:
    """Evaluation leaks and duplicates, where they were looked for: no number stands for what nobody counted."""
    found = []
    if card.recipe.get("leaks"):
        reasons = [stage.dropped for manifest in manifests for stage in manifest.stages]
        leaks = sum(dropped.get(reason, 0) for dropped in reasons for reason in LEAK_REASONS)
        definition = "Source pairs rejected since their picture, or one near it, is in a dataset of the recipe's leaks."
        found.append(Statistic(name="leaks", title="Evaluation leaks", value=leaks, definition=definition))
    if duplicates.digest is not None:
        for name, title, what in (
            (EXACT, "Exact duplicates", "the same file as an earlier one"),
            (NEAR, "Near duplicates", "a perceptual hash near that of an earlier one that stays"),
        ):
            definition = f"Stored samples that readers leave out: {what}. Written by `glip-engine dedupe`."
            count = duplicates.counts.get(name, 0)
            found.append(Statistic(name=name, title=title, value=count, definition=definition))
    return found


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
