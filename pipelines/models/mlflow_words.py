"""The tags and descriptions of a registry and its versions in MLflow.

In: a registry. Out: strings that are short enough for MLflow's databases. Digests, lineage and figures come from the
version's own files.
"""

from __future__ import annotations

import re

from engine.registry import Registry
from engine.registry.state import State
from pipelines.lineage.nodes import version_nodes
from pipelines.models.candidates import DECISION
from pipelines.models.version_card import CARD
from schemas.reports import LineageNode, PromotionDecision

OF = "glip_engine"
REGISTRY, ENTRY, NUMBER = f"{OF}.registry", f"{OF}.entry", f"{OF}.version"
MANIFEST = f"{OF}.manifest_sha256"
MAX_CHARS = 5000  # of a tag or a description: the size of MLflow's column
MAX_PARENTS_SHOWN = 50


def model_tags(registry: Registry, state: State) -> dict[str, str]:
    """The tags of the registered model: the registry that it mirrors, and the latest entry of its history."""
    latest = state.entries[-1]
    return {REGISTRY: registry.address(), ENTRY: latest.token, f"{OF}.moves": str(latest.number)}


def version_tags(registry: Registry, state: State, number: int) -> dict[str, str]:
    """The tags of a version: its number, digests, parents, who promoted it, and the figures of its decision."""
    version = registry.version(number, state)
    tags = {
        NUMBER: str(number),
        f"{OF}.checkpoint": f"registry:{registry.address()}@{number}",
        f"{OF}.model_digest": version.model_digest,
        MANIFEST: state.recorded(number) or "",
        f"{OF}.replaces": str(version.replaces or ""),
        f"{OF}.parents": " ".join(_parents(registry, number)),
    }
    promotion = next((one for one in state.entries if (one.action, one.version) == ("promote", number)), None)
    if promotion is not None:
        tags |= {f"{OF}.promoted_by": promotion.who, f"{OF}.promoted_at": promotion.when}
        tags |= {f"{OF}.forced": promotion.forced} if promotion.forced else {}
    return {name: value[:MAX_CHARS] for name, value in (tags | _figures(registry, number)).items() if value}


def description(registry: Registry, number: int) -> str:
    """The version's card, and what it was made from."""
    card = (registry.read(number, CARD) or b"").decode()
    made_from = [
        f"- {node.kind} {node.path} `{digest[:12]}`" if node else f"- `{digest[:12]}`, not on record"
        for digest, node in _parents(registry, number).items()
    ]
    more = len(made_from) - MAX_PARENTS_SHOWN
    lines = [*made_from[:MAX_PARENTS_SHOWN], *([f"- and {more} more"] if more > 0 else [])]
    text = card + ("\n## Made from\n\n" + "\n".join(lines) + "\n" if lines else "")
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"


def _parents(registry: Registry, number: int) -> dict[str, LineageNode | None]:
    """The direct parents of the model by digest; None for one without a node."""
    nodes = version_nodes(registry, registry.version(number))
    known = {node.digest: node for node in nodes}
    return {digest: known.get(digest) for digest in nodes[-2].parents}


def _figures(registry: Registry, number: int) -> dict[str, str]:
    """The model's figures in its decision, by names valid in MLflow: ``metric.held-out.phrase_recall_1_tail``."""
    content = registry.read(number, DECISION)
    decided = [] if content is None else PromotionDecision.model_validate_json(content).comparisons
    named = {f"{one.dataset}.{one.metric}" if one.dataset else one.metric: one.candidate for one in decided}
    return {
        "metric." + re.sub(r"[^\w.-]", "_", name): repr(value) for name, value in named.items() if value is not None
    }
