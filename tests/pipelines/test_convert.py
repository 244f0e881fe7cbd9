"""Published files into model folders, with equal weights, and opened where they lie: by `ground`, a teacher, a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from engine.gold import import_gold
from glip.checkpoint import LoadedModel, load_model, save_model
from glip.hub import HubFile, file_sha256
from glip.published import PUBLISHED, PublishedModel
from pipelines.cli import main
from pipelines.convert import convert
from pipelines.lineage.tree import lineage
from pipelines.models.candidate_weights import candidate_model
from pipelines.train import train
from pipelines.training.plan import train_plan
from schemas.recipes import MixEntry, ScenesSource, TeacherRecipe, TrainRecipe
from teacher.grounder import teacher_digest


@pytest.fixture
def small(random_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """A model small enough for a test that is in the table of published ones."""
    loaded = load_model(random_checkpoint)
    file = HubFile(repository="someone/models", name="small.pth", revision=None, sha256=None, max_bytes=10**9)
    monkeypatch.setitem(PUBLISHED, "glip-small", PublishedModel(loaded.config, file))
    return loaded


@pytest.fixture
def published(tmp_path: Path, small: LoadedModel) -> Path:
    """As the released files are: under `module.`, with what the model does not use, and the optimiser's state."""
    state = {f"module.{key}": value for key, value in small.model.state_dict().items()}
    state["module.rpn.head.cls_logits.bias"] = torch.zeros(80)
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3), "exp_avg_sq": torch.zeros(3)}}}
    path = tmp_path / "published" / "small.pth"
    path.parent.mkdir()
    torch.save({"model": state, "optimizer": optimizer, "iteration": 3}, path)
    (path.parent / "tokenizer.json").write_text(small.tokenizer.to_json())
    return path


def test_a_published_file_becomes_a_folder_with_equal_weights(
    published: Path, tmp_path: Path, small: LoadedModel
) -> None:
    result = convert(published, tmp_path / "model")
    written = load_model(tmp_path / "model")
    wanted = small.model.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in written.model.state_dict().items())
    assert written.config == small.config
    assert result.digest == written.digest == small.digest, "the same weights, config and vocabulary are the same model"
    assert result.entries == len(wanted)
    assert result.left_out == ["rpn.head.cls_logits.bias"]
    assert result.others == {"optimizer": 2, "iteration": 0}
    assert written.metadata["file"] == "small.pth", "where it came from stays with it"


def test_the_command_says_what_was_read_and_left_out(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "model")
    assert main(["convert", str(published), "--out", out]) == 0
    printed = capsys.readouterr().out
    for part in (
        "parameters",
        "1 entries that the model does not use",
        "optimizer (2 tensors), iteration",
        "verified",
        out,
    ):
        assert part in printed
    assert main(["convert", str(published), "--out", out, "--json"]) == 0, "a model folder may be replaced"
    assert json.loads(capsys.readouterr().out)["others"] == {"optimizer": 2, "iteration": 0}


@pytest.mark.parametrize("name", ["notes.txt", "config.json/", "model"])
def test_a_folder_with_anything_else_is_not_replaced(published: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / name).mkdir() if name.endswith("/") else (out / name).write_text("mine")
    (out / "more").write_text("mine")
    with pytest.raises(ValueError, match="not empty and not a model folder"):
        convert(published, out)
    assert (out / name).exists()
    assert (out / "more").read_text() == "mine"


def test_mistakes_are_one_line_and_status_2(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], small: LoadedModel
) -> None:
    state = {key: value for key, value in small.model.state_dict().items() if key != "rpn.head.bias0"}
    torch.save(state | {"rpn.head.invented": torch.zeros(1)}, tmp_path / "published" / "other.pth")
    cases = {
        "1 missing: rpn.head.bias0; 1 unknown: rpn.head.invented": [str(tmp_path / "published" / "other.pth")],
        "no such model": [str(tmp_path / "nothing.pth")],
        "--sha256": ["glip-l"],
        "sha256 is": [str(published), "--sha256", "0" * 64],
        "64 hexadecimal digits": [str(published), "--sha256", "abc"],
        "no such tokenizer file": [str(published), "--tokenizer", str(tmp_path / "no.txt")],
    }
    for expected, arguments in cases.items():
        assert main(["convert", *arguments, "--out", str(tmp_path / "model")]) == 2
        error = capsys.readouterr().err
        assert expected in error
        assert error.count("\n") == 1
        assert not (tmp_path / "model").exists()


