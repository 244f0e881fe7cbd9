"""Knowledge prompts on the way: what is asked in an evaluation, learned in training, and written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from coco_folders import coco_dataset
from oracle_datasets import CAT, DOG, Oracle, sample, worker, write_dataset

from engine.artifacts import Store
from engine.metrics.detection import average_precision
from engine.mix import Mix
from engine.shards import read_shard
from glip.checkpoint import load_model
from pipelines.cli import main
from pipelines.evaluate import evaluate
from pipelines.evaluation.answers import answer_all, class_prompts, open_ask
from pipelines.train import train
from schemas.class_prompts import ClassPrompt, asked_classes
from schemas.recipes import EvaluateRecipe, MixEntry, RunEvaluation, TeacherRecipe, TrainRecipe
from student.augment import draw_step_shape
from student.data import TrainingData

CLASSES = ["c 1", "stingray", "bird"]
PROMPTS = {"c 1": "flat round fish", "stingray": ClassPrompt(prefix="a ", suffix=", which is flat")}
PETS = {"dog": {"prefix": "a ", "suffix": " with a tail"}, "bird": "puffin"}


def test_a_class_is_asked_by_its_prompt_and_the_answer_is_the_class(tmp_path: Path) -> None:
    """The grounder knows the words that count, and neither the names they stand for nor the whole phrases."""
    boxes = [sample("1", "c 1. stingray", {"c 1": [DOG], "stingray": [CAT]})]
    card = write_dataset(tmp_path / "sea", boxes, CLASSES)
    oracle = Oracle({"flat round fish": DOG, "stingray": CAT, "c 1": CAT, "a stingray, which is flat": DOG})
    ask = open_ask(card, oracle, 40, asked_classes(PROMPTS, CLASSES))
    results = list(answer_all(read_shard(Store(tmp_path / "sea"), 0), ask, worker(oracle)))
    assert oracle.asked == ["flat round fish. a stingray, which is flat. bird"]
    assert [(one.phrase, one.box_xyxy) for one in results[0].candidates] == [(0, DOG), (1, CAT)]
    figures = {one.name: one.value for one in average_precision(results, CLASSES).values}
    assert figures["AP50/c 1"] == figures["AP50/stingray"] == pytest.approx(1.0)


def test_prompts_of_classes_stay_inside_the_token_budget_with_their_knowledge() -> None:
    oracle = Oracle({}, max_tokens=9)
    prompts = class_prompts(CLASSES, oracle, 40, asked_classes(PROMPTS, CLASSES))
    assert [one.text for one in prompts] == ["flat round fish", "a stingray, which is flat. bird"]
    assert [(s.phrase, p.text[s.start : s.end]) for p in prompts for s in p.spans] == [
        (0, "flat round fish"),
        (1, "stingray"),
        (2, "bird"),
    ]


def pets_recipe(dataset: Path, checkpoint: Path, prompts: dict[str, Any]) -> EvaluateRecipe:
    teacher = TeacherRecipe(checkpoint=str(checkpoint), device="cpu")
    return EvaluateRecipe(datasets=(str(dataset),), teacher=teacher, prompts=prompts, min_score=0.0)


def test_an_evaluation_says_what_it_asked_and_another_question_is_another_evaluation(
    tmp_path: Path, random_checkpoint: Path
) -> None:
    pets, out = coco_dataset(tmp_path / "pets", [["cat", "dog"], ["bird"]]), tmp_path / "out"
    (plain,) = evaluate(pets_recipe(pets, random_checkpoint, {}), out, progress=False)
    assert plain.prompts == {}
    (asked,) = evaluate(pets_recipe(pets, random_checkpoint, {"pets": PETS}), out, progress=False)
    assert asked.prompts == {"dog": "a dog with a tail", "bird": "puffin"}
    assert asked.outcomes != plain.outcomes, "another text gives other boxes"
    document = json.loads((out / "evaluation.json").read_text())
    assert document["reports"][0]["prompts"] == asked.prompts
    assert document["recipe"]["prompts"]["pets"]["dog"]["suffix"] == " with a tail"
    (same,) = evaluate(
        pets_recipe(pets, random_checkpoint, {"pets": {"dog": "dog"}}), tmp_path / "same", progress=False
    )
    assert same.metrics == plain.metrics, "a class that is asked by its name is asked as ever"


def test_prompts_of_no_dataset_or_class_are_told_before_anything_is_asked(
    tmp_path: Path, random_checkpoint: Path
) -> None:
    pets = coco_dataset(tmp_path / "pets", [["cat"]])
    for prompts, message in (
        ({"pots": PETS}, "prompts are given for 'pots'; the datasets to evaluate on are called pets"),
        ({"pets": {"cow": "a cow"}}, "prompts of dataset 'pets': prompts are given for 'cow'"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(pets_recipe(pets, random_checkpoint, prompts), progress=False)
    with pytest.raises(ValueError, match="prompts of dataset 'pets'"):
        Mix.open([MixEntry(dataset=str(pets), prompts={"cow": "a cow"})], 0)


def train_recipe(learned: Path, checkpoint: Path, **fields: Any) -> TrainRecipe:
    sizes = {"batch_size": 2, "min_sizes": (64,), "max_size": 96, "loader_threads": 0}
    return TrainRecipe(
        mix=(MixEntry(dataset=str(learned), prompts=PETS),), init=str(checkpoint), steps=1, **sizes, **fields
    )


def test_training_reads_the_prompts_and_ties_boxes_to_their_names(tmp_path: Path, random_checkpoint: Path) -> None:
    recipe = train_recipe(coco_dataset(tmp_path / "pets", [["dog"], ["bird", "dog"]]), random_checkpoint, flip=True)
    mix = Mix.open(recipe.mix, recipe.seed)
    loaded = load_model(random_checkpoint)
    data = TrainingData(mix, recipe, loaded.config, loaded.tokenizer, rank=0, size=1)
    shape = draw_step_shape(data.augmentation, np.random.default_rng(0))
    for position in range(4):
        one = data.example(position, shape)
        assert "a dog with a tail" in one.prompt.text
        named = [one.prompt.text[slice(*span)] for span in one.prompt.spans if span is not None]
        assert named == [{"dog": "dog", "bird": "puffin"}[phrase.text] for phrase in one.labels.phrases]
    plain = Mix.open([MixEntry(dataset=recipe.mix[0].dataset)], recipe.seed)
    assert mix.fingerprint != plain.fingerprint
    plain.close()
    mix.close()


def test_an_evaluation_along_a_run_asks_the_same_and_takes_any_protocols_figure(
    tmp_path: Path, random_checkpoint: Path
) -> None:
    judged = coco_dataset(tmp_path / "judged", [["dog"]])
    along = RunEvaluation(datasets=(str(judged),), metric="voc07_AP", prompts={"judged": PETS})
    learned = coco_dataset(tmp_path / "pets", [["cat"], ["dog"]])  # none of them the picture that is judged
    result = train(train_recipe(learned, random_checkpoint, evaluation=along), tmp_path / "run", progress=False)
    assert result.best is not None
    assert (result.best.metric, set(result.best.datasets)) == ("voc07_AP", {"judged"})


def test_the_few_shot_harness_tunes_and_evaluates_by_the_prompts(tmp_path: Path, random_checkpoint: Path) -> None:
    train_on, test_on = coco_dataset(tmp_path / "train", [["cat"], ["dog"]]), coco_dataset(tmp_path / "test", [["dog"]])
    fields: dict[str, Any] = {
        "datasets": [{"name": "pets", "train": str(train_on), "test": str(test_on), "prompts": PETS}],
        "shots": [1],
        "modes": ["prompt"],
        "seeds": 1,
        "metrics": ["AP50", "voc12_AP"],
        "train": {"init": str(random_checkpoint), "steps": 1, "batch_size": 2, "min_sizes": [64], "max_size": 96},
        "evaluate": {"protocols": ["coco", "voc12"]},
        "keep_models": True,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(fields))
    run = ["few-shot", "--recipe", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "out")]
    assert main(run) == 0
    cells = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "out").rglob("cell.json")}
    assert {name: cell["report"]["prompts"]["dog"] for name, cell in cells.items()} == {
        "zero-shot": "a dog with a tail",
        "1-shot-seed-0": "a dog with a tail",
    }
    learned = json.loads((tmp_path / "out/pets/prompt/1-shot-seed-0/run/recipe.json").read_text())
    assert learned["mix"][0]["prompts"]["dog"]["suffix"] == " with a tail"
    assert main([*run, "--set", "shots=[]"]) == 0
    again = json.loads((tmp_path / "out/pets/zero-shot/cell.json").read_text())
    assert again["identity"] == cells["zero-shot"]["identity"]
    fields["datasets"][0]["prompts"] = {"dog": "a hound"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(fields))
    assert main([*run, "--set", "shots=[]"]) == 0
    other = json.loads((tmp_path / "out/pets/zero-shot/cell.json").read_text())
    assert other["identity"] != again["identity"]
    assert other["report"]["prompts"] == {"dog": "a hound"}
