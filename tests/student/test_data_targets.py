"""What a student is asked for: the boxes and tokens of a batch are those that the shards and the recipe say."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from sample_labels import labels_of
from student_runs import training_data

from engine.mix import Mix
from glip.checkpoint import LoadedModel
from glip.contrast import NO_CONCEPT
from glip.masked_language import NOT_MASKED
from schemas.class_prompts import asked_classes
from schemas.recipes import TrainRecipe
from schemas.shards import SampleLabels
from student.augment import StepShape


def test_tokens_of_a_box_are_the_tokens_of_its_phrase(mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel) -> None:
    data = training_data(mix, small_recipe, loaded)
    batch = data.batch(0)
    for number, target in enumerate(batch.targets):
        labels = mix.load(mix.sample_ref(number)).labels
        prompts = loaded.tokenizer.encode([labels.caption], loaded.config.max_tokens)
        named = {tuple(prompts.token_positions(0, p.start, p.end)) for p in labels.phrases}
        rows = {tuple(row.nonzero().flatten().tolist()) for row in target.token_map_NT}
        assert rows
        assert rows <= named
        height, width = batch.images[number].shape[-2:]
        assert bool((target.boxes_xyxy_N4 >= 0).all())
        assert bool((target.boxes_xyxy_N4 <= torch.tensor([width, height, width, height])).all())


def test_a_box_whose_phrase_is_beyond_what_the_model_reads_is_not_asked_for(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    caption = "dog " * loaded.config.max_tokens + "cat"
    phrases = [(0, 3, "dog"), (len(caption) - 3, len(caption), "cat")]
    _changed(mix, monkeypatch, _said(labels_of(caption, phrases, [(n, (5, 5, 40, 40 + n), 1) for n in (0, 1)])), {})
    [target, *_] = training_data(mix, small_recipe, loaded).batch(0).targets
    assert target.token_map_NT.shape == (1, loaded.config.max_tokens)
    assert target.token_map_NT[0].nonzero().flatten().tolist() == [1]


def test_a_box_that_two_phrases_name_is_one_box_with_the_tokens_of_both(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = next(
        sample for sample in map(mix.load, mix.datasets[0].refs) if len({b.phrase for b in sample.labels.boxes}) > 1
    )
    first = sample.labels.boxes[0]
    second = next(box for box in sample.labels.boxes if box.phrase != first.phrase)
    boxes = [
        first.model_copy(update={"score": 0.9}),
        second.model_copy(update={"box_xyxy": first.box_xyxy, "score": 0.4}),
    ]
    labels = sample.labels.model_copy(update={"boxes": boxes})
    card = sample.card.model_copy(update={"origin": "pseudo"})
    monkeypatch.setattr(mix, "load", lambda ref: type(sample)(labels, sample.image, card))
    batch = training_data(mix, small_recipe.model_copy(update={"score_weighted": True}), loaded).batch(0)
    prompts = loaded.tokenizer.encode([labels.caption], loaded.config.max_tokens)
    both = {
        position
        for phrase in (labels.phrases[first.phrase], labels.phrases[second.phrase])
        for position in prompts.token_positions(0, phrase.start, phrase.end)
    }
    for target in batch.targets:
        assert len(target.boxes_xyxy_N4) == 1
        assert target.score_weight_N is not None
        assert target.score_weight_N.tolist() == pytest.approx([0.9]), "the better of its scores"
        assert set(target.token_map_NT[0].nonzero().flatten().tolist()) == both


def test_pseudo_boxes_can_be_kept_out_of_the_box_loss_and_weighed_by_their_score(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = mix.load(mix.datasets[0].refs[0])
    boxes = [box.model_copy(update={"score": 0.7}) for box in sample.labels.boxes]
    labels = sample.labels.model_copy(update={"boxes": boxes})
    card = sample.card.model_copy(update={"origin": "pseudo"})
    monkeypatch.setattr(mix, "load", lambda ref: type(sample)(labels, sample.image, card))
    recipe = small_recipe.model_copy(update={"pseudo_regression": False, "score_weighted": True})
    target = training_data(mix, recipe, loaded).batch(0).targets[0]
    assert target.regress_N is not None
    assert target.score_weight_N is not None
    assert not target.regress_N.any()
    assert target.score_weight_N.tolist() == pytest.approx([0.7] * len(target.score_weight_N))
    plain = training_data(mix, small_recipe, loaded).batch(0).targets[0]
    assert plain.regress_N is plain.score_weight_N is None
    monkeypatch.setattr(mix, "load", lambda ref: type(sample)(labels, sample.image, sample.card))
    human = training_data(mix, recipe, loaded).batch(0).targets[0]
    assert human.regress_N is human.score_weight_N is None, "human boxes are trusted whatever the recipe says"


def _changed(mix: Mix, monkeypatch: pytest.MonkeyPatch, labels: dict[str, object], card: dict[str, object]) -> None:
    """A mix that gives one sample over and over, with some fields changed."""
    sample = mix.load(mix.datasets[0].refs[0])
    changed = sample.labels.model_copy(update=labels)
    cards = sample.card.model_copy(update=card)
    monkeypatch.setattr(mix, "load", lambda ref: type(sample)(changed, sample.image, cards))


def _said(labels: SampleLabels) -> dict[str, object]:
    """What is said of a picture, without which picture it is."""
    return {"caption": labels.caption, "phrases": labels.phrases, "boxes": labels.boxes}


def test_words_of_a_class_annotated_in_part_are_uncertain(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mix.load(mix.datasets[0].refs[0]).labels.phrases[0]
    _changed(mix, monkeypatch, {"incomplete_classes": [first.text]}, {"task": "detection", "classes": [first.text]})
    batch = training_data(mix, small_recipe, loaded).batch(0)
    for number, target in enumerate(batch.targets):
        assert target.uncertain_T is not None
        said = loaded.tokenizer.encode([first.text], 20).ids_BT[0, 1:-1].tolist()
        assert batch.token_ids_bt[number][target.uncertain_T].tolist() == said


def test_phrases_that_a_selection_left_no_box_are_uncertain_only_where_the_recipe_says_so(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = mix.load(mix.datasets[0].refs[0]).labels
    kept = [box for box in sample.boxes if box.phrase == sample.boxes[0].phrase]
    _changed(mix, monkeypatch, {"boxes": kept}, {"origin": "pseudo"})
    recipe = small_recipe.model_copy(update={"ignore_ungrounded": True})
    plain, forgiving = (training_data(mix, r, loaded).batch(0).targets[0] for r in (small_recipe, recipe))
    assert plain.uncertain_T is None
    prompts = loaded.tokenizer.encode([sample.caption], loaded.config.max_tokens)
    boxless = [p for number, p in enumerate(sample.phrases) if number != kept[0].phrase]
    assert boxless
    assert forgiving.uncertain_T is not None
    expected = {at for p in boxless for at in prompts.token_positions(0, p.start, p.end)}
    assert set(forgiving.uncertain_T.nonzero().flatten().tolist()) == expected
    _changed(mix, monkeypatch, {"boxes": kept}, {"origin": "human"})
    assert training_data(mix, recipe, loaded).batch(0).targets[0].uncertain_T is None, (
        "no selection dropped a human box"
    )


def test_a_phrase_whose_box_is_cut_away_is_not_one_that_a_selection_left_no_box(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = [(0, (5, 5, 40, 40), 0.9), (1, (5, 5, 5.5, 30), 0.8)]
    _changed(mix, monkeypatch, _said(labels_of("a dog, a cat", ["a dog", "a cat"], boxes)), {"origin": "pseudo"})
    recipe = small_recipe.model_copy(update={"ignore_ungrounded": True})
    target = training_data(mix, recipe, loaded).batch(0).targets[0]
    assert len(target.boxes_xyxy_N4) == 1
    assert target.uncertain_T is None


def test_a_box_keeps_its_phrase_and_score_where_another_is_cut_away(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = mix.load(mix.datasets[0].refs[0]).labels.boxes[0], (0.0, 0.0, 40.0, 30.0)
    boxes = [
        first.model_copy(update={"box_xyxy": box, "score": score, "phrase": phrase})
        for box, score, phrase in ((second, 0.9, 1), ((5.0, 5.0, 5.5, 30.0), 0.1, 0), (second, 0.3, 0))
    ]
    _changed(mix, monkeypatch, {"boxes": boxes}, {"origin": "pseudo"})
    example = training_data(mix, small_recipe, loaded).example(0, StepShape(64, None))
    assert example.phrases == (1, 0)
    assert example.scores == (0.9, 0.3)


def test_what_is_asked_for_a_class_that_is_there_may_name_a_side_and_then_nothing_is_mirrored(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    glove = _said(labels_of("glove", ["glove"], [(0, (5, 5, 30, 40), 1)]))
    _changed(mix, monkeypatch, glove, {"task": "detection", "classes": ["glove"]})
    for prompt, ways_to_see in (("a warm glove", 2), ("a glove for the left hand", 1)):
        asked = asked_classes({"glove": prompt}, ["glove"])
        monkeypatch.setattr(mix, "datasets", (dataclasses.replace(mix.datasets[0], asked=asked),))
        data = training_data(mix, small_recipe, loaded)
        seen = [data.example(position, StepShape(64, None)) for position in range(20)]
        assert seen[0].prompt.text == prompt
        assert len({example.boxes_xyxy.tobytes() for example in seen}) == ways_to_see


@pytest.mark.parametrize(("caption", "ways_to_see"), [("a warm glove", 2), ("the left glove", 1)])
def test_a_picture_whose_caption_names_a_side_is_not_mirrored(
    mix: Mix,
    small_recipe: TrainRecipe,
    loaded: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
    caption: str,
    ways_to_see: int,
) -> None:
    glove = labels_of(caption, [(0, len(caption), "glove")], [(0, (5, 5, 30, 40), 1)])
    _changed(mix, monkeypatch, _said(glove), {})
    data = training_data(mix, small_recipe, loaded)
    seen = [data.example(position, StepShape(64, None)) for position in range(20)]
    assert len({example.boxes_xyxy.tobytes() for example in seen}) == ways_to_see


DOGS_AND_A_CAT = labels_of(
    "A Red Dog and Hot Cats",
    [(0, 9, "Dog"), (14, 22, "Cat")],
    [(0, (0, 0, 30, 40), 1), (0, (20, 20, 50, 50), 1), (1, (5, 5, 40, 40), 1)],
)


def test_boxes_stand_for_lemmas_of_phrases_or_names_of_classes_and_a_trusted_lone_one_is_to_be_found(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"granular_alignment": 1.0, "masked_language": 1.0, "masked_share": 0.9}
    recipe, found = small_recipe.model_copy(update=told), {}
    for name, card, trusts in (
        ("human", {}, False),
        ("pseudo", {"origin": "pseudo"}, True),
        ("doubted", {"origin": "pseudo"}, False),
        ("classes", {"task": "detection", "classes": ["Zebra"]}, False),
    ):
        with monkeypatch.context() as patched:
            _changed(mix, patched, _said(DOGS_AND_A_CAT), card)
            one = recipe.model_copy(update={"pseudo_regression": trusts})
            batch = training_data(mix, one, loaded).batch(0)
            found[name] = (batch.words or [])[0]
            if found[name].texts[-1] == DOGS_AND_A_CAT.caption:
                height, width = batch.images[0].shape[-2:]
                assert found[name].boxes_xyxy_K4[-1].tolist() == [0, 0, width, height]
            data = training_data(mix, one.model_copy(update={"granular_concepts": 1}), loaded)
            fewer = [words.texts for step in range(3) for words in data.batch(step).words or []]
            assert {len(texts) for texts in fewer} == {len(found[name].texts) - 2}
            assert {texts[0] for texts in fewer} == {"A Red Dog", "Hot Cats"}, "now one box, now another"
    human, classes = found["human"], found["classes"]
    assert human.texts == ("A Red Dog", "A Red Dog", "Hot Cats", DOGS_AND_A_CAT.caption)
    assert (human.labels, human.label_K.tolist()) == (("dog", "cat"), [0, 0, 1, -1])
    assert human.locate_K.tolist() == found["pseudo"].locate_K.tolist() == [False, False, True, False]
    assert not found["doubted"].locate_K.any(), "a box that is not regressed is not to be found from its text"
    assert classes.texts == human.texts[:3], "a list of classes is no caption of the whole picture"
    assert {classes.labels[label] for label in classes.label_K} == {"a red dog", "hot cats"}
    assert set(classes.labels) == {"a red dog", "hot cats", "zebra"}, "one name, whether the thing is there or not"
    assert (human.told_T != NOT_MASKED).any()
    assert (classes.told_T == NOT_MASKED).all(), "words of a list are told by nothing around them"


def test_words_stand_for_the_lemma_of_their_phrase_each_in_its_own_prompt(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel
) -> None:
    recipe = small_recipe.model_copy(update={"region_word_contrast": 1.0})
    told = set()
    for number, words in enumerate(training_data(mix, recipe, loaded).batch(0).words or []):
        labels = mix.load(mix.sample_ref(number)).labels
        prompts = loaded.tokenizer.encode([labels.caption], loaded.config.max_tokens)
        expected = [""] * len(words.token_label_T)
        for phrase in labels.phrases:
            for position in prompts.token_positions(0, phrase.start, phrase.end):
                expected[position] = phrase.head_lemma
        found = [words.labels[label] if label != NO_CONCEPT else "" for label in words.token_label_T.tolist()]
        assert found == expected
        told.add(tuple(found))
    assert len(told) > 1


def test_what_another_dataset_knows_of_a_picture_keeps_its_classes_from_the_negatives(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    _changed(mix, monkeypatch, {}, {"task": "detection", "classes": ["zebra", "kettle"]})
    plain = training_data(mix, small_recipe, loaded).batch(0)
    monkeypatch.setattr(mix, "known_names", lambda labels: frozenset({"a zebra"}))
    knowing = training_data(mix, small_recipe, loaded).batch(0)
    assert (plain.token_ids_bt != 0).sum() > (knowing.token_ids_bt != 0).sum()


def test_a_caption_that_names_what_another_caption_of_the_picture_names_is_not_packed(
    mix: Mix, small_recipe: TrainRecipe, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe.model_copy(update={"caption_negatives": 3})
    packed = training_data(mix, recipe, loaded).batch(0)
    heads = {phrase.head_lemma for ref in mix.datasets[0].refs for phrase in mix.labels(ref).phrases}
    monkeypatch.setattr(mix, "known_names", lambda labels: frozenset(heads))
    alone = training_data(mix, recipe, loaded).batch(0)
    plain = training_data(mix, small_recipe, loaded).batch(0)
    assert torch.equal(alone.token_ids_bt, plain.token_ids_bt)
    assert packed.token_ids_bt.shape[1] > plain.token_ids_bt.shape[1]
