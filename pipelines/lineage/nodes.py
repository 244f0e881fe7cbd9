"""The nodes of a lineage: what a dataset, a checkpoint or a grounder was made from, as its own files record it.

In: a dataset's folder, a model folder, a teacher's recipe. Out: nodes, the artefact's own last, its ancestors before
it. An ancestor that is no longer at its place is a node with the digest on record, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.artifacts import Store, digest_of
from engine.dataset.manifest_summary import ManifestSummary
from engine.made_by import made_by
from engine.mix.datasets import entry_fingerprint
from engine.registry import Registry
from engine.shards import read_card, read_manifests
from glip.model_folder import CONFIG_FILE, check_files, description_digest, path_of, read_description
from glip.published import PUBLISHED
from pipelines.models.checkpoints import open_version, registry_name
from schemas.recipes import MixEntry, TeacherRecipe, TrainRecipe
from schemas.registry import ModelVersion
from schemas.reports import Lineage, LineageNode
from schemas.shards import DatasetCard
from schemas.train_recipes import RANDOM

LINEAGE = "lineage.json"
MAX_CHECKPOINTS = 50  # examined in one lineage at most; a registry's version has its own lineage
OUTSIDE = "from outside"
GONE = "on record only: it is not there any more, or has changed"

Walk = dict[str, list[LineageNode]]
"""The nodes of the checkpoints examined so far, by name, since a student often begins from its teacher."""


def make_node(kind: str, path: str, digest: str, parents: Iterable[str], step: str = "", **facts: Any) -> LineageNode:
    """A node made by ``step`` of this version of the code, or, without a step, by something outside."""
    maker = made_by(step) if step else OUTSIDE
    return LineageNode(kind=kind, path=path, digest=digest, parents=list(parents), made_by=maker, **facts)


def once(nodes: Iterable[LineageNode]) -> list[LineageNode]:
    """The nodes without repetitions; of two with the same digest, the one that has parents."""
    found: dict[str, LineageNode] = {}
    for node in nodes:
        if node.digest not in found or (node.parents and not found[node.digest].parents):
            found[node.digest] = node
    return list(found.values())


def reachable(nodes: list[LineageNode]) -> list[LineageNode]:
    """The last node and its ancestors; all others are left out."""
    known = {node.digest: node for node in nodes}
    wanted, found = [nodes[-1].digest], set()
    while wanted:
        digest = wanted.pop()
        if digest in known and digest not in found:
            found.add(digest)
            wanted += known[digest].parents
    return [node for node in nodes if node.digest in found]


# ---------------------------------------------------------------------------------------------------------- datasets


def dataset_digest(folder: str | Path) -> str:
    """The digest of a dataset's content: that of the SHA-256 of all its shards, in order."""
    return digest_of([[file.sha256 for file in manifest.files] for manifest in read_manifests(Store(folder))])


def source_node(folder: str | Path) -> LineageNode:
    """The source that a dataset was read from, with the rows that were read."""
    store = Store(folder)
    card, slices = read_card(store), _slices(read_manifests(store))
    uris = sorted({text.split(" rows ")[0] for text in slices})
    return make_node("source", ", ".join(uris), card.source_fingerprint, [], slices=slices, seeds=_source_seed(card))


def dataset_node(folder: str | Path, name: str, digest: str | None) -> LineageNode:
    """The dataset's own node. ``digest`` is the one by which its descendants refer to it; None: that of its content."""
    card = read_card(Store(folder))
    parents = [card.source_fingerprint, *([card.teacher_digest] if card.teacher_digest else [])]
    return LineageNode(
        kind="dataset",
        path=name,
        digest=digest or dataset_digest(folder),
        parents=parents,
        made_by=card.made_by or f"glip-engine, version not on record, {'label' if card.teacher_digest else 'import'}",
        recipe_digest=card.recipe_digest,
    )


def dataset_nodes(folder: str, digest: str | None = None, walk: Walk | None = None) -> list[LineageNode]:
    """A dataset, its source, and the teacher that labelled it. ValueError where the folder is no dataset."""
    card = read_card(Store(folder))
    nodes = [source_node(folder)]
    if card.teacher_digest is not None:
        nodes += teacher_nodes(_teacher_of(card), card.teacher_digest, walk)
    return [*nodes, dataset_node(folder, folder, digest)]


def _slices(manifests: Iterable[ManifestSummary]) -> list[str]:
    """The rows of each file of the source, such as ``URI rows 0 to 399``, with those of neighbouring units joined."""
    ranges: dict[str, list[list[int]]] = {}
    for manifest in sorted(manifests, key=lambda one: (one.source_uri, one.first_row)):
        end = manifest.first_row + manifest.rows
        there = ranges.setdefault(manifest.source_uri, [])
        if there and there[-1][1] == manifest.first_row:
            there[-1][1] = end
        else:
            there.append([manifest.first_row, end])
    return [f"{uri} rows {first} to {end - 1}" for uri, spans in ranges.items() for first, end in spans]


def _source_seed(card: DatasetCard) -> dict[str, int]:
    """The seed of drawn scenes; empty for other sources."""
    source = card.recipe.get("source", card.recipe.get("scenes"))
    seed = source.get("seed") if isinstance(source, dict) else None
    return {"source": seed} if isinstance(seed, int) else {}


def _teacher_of(card: DatasetCard) -> TeacherRecipe | None:
    try:
        return TeacherRecipe.model_validate(card.recipe.get("teacher"))
    except ValidationError:  # of another version of this project
        return None


