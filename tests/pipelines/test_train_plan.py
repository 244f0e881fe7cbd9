"""A training plan: arithmetic on the recipe, counted memory, and the published recipes in full."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.artifacts import Store
from engine.gold import import_gold
from engine.mix import Mix
from engine.shards import read_card, write_card
from glip.config import GLIPConfig
from pipelines.cli import main
from pipelines.registry import promote
from pipelines.train import train
from pipelines.training import plan as plans
from pipelines.training.memory import activation_bytes
from pipelines.training.plan import TrainPlan, train_plan
from pipelines.training.plan_table import plan_text
from schemas.recipes import MixEntry, MixSampling, ScenesSource, TrainRecipe, load_recipe
from student.session import build
from student.workers import Workers

RECIPES = Path(__file__).parents[2] / "recipes"
LARGE, TINY = RECIPES / "glip_l_27m.yaml", RECIPES / "glip_t.yaml"
SCALE = 10_000


@pytest.fixture(scope="module", autouse=True)
def _counted_once() -> Iterator[None]:
    """What a picture keeps takes seconds to count and follows from the arguments alone: once for all plans."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "activation_bytes", cache(activation_bytes))
        yield


def _recipe(path: Path) -> TrainRecipe:
    return load_recipe(TrainRecipe, path)


def test_the_plan_of_the_large_recipe_follows_from_its_figures() -> None:
    plan = train_plan(_recipe(LARGE), gpus=64)
    assert plan.images == 64_000_000
    seen = {one.dataset.removeprefix("data/"): one.times_seen for one in plan.datasets}
    epoch = 2 * 1.4 + 2 + 3 * 0.4 + 2 * 0.67 + 8 * 0.15 + 4 * 0.6 + 24  # millions, as the released configuration says
    assert seen["flickr30k"] == pytest.approx(8 * 64 / epoch)
    assert seen["captions-24m"] == pytest.approx(64 / epoch)
    assert plan.epochs == pytest.approx(64 / epoch)
    assert sum(one.share for one in plan.datasets) == pytest.approx(1)
    assert plan.gpu_hours == pytest.approx(64e6 / 0.88 / 3600)
    assert plan.days == pytest.approx(64e6 / 0.88 / 86_400 / 64)
    assert plan.states_gib == pytest.approx((8 * plan.parameters + 12 * plan.trained_parameters) / 2**30)
    assert round(plan.parameters / 1e6, 1) == 430.4


