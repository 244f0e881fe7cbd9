"""``glip-engine lineage``: what an artefact was made from, as a tree down to source slices, recipes, code and seeds.

In: the folder of a generation, a dataset, a training run or a model, or ``registry:URI@N``. Out: its lineage, and the
tree in print. Every node shows its digest; one that occurs in several places is written out only in the first.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from engine.artifacts import Store
from engine.shards import CARD
from glip.model_folder import CONFIG_FILE, path_of
from pipelines.console.terminal import visible
from pipelines.lineage.nodes import LINEAGE, checkpoint_nodes, dataset_nodes, once, version_nodes
from pipelines.models.checkpoints import open_version, registry_name
from schemas.reports import Lineage, LineageNode

MAX_LINEAGE_BYTES = 100_000_000
MAX_DEPTH = 100
MAX_WIDTH = 1000
SLICES_SHOWN = 3


def lineage(artefact: str | Path, *, progress: bool = True) -> Lineage:
    """The lineage of an artefact: its node and those of all its ancestors.

    ValueError in one line where ``artefact`` has no lineage, or its record is damaged.
    """
    nodes = once(_nodes(str(artefact)))
    roots = tops(nodes)
    if progress:
        for root in roots:
            drawn = tree(root, {node.digest: node for node in nodes})
            Console(width=MAX_WIDTH).print(drawn, soft_wrap=True)  # a line is as long as it is
    return Lineage(nodes=nodes)


def tops(nodes: list[LineageNode]) -> list[LineageNode]:
    """The nodes that no other node was made from; the last one where the nodes form a circle."""
    parents = {parent for node in nodes for parent in node.parents}
    return [node for node in nodes if node.digest not in parents] or nodes[-1:]


def _nodes(artefact: str) -> list[LineageNode]:
    if (asked := registry_name(artefact)) is not None:
        return version_nodes(*open_version(asked))
    folder = path_of(artefact)
    store = Store(artefact if "://" in artefact else folder)
    if store.exists(LINEAGE):
        return _read(store).nodes
    if store.exists(CARD):
        return dataset_nodes(store.root)
    for model in (folder, folder / "model"):
        if (model / CONFIG_FILE).is_file():
            return checkpoint_nodes(model, artefact if model == folder else str(model))
    raise ValueError(
        f"{artefact} has no lineage: wanted the folder of a finished generation ({LINEAGE}), of a dataset ({CARD}), of "
        "a training run or of a model, or a registry's version such as registry:URI@3"
    )


def _read(store: Store) -> Lineage:
    try:
        return Lineage.model_validate_json(store.read(LINEAGE, MAX_LINEAGE_BYTES))
    except ValidationError as error:
        raise ValueError(
            f"{store.root}/{LINEAGE} is not a lineage ({error.error_count()} errors); run the generation "
            "again to make it"
        ) from None


# ---------------------------------------------------------------------------------------------------------- printing


def tree(node: LineageNode, known: dict[str, LineageNode]) -> Tree:
    """The tree under a node. A digest without a node is written as it is."""
    root = Tree(_line(node))
    _grow(root, node, known, {node.digest}, 0)
    return root


def _grow(branch: Tree, node: LineageNode, known: dict[str, LineageNode], shown: set[str], depth: int) -> None:
    for text in _slices(node):
        branch.add(_plain(text))
    for digest in node.parents:
        parent = known.get(digest)
        if parent is None:
            branch.add(_plain(f"{digest[:12]}  not on record"))
        elif digest in shown or depth >= MAX_DEPTH:
            branch.add(_plain(f"{parent.kind} {parent.path}  {digest[:12]}  (above)"))
        else:
            shown.add(digest)
            _grow(branch.add(_line(parent)), parent, known, shown, depth + 1)


def _line(node: LineageNode) -> Text:
    facts = [node.made_by] if node.made_by else []
    facts += [f"recipe {node.recipe_digest[:12]}"] if node.recipe_digest else []
    facts += [f"{name} seed {seed}" for name, seed in node.seeds.items()]
    return _plain(f"{node.kind} {node.path}  {node.digest[:12]}" + (f"  ({'; '.join(facts)})" if facts else ""))


def _plain(text: str) -> Text:
    return Text(visible(text))


def _slices(node: LineageNode) -> list[str]:
    more = len(node.slices) - SLICES_SHOWN
    return [*node.slices[:SLICES_SHOWN], *([f"and {more} more slices"] if more > 0 else [])]
