"""Where each artefact of a generation comes from, by digest: from the report down to the source slices.

In: the folder of a generation whose steps are done, and the two evaluations. Out: ``lineage.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.artifacts import Store, digest_of
from engine.selecting.calibrated_scores import read_calibration
from pipelines.lineage.nodes import LINEAGE, dataset_digest, dataset_node, make_node, once, source_node, teacher_nodes
from schemas.recipes import GenerationRecipe
from schemas.reports import EvaluationReport, Lineage, LineageNode


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
    sources = [source_node(folder / name) for name in datasets]
    calibrations = _calibrations(recipe)
    learned_from = [
        *(teacher, *(datasets[name] for name in (*gold, "pseudo"))),
        *(node.digest for node in calibrations if node.kind == "calibration"),
    ]
    training = {"recipe_digest": digest_of(recipe.train), "seeds": {"train": recipe.train.get("seed", 0)}}
    checkpoints = [
        *teacher_nodes(recipe.label.teacher, teacher),
        make_node("checkpoint", student, pupil, learned_from, "train", **training),
    ]
    evaluations = [
        make_node(
            "evaluation",
            f"evaluation/{name}",
            _evaluation_digest(reports),
            [model, *(datasets[exam] for exam in exams)],
            "evaluate",
        )
        for name, reports, model in (("teacher", incumbent, teacher), ("student", candidate, pupil))
    ]
    judged = [node.digest for node in evaluations]
    digest, seeds = Store(folder).digest("decision.json")[0], {"gate": recipe.gate.seed}
    decision = make_node("decision", "decision.json", digest, judged, "generation", seeds=seeds)
    shown = [datasets["pseudo"], decision.digest]  # the page tells times too, so it goes by what it shows
    report = make_node("report", "report/report.json", digest_of(["report", *shown]), shown, "report")
    made = [dataset_node(folder / name, name, digest) for name, digest in datasets.items()]
    lineage = Lineage(nodes=once([*sources, *made, *calibrations, *checkpoints, *evaluations, decision, report]))
    Store(folder).write_document(LINEAGE, lineage)
    return lineage


def _calibrations(recipe: GenerationRecipe) -> list[LineageNode]:
    """The calibration that the selection of the pseudo-labels uses, and the human data that it was made from; empty
    where it uses none."""
    if isinstance(recipe.selection, str) or "calibration" not in recipe.selection:
        return []
    path = str(recipe.selection["calibration"])
    document, digest = read_calibration(path)
    made_from = [make_node("dataset", path, digest, []) for path, digest in document.made_from.items()]
    parents = [document.teacher_digest, *document.made_from.values()]
    return [*made_from, make_node("calibration", path, digest, parents)]


def _evaluation_digest(reports: Sequence[EvaluationReport]) -> str:
    return digest_of([report.model_dump(mode="json", exclude={"seconds"}) for report in reports])
