"""What readers leave out of a dataset, as stages of its funnel and as numbers: duplicates, leaks, what rules drop.

In: what was selected, what was dropped, and the numbers so far. Out: parts of the report. What nobody looked for has no
number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.duplicates import EXACT, NEAR, Duplicates
from engine.filtering.leaks import LEAK_REASONS
from engine.selecting.calibrated_scores import read_calibration
from engine.selection import CALIBRATED, resolve_selection
from engine.statistics.rows import Filled
from schemas.calibration import GROUPS
from schemas.dataset_report import CalibratedGroup, CalibrationSummary, Statistic
from schemas.recipes import SelectionChoice
from schemas.reports import StageCounts
from schemas.shards import DatasetCard


def reader_stages(
    selection: SelectionChoice | None, duplicates: Duplicates, values: Mapping[str, float | None]
) -> list[StageCounts]:
    """The last stages of the funnel, in images: duplicates, where they were looked for, and images that the selection
    leaves without a box. Empty for human boxes."""
    if selection is None:
        return []
    stages, samples, kept = [], int(values["samples"] or 0), int(values["images"] or 0)
    if duplicates.digest is not None:
        rest = samples - len(duplicates)
        stages.append(StageCounts(stage="dedupe", came_in=samples, went_on=rest, dropped=duplicates.counts))
        samples = rest
    dropped = {"no_box_selected": samples - kept} if samples > kept else {}
    return [*stages, StageCounts(stage="selection", came_in=samples, went_on=kept, dropped=dropped)]


def left_out_numbers(card: DatasetCard, stages: Sequence[StageCounts], duplicates: Duplicates) -> list[Statistic]:
    """The numbers of evaluation leaks and of duplicates, each only where it was looked for."""
    found = []
    if card.recipe.get("leaks"):
        leaks = sum(stage.dropped.get(reason, 0) for stage in stages for reason in LEAK_REASONS)
        definition = "Source pairs rejected because the recipe's `leaks` have their picture or a near copy."
        reasons = ", ".join(f"'{reason}'" for reason in LEAK_REASONS)
        sql = f"SELECT coalesce(sum(count), 0) FROM drops WHERE reason IN ({reasons})"
        found.append(_number("leaks", "Evaluation leaks", leaks, definition, sql))
    if duplicates.digest is not None:
        for name, title, what in (
            (EXACT, "Exact duplicates", "the same file as an earlier one"),
            (NEAR, "Near duplicates", "a perceptual hash near that of an earlier one that stays"),
        ):
            definition = f"Stored samples that readers leave out: {what}. Written by `glip-engine dedupe`."
            sql = f"SELECT count(*) FROM 'duplicates.parquet' WHERE reason = '{name}'"
            found.append(_number(name, title, duplicates.counts.get(name, 0), definition, sql))
    return found


def _number(name: str, title: str, value: int, definition: str, sql: str) -> Statistic:
    return Statistic(
        name=name, title=title, value=value, definition=definition, sql=sql, section="duplicates", unit="samples"
    )


def box_selection(
    selection: SelectionChoice | None, values: Mapping[str, float | None], filled: Filled
) -> StageCounts | None:
    """The candidate boxes as they pass the rules of the selection; None for human boxes."""
    if selection is None:
        return None
    boxes = int(values["boxes"] or 0)
    came_in = boxes + filled.dropped.total()  # the stored candidates, and the boxes that reviewers added
    return StageCounts(stage="boxes", came_in=came_in, went_on=boxes, dropped=dict(filled.dropped.most_common()))


def calibration_summary(selection: SelectionChoice | None, filled: Filled) -> CalibrationSummary | None:
    """What a calibrated selection asks and keeps by group; None for another selection."""
    if not isinstance(selection, dict) or selection.get("preset") != CALIBRATED:
        return None
    rules = resolve_selection(selection).calibrated
    assert rules is not None
    document, _ = read_calibration(str(selection["calibration"]))
    came, kept = filled.came_by_group.tolist(), filled.kept_by_group.tolist()
    return CalibrationSummary(
        calibration=rules.calibration,
        precision=rules.precision,
        groups=[
            CalibratedGroup(
                group=name,
                min_score=rules.min_scores[name],
                candidate_boxes=came[number],
                boxes=kept[number],
            )
            for number, name in enumerate(GROUPS)
        ],
        raw=document.held_out.raw,
        calibrated=document.held_out.calibrated,
    )
