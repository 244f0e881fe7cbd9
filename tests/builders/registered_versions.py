"""Versions of a registry in a few bytes, each with a decision, a lineage and a card."""

from __future__ import annotations

from pathlib import Path

from engine.registry import Registry
from schemas.registry import Entry
from schemas.reports import Lineage, LineageNode, MetricComparison, PromotionDecision


def digest(word: str) -> str:
    return word.encode().hex().ljust(64, "0")


def add(registry: Registry, word: str) -> Entry:
    """Promote a model of a few bytes, which beat the one before."""
    state = registry.state()
    replaces = state.entry.version if state.entry else None
    version = registry.write_version(files_of(word), replaces, model_digest=digest(word))
    return registry.move(state, version, "promote", f"{word} is better")


def current(registry: Registry) -> int | None:
    entry = registry.state().current()
    return None if entry is None else entry.version


def files_of(word: str) -> dict[str, Path | bytes]:
    """The files of a version; of equal words equal ones."""
    figures = {"incumbent": 0.5, "candidate": 0.75, "difference": 0.25, "interval": (0.1, 0.4)}
    passed = {"rule": "improve", "passed": True, "reason": "it rose"}
    decision = PromotionDecision(
        promote=True,
        reason="Promoted: it rose.",
        candidate_digest=digest(word),
        incumbent_digest=digest("before"),
        comparisons=[MetricComparison(metric="phrase_recall@1:tail", dataset="held-out", **figures, **passed)],
    )
    nodes = [
        LineageNode(kind="dataset", path=f"{word}/pseudo", digest=digest(f"pseudo-{word}")),
        LineageNode(kind="checkpoint", path=f"{word}/student", digest=digest(word), parents=[digest(f"pseudo-{word}")]),
    ]
    return {
        "model.safetensors": word.encode() * 1000,
        "README.md": f"# The model {word}\n".encode(),
        "decision.json": decision.model_dump_json().encode(),
        "lineage.json": Lineage(nodes=nodes).model_dump_json().encode(),
    }
