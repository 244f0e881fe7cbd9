"""Promote, rollback, history, show; a version as teacher, as start of a training and as what is evaluated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.artifacts import Store
from engine.registry import Registry
from engine.shards import read_card
from glip.checkpoint import load_model, save_model
from pipelines.cli import main
from pipelines.evaluate import evaluate
from pipelines.generation import generation
from pipelines.label import label
from pipelines.lineage.tree import lineage, tops
from pipelines.models.checkpoints import local_checkpoint, local_teacher, pinned, pinned_teacher, registry_name
from pipelines.registry import history, promote, rollback, show
from pipelines.train import train
from schemas.recipes import EvaluateRecipe, GenerationRecipe, LabelRecipe, ScenesSource, TeacherRecipe, TrainRecipe
from schemas.reports import LineageNode, PromotionDecision
from teacher.grounder import teacher_digest


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIP_ENGINE_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def second_checkpoint(random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the first, with other weights."""
    loaded = load_model(random_checkpoint)
    with torch.no_grad():
        loaded.model.rpn.head.bias0.add_(0.25)
    return save_model(tmp_path_factory.mktemp("second") / "model", loaded.model, loaded.tokenizer, {})


def decided(tmp_path: Path, candidate: Path, incumbent: Path, promote: bool = True) -> Path:
    """A record of the gate, on the models as `evaluate` sees them."""
    digests = [teacher_digest(TeacherRecipe(checkpoint=str(model))) for model in (candidate, incumbent)]
    decision = PromotionDecision(
        promote=promote,
        reason="Promoted: it rose." if promote else "Not promoted: it fell.",
        candidate_digest=digests[0],
        incumbent_digest=digests[1],
        comparisons=[],
    )
    path = tmp_path / f"decision-{promote}.json"
    path.write_text(decision.model_dump_json())
    return path


