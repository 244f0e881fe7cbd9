"""A registry's version by its name: as teacher, as start of a training, and as what is evaluated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.artifacts import Store
from engine.gold import import_gold
from engine.shards import read_card
from glip.checkpoint import load_model
from pipelines.cli import main
from pipelines.evaluate import evaluate
from pipelines.label import label
from pipelines.lineage.tree import lineage
from pipelines.models.checkpoints import local_checkpoint, local_teacher, pinned, pinned_teacher, registry_name
from pipelines.registry import promote, rollback
from pipelines.train import train
from schemas.recipes import EvaluateRecipe, LabelRecipe, ScenesSource, TeacherRecipe, TrainRecipe
from teacher.grounder import teacher_digest


@pytest.mark.parametrize(
    ("name", "uri", "version"),
    [
        ("registry:s3://bucket/models@3", "s3://bucket/models", 3),
        ("registry:s3://bucket/models/", "s3://bucket/models", None),
        ("registry:/a/b@home", "/a/b@home", None),
        ("registry:models@12", "models", 12),
    ],
)
def test_a_name_has_a_place_and_perhaps_a_number(name: str, uri: str, version: int | None) -> None:
    found = registry_name(name)
    assert found is not None
    assert (found.uri, found.version) == (uri, version)


def test_a_version_of_an_object_store_is_a_checkpoint_on_this_machine(
    s3_bucket: str, tmp_path: Path, random_checkpoint: Path
) -> None:
    uri = f"{s3_bucket}/models"
    promote(random_checkpoint, uri, progress=False)
    folder = Path(local_checkpoint(f"registry:{uri}@1"))
    assert tmp_path in folder.parents
    assert load_model(folder).digest == load_model(random_checkpoint).digest
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + b"?")
    assert local_checkpoint(f"registry:{uri}") == str(folder)
    assert (folder / "model.safetensors").read_bytes() == weights, "a damaged copy is fetched again"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    Store(uri).write("versions/000001/model.safetensors", b"tampered")
    assert local_checkpoint(f"registry:{uri}") == str(folder), "what has been fetched is checked against the manifest"
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged.*rollback"):
        local_checkpoint(f"registry:{uri}")
    assert main(["show", uri, "--json"]) == 1


def test_a_cache_that_cannot_be_written_is_named_with_what_to_do(
    s3_bucket: str, tmp_path: Path, random_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(random_checkpoint, f"{s3_bucket}/models", progress=False)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GLIP_ENGINE_CACHE", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"cannot be copied to .*file.*; set GLIP_ENGINE_CACHE to a folder"):
        local_checkpoint(f"registry:{s3_bucket}/models")


def test_work_keeps_the_version_that_it_was_begun_with(
    tmp_path: Path, random_checkpoint: Path, second_checkpoint: Path
) -> None:
    uri = tmp_path / "registry"
    promote(random_checkpoint, uri, progress=False)
    name = f"registry:{uri}"
    assert pinned("nano") == "nano"
    assert pinned(f"{name}@7") == f"{name}@7"
    assert pinned(name) == f"{name}@1"
    begun = pinned_teacher(TeacherRecipe(checkpoint=name))
    promote(second_checkpoint, uri, force="newer", progress=False)
    assert pinned_teacher(TeacherRecipe(checkpoint=name), begun) == begun
    assert pinned(name) == pinned(name, "registry:elsewhere@1") == pinned(name, "nano") == f"{name}@2"
    members = (TeacherRecipe(checkpoint=name), TeacherRecipe(checkpoint="nano"))
    both = pinned_teacher(TeacherRecipe(grounder="ensemble", members=members))
    assert [member.checkpoint for member in both.members] == [f"{name}@2", "nano"]
    assert Path(local_teacher(both).members[0].checkpoint).is_dir()


def test_a_version_labels_trains_and_is_evaluated(
    tmp_path: Path, random_checkpoint: Path, second_checkpoint: Path
) -> None:
    uri, out = tmp_path / "registry", tmp_path / "labels"
    promote(random_checkpoint, uri, progress=False)
    name = f"registry:{uri}"
    recipe = LabelRecipe(
        source=ScenesSource(count=2, seed=1), teacher=TeacherRecipe(checkpoint=name), min_score=0.001, selection="all"
    )
    made = label(recipe, out, backend="inline", progress=False)
    promote(second_checkpoint, uri, force="newer", progress=False)
    assert label(recipe, out, backend="inline", progress=False).boxes == made.boxes, "begun with version 1"
    card = read_card(Store(out))
    assert card.recipe["teacher"]["checkpoint"] == f"{name}@1"  # type: ignore[index]
    assert card.teacher_digest == teacher_digest(TeacherRecipe(checkpoint=str(random_checkpoint)))

    settings: dict[str, Any] = {"batch_size": 1, "loader_threads": 0, "min_sizes": (64,), "max_size": 96}
    training = TrainRecipe.model_validate({"mix": [{"dataset": str(out)}], "init": name, "steps": 1, **settings})
    result = train(training, tmp_path / "run", progress=False)
    metadata = load_model(result.checkpoint).metadata
    assert metadata["recipe"]["init"] == f"{name}@2"
    assert metadata["init_digest"] == load_model(second_checkpoint).digest
    rollback(uri, progress=False)
    assert train(training, tmp_path / "run", progress=False).steps == 1, "a run goes on from where it began"

    nodes = lineage(str(tmp_path / "run"), progress=False).nodes
    assert {"labels", "registry"} <= {Path(node.path.split("@")[0]).name for node in nodes}
    assert all(parent in {node.digest for node in nodes} for node in nodes for parent in node.parents)
    source = next(node for node in nodes if node.kind == "source")
    assert source.seeds == {"source": 1}
    assert [text.partition(" rows ")[2] for text in source.slices] == ["0 to 1"]

    import_gold("scenes", ScenesSource(count=2, seed=5), tmp_path / "gold")
    exams = EvaluateRecipe(datasets=(str(tmp_path / "gold"),), teacher=TeacherRecipe(checkpoint=name))
    by_name = evaluate(exams, tmp_path / "evaluation", progress=False)
    assert by_name[0].model_digest == card.teacher_digest
    saved = json.loads((tmp_path / "evaluation/evaluation.json").read_text())
    assert saved["recipe"]["teacher"]["checkpoint"] == f"{name}@1"
