"""The jobs that made what ships: nano's recipes, the training of the caption parser on a handful of sentences."""

import json
import tomllib
from pathlib import Path

from engine.phrases import BUNDLED
from pipelines.shipped import RECIPES
from pipelines.shipped.nano import PHOTOS, STAGES
from pipelines.shipped.parser import parser_scores, phrase_scores, train_parser
from pipelines.shipped.parser_card import write_card
from pipelines.shipped.treebank import Sentence
from schemas.recipes import TrainRecipe, load_recipe

RIDER = Sentence(
    words=("The", "man", "is", "riding", "big", "waves", "."),
    spaces=(True, True, True, True, True, False, True),
    tags=("DT", "NN", "VBZ", "VBG", "JJ", "NNS", "."),
    lemmas=("the", "man", "be", "ride", "big", "wave", "."),
    heads=(1, 3, 3, 3, 5, 3, 3),
    arcs=("det", "nsubj", "aux", "ROOT", "amod", "obj", "punct"),
)
DOGS = Sentence(
    words=("Two", "dogs", "sleep", "."),
    spaces=(True, True, False, True),
    tags=("CD", "NNS", "VBP", "."),
    lemmas=("two", "dog", "sleep", "."),
    heads=(1, 2, 2, 2),
    arcs=("nummod", "nsubj", "ROOT", "punct"),
)


def test_training_learns_its_sentences_and_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (train_parser([RIDER, DOGS] * 40, epochs=4, seed=5) for _ in range(2))
    assert first.to_bytes() == second.to_bytes()
    scores = parser_scores(first, [RIDER, DOGS]) | phrase_scores(first, [RIDER, DOGS])
    assert scores["tag_acc"] > 80
    first.to_disk(tmp_path)
    write_card(tmp_path, scores, epochs=4, seed=5)
    assert "CC BY-SA 4.0" in (tmp_path / "README.md").read_text()
    assert first.meta["spacy_version"] == _shipped_spacy_versions()


def test_the_oldest_spacy_that_is_asked_for_reads_the_shipped_parser_without_a_warning() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    [asked] = [one.removeprefix("spacy") for one in project["dependencies"] if one.startswith("spacy")]
    assert asked.split(",")[0] == _shipped_spacy_versions().split(",")[0]


def _shipped_spacy_versions() -> str:
    return str(json.loads((BUNDLED / "meta.json").read_text())["spacy_version"])


def test_the_recipes_of_nano_are_found_and_mix_what_its_job_makes() -> None:
    recipes = [load_recipe(TrainRecipe, RECIPES / f"{stage}.yaml") for stage in STAGES]
    assert {entry.dataset for recipe in recipes for entry in recipe.mix} == {*PHOTOS, "scenes"}
