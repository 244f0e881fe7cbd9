"""Where each artefact of a generation comes from, by digest: from the report down to the source slices.

In: the folder of a generation whose steps are done, and the two evaluations. Out: ``lineage.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from engine.artifacts import Store, digest_of
from engine.shards import committed_units, read_card, read_manifest
from schemas.recipes import GenerationRecipe
from schemas.reports import EvaluationReport, Lineage, LineageNode

LINEAGE = "lineage.json"


def trace(
    folder: Path,
    recipe: GenerationRecipe,
    student: str,
    incumbent: Sequence[EvaluationReport],
    candidate: Sequence[EvaluationReport],
) -> Lineage:
    """Write the lineage of the generation in ``folder``, and return it. ``student`` is its checkpoint folder."""
    teacher, pupil = incumbent[0].model_digest, candidate[0].model_digest
    gold = [f"gold/{source.name}" for source in recipe.gold]
    exams = [f"gold/{source.name}" for source in recipe.evaluation]
    datasets = {name: dataset_digest(folder / name) for name in (*gold, *exams, "pseudo")}
    sources = [_source(folder, name) for name in datasets]
    checkpoints = [
        _node("checkpoint", recipe.label.teacher.checkpoint, teacher, []),
        _node("checkpoint", student, pupil, [teacher, *(datasets[name] for name in (*gold, "pseudo"))], "train"),
    ]
    evaluations = [
        _node(
            "evaluation",
            f"evaluation/{name}",
            _evaluation_digest(reports),
            [model, *(datasets[exam] for exam in exams)],
            "evaluate",
        )
        for name, reports, model in (("teacher", incumbent, teacher), ("student", candidate, pupil))
    ]
    decision = _file(folder, "decision", "decision.json", [node.digest for node in evaluations], "generation")
    report = _file(folder, "report", "report/report.json", [datasets["pseudo"], decision.digest], "report")
    made = [_dataset(folder, name, digest) for name, digest in datasets.items()]
    lineage = Lineage(nodes=[*sources, *made, *checkpoints, *evaluations, decision, report])
    Store(folder).write(LINEAGE, (lineage.model_dump_json(indent=1) + "\n").encode())
    return lineage


def dataset_digest(folder: str | Path) -> str:
    """Digest of a dataset's content: of the SHA-256 of all its shards, in order."""
    store = Store(folder)
    manifests = [read_manifest(store, unit) for unit in committed_units(store)]
    return digest_of([[file.sha256 for file in manifest.files] for manifest in manifests if manifest is not None])


def _source(folder: Path, name: str) -> LineageNode:
    store = Store(folder / name)
    uris = {manifest.source_uri for unit in committed_units(store) if (manifest := read_manifest(store, unit))}
    return _node("source", ", ".join(sorted(uris)), read_card(store).source_fingerprint, [])


def _dataset(folder: Path, name: str, digest: str) -> LineageNode:
    card = read_card(Store(folder / name))
    parents = [card.source_fingerprint, *([card.teacher_digest] if card.teacher_digest else [])]
    return _node("dataset", name, digest, parents, "label" if card.origin == "pseudo" else "import")


def _evaluation_digest(reports: Sequence[EvaluationReport]) -> str:
    return digest_of([report.model_dump(mode="json", exclude={"seconds"}) for report in reports])


def _file(folder: Path, kind: str, name: str, parents: list[str], step: str) -> LineageNode:
    return _node(kind, name, Store(folder).digest(name)[0], parents, step)


def _node(kind: str, path: str, digest: str, parents: list[str], step: str = "") -> LineageNode:
    made_by = f"glip-engine {version('glip-engine')} {step}" if step else "outside this generation"
    return LineageNode(kind=kind, path=path, digest=digest, parents=parents, made_by=made_by)
