"""Transfer to new data with few examples, as on ODinW: zero-shot, few-shot and full, by mode and seed.

In: a :class:`~schemas.few_shot_recipes.FewShotRecipe`. Out: a folder with a report for each cell, ``few_shot.json`` and
a table for each dataset and metric, and for the mean over datasets. A finished cell is not done again; one that was
stopped is resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.artifacts import Store
from engine.few_shot import check_source
from pipelines.evaluation.metric_names import check_metric, metric_names
from pipelines.few_shot.cells import Cell, cells_of, exam_recipe, make_cell, train_recipe
from pipelines.few_shot.tables import FewShotTable, markdown, resampled_keys, tables_of
from pipelines.models.local_folders import local_folder
from pipelines.train import check_training
from pipelines.training.evaluation import check_apart, check_before
from schemas.few_shot_recipes import FewShotRecipe
from schemas.recipes import RunEvaluation
from schemas.reports import Document, EvaluationReport
from student.optimizer import short_of_full_rate

RESULT = "few_shot.json"


class FewShotResult(Document):
    """``few_shot.json``: a table for each dataset and metric, for the mean over several, and the recipe."""

    recipe: dict[str, Any]
    tables: list[FewShotTable]


def few_shot(recipe: FewShotRecipe, out: str | Path, *, progress: bool = True) -> FewShotResult:
    """Make every cell of the recipe under ``out``, and their tables.

    ValueError where a part of a dataset is no human detection dataset, ``out`` is a URL or is being written by another
    job, a training recipe is wrong, or the evaluation has no such metric.
    """
    folder, cells = local_folder(out), list(cells_of(recipe))
    if set(recipe.shots) - {"full"}:
        for one in recipe.datasets:
            check_source(one.train)
    told = _check_cells(recipe, cells, folder)
    if progress and told:
        print("\n".join(told), flush=True)
    store = Store(folder)
    with store.locked():  # otherwise two recipes would delete each other's runs
        reports = _make_cells(recipe, cells, folder, progress)
        by_dataset = {
            dataset.name: {cell: report for cell, report in reports.items() if cell.dataset == dataset}
            for dataset in recipe.datasets
        }
        tables = tables_of(recipe.metrics, by_dataset)
        result = FewShotResult(recipe=recipe.model_dump(mode="json"), tables=tables)
        store.write_document(RESULT, result)
    if progress:
        print("\n" + "\n\n".join(map(markdown, tables)))
    return result


def _make_cells(
    recipe: FewShotRecipe, cells: Sequence[Cell], folder: Path, progress: bool
) -> dict[Cell, EvaluationReport]:
    reports: dict[Cell, EvaluationReport] = {}
    for number, cell in enumerate(cells):
        reports[cell] = make_cell(recipe, cell, folder)
        for name in recipe.metrics:
            resampled_keys(reports[cell], name)  # raises already after the first cell if the metric has no interval
        figures = [f"{name} {100 * (reports[cell].value(name) or 0):.1f}" for name in recipe.metrics]
        if progress:
            print(f"{number + 1}/{len(cells)}  {cell.name}: {'  '.join(figures)}", flush=True)
    return reports


def _check_cells(recipe: FewShotRecipe, cells: Sequence[Cell], folder: Path) -> list[str]:
    """Warnings to print before any work starts. ValueError where a training or an evaluation cannot be done."""
    told = []
    for one in recipe.datasets:
        names = metric_names(exam_recipe(recipe, one))
        for metric in recipe.metrics:
            check_metric(metric, names, "metrics")
        told += check_apart([one.test], [Store(one.train)])
    checked: list[tuple[str, RunEvaluation]] = []
    for cell in cells:
        learned = train_recipe(recipe, cell, folder)
        check_training(learned, 1)
        told += short_of_full_rate(learned)
        along = learned.evaluation and (cell.dataset.train, learned.evaluation)
        if along and along not in checked:
            told += check_before(along[1], [Store(along[0])])
            checked.append(along)
    return list(dict.fromkeys(told))