@pytest.mark.parametrize("path", [LARGE, TINY])
def test_a_published_recipe_is_planned_without_data_in_one_command(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--recipe", str(path), "--plan", "--gpus", "32"]) == 0
    printed = capsys.readouterr().out
    assert "days" in printed
    assert "rests on:" in printed
    assert main(["train", "--recipe", str(path), "--plan", "--gpus", "32", "--rate", "10", "--json"]) == 0
    plan = TrainPlan.model_validate(json.loads(capsys.readouterr().out))
    assert plan.gpu_hours == pytest.approx(plan.images / 10 / 3600)
    assert plan.rests_on["images_per_second"] == "given"


@pytest.mark.parametrize(
    "fields",
    [{}, {"tune": "lora"}, {"tune": "prompt"}, {"tune": "linear-probe", "masked_language": 1.0}]
    + [{name: 1.0} for name in ("masked_language", "region_word_contrast", "granular_alignment")],
    ids=str,
)
def test_as_many_numbers_are_planned_as_a_run_has(fields: dict[str, Any], tmp_path: Path) -> None:
    import_gold("scenes", ScenesSource(count=2, seed=1), tmp_path / "data")
    recipe = TrainRecipe(mix=(MixEntry(dataset=str(tmp_path / "data")),), **fields)
    plan, mix = train_plan(recipe), Mix.open(recipe.mix, recipe.seed, recipe.sampling)
    with closing(mix):
        parameters = list(build(recipe, mix, Workers(torch.device("cpu"))).raw.parameters())
    assert plan.parameters == sum(one.numel() for one in parameters)
    assert plan.trained_parameters == sum(one.numel() for one in parameters if one.requires_grad)


def test_a_run_from_a_registrys_model_is_planned_by_its_sizes(random_checkpoint: Path, tmp_path: Path) -> None:
    promote(random_checkpoint, tmp_path / "models", progress=False)
    recipe = TrainRecipe(mix=(MixEntry(dataset="x", samples=2),), init=f"registry:{tmp_path}/models")
    assert train_plan(recipe) == train_plan(recipe.model_copy(update={"init": str(random_checkpoint)}))


def test_memory_is_less_where_blocks_are_computed_again_where_numbers_are_short_and_where_states_are_shared() -> None:
    nano, size = GLIPConfig.nano(), (160, 256)
    whole = activation_bytes(nano, size, bf16=False, recompute=False)
    assert activation_bytes(nano, size, bf16=False, recompute=True) < whole / 2
    assert activation_bytes(nano, size, bf16=True, recompute=False) < whole
    assert activation_bytes(nano, (320, 512), bf16=False, recompute=False) == pytest.approx(4 * whole, rel=0.2)
    recipe = _recipe(TINY)
    shared = train_plan(recipe.model_copy(update={"strategy": "fsdp"}), gpus=8)
    assert shared.states_gib == pytest.approx(train_plan(recipe, gpus=8).states_gib / 8)
    assert train_plan(recipe).parameters == 231_759_662  # SPEC section 2


@pytest.mark.parametrize(("tune", "most"), [("full", 1.0), ("lora", 0.05), ("linear-probe", 0.001), ("prompt", 0.2)])
def test_only_what_is_trained_has_a_gradient_and_moments(tune: str, most: float) -> None:
    plan = train_plan(_recipe(TINY).model_copy(update={"tune": tune}))
    assert 0 < plan.trained_parameters <= most * plan.parameters
    assert plan.states_gib < train_plan(_recipe(TINY)).states_gib or tune == "full"


def test_shares_are_those_of_the_mix_itself(tmp_path: Path) -> None:
    entries = []
    for name, count in (("few", 4), ("many", 36)):
        import_gold("scenes", ScenesSource(count=count, seed=count), tmp_path / name)
        entries.append(MixEntry(dataset=str(tmp_path / name), weight=count / 4))
    for sampling in (MixSampling(), MixSampling(temperature=2)):
        mix = Mix.open(entries, 0, sampling)
        plan = train_plan(TrainRecipe(mix=tuple(entries), sampling=sampling, init="random:nano"))
        assert [one.share for one in plan.datasets] == [mix.share(0), mix.share(1)]
        assert plan.epochs == pytest.approx(plan.images / 40)
        mix.close()


def test_a_dataset_that_is_still_being_made_has_the_samples_that_the_recipe_says(tmp_path: Path) -> None:
    """Its card counts them when it is whole."""
    import_gold("scenes", ScenesSource(count=2, seed=1), tmp_path / "data")
    store = Store(tmp_path / "data")
    write_card(store, read_card(store).model_copy(update={"complete": False, "samples": 0}))
    entry = MixEntry(dataset=str(tmp_path / "data"), samples=40)
    assert train_plan(TrainRecipe(mix=(entry,), steps=10)).datasets[0].times_seen == 4
    unknown = train_plan(TrainRecipe(mix=(entry.model_copy(update={"samples": None}),), steps=10))
    assert (unknown.datasets[0].samples, unknown.epochs) == (None, None)


def test_a_step_that_gpus_cannot_share_and_sizes_that_nobody_knows_are_told(tmp_path: Path) -> None:
    assert train_plan(_recipe(LARGE), gpus=7).images_per_gpu == 10  # of 64: some have 9
    with pytest.raises(ValueError, match="cannot be shared by 65 workers"):
        train_plan(_recipe(LARGE), gpus=65)
    with pytest.raises(ValueError, match="has no `samples`"):
        train_plan(TrainRecipe(mix=(MixEntry(dataset=str(tmp_path / "none"), copies=2),)))
    plan = train_plan(TrainRecipe(mix=(MixEntry(dataset=str(tmp_path / "none")),)))
    assert (plan.gpu_hours, plan.days, plan.epochs) == (None, None, None)
    assert "--rate" in plan.rests_on["images_per_second"]


def test_a_run_of_minutes_is_not_told_as_no_hours() -> None:
    text = plan_text(train_plan(TrainRecipe(mix=(MixEntry(dataset="x"),), steps=10), images_per_second=1))
    assert "GPU-hours  0.0444\n" in text
    assert "days       0.00185 on 1 GPU\n" in text


def test_each_figure_says_under_its_own_name_what_it_rests_on_and_notes_stand_apart() -> None:
    text = plan_text(train_plan(TrainRecipe(mix=(MixEntry(dataset="x", samples=9),), steps=10)))
    assert "rate       unknown\nGPU-hours  unknown\ndays       unknown\n\nrests on:\n" in text
    assert "\n  rate: nothing: no published rate of nano; give --rate" in text
    assert [line.split(":")[0] for line in text.partition("rests on:\n")[2].splitlines()] == [
        *("  samples", "  rate", "  GPU-hours", "  states", "  activations", "", "optimizer.warmup_steps")
    ]


def test_a_warm_up_that_is_longer_than_the_run_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--recipe", str(LARGE), "--plan", "--set", "steps=1000"]
    assert main(command) == 0
    assert "before the warm-up does at step 2000; the learning rate reaches" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert (
        "before the warm-up does at step 2000" in TrainPlan.model_validate(json.loads(capsys.readouterr().out)).notes[0]
    )
    assert train_plan(_recipe(LARGE)).notes == []


def test_training_without_a_folder_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--recipe", str(LARGE)]) == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_ten_thousandth_of_the_large_recipe_goes_through_on_a_cpu(random_checkpoint: Path, tmp_path: Path) -> None:
    """All but the sizes of model, pictures and datasets are the recipe's own: mix, copies, schedule, packing, batch."""
    recipe = _recipe(LARGE)
    entries = []
    for number, entry in enumerate(recipe.mix):
        folder = tmp_path / Path(entry.dataset).name
        import_gold("scenes", ScenesSource(count=(entry.samples or 0) // SCALE, seed=number), folder)
        entries.append(entry.model_copy(update={"dataset": str(folder)}))
    small = {"init": str(random_checkpoint), "min_sizes": (64,), "max_size": 96, "loader_threads": 1}
    small |= {"image_tower": None, "text_tower": None}
    scaled = recipe.model_copy(update={**small, "mix": tuple(entries), "steps": recipe.steps // SCALE, "log_every": 10})
    result = train(scaled, tmp_path / "run", progress=False)
    assert (result.steps, result.skipped_steps) == (100, 0)
    assert sum(value for name, value in result.losses.items() if name.startswith("loss")) < float("inf")
    lines = (tmp_path / "run" / "losses.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["loss_token"] < json.loads(lines[0])["loss_token"]