# ------------------------------------------------------------------------------------------------------- checkpoints


def teacher_nodes(recipe: TeacherRecipe | None, digest: str, walk: Walk | None = None) -> list[LineageNode]:
    """The node of a teacher under the digest by which it labelled or was evaluated, after those of its checkpoint."""
    name = recipe.checkpoint if recipe is not None else "unknown checkpoint"
    ancestors: list[LineageNode] = []
    if recipe is not None and recipe.grounder == "glip":
        ancestors = named_checkpoint_nodes(name, {} if walk is None else walk)
    if any(node.digest == digest for node in ancestors):
        return [node.model_copy(update={"path": name}) if node.digest == digest else node for node in ancestors]
    return [*ancestors, make_node("checkpoint", name, digest, [node.digest for node in ancestors[-1:]])]


def named_checkpoint_nodes(name: str, walk: Walk) -> list[LineageNode]:
    """The nodes of a checkpoint by the name that a recipe gives it, its own last; empty where it cannot be examined."""
    if name not in walk and len(walk) < MAX_CHECKPOINTS:
        walk[name] = []  # found again below itself, if checkpoints form a circle
        folder = path_of(name)
        if (asked := registry_name(name)) is not None:
            walk[name] = reachable(version_nodes(*open_version(asked))[:-1])  # the version is a copy of its model
        elif (folder / CONFIG_FILE).is_file():
            walk[name] = checkpoint_nodes(folder, name, walk)
    return walk.get(name, [])


def model_digest(name: str) -> str | None:
    """The digest of a model folder or of a registry's version, from its description; None of any other checkpoint."""
    if (asked := registry_name(name)) is not None:
        return open_version(asked)[1].model_digest
    folder = path_of(name)
    return description_digest(read_description(folder)) if (folder / CONFIG_FILE).is_file() else None


def checkpoint_nodes(folder: Path, name: str, walk: Walk | None = None) -> list[LineageNode]:
    """A model folder, the mix that it was trained on, and the checkpoint that it began from. ValueError or
    FileNotFoundError where a file of it is missing or damaged."""
    walk = {name: []} if walk is None else walk
    description = read_description(folder)
    check_files(folder, description)
    digest, metadata = description_digest(description), description["metadata"]
    try:
        recipe = TrainRecipe.model_validate(metadata.get("recipe"))
        learned_from = [str(parent) for parent in metadata.get("parents", [])]
    except (ValidationError, TypeError):  # not trained by this project
        return [make_node("checkpoint", name, digest, [])]
    nodes = [*_start_nodes(recipe, metadata.get("init_digest"), walk)]  # a new list: the walk shares its own
    parents = [node.digest for node in nodes[-1:]]
    for entry, fingerprint in zip(recipe.mix, learned_from, strict=False):
        nodes += _mixed_nodes(entry, fingerprint, walk)
    own = LineageNode(
        kind="checkpoint",
        path=name,
        digest=digest,
        parents=[*parents, *learned_from],
        made_by=str(metadata.get("made_by", OUTSIDE)),
        recipe_digest=digest_of(metadata["recipe"]),
        seeds={"train": recipe.seed},
    )
    known = {node.digest for node in nodes}
    lost = [make_node("dataset", "unknown", one, []) for one in learned_from if one not in known]
    return once([*nodes, *lost, own])


def _start_nodes(recipe: TrainRecipe, digest: object, walk: Walk) -> list[LineageNode]:
    """The nodes of the checkpoint that a training began from, its own last; empty for random weights, which the run's
    seed decides."""
    if recipe.init.startswith(RANDOM) or not isinstance(digest, str):
        return []
    if recipe.init in PUBLISHED or path_of(recipe.init).is_file():  # the digest is that of the folder it was made
        return [make_node("checkpoint", recipe.init, digest, [])]
    try:
        nodes = named_checkpoint_nodes(recipe.init, walk) if model_digest(recipe.init) == digest else []
    except (ValueError, FileNotFoundError):
        nodes = []
    return nodes or [LineageNode(kind="checkpoint", path=recipe.init, digest=digest, made_by=GONE)]


def _mixed_nodes(entry: MixEntry, fingerprint: str, walk: Walk) -> list[LineageNode]:
    """The nodes of a dataset as it was when it was mixed."""
    try:
        if entry_fingerprint(entry) == fingerprint:
            return dataset_nodes(entry.dataset, fingerprint, walk)
    except (ValueError, FileNotFoundError):
        pass  # its node has what is on record
    return [LineageNode(kind="dataset", path=entry.dataset, digest=fingerprint, made_by=GONE)]


# ---------------------------------------------------------------------------------------------------------- versions


def version_nodes(registry: Registry, there: ModelVersion) -> list[LineageNode]:
    """The nodes of a registry's version, from its own record: ancestors, then the model, and the version itself
    last."""
    name = f"registry:{registry.uri}@{there.version}"
    content = registry.read(there.version, LINEAGE)
    nodes = [] if content is None else Lineage.model_validate_json(content).nodes
    model = next((node for node in nodes if node.digest in (there.grounder_digest, there.model_digest)), None)
    if model is None:
        model = make_node("checkpoint", name, there.grounder_digest or there.model_digest, [])
    decision = [file.sha256 for file in there.files if file.name == "decision.json"]
    parents = [model.digest, *(digest for digest in decision if any(node.digest == digest for node in nodes))]
    own = LineageNode(kind="version", path=name, digest=digest_of(there.model_dump(mode="json")), parents=parents)
    return reachable([*(node for node in nodes if node.digest != model.digest), model, own])
