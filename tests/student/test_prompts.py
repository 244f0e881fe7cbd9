"""Training prompts: spans by construction, negatives that contradict nothing, the token budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sample_labels import labels_of

from engine.mix import NameRelations
from schemas.class_prompts import ClassPrompt, asked_classes
from schemas.shards import SampleLabels
from student.prompts import Budget, TrainingPrompt, absent_classes, class_prompt, fit_names, packed_caption

RELATIONS = NameRelations()
CLASSES = ["dog", "dogs", "hot dog", "cat", "traffic light", "car", "cars", "bus"]


def _labels(names: list[str]) -> SampleLabels:
    return labels_of(". ".join(names), names, [(number, (0, 0, 5, 5), 1) for number in range(len(names))], size=(9, 9))


def _prompt(names: list[str], seed: int = 0, max_negatives: int = 85, max_tokens: int = 256) -> TrainingPrompt:
    return class_prompt(
        _labels(names),
        CLASSES,
        RELATIONS,
        _budget(max_tokens),
        np.random.default_rng(seed),
        max_negatives=max_negatives,
    )


def _budget(max_tokens: int = 256) -> Budget:
    return Budget(max_tokens, lambda text: len(text.replace(".", " .").split()))


def _packed(labels: SampleLabels, others: list[SampleLabels], seed: int = 0, **options: Any) -> TrainingPrompt:
    budget = options.pop("budget", _budget())
    return packed_caption(labels, others, RELATIONS, budget, np.random.default_rng(seed), **options)


def test_every_phrase_stands_where_its_span_says() -> None:
    for seed in range(20):
        prompt = _prompt(["dog", "traffic light"], seed)
        spans = [span for span in prompt.spans if span is not None]
        assert [prompt.text[start:end] for start, end in spans] == ["dog", "traffic light"]


def test_a_class_that_several_phrases_name_is_asked_for_once() -> None:
    assert _prompt(["dog", "dog"], max_negatives=0) == TrainingPrompt("dog", ((0, 3), (0, 3)))


def test_names_change_places_so_that_position_tells_nothing() -> None:
    assert len({_prompt(["dog", "bus"], seed).text for seed in range(20)}) > 10


def test_negatives_are_as_many_as_asked_for_and_never_a_class_with_the_head_noun_of_one_that_is_there() -> None:
    assert absent_classes(_labels(["dog", "car"]), CLASSES, RELATIONS) == ["cat", "traffic light", "bus"]
    names = _prompt(["dog"], max_negatives=2).text.split(". ")
    assert len(names) == 3
    assert not {"dogs", "hot dog"} & set(names)
    for seed in range(20):
        assert len(set(_prompt(["dog"], seed, max_negatives=4).text.split(". "))) == 5, "each is asked for once"


def test_negatives_are_drawn_from_all_classes_that_are_absent() -> None:
    drawn = {name for seed in range(60) for name in _prompt(["dog"], seed, max_negatives=1).text.split(". ")}
    assert drawn == {"dog", *absent_classes(_labels(["dog"]), CLASSES, RELATIONS)}


def test_of_a_federated_dataset_only_what_was_looked_for_in_vain_is_a_negative() -> None:
    labels = _labels(["dog"])
    known = labels.model_copy(update={"absent_classes": ["bus", "cars", "dogs"]})
    assert absent_classes(known, CLASSES, RELATIONS) == ["cars", "bus"]
    assert absent_classes(labels.model_copy(update={"absent_classes": []}), CLASSES, RELATIONS) == []


def test_beyond_the_token_budget_negatives_go_first() -> None:
    names = _prompt(["dog", "car"], max_tokens=5).text.split(". ")
    assert {"dog", "car"} <= set(names)
    assert len(names) == 3


def test_a_picture_with_more_classes_than_fit_keeps_those_that_fit_and_tells_which_are_missing() -> None:
    prompt = _prompt(["dog", "cat", "car", "bus"], max_tokens=3)
    assert sum(span is None for span in prompt.spans) == 2


def test_all_classes_that_are_there_stay_where_they_fit_and_as_many_others_as_there_is_room_for() -> None:
    here, others = ([f"{kind}{number}" for number in range(30)] for kind in "ab")
    for room in (20, 30, 37):
        names = (here + others)[:room]
        assert fit_names(here, others, _budget(2 * room - 1)) == names
        assert fit_names(here, others, _budget(2 * room)) == names, "a stop without a name"


def test_one_name_is_left_even_where_it_is_too_long() -> None:
    assert fit_names(["a", "b"], [], Budget(0, len)) == ["a"]


def test_a_picture_without_any_box_is_asked_for_what_is_not_there() -> None:
    prompt = _prompt([], max_negatives=3)
    assert prompt.spans == ()
    assert len(prompt.text.split(". ")) == 3


def test_a_caption_alone_is_kept_as_it_is() -> None:
    assert _packed(_labels(["dog", "car"]), []) == TrainingPrompt("dog. car", ((0, 3), (5, 8)))


def test_a_caption_among_others_is_found_where_its_spans_say_and_takes_every_place() -> None:
    places = set()
    for seed in range(30):
        others = [_labels(["cat"]), _labels(["traffic light"])]
        prompt = _packed(_labels(["dog", "car"]), others, seed)
        assert [prompt.text[span[0] : span[1]] for span in prompt.spans if span] == ["dog", "car"]
        assert sorted(prompt.text.split(". ")) == ["car", "cat", "dog", "traffic light"]
        places.add(prompt.text.index("dog"))
    assert len(places) == 3


def test_another_caption_that_names_what_is_there_is_not_packed() -> None:
    prompt = _packed(_labels(["dog"]), [_labels(["cat", "hot dog"]), _labels(["bus"])])
    assert "cat" not in prompt.text
    assert "bus" in prompt.text


def test_other_captions_say_where_their_names_stand() -> None:
    for seed in range(5):
        prompt = _packed(_labels(["dog"]), [_labels(["cat", "bus"]), _labels(["tree"])], seed)
        assert [name for name, _ in prompt.others] == ["cat", "bus", "tree"]
        assert [prompt.text[start:end] for _, (start, end) in prompt.others] == ["cat", "bus", "tree"]


def test_captions_are_packed_as_far_as_the_token_budget_holds_and_the_own_one_stays_whole() -> None:
    others = [_labels(["cat"]), _labels(["bus"]), _labels(["tree"])]
    prompt = _packed(_labels(["dog", "car"]), others, budget=_budget(5))
    assert sorted(prompt.text.split(". ")) == ["car", "cat", "dog"]
    assert _packed(_labels(["dog", "car"]), others, budget=_budget(1)).text == "dog. car"


def test_a_caption_without_phrases_is_no_negative_since_nobody_knows_what_it_names() -> None:
    wordless = _labels(["cat"]).model_copy(update={"phrases": [], "boxes": []})
    assert _packed(_labels(["dog"]), [wordless]).text == "dog"


@pytest.mark.parametrize(
    ("here", "other"),
    [("man", "person"), ("person", "man"), ("sofa", "couch"), ("dogs", "dog"), ("hot dog", "dog"), ("dog", "hot dog")],
)
def test_what_may_be_the_same_thing_under_another_name_is_never_a_negative(here: str, other: str) -> None:
    assert absent_classes(_labels([here]), [other, "tree"], RELATIONS) == ["tree"]
    assert _packed(_labels([here]), [_labels([other])]).text == here


def test_neither_what_a_phrase_is_about_nor_what_its_words_say_is_a_negative() -> None:
    for word, head in (("Rex", "dog"), ("dog", "rex")):
        assert absent_classes(labels_of(word, [(0, 3, head)]), ["dog", "bus"], RELATIONS) == ["bus"]


def test_what_another_dataset_of_the_mix_labels_in_the_picture_is_no_negative() -> None:
    assert absent_classes(_labels(["dog"]), ["cat", "bus"], RELATIONS, known=["a kitten"]) == ["bus"]
    assert _packed(_labels(["dog"]), [_labels(["cat"])], known=["cats"]).text == "dog"


def test_a_class_annotated_in_part_is_no_negative() -> None:
    labels = _labels(["dog"]).model_copy(update={"incomplete_classes": ["cat"]})
    assert absent_classes(labels, ["cat", "bus"], RELATIONS) == ["bus"]


FISH = ["fish", "stingray", "c 3"]
PROMPTS = {"stingray": ClassPrompt(suffix=", which is flat"), "c 3": ClassPrompt(prefix="a ", name="puffin")}
ASKED = asked_classes(PROMPTS, FISH)


def _asked(names: list[str], **options: Any) -> TrainingPrompt:
    budget = options.pop("budget", _budget())
    random = np.random.default_rng(options.pop("seed", 0))
    return class_prompt(_labels(names), FISH, RELATIONS, budget, random, max_negatives=9, asked=ASKED, **options)


def test_a_knowledge_prompt_stands_for_its_class_and_boxes_belong_to_its_name() -> None:
    texts = set()
    for seed in range(20):
        prompt = _asked(["stingray", "c 3"], seed=seed)
        assert [prompt.text[slice(*span)] for span in prompt.spans if span] == ["stingray", "puffin"]
        assert [(name, prompt.text[slice(*span)]) for name, span in prompt.others] == [("fish", "fish")]
        texts.add(prompt.text)
    assert "stingray, which is flat. a puffin. fish" in texts
    assert len(texts) == 6


def test_without_knowledge_prompts_nothing_changes() -> None:
    plain = class_prompt(_labels(["fish"]), FISH, RELATIONS, _budget(), np.random.default_rng(3), max_negatives=9)
    assert plain == class_prompt(
        _labels(["fish"]), FISH, RELATIONS, _budget(), np.random.default_rng(3), max_negatives=9, asked={}
    )


def test_neither_name_nor_prompt_of_a_negative_may_mean_what_is_there() -> None:
    asked = asked_classes({"c 1": "dog", "c 2": "cat", "c 3": "tree"}, ["c 1", "c 2", "c 3"])
    classes = ["c 1", "c 2", "c 3", "bus"]
    assert absent_classes(_labels(["puppy"]), classes, RELATIONS, asked=asked) == ["c 2", "c 3", "bus"]
    kinds = asked_classes({"c 1": "puppy"}, ["c 1"])
    assert absent_classes(_labels(["c 1"]), ["dog", "bus"], RELATIONS, asked=kinds) == ["bus"]
    around = asked_classes({"c 1": ClassPrompt(name="puppy", suffix=" on a bus")}, ["c 1"])
    assert absent_classes(_labels(["c 1"]), ["dog", "bus"], RELATIONS, asked=around) == ["bus"], "boxes are of the name"


def test_a_knowledge_prompt_counts_in_the_token_budget() -> None:
    """Four tokens and a stop: "stingray , which is flat" has five words and a stop, so it is left out, not cut."""
    prompt = _asked(["fish"], budget=_budget(4))
    assert prompt.text in ("fish", "fish. a puffin", "a puffin. fish")
    assert fit_names(["fish"], ["stingray"], _budget(4), ASKED) == ["fish"]
    assert fit_names(["fish"], ["stingray"], _budget(4)) == ["fish", "stingray"]