def test_a_promoted_model_is_current_and_says_why(
    tmp_path: Path, random_checkpoint: Path, second_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = str(tmp_path / "registry")
    assert main(["promote", str(random_checkpoint), "--registry", uri]) == 0
    record = decided(tmp_path, second_checkpoint, random_checkpoint)
    assert main(["promote", str(second_checkpoint), "--registry", uri, "--decision", str(record)]) == 0
    assert f"registry:{uri}@2" in capsys.readouterr().out
    assert main(["history", uri]) == 0
    assert "promote version 2 instead of 1" in capsys.readouterr().out
    assert main(["show", uri, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["current"], [one["problem"] for one in shown["versions"]]) == (2, [None, None])
    assert {file["name"] for file in shown["versions"][1]["model"]["files"]} >= {
        *("model.safetensors", "config.json", "tokenizer.json", "README.md", "decision.json", "lineage.json"),
    }
    version = Path(uri) / "versions/000002"
    assert load_model(version).digest == load_model(second_checkpoint).digest
    assert "Promoted: it rose." in (version / "README.md").read_text()

    assert main(["rollback", "--registry", uri, "--reason", "users complain"]) == 0
    assert main(["history", uri]) == 0
    assert "rollback version 1 instead of 2" in capsys.readouterr().out
    assert main(["rollback", "--registry", uri]) == 2
    assert "no version to go back to" in capsys.readouterr().err


def test_the_gate_is_asked_before_a_version_is_replaced(
    tmp_path: Path, random_checkpoint: Path, second_checkpoint: Path
) -> None:
    uri = tmp_path / "registry"
    promote(random_checkpoint, uri, progress=False)
    with pytest.raises(ValueError, match="no record that this model is better"):
        promote(second_checkpoint, uri, progress=False)
    no = decided(tmp_path, second_checkpoint, random_checkpoint, promote=False)
    with pytest.raises(ValueError, match=r"the gate says no: Not promoted: it fell\. --force REASON"):
        promote(second_checkpoint, uri, decision=no, progress=False)
    with pytest.raises(ValueError, match="about another model"):
        promote("nano", uri, decision=no, force="never", progress=False)
    of_nano = decided(tmp_path, second_checkpoint, Path("nano"))
    with pytest.raises(ValueError, match=r"version 1 is current .* compared with another model"):
        promote(second_checkpoint, uri, decision=of_nano, progress=False)
    with pytest.raises(ValueError, match="--force takes the reason"):
        promote(second_checkpoint, uri, decision=no, force=" ", progress=False)
    assert Registry(uri).numbers() == [1]

    forced = promote(second_checkpoint, uri, decision=no, force="a demonstration", progress=False)
    assert (forced.version, forced.entry.forced) == (2, "a demonstration")
    assert "it fell" in history(uri, progress=False).entries[-1].reason


def test_a_model_is_promoted_once_even_if_it_was_rolled_back(
    tmp_path: Path, random_checkpoint: Path, second_checkpoint: Path
) -> None:
    uri, record = tmp_path / "registry", decided(tmp_path, second_checkpoint, random_checkpoint)
    promote(random_checkpoint, uri, progress=False)
    first = promote(second_checkpoint, uri, decision=record, progress=False)
    rollback(uri, progress=False)
    again = promote(second_checkpoint, uri, decision=record, progress=False)
    assert (again.done_before, again.version, again.current, again.entry) == (True, 2, 1, first.entry)
    assert len(history(uri, progress=False).entries) == 3


def test_what_is_no_model_and_no_registry_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, expected in ((tmp_path / "nowhere", "no folder of a model"), (tmp_path / "empty", "no model folder")):
        with pytest.raises((ValueError, FileNotFoundError), match=expected):
            promote(source, tmp_path / "registry", progress=False)
    for command in (history, show):
        with pytest.raises(ValueError, match="is no registry"):
            command(tmp_path / "registry", progress=False)
    with pytest.raises(ValueError, match=r"holds no version; `glip-engine promote"):
        local_checkpoint(f"registry:{tmp_path}/registry")
    assert not (tmp_path / "registry").exists()


def test_a_damaged_registry_ends_show_with_status_1(
    tmp_path: Path, random_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(random_checkpoint, tmp_path / "registry", progress=False)
    (tmp_path / "registry/versions/000001/tokenizer.json").write_text("{}")
    assert main(["show", str(tmp_path / "registry"), "--json"]) == 1
    assert "tokenizer.json is damaged" in capsys.readouterr().out
    assert main(["evaluate", f"registry:{tmp_path}/registry", "--on", "x"]) == 2


# --------------------------------------------------------------------------------------------------------- by name


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

    from engine.gold import import_gold

    import_gold("scenes", ScenesSource(count=2, seed=5), tmp_path / "gold")
    exams = EvaluateRecipe(datasets=(str(tmp_path / "gold"),), teacher=TeacherRecipe(checkpoint=name))
    by_name = evaluate(exams, tmp_path / "evaluation", progress=False)
    assert by_name[0].model_digest == card.teacher_digest
    saved = json.loads((tmp_path / "evaluation/evaluation.json").read_text())
    assert saved["recipe"]["teacher"]["checkpoint"] == f"{name}@1"


# ----------------------------------------------------------------------------------------------------- generations


def generation_recipe(name: str, teacher: str, registry: Path, **gate: object) -> GenerationRecipe:
    def scenes(seed: int, count: int) -> dict[str, object]:
        return {"kind": "scenes", "seed": seed, "count": count}

    return GenerationRecipe.model_validate(
        {
            "name": name,
            "label": {"source": scenes(1, 2), "teacher": {"checkpoint": teacher}, "min_score": 0.001, "unit_size": 2},
            "gold": [{"name": "human", "format": "scenes", "scenes": scenes(2, 2)}],
            "evaluation": [{"name": "held-out", "format": "scenes", "scenes": scenes(3, 2)}],
            "selection": "all",
            "train": {"steps": 1, "batch_size": 2, "loader_threads": 0, "min_sizes": [64], "max_size": 96, "seed": 7},
            "gate": {
                "rules": [{"metric": "phrase_recall@1", "must": "exceed", "margin": 0.0, **gate}],
                "resamples": 100,
            },
            "registry": str(registry),
        }
    )


def tree_of(nodes: list[LineageNode]) -> dict[str, set[str]]:
    """Which paths are made from which, by path."""
    paths = {node.digest: node.path for node in nodes}
    return {node.path: {paths[parent] for parent in node.parents} for node in nodes}


def test_two_generations_in_a_row_promote_their_students_and_the_lineage_goes_through_both(
    tmp_path: Path, random_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, current = tmp_path / "registry", f"registry:{tmp_path}/registry"
    promote(random_checkpoint, uri, progress=False)
    first = generation(generation_recipe("g1", current, uri), tmp_path / "g1", backend="inline", progress=False)
    assert first.promoted == f"{current}@2"
    again = generation(generation_recipe("g1", current, uri), tmp_path / "g1", backend="inline", progress=False)
    assert again == first, "resumed after its student became current, it is done"
    second = generation(generation_recipe("g2", current, uri), tmp_path / "g2", backend="inline", progress=False)
    assert second.promoted == f"{current}@3"

    nodes = lineage(second.promoted, progress=False).nodes
    made_from = tree_of(nodes)
    assert [node.path for node in tops(nodes)] == [f"{current}@3"]
    assert made_from["g2/pseudo"] >= {f"{current}@2"}, "the teacher of the second is the student of the first"
    assert "g1/pseudo" in made_from[f"{current}@2"]
    student = str(tmp_path / "g2/student/model")
    assert made_from[f"{current}@3"] == {student, "g2/decision.json"}
    assert made_from[student] >= {"g2/pseudo", "g2/gold/human", f"{current}@2"}
    sources = [node for node in nodes if node.kind == "source"]
    assert {seed for node in sources for seed in node.seeds.values()} == {1, 2, 3}
    assert all(node.slices for node in sources)
    assert {"train": 7} in [node.seeds for node in nodes]
    assert all(node.recipe_digest and "glip-engine" in node.made_by for node in nodes if node.kind == "dataset")

    of_second = lineage(str(tmp_path / "g2"), progress=False).nodes
    assert [node.path for node in tops(of_second)] == ["report/report.json"], "nothing of the first but the teacher"
    assert main(["lineage", str(tmp_path / "g2")]) == 0
    printed = capsys.readouterr().out
    assert "rows 0 to 1" in printed
    assert "train seed 7" in printed
    assert "(above)" in printed

    with pytest.raises(ValueError, match=r"version 3 is current .* compared with another model"):
        generation(generation_recipe("g3", f"{current}@1", uri), tmp_path / "g3", backend="inline", progress=False)
    assert not (tmp_path / "g3").exists(), "told before any work"


def test_a_generation_that_the_gate_refuses_promotes_nothing(tmp_path: Path, random_checkpoint: Path) -> None:
    recipe = generation_recipe("no", str(random_checkpoint), tmp_path / "registry", margin=0.99)
    summary = generation(recipe, tmp_path / "no", backend="inline", progress=False)
    assert (summary.decision.promote, summary.promoted) == (False, None)
    with pytest.raises(ValueError, match="the gate says no"):
        promote(tmp_path / "no", tmp_path / "registry", progress=False)
    assert not (tmp_path / "registry" / "current.json").exists()
    forced = promote(tmp_path / "no", tmp_path / "registry", force="to try it", progress=False)
    there = Registry(tmp_path / "registry").version(forced.version)
    assert {"recipe.json", "decision.json", "evaluation.json", "lineage.json"} <= {file.name for file in there.files}


def test_lineage_of_what_has_none_says_what_was_wanted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no lineage: wanted the folder of a finished generation"):
        lineage(str(tmp_path), progress=False)
    (tmp_path / "lineage.json").write_text('{"nodes": [{"kind": 1}]}')
    with pytest.raises(ValueError, match="is no lineage"):
        lineage(str(tmp_path), progress=False)
    circle = [{"kind": "x", "path": name, "digest": name, "parents": [other]} for name, other in ("ab", "ba")]
    (tmp_path / "lineage.json").write_text(json.dumps({"nodes": circle}))
    assert len(lineage(str(tmp_path)).nodes) == 2
