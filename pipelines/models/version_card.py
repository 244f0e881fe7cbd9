"""The card of a version (README.md): what the model is, why it was promoted, its figures, how to use it.

In: a candidate. Out: Markdown, a function of the candidate alone.
"""

from __future__ import annotations

from pipelines.console.number_formats import percent, signed
from pipelines.models.candidates import ModelCandidate
from schemas.reports import MetricComparison

CARD = "README.md"


def version_card(candidate: ModelCandidate) -> str:
    """The Markdown text."""
    parts = [
        f"# GLIP `{candidate.config.name}`, {candidate.digest[:12]}",
        f"A model folder of glip-engine: phrase grounding. Model digest `{candidate.digest}`.",
        *_decision(candidate),
        "## Use",
        "`glip-engine evaluate registry:URI@VERSION --on DATASET`; the same name serves as `teacher.checkpoint` of a "
        "labelling recipe and as `init` of a training recipe. Copied out of the registry, the folder is an ordinary "
        "model folder.",
        "## Files",
        "`lineage.json`: what it was made from, down to the source slices. `recipe.json`, `decision.json`, "
        "`evaluation.json`: if there are such records. `manifest.json`: the SHA-256 of all of them.",
    ]
    return "\n\n".join(parts) + "\n"


def _decision(candidate: ModelCandidate) -> list[str]:
    decision = candidate.decision
    if decision is None:
        return ["## Figures", "No evaluation record came with this model."]
    rows = [_row(comparison) for comparison in decision.comparisons]
    head = "| metric | dataset | incumbent | this model | difference | rule | passed |\n|---|---|---|---|---|---|---|"
    return ["## Why", decision.reason, "## Figures", "\n".join([head, *rows])]


def _row(one: MetricComparison) -> str:
    figures = [percent(one.incumbent), percent(one.candidate), signed(one.difference)]
    cells = (one.metric, one.dataset, *figures, one.rule, "yes" if one.passed else "no")
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
