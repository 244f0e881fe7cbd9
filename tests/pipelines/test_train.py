"""The training job: a mix in, a checkpoint with its lineage out, and it goes on where it was stopped."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.artifacts import Store
from engine.gold import import_gold
from glip.checkpoint import load_model, save_model
from glip.tokens import train_tokenizer
from pipelines.convert import convert
from pipelines.train import TrainResult, train
from pipelines.training.bar import TrainingBar
from schemas.recipes import MixEntry, ScenesSource, TrainRecipe


@pytest.fixture
def recipe(tmp_path: Path) -> TrainRecipe:
    import_gold("scenes", ScenesSource(count=6, seed=1), tmp_path / "scenes")
    (tmp_path / "tokenizer.json").write_text(train_tokenizer(["a red dog beside two cats"], 60).to_json())
    return TrainRecipe(
        mix=(MixEntry(dataset=str(tmp_path / "scenes")),),
        init="random:nano",
        tokenizer=str(tmp_path / "tokenizer.json"),
        steps=2,
        batch_size=2,
        min_sizes=(64,),
        max_size=96,
        log_every=1,
        checkpoint_every=1,
        loader_threads=1,
    )


def test_training_gives_a_loadable_model_that_names_its_parents(
    recipe: TrainRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(recipe, tmp_path / "out")
    loaded = load_model(result.checkpoint)
    assert loaded.metadata["mix_fingerprint"] == result.mix_fingerprint
    assert len(loaded.metadata["parents"]) == 1
    assert TrainRecipe.model_validate(loaded.metadata["recipe"]) == recipe
    assert TrainRecipe.model_validate_json((tmp_path / "out" / "recipe.json").read_text()) == recipe
    assert TrainResult.model_validate_json((tmp_path / "out" / "result.json").read_text()) == result
    printed = capsys.readouterr().out
    assert "scenes" in printed
    assert "step 2/2" in printed


def test_more_steps_go_on_from_the_checkpoint_and_another_recipe_is_refused(
    recipe: TrainRecipe, tmp_path: Path
) -> None:
    train(recipe, tmp_path / "out", progress=False)
    train(recipe.model_copy(update={"steps": 3, "log_every": 1}), tmp_path / "out", progress=False)
    lines = (tmp_path / "out" / "losses.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    other = recipe.model_copy(update={"flip": False, "optimizer": recipe.optimizer.model_copy(update={"lr": 0.5})})
    with pytest.raises(ValueError, match=r"state.pt belongs to a run with another flip and another optimizer; train"):
        train(other, tmp_path / "out", progress=False)
    import_gold("scenes", ScenesSource(count=6, seed=2), tmp_path / "others")
    other = recipe.model_copy(update={"mix": (MixEntry(dataset=str(tmp_path / "others")),)})
    with pytest.raises(ValueError, match=r"state.pt belongs to a run with another mix; train into another folder"):
        train(other, tmp_path / "out", progress=False)


def test_the_log_that_other_processes_write_is_shown_as_it_grows(
    recipe: TrainRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, shown = tmp_path / "losses.jsonl", threading.Event()
    with TrainingBar(recipe, enabled=True) as bar, bar.following(log, every_s=0.01):
        report = bar.report
        bar.report = lambda *found: (report(*found), shown.set())  # type: ignore[method-assign]
        log.write_text('{"step": 1, "loss_token": 2.0}\n{"step": 2, "loss')  # as it stands when it is read
        assert shown.wait(30)
        log.write_text('{"step": 1, "loss_token": 2.0}\n{"step": 2, "loss_token": 1.5, "images_per_second": 4.0}\n')
    printed = capsys.readouterr().out
    assert "step 1/2  loss 2.000" in printed
    assert printed.endswith("step 2/2  loss 1.500  4.0 images/s\n")


def test_steps_that_were_skipped_are_shown_and_their_loss_is_not_nothing(
    recipe: TrainRecipe, capsys: pytest.CaptureFixture[str]
) -> None:
    with TrainingBar(recipe, enabled=True) as bar:
        bar.report(2, {"images_per_second": 4.0, "skipped_steps": 2.0})
    assert capsys.readouterr().out == "step 2/2  4.0 images/s  2 steps skipped: gradient not finite\n"
    with TrainingBar(recipe, enabled=True) as bar:
        bar.report(2, {"loss_token": 0.5, "images_per_second": 4.0, "skipped_steps": 1.0})
    assert "loss 0.500  4.0 images/s  1 step skipped" in capsys.readouterr().out


def test_steps_before_the_first_figures_are_told_without_any(
    recipe: TrainRecipe, capsys: pytest.CaptureFixture[str]
) -> None:
    with TrainingBar(recipe, enabled=True) as bar:
        bar.report(2, {})
    assert capsys.readouterr().out == "step 2/2\n"


def test_a_run_with_more_steps_than_the_recipe_is_not_called_one_of_fewer(recipe: TrainRecipe, tmp_path: Path) -> None:
    train(recipe, tmp_path / "out", progress=False)
    before = (tmp_path / "out" / "result.json").read_bytes()
    with pytest.raises(ValueError, match="a run of 2 steps, the recipe has 1; train into another folder"):
        train(recipe.model_copy(update={"steps": 1}), tmp_path / "out", progress=False)
    assert (tmp_path / "out" / "result.json").read_bytes() == before


def test_a_run_goes_on_from_the_model_that_it_began_with_wherever_that_lies(
    recipe: TrainRecipe, tmp_path: Path, random_checkpoint: Path
) -> None:
    init = shutil.copytree(random_checkpoint, tmp_path / "init")
    from_init = recipe.model_copy(update={"init": str(init), "tokenizer": None})
    train(from_init, tmp_path / "out", progress=False)
    more = from_init.model_copy(update={"steps": 3})
    result = train(more.model_copy(update={"init": str(random_checkpoint)}), tmp_path / "out", progress=False)
    assert load_model(result.checkpoint).metadata["init_digest"] == load_model(random_checkpoint).digest
    other = load_model(init)
    for parameter in other.model.parameters():
        parameter.data.mul_(0.5)
    save_model(init, other.model, other.tokenizer, {})
    with pytest.raises(ValueError, match="a run with another init; train"):
        train(more, tmp_path / "out", progress=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")  # Ray's
def test_one_worker_shares_weights_with_itself_where_the_recipe_says_so(
    recipe: TrainRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = train(recipe, tmp_path / "plain", progress=False)
    sharded = train(recipe.model_copy(update={"strategy": "fsdp"}), tmp_path / "fsdp")
    assert "step 2/2" in capsys.readouterr().out
    assert sharded.losses["loss_token"] == pytest.approx(plain.losses["loss_token"], rel=1e-3)


def test_two_runs_do_not_write_into_one_folder(recipe: TrainRecipe, tmp_path: Path) -> None:
    with Store(tmp_path / "out").locked(), pytest.raises(ValueError, match="out is being written by another job"):
        train(recipe, tmp_path / "out", progress=False)
    assert list((tmp_path / "out").iterdir()) == []
    assert train(recipe, tmp_path / "out", progress=False).steps == 2
    assert {path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")} == set()


def test_more_workers_than_pictures_are_refused_before_any_is_started(recipe: TrainRecipe, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size 2 cannot be shared by 3 workers; choose at least 3"):
        train(recipe, tmp_path / "out", workers=3, progress=False)
    assert not (tmp_path / "out").exists()


def test_several_workers_are_told_at_once_of_a_cluster_that_does_not_answer(
    recipe: TrainRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # by another test of this process
    with socket.socket() as bound:  # taken, and not listened to
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{bound.getsockname()[1]}")
        with pytest.raises(ValueError, match=r"RAY_ADDRESS is .*, where nothing answers"):
            train(recipe, tmp_path / "out", workers=2, progress=False)


def test_a_url_is_no_folder_to_train_or_convert_into(recipe: TrainRecipe) -> None:
    for work in (train, lambda _, out: convert("nano", out)):
        with pytest.raises(ValueError, match="on this machine or a mounted file system, not 's3://bucket/run'"):
            work(recipe, "s3://bucket/run")


def test_training_in_one_process_imports_neither_ray_nor_spacy() -> None:
    code = "import sys, pipelines.train, student.trainer; print(sorted({'ray', 'spacy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
