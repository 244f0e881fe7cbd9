"""What a recipe's message says of a mistake, and the list of fields that it leads to."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.few_shot_recipes import FewShotRecipe
from schemas.recipe_fields import fields_of
from schemas.recipes import (
    CalibrateRecipe,
    EvaluateRecipe,
    GenerationRecipe,
    GroundRecipe,
    LabelRecipe,
    Recipe,
    TrainRecipe,
    load_recipe,
    make_recipe,
)
from schemas.retrain_recipes import RetrainRecipe
from schemas.robustness_recipes import RobustnessRecipe

RECIPES = (
    *(LabelRecipe, TrainRecipe, EvaluateRecipe, CalibrateRecipe, GroundRecipe),
    *(GenerationRecipe, RetrainRecipe, FewShotRecipe, RobustnessRecipe),
)
SCENES = "source.kind=scenes"
TARS = ("source.kind=webdataset", "source.uri=tars")
MISTAKES = {
    "a slip": ([SCENES, "unitsize=3"], "unknown field 'unitsize'; did you mean 'unit_size'?"),
    "a slip further in": ([SCENES, "teacher.chekpoint=x"], "did you mean 'teacher.checkpoint'?"),
    "a name of another place": ([SCENES, "checkpoint=x"], "did you mean 'teacher.checkpoint'?"),
    "a name like no other": ([SCENES, "filters.qqq=1"], "there are: min_image_side, max_image_aspect"),
    "a slip in a choice": ([*TARS, "source.caption_feild=x"], "did you mean 'source.caption_field'?"),
    "what a choice lacks": (["source.kind=webdataset"], "field 'source.uri' is missing"),
    "no choice": (["source.uri=tars"], "wanted a mapping with a field 'kind'"),
    "a choice that is none": (
        ["source.kind=webdatset"],
        "field 'source.kind': no 'webdatset'; there are: 'webdataset'",
    ),
    "a device that is none": ([SCENES, "teacher.device=gpu"], "should be 'auto', 'cpu' or 'cuda' (came: 'gpu')"),
    "a number for a text": (
        [*TARS, "source.caption_field=7"],
        "'source.caption_field' is text, not the number 7: put it in",
    ),
    "a slip in what the recipe names itself": (
        [*TARS, "source.keep.similarity.mim=0.3"],
        "unknown field 'source.keep.similarity.mim'; did you mean 'source.keep.similarity.min'?",
    ),
    "a word for a list": ([SCENES, "leaks=held-out"], "field 'leaks' is a list, such as [a, b] (came: 'held-out')"),
    "a word for a mapping": ([SCENES, "teacher=nano"], "field 'teacher' is a mapping of fields to values"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_field_is_told_with_the_one_that_is_meant(mistake: str) -> None:
    overrides, expected = MISTAKES[mistake]
    with pytest.raises(ValueError, match="recipe of the command line: ") as raised:
        load_recipe(LabelRecipe, None, tuple(overrides))
    assert expected in str(raised.value)
    assert "source.webdataset" not in str(raised.value)


def test_of_a_recipe_for_another_command_the_first_mistakes_are_told() -> None:
    overrides = [SCENES, *(f"foreign{number}=1" for number in range(9))]
    with pytest.raises(ValueError, match=r"and 6 more$") as raised:
        load_recipe(LabelRecipe, None, tuple(overrides))
    assert str(raised.value).count("unknown field") == 3


def test_a_folder_instead_of_a_recipe_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder; give a file of it"):
        load_recipe(LabelRecipe, tmp_path)


def test_a_wrong_field_in_a_list_is_told_with_its_place(tmp_path: Path) -> None:
    recipe = tmp_path / "train.yaml"
    recipe.write_text("mix: [{datset: human}]")
    with pytest.raises(ValueError, match=r"'mix\.0\.dataset' is missing") as raised:
        load_recipe(TrainRecipe, recipe)
    assert "did you mean 'mix.0.dataset'?" in str(raised.value)


def test_a_field_that_is_named_like_a_choice_keeps_its_name() -> None:
    fields = {"name": "x", "format": "scenes", "scenes": {"count": 0}}
    with pytest.raises(ValueError, match=r"field 'gold\.0\.scenes\.count'"):
        load_recipe(GenerationRecipe, None, ("label.source.kind=scenes",), {"gold": [fields]})


def test_a_check_of_several_fields_is_told_in_its_own_words_alone() -> None:
    with pytest.raises(ValueError, match=r"recipe of the command line: give `datasets`.*verdicts\), reviewed ones$"):
        load_recipe(CalibrateRecipe, None)
    with pytest.raises(ValueError, match=r": field 'teacher': members are an ensemble's; the grounder is 'glip'$"):
        load_recipe(LabelRecipe, None, (SCENES, "teacher.members=[{}]"))
    with pytest.raises(ValueError, match=r": field 'scale_jitter': a range goes from .* \(came: '"):
        load_recipe(TrainRecipe, None, ("mix=[{dataset: human}]", "scale_jitter=[2, 1]"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_field_of_every_recipe_is_listed_once_for_each_choice(recipe: type[Recipe]) -> None:
    listed = fields_of(recipe)
    assert len({(field.name, field.only_of) for field in listed}) == len(listed)
    top = {field.name.partition(".")[0].removesuffix("[]") for field in listed}
    assert top == set(recipe.model_fields)
    assert all(field.text for field in listed if not field.type.startswith('"')), "every field is documented"


def test_a_listed_field_has_type_default_and_text() -> None:
    fields = {(field.name, field.only_of): field for field in fields_of(LabelRecipe)}
    size = fields["unit_size", ""]
    assert (size.type, size.default) == ("integer", "200")
    assert size.text.startswith("Samples in a unit")
    assert fields["source.uri", "kind: urls"].default is None, "it has to be given"
    assert fields["source.keep.<name>.min", "kind: urls"].type == "number or null"
    assert fields["teacher.precision", ""].type == "auto or fp32 or bf16"


def test_a_recipe_within_another_tells_its_place_and_what_it_may_not_set() -> None:
    mix = [{"dataset": "human"}]
    assert make_recipe(TrainRecipe, "train", {"steps": 3}, mix=mix).steps == 3
    with pytest.raises(ValueError, match=r"^train: unknown field 'stepz'; did you mean 'steps'\?"):
        make_recipe(TrainRecipe, "train", {"stepz": 3}, mix=mix)
    with pytest.raises(ValueError, match=r"^train: mix cannot be given here, the job sets it"):
        make_recipe(TrainRecipe, "train", {"mix": mix}, mix=mix)
