"""Knowledge prompts: what a class is asked by, and which of its words boxes belong to."""

from __future__ import annotations

import pytest

from schemas.class_prompts import AskedClass, ClassPrompt, asked_classes, asked_of
from schemas.recipes import EvaluateRecipe, MixEntry, load_recipe
from schemas.shards import DatasetCard

CLASSES = ["fish", "stingray", "c 3"]
CARD = DatasetCard(origin="human", task="detection", source_fingerprint="f", recipe_digest="r", classes=CLASSES)


@pytest.mark.parametrize(
    ("prompt", "text", "name"),
    [
        ("flat round fish", "flat round fish", "flat round fish"),
        (ClassPrompt(suffix=", which is flat and round"), "stingray, which is flat and round", "stingray"),
        (ClassPrompt(prefix="a kind of "), "a kind of stingray", "stingray"),
        (ClassPrompt(prefix="the ", name="ray", suffix=" (flat)"), "the ray (flat)", "ray"),
        (ClassPrompt(prefix=" ", suffix=" with a tail "), "stingray with a tail", "stingray"),
        (ClassPrompt(), "stingray", "stingray"),
    ],
)
def test_boxes_belong_to_the_name_and_the_rest_is_only_read(prompt: ClassPrompt | str, text: str, name: str) -> None:
    (found,) = asked_classes({"stingray": prompt}, CLASSES).values()
    assert (found.text, found.name) == (text, name)
    assert found.text[found.start : found.end] == name


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({"sting_ray": "ray"}, "'sting_ray', which is none of the 3 classes of the dataset: c 3, fish, stingray"),
        ({"a": "b", "c": "d"}, "'a', 'c', which are none"),
        ({"fish": " "}, "class 'fish' has no name"),
        ({"fish": ClassPrompt(suffix="which swims")}, "reads 'fishwhich swims', in which the name runs into"),
        ({"fish": ClassPrompt(prefix="a")}, "reads 'afish'"),
    ],
)
def test_a_mistake_in_a_prompt_is_told(prompts: dict[str, ClassPrompt | str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        asked_of(CARD, "pond", prompts)
    assert str(error.value).startswith("prompts of dataset 'pond': ")


def test_captions_have_no_prompts() -> None:
    captions = CARD.model_copy(update={"task": "grounding", "classes": []})
    assert asked_of(captions, "pond", {}) == {}
    with pytest.raises(ValueError, match="its captions are asked as they are"):
        asked_of(captions, "pond", {"fish": "a fish"})


def test_a_recipe_gives_phrases_or_their_parts() -> None:
    parts = {"name": "ray", "suffix": ", flat"}
    entry = load_recipe(MixEntry, None, (), {"dataset": "d", "prompts": {"stingray": parts, "fish": "a fish"}})
    assert asked_classes(entry.prompts, CLASSES) == {
        "stingray": AskedClass("ray, flat", 0, 3),
        "fish": AskedClass("a fish", 0, 6),
    }
    with pytest.raises(ValueError, match="sufix"):
        load_recipe(EvaluateRecipe, None, (), {"datasets": ["d"], "prompts": {"d": {"fish": {"sufix": "x"}}}})
    with pytest.raises(ValueError, match="500"):
        load_recipe(MixEntry, None, (), {"dataset": "d", "prompts": {"fish": "f" * 501}})
