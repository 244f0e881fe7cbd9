"""What a scene's caption says is true of the picture: names, counts, relations, and words of one's own."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from engine.noun_phrases.lemmas import noun_lemma
from engine.sources.scenes import KINDS, render_scene, scene_jpeg
from engine.sources.scenes.captions import write_caption
from engine.sources.scenes.kinds import plural
from engine.sources.scenes.palette import COLOURS, TEXTURES, WORDS
from engine.sources.scenes.plan import plan_scene
from engine.sources.scenes.stage import stage_scene
from schemas.recipes import ScenesSource


@pytest.mark.parametrize("noun", [name for kind in KINDS.values() if not kind.mass for name in kind.names])
def test_a_plural_has_its_noun_as_lemma(noun: str) -> None:
    assert noun_lemma(plural(noun).split(" ")[-1], plural=True) == noun.split(" ")[-1]


def test_a_phrase_fits_no_other_thing_in_the_picture() -> None:
    said = {word: name for name, words in WORDS.items() for word in words}
    told = 0
    for index in range(300):
        rng = random.Random(index)
        staged = stage_scene(plan_scene(ScenesSource(), rng), rng)
        if staged.side is not None:  # then the sentence tells, not the phrase
            continue
        _, phrases, groups = write_caption(staged, rng)
        for phrase, number in zip(phrases, groups, strict=True):
            words = {said.get(word, word) for word in phrase.text.lower().split(" ")}
            adjectives = words & {*COLOURS, *TEXTURES, "small", "large"}
            assert adjectives <= set(staged.groups[number].look.attributes)
            told += bool(adjectives)
            for other, group in enumerate(staged.groups):
                nouns = {form for name in group.look.kind.names for form in (name, plural(name))}
                if other != number and group.count and any(phrase.text.lower().endswith(noun) for noun in nouns):
                    assert not adjectives <= set(group.look.attributes), (phrase, group.look)
    assert told > 100


def test_a_count_in_the_caption_is_the_number_of_boxes() -> None:
    counts = {"two": 2, "2": 2, "three": 3, "3": 3, "a": 1, "an": 1}
    seen: Counter[int] = Counter()
    for index in range(200):
        scene = render_scene(index, ScenesSource(seed=2))
        for number, phrase in enumerate(scene.phrases):
            word = phrase.text.lower().split(" ")[0]
            if word in counts:
                seen[counts[word]] += 1
                assert sum(of == number for of, _ in scene.boxes) == counts[word]
    assert set(seen) == {1, 2, 3}


def test_a_stated_relation_is_true_of_the_boxes() -> None:
    checked = 0
    for index in range(400):
        rng = random.Random(index)
        staged = stage_scene(plan_scene(ScenesSource(), rng), rng)
        if staged.relation is None:
            continue
        (x1, y1, x2, y2), (u1, v1, u2, v2) = (
            staged.boxes_xyxy[number][0] for number in (staged.relation.subject, staged.relation.object)
        )
        holds = {
            "left of": x2 <= u1,
            "right of": x1 >= u2,
            "above": y2 <= v1,
            "below": y1 >= v2,
            "on": y1 < v1 + 0.5 * (v2 - v1) and x1 < u2 and x2 > u1,
        }
        if staged.relation.word in holds:
            checked += 1
            assert holds[staged.relation.word], (staged.relation, index)
    assert checked > 30


def test_other_words_change_captions_alone() -> None:
    names = {"dog": "dax", "turquoise": "chromium", "striped": "zibbed"}
    usual, renamed = ScenesSource(seed=5, zipf_exponent=1.5), ScenesSource(seed=5, zipf_exponent=1.5, names=names)
    said = Counter[str]()
    for index in range(60):
        one, other = render_scene(index, usual), render_scene(index, renamed)
        assert scene_jpeg(one.image) == scene_jpeg(other.image)
        assert one.boxes == other.boxes
        assert all(other.caption[phrase.start : phrase.end] == phrase.text for phrase in other.phrases)
        words = {word for phrase in other.phrases for word in phrase.text.lower().split()}
        assert not words & {"dog", "dogs", "puppy", "puppies", "turquoise", "teal", "striped", "stripy"}
        said.update(words & {"dax", "daxs", "chromium", "zibbed"})
        assert {phrase.head_lemma for phrase in other.phrases if "dax" in phrase.text} <= {"dax"}
    assert set(said) == {"dax", "daxs", "chromium", "zibbed"}
    assert usual.model_dump_json() == ScenesSource(seed=5, zipf_exponent=1.5, names={}).model_dump_json()


@pytest.mark.parametrize(
    ("names", "said"),
    [({"unicorn": "dax"}, "unicorn"), ({"dog": "cat"}, "word of its own"), ({"dog": "dax", "cat": "dax"}, "'cat'")],
)
def test_words_that_would_be_ambiguous_are_refused(names: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        render_scene(0, ScenesSource(names=names))
