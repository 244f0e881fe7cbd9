"""Which names may mean the same thing: heads, parts, synonyms and kinds; by rules, and by WordNet where it is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from engine.mix import wordnet as mix_wordnet
from engine.mix.names import KEPT_NAMES, NameRelations, content_lemmas, head_lemma

RELATED = [
    ("dog", "dogs"),
    ("two black dogs", "a hot dog"),
    ("dog", "dog collar"),
    ("sofa", "couch"),
    ("man", "person"),
    ("a young boy", "people"),
    ("a glass of water", "glasses"),
    ("bus", "buses"),
    ("traffic_light", "a traffic light"),
    ("yacht", "vehicle"),
]
UNRELATED = [("man", "woman"), ("red dog", "red car"), ("dog", "cat"), ("chair", "table"), ("grass", "glass")]


def related(relations: NameRelations, one: str, other: str) -> bool:
    return not relations.unrelated([one], [other])


@pytest.mark.parametrize(("one", "other"), RELATED)
def test_names_that_may_be_the_same_thing_are_related_either_way(one: str, other: str) -> None:
    assert related(NameRelations(), one, other)
    assert related(NameRelations(), other, one)


@pytest.mark.parametrize(("one", "other"), UNRELATED)
def test_names_of_different_things_are_not(one: str, other: str) -> None:
    assert not related(NameRelations(), one, other)
    assert not related(NameRelations(), other, one)


def test_the_head_of_a_name_stands_before_what_follows_it() -> None:
    names = ["a glass of water", "the man in the red hat", "Traffic_light", "skis (snow)", "", "?!"]
    assert [head_lemma(name) for name in names] == ["glass", "man", "light", "ski", "", "?!"]
    assert content_lemmas("Two dogs_(wild) of the old man") == ["dog", "old", "man"]


def test_the_matrix_of_many_names_says_what_pairs_say() -> None:
    relations = NameRelations()
    names = sorted({name for pair in RELATED + UNRELATED for name in pair})
    pairs = [[one != other and related(relations, one, other) for other in names] for one in names]
    assert np.array_equal(relations.matrix(names), np.array(pairs))
    assert relations.matrix([]).shape == (0, 0)


def test_names_that_come_no_more_are_forgotten() -> None:
    relations = NameRelations()
    first = relations.meaning("a dog")
    assert relations.meaning("a dog") is first
    for number in range(KEPT_NAMES):
        relations.meaning(f"thing {number}")
    again = relations.meaning("a dog")
    assert again == first
    assert again is not first


Sense = tuple[str, list[str], int | None]
SENSES: list[Sense] = [("animal", [], None), ("canine", [], 0), ("dog", ["domestic_dog"], 1), ("chair", [], None)]


def _wordnet_files(folder: Path, senses: Sequence[Sense] = SENSES) -> None:
    """Nouns in WordNet's own files, each with its other names and the number of its kind: dog and domestic dog, a
    canine, an animal; and a chair."""
    lines: list[str] = []
    offsets: list[int] = []
    at = 0
    for name, others, parent in senses:
        words = " ".join(f"{word} 0" for word in [name, *others])
        pointers = "000" if parent is None else f"001 @ {offsets[parent]:08d} n 0000"
        line = f"{at:08d} 05 n {1 + len(others):02x} {words} {pointers} | a gloss  \n"
        offsets.append(at)
        lines.append(line)
        at += len(line)
    folder.mkdir(parents=True)
    (folder / "data.noun").write_text("".join(lines))
    names = [[name, *others] for name, others, _ in senses]
    entries = sorted((word, offset) for words, offset in zip(names, offsets, strict=True) for word in words)
    (folder / "index.noun").write_text("".join(f"{word} n 1 1 @ 1 1 {offset:08d}  \n" for word, offset in entries))
    for part in ("verb", "adj", "adv"):
        (folder / f"data.{part}").write_text("")
        (folder / f"index.{part}").write_text("")
    for part in ("noun", "verb", "adj", "adv"):
        (folder / f"{part}.exc").write_text("")
    (folder / "lexnames").write_text("".join(f"{number:02d}\tnoun.animal\t1\n" for number in range(6)))
    (folder / "cntlist.rev").write_text("")
    (folder / "index.sense").write_text("")


def test_wordnet_tells_synonyms_and_kinds_up_to_the_top(tmp_path: Path) -> None:
    """In a process of its own: NLTK keeps the corpus that it has opened."""
    _wordnet_files(tmp_path / "corpora" / "wordnet")
    asked = (
        "import json; from engine.mix import wordnet as w; from engine.mix.names import NameRelations;"
        "r = NameRelations('wordnet');"
        "print(json.dumps([sorted(w.synonyms_of('dog')), sorted(w.kinds_of('dog')), sorted(w.kinds_of('unheard of')),"
        "r.unrelated(['two dogs'], ['a canine']), r.unrelated(['domestic dog', 'chair'], ['dog']),"
        "r.unrelated(['animal', 'chair'], ['a black dog'])]))"
    )
    environment = os.environ | {"NLTK_DATA": str(tmp_path)}
    answer = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True)
    expected = [["dog", "domestic dog"], ["animal", "canine"], [], [], ["chair"], ["chair"]]
    assert json.loads(answer.stdout) == expected


def test_wordnet_answers_several_threads_as_it_answers_one(tmp_path: Path) -> None:
    """Threads make the prompts of a training, and NLTK reads each name by moving about in one open file."""
    things: list[Sense] = [(f"thing{'abcdefghij'[n % 10] * (1 + n // 10)}", [], 0) for n in range(300)]
    _wordnet_files(tmp_path / "corpora" / "wordnet", [("entity", [], None), *things])
    asked = (
        "import sys; from concurrent.futures import ThreadPoolExecutor; from engine.mix import wordnet as w;"
        "names = sys.argv[1:]; sys.setswitchinterval(1e-5); w.open_wordnet();"
        "kinds = list(ThreadPoolExecutor(8).map(w.kinds_of, names));"
        "assert kinds == [{'entity'}] * len(names), kinds"
    )
    environment = os.environ | {"NLTK_DATA": str(tmp_path)}
    names = [name for name, _, _ in things]
    answer = subprocess.run([sys.executable, "-c", asked, *names], env=environment, capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_wordnet_without_its_data_is_an_error_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nltk

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    mix_wordnet.open_wordnet.cache_clear()
    with pytest.raises(ValueError, match=r"nltk\.downloader wordnet"):
        NameRelations("wordnet")
