"""Deletes the folders of old runs, except the latest ``keep_runs``, so that retraining does not fill the disk.

In: the recipe and the records of its registry. Out: the deleted folders. A version in the registry is a copy, with its
own lineage and decision: it needs no run's folder. A folder is renamed before it is deleted, so that a half-deleted one
is never taken for a run; what a crash leaves of it is deleted the next time.
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
from pipelines.models.candidates import RECIPE
from pipelines.models.checkpoints import registry_name
from schemas.retrain import RetrainRecord
from schemas.retrain_recipes import RetrainRecipe

REMOVING = ".removing-"


def without_old_runs(recipe: RetrainRecipe, records: RetrainRecords, ended: RetrainRecord) -> RetrainRecord:
    """Delete the folders of old runs; returns the record of the run that has ended, with the deleted folders and any
    error of deleting, which does not fail the run. Only while the lock of the records is held."""
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
            fsync_folder(runs)  # the new name must survive a crash of the machine before any file is deleted
            shutil.rmtree(marked)
            removed.append(str(runs / marked.name.removeprefix(REMOVING)))
        except OSError as error:
            problems.append(str(error))
    return ended.model_copy(update={"removed": removed, "removal_problem": "; ".join(problems) or None})


def old_runs(recipe: RetrainRecipe, records: Iterable[RetrainRecord], current: int | None) -> list[Path]:
    """The folders that may be deleted: those of all recorded runs but the ``keep_runs`` latest. Never that of a run
    that has not ended, that made the current version (``current``), or in which the recipe names a path."""
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
    """Whether the folder has a generation of the recipe's registry: another registry's run may have the same number. A
    link is never followed."""
    try:
        saved = json.loads(Store(folder).read(RECIPE))
    except (OSError, ValueError):  # nothing there, or a run that failed before it began
        return False
    return isinstance(saved, dict) and saved.get("registry") == recipe.generation.registry and not folder.is_symlink()


def _version(record: RetrainRecord) -> int | None:
    name = registry_name(record.promoted or "")
    return name.version if name else None
