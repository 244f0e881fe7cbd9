"""The cells of a few-shot harness: each a dataset, a mode, a number of shots and a seed; made once.

In: a recipe and a cell. Out: the evaluation of its model, kept in ``cell.json`` with a digest of all that decides it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.artifacts import Store, digest_of
from engine.few_shot import write_shots
from glip.hub import file_sha256
from glip.model_folder import path_of
from pipelines.evaluate import evaluate
from pipelines.evaluation.exams import open_exam
from pipelines.lineage.nodes import model_digest
from pipelines.train import train
from schemas.few_shot_recipes import FewShotRecipe, Shots, TransferDataset
from schemas.recipes import EvaluateRecipe, MixEntry, TrainRecipe, make_recipe
from schemas.reports import Document, EvaluationReport
from schemas.train_recipes import TuneMode

CELL, RUN, RUN_OF = "cell.json", "run", "run_of.txt"
ZERO_SHOT: TuneMode = "full"  # nothing is tuned: the mode does not matter


class CellReport(Document):
    """The evaluation of a cell's model, and the digest of all that decides it."""

    identity: str
    report: EvaluationReport


@dataclass(frozen=True, slots=True)
class Cell:
    """One model of the harness, tuned on ``shots`` drawn by ``seed``; with zero shots the model as it is."""

    dataset: TransferDataset
    mode: TuneMode
    shots: Shots
    seed: int

    @property
    def name(self) -> str:
        if self.shots == 0:
            return f"{self.dataset.name}/zero-shot"
        return f"{self.dataset.name}/{self.mode}/{self.shots}-shot-seed-{self.seed}"


def cells_of(recipe: FewShotRecipe) -> Iterator[Cell]:
    """All cells: for each dataset zero-shot first, then by shots, mode and seed."""
    for dataset in recipe.datasets:
        yield Cell(dataset, ZERO_SHOT, 0, 0)
        for shots in recipe.shots:
            for mode in recipe.modes:
                yield from (Cell(dataset, mode, shots, seed) for seed in range(recipe.seeds))


def make_cell(recipe: FewShotRecipe, cell: Cell, out: Path) -> EvaluationReport:
    """The report of a cell: read if it exists; else its model is trained, or resumed, and evaluated."""
    store, learned = Store(out / cell.name), train_recipe(recipe, cell, out)
    exam = exam_recipe(recipe, cell.dataset)
    identity = digest_of(
        [
            _plain(learned),
            _plain(exam),
            _content(learned.init),
            _fingerprint(cell.dataset.train),
            _fingerprint(cell.dataset.test),
        ]
    )
    done = _read(store)
    if done is not None and done.identity == identity:
        return done.report
    model = {"checkpoint": learned.init, "checkpoint_sha256": learned.init_sha256, "tokenizer": learned.tokenizer}
    if cell.shots != 0:
        _forget_another(out / cell.name, identity)
        if cell.shots != "full":
            write_shots(cell.dataset.train, cell.shots, cell.seed, learned.mix[0].dataset)
        tuned = train(learned, out / cell.name / RUN, progress=False).checkpoint
        model = {"checkpoint": tuned, "checkpoint_sha256": None, "tokenizer": None}
    teacher = exam.teacher.model_copy(update=model)
    report = evaluate(exam.model_copy(update={"teacher": teacher}), progress=False)[0]
    store.write(CELL, (CellReport(identity=identity, report=report).model_dump_json() + "\n").encode())
    if not recipe.keep_models:
        shutil.rmtree(out / cell.name / RUN, ignore_errors=True)
    return report


def _forget_another(folder: Path, identity: str) -> None:
    """Delete the run of a cell that was begun by another recipe, data or checkpoint. Training would resume such a run
    with more steps, but a cell has exactly the steps of its recipe."""
    store = Store(folder)
    if not store.exists(RUN_OF) or store.read(RUN_OF).decode() != identity:
        shutil.rmtree(folder / RUN, ignore_errors=True)
        store.flush("")  # so that a crash of the machine cannot bring back the old run under this identity
        store.write(RUN_OF, identity.encode())


def train_recipe(recipe: FewShotRecipe, cell: Cell, out: Path) -> TrainRecipe:
    """The training recipe of a cell; its ``init`` is the zero-shot model."""
    shots = str(
        out / cell.dataset.name / "shots" / _fingerprint(cell.dataset.train)[:12] / f"{cell.shots}-seed-{cell.seed}"
    )
    data = cell.dataset.train if cell.shots in (0, "full") else shots
    fields: dict[str, Any] = {**recipe.train, **recipe.train_by_mode.get(cell.mode, {})}
    entry = MixEntry(dataset=data, prompts=cell.dataset.prompts)
    return make_recipe(TrainRecipe, "train", fields, mix=(entry,), tune=cell.mode, seed=cell.seed)


def exam_recipe(recipe: FewShotRecipe, dataset: TransferDataset) -> EvaluateRecipe:
    """The evaluation recipe of a dataset's models, with the prompts that they were tuned with."""
    prompts = {Store(dataset.test).name: dataset.prompts} if dataset.prompts else {}
    return make_recipe(EvaluateRecipe, "evaluate", recipe.evaluate, datasets=(dataset.test,), prompts=prompts)


def _fingerprint(dataset: str) -> str:
    """The fingerprint of a human dataset as its reviewers left it."""
    return open_exam(dataset, None).fingerprint


def _content(init: str) -> str | None:
    """A digest of a checkpoint's content; None for random weights, and for a name whose digest the recipe has."""
    return file_sha256(path_of(init)) if path_of(init).is_file() else model_digest(init)


def _plain(recipe: TrainRecipe | EvaluateRecipe) -> dict[str, Any]:
    """The fields that decide the result, without the paths of folders. Prompts are part of the evaluated recipe."""
    return recipe.model_dump(mode="json", exclude={"mix", "datasets"}, exclude_defaults=True)


def _read(store: Store) -> CellReport | None:
    try:
        return CellReport.model_validate_json(store.read(CELL)) if store.exists(CELL) else None
    except ValueError:  # of an older format, or damaged: the cell is made again
        return None
