"""Folders of old runs: where the recipe says how many are kept (``keep_runs``), the others go, so that retraining does
not fill the disk.

In: the recipe and the records of its registry. Out: the folders that went. A version of the registry is a copy, with a
lineage and a decision of its own: it needs no run's folder. A folder is renamed before it is deleted, so that none that
is half there is ever taken for a run; what a crash leaves of it is deleted the next time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from engine.artifacts import Store
from engine.registry import Registry
from engine.retraining.records import RetrainRecords
from engine.storage.local_files import fsync_folder
from pipelines.generation_plan import RECIPE
from pipelines.models.checkpoints import registry_name
from schemas.retrain import RetrainRecord
from schemas.retrain_recipes import RetrainRecipe

REMOVING = ".removing-"


def without_old_runs(recipe: RetrainRecipe, records: RetrainRecords, ended: RetrainRecord) -> RetrainRecord:
    """Delete the folders of old runs; returns the record of the run that has ended with what was deleted, and with what
    went wrong, which fails no run. Only while the records are held."""
    if recipe.keep_runs is None:
        return ended
    runs, removed, problems = Path(recipe.runs), [], []
    try:
        entry = Registry(str(recipe.generation.registry)).state().current()
        for folder in old_runs(recipe, records.all(), entry.version if entry else None):
            folder.rename(runs / f"{REMOVING}{folder.name}")
    except (OSError, ValueError, RuntimeError) as error:
        problems.append(str(error))
    for marked in sorted(runs.glob(f"{REMOVING}*")):
        try:
            fsync_folder(runs)  # its new name is to outlive a crash of the machine before any file of it goes
            shutil.rmtree(marked)
            removed.append(str(runs / marked.name.removeprefix(REMOVING)))
        except OSError as error:
            problems.append(str(error))
    return ended.model_copy(update={"removed": removed, "removal_problem": "; ".join(problems) or None})


def old_runs(recipe: RetrainRecipe, records: Iterable[RetrainRecord], current: int | None) -> list[Path]:
    """The folders that may go: of the runs on record all but the ``keep_runs`` latest. Never of one that has not ended,
    that the current version (``current``) is of, or that the recipe names a path in."""
    assert recipe.keep_runs is not None, "the caller has looked"
    there = [(record, folder) for record in records if _is_run(folder := _folder(recipe, record), recipe)]
    named = recipe.model_dump_json()
    return [
        folder
        for record, folder in there[: -recipe.keep_runs]
        if record.finished is not None
        and (current is None or _version(record) != current)
        and not any(f"{path}/" in named or f'{path}"' in named for path in (folder, folder.resolve()))
    ]


def _folder(recipe: RetrainRecipe, record: RetrainRecord) -> Path:
    return Path(recipe.runs) / f"{record.number:06d}"


def _is_run(folder: Path, recipe: RetrainRecipe) -> bool:
    """Whether a generation into the recipe's registry is there: another registry's run may have the same number, and
    what a link leads to is not ours."""
    try:
        saved = json.loads(Store(folder).read(RECIPE))
    except (OSError, ValueError):  # nothing, or what failed before it was begun: a few lines
        return False
    return isinstance(saved, dict) and saved.get("registry") == recipe.generation.registry and not folder.is_symlink()


def _version(record: RetrainRecord) -> int | None:
    name = registry_name(record.promoted or "")
    return name.version if name else None