@pytest.fixture
def vocabulary(published: Path) -> Path:
    """The published file's, taken away from beside it."""
    elsewhere = published.parent.parent / "words" / "tokenizer.json"
    elsewhere.parent.mkdir()
    return (published.parent / "tokenizer.json").rename(elsewhere)


def test_one_picture_is_grounded_by_a_published_file_with_its_digest_and_vocabulary(
    web: Any, published: Path, vocabulary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photo.jpg").write_bytes(web.jpeg())
    asked = [
        "ground",
        str(tmp_path / "photo.jpg"),
        "a brown dog",
        "--checkpoint",
        str(published),
        "--min-score",
        "0.05",
    ]
    digest = ["--sha256", file_sha256(published)]
    assert main([*asked, *digest, "--tokenizer", str(vocabulary), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["boxes"]
    for options, expected in ((digest, "--tokenizer"), (["--sha256", "0" * 64], "sha256 is")):
        assert main([*asked, *options]) == 2
        assert expected in capsys.readouterr().err


def test_a_teacher_is_the_same_wherever_its_vocabulary_lies(published: Path) -> None:
    beside = teacher_digest(TeacherRecipe(checkpoint=str(published)))
    elsewhere = (published.parent / "tokenizer.json").rename(published.parent.parent / "tokenizer.json")
    assert teacher_digest(TeacherRecipe(checkpoint=str(published), tokenizer=str(elsewhere))) == beside
    with pytest.raises(ValidationError, match="checkpoint_sha256, tokenizer: for the grounder glip, not for 'owlv2'"):
        TeacherRecipe(grounder="owlv2", checkpoint_sha256="0" * 64, tokenizer="vocab.txt")


def test_a_run_begins_with_a_published_file_and_names_it_in_its_lineage(
    published: Path, vocabulary: Path, tmp_path: Path, small: LoadedModel
) -> None:
    import_gold("scenes", ScenesSource(count=2, seed=1), tmp_path / "scenes")
    recipe = TrainRecipe(
        mix=(MixEntry(dataset=str(tmp_path / "scenes")),),
        init=str(published),
        init_sha256=file_sha256(published),
        tokenizer=str(vocabulary),
        steps=1,
        batch_size=1,
        min_sizes=(64,),
        max_size=96,
    )
    trained = load_model(train(recipe, tmp_path / "out", progress=False).checkpoint)
    assert trained.config == small.config
    assert trained.tokenizer.to_json() == small.tokenizer.to_json()
    assert trained.metadata["init_digest"] == small.digest
    begun = lineage(str(tmp_path / "out" / "model")).nodes[0]
    assert (begun.path, begun.digest) == (str(published), small.digest)
    for init in (published, tmp_path / "out" / "model"):
        other = recipe.model_copy(update={"init": str(init), "init_sha256": "0" * 64})
        with pytest.raises(ValueError, match="sha256 is"):
            train(other, tmp_path / "other", progress=False)


def test_a_run_from_a_published_file_is_planned_by_its_sizes(published: Path, random_checkpoint: Path) -> None:
    recipe = TrainRecipe(mix=(MixEntry(dataset="x", samples=2),), init=str(published))
    assert train_plan(recipe) == train_plan(recipe.model_copy(update={"init": str(random_checkpoint)}))


def test_the_mean_of_a_student_with_a_published_file_reads_that_as_training_did(
    published: Path, vocabulary: Path, tmp_path: Path, small: LoadedModel
) -> None:
    run = save_model(tmp_path / "run" / "model", small.model, small.tokenizer, {})
    mean = candidate_model(tmp_path / "run", str(run), "averaged", str(published), tokenizer=str(vocabulary))
    wanted = small.model.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in load_model(mean).model.state_dict().items())
    with pytest.raises(ValueError, match="sha256 is"):
        candidate_model(tmp_path / "other", str(run), "averaged", str(published), sha256="0" * 64)
