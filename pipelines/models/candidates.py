"""Candidates for promotion: a generation's student, the model of a training run, or a model folder.

In: a folder or the name of a model. Out: the model's files, the record of the gate's decision if there is one, and the
other documents of a version: recipe, evaluation, lineage.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from engine.artifacts import document_bytes
from engine.registry import Registry
from engine.selecting.calibrated_scores import file_in_store
from glip.config import GLIPConfig
from glip.model_folder import CONFIG_FILE, FILES, check_files, description_digest, path_of, read_description
from pipelines.lineage.nodes import LINEAGE
from pipelines.models.checkpoints import local_checkpoint
from schemas.recipes import GenerationRecipe, TeacherRecipe, explain
from schemas.registry import ModelVersion
from schemas.reports import Lineage, PromotionDecision
from teacher.glip_digest import glip_digest

DECISION, RECIPE, EVALUATION = "decision.json", "recipe.json", "evaluation.json"
MAX_DOCUMENT_BYTES = 1_000_000_000
AnyModel = TypeVar("AnyModel", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ModelCandidate:
    """A model with its documents. ``name``: its name outside of the registry. ``teachers``: the recipes by which it may
    have been evaluated, since picture sizes are part of the digest that a decision names."""

    name: str
    folder: Path
    digest: str
    config: GLIPConfig
    metadata: dict[str, Any]
    decision: PromotionDecision | None
    teachers: tuple[TeacherRecipe, ...]
    recipe: dict[str, Any] | None
    evaluation: Path | None
    lineage: Lineage | None

    def grounder_digests(self) -> set[str]:
        """The digests by which a decision may name this model."""
        return grounder_digests(self.digest, self.config, self.teachers)


def grounder_digests(model_digest: str, config: GLIPConfig, teachers: Sequence[TeacherRecipe]) -> set[str]:
    """The digests of a model as a grounder of each of these recipes."""
    return {glip_digest(model_digest, config, teacher) for teacher in teachers}


def digests_of_version(registry: Registry, version: ModelVersion, teachers: Sequence[TeacherRecipe]) -> set[str]:
    """:func:`grounder_digests` of a version's model, and the digest by which its own promotion was decided."""
    digests = grounder_digests(version.model_digest, config_of_version(registry, version), teachers)
    return digests | ({version.grounder_digest} if version.grounder_digest else set())


def config_of_version(registry: Registry, version: ModelVersion) -> GLIPConfig:
    """The config of a version's model; its weights are not read."""
    return GLIPConfig.from_dict(json.loads(registry.read(version.version, CONFIG_FILE, 2**20) or b"{}")["config"])


def read_candidate(source: str | Path, decision: str | Path | None) -> ModelCandidate:
    """Read a candidate; ``decision`` is the file with the gate's record (None: the generation's own).

    ValueError or FileNotFoundError where there is no model, or a file of it is damaged.
    """
    path = path_of(local_checkpoint(str(source)))
    generation = _generation_recipe(path)
    record = _read(PromotionDecision, decision or (path / DECISION if generation else None))
    teachers = _teachers(generation)
    folder = _student(path, record, teachers) if generation else path / "model" if _is_run(path) else path
    if not folder.is_dir():
        raise ValueError(
            f"{source} is not a folder of a model, a training run or a finished generation; a published checkpoint "
            "becomes one by `glip-engine convert`"
        )
    description = read_description(folder)
    check_files(folder, description)
    evaluation = path / "evaluation" / "student" / EVALUATION
    recipe = generation.model_dump(mode="json") if generation else description["metadata"].get("recipe")
    return ModelCandidate(
        name=str(source) if folder == path else str(folder),
        folder=folder,
        digest=description_digest(description),
        config=GLIPConfig.from_dict(description["config"]),
        metadata=description["metadata"],
        decision=record,
        teachers=teachers,
        recipe=recipe if isinstance(recipe, dict) else None,
        evaluation=evaluation if generation and evaluation.is_file() else None,
        lineage=_named_lineage(path, generation) if generation else None,
    )


def model_files(candidate: ModelCandidate) -> dict[str, Path | bytes]:
    """The files of the version, except its card: those of the model, and the documents."""
    files: dict[str, Path | bytes] = {name: candidate.folder / name for name in FILES}
    documents = {RECIPE: candidate.recipe, DECISION: candidate.decision, LINEAGE: candidate.lineage}
    for name, document in documents.items():
        if isinstance(document, BaseModel):
            files[name] = document_bytes(document)
        elif document is not None:
            files[name] = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
    return files | ({EVALUATION: candidate.evaluation} if candidate.evaluation else {})


def _is_run(path: Path) -> bool:
    return (path / "model" / CONFIG_FILE).is_file()


def _generation_recipe(path: Path) -> GenerationRecipe | None:
    """The recipe of a generation that has reached its decision; None where the folder is no such generation."""
    if not ((path / RECIPE).is_file() and (path / DECISION).is_file()):
        return None
    return _read(GenerationRecipe, path / RECIPE)


def _teachers(generation: GenerationRecipe | None) -> tuple[TeacherRecipe, ...]:
    if generation is None:
        return (TeacherRecipe(),)
    return (generation.examined_teacher(), generation.label.teacher, TeacherRecipe())


def _student(path: Path, record: PromotionDecision | None, teachers: Sequence[TeacherRecipe]) -> Path:
    """The model that the generation's decision is about, since the training may have left several."""
    for config in sorted((path / "student").glob(f"*/{CONFIG_FILE}")):
        description = read_description(config.parent)
        sizes = GLIPConfig.from_dict(description["config"])
        known = grounder_digests(description_digest(description), sizes, teachers)
        if record is not None and record.candidate_digest in known:
            return config.parent
    raise ValueError(
        f"{path}/student holds no model that {DECISION} is about: it has been changed since; run the generation again"
    )


def _named_lineage(path: Path, generation: GenerationRecipe) -> Lineage | None:
    """The generation's lineage, with its name in front of paths inside its folder, to distinguish generations."""
    lineage = _read(Lineage, path / LINEAGE) if (path / LINEAGE).is_file() else None
    if lineage is None:
        return None
    nodes = [
        node.model_copy(update={"path": f"{generation.name}/{node.path}"}) if _is_inside(path, node.path) else node
        for node in lineage.nodes
    ]
    return Lineage(nodes=nodes)


def _is_inside(folder: Path, name: str) -> bool:
    return not Path(name).is_absolute() and (folder / name).exists()


def _read(kind: type[AnyModel], path: str | Path | None) -> AnyModel | None:
    if path is None:
        return None
    store, name = file_in_store(str(path))
    try:
        return kind.model_validate_json(store.read(name, MAX_DOCUMENT_BYTES))
    except ValidationError as error:
        raise ValueError(f"{path} is no {kind.__name__}: {explain(error)}") from None
