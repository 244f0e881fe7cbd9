"""What a model was made from, where several of its parents lead to one checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.gold import import_gold
from engine.mix.datasets import entry_fingerprint
from glip.checkpoint import load_model, save_model
from pipelines.lineage.nodes import Walk, checkpoint_nodes, model_digest, named_checkpoint_nodes
from schemas.recipes import MixEntry, ScenesSource, TrainRecipe


def test_a_checkpoint_that_a_run_began_from_has_none_of_the_runs_datasets_among_its_own_nodes(
    tmp_path: Path, random_checkpoint: Path
) -> None:
    import_gold("scenes", ScenesSource(count=2), tmp_path / "human")
    entry = MixEntry(dataset=str(tmp_path / "human"))
    recipe = TrainRecipe(mix=(entry,), init=str(random_checkpoint))
    begun_from = model_digest(str(random_checkpoint))
    made_of = [entry_fingerprint(entry)]
    metadata = {"recipe": recipe.model_dump(mode="json"), "parents": made_of, "init_digest": begun_from}
    loaded = load_model(random_checkpoint)
    with torch.no_grad():
        loaded.model.rpn.head.bias0.add_(0.25)
    student = save_model(tmp_path / "student", loaded.model, loaded.tokenizer, metadata)
    walk: Walk = {}
    assert checkpoint_nodes(student, "student", walk)[-1].parents == [begun_from, *made_of]
    again = named_checkpoint_nodes(str(random_checkpoint), walk)  # as the teacher of another dataset of the mix
    assert [node.digest for node in again] == [begun_from]
