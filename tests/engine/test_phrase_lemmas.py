"""Lemmas of nouns."""

import pytest

from engine.noun_phrases.lemmas import noun_lemma


@pytest.mark.parametrize(
    ("form", "lemma"),
    [
        ("dogs", "dog"), ("Boxes", "box"), ("berries", "berry"), ("benches", "bench"), ("horses", "horse"),
        ("dresses", "dress"), ("tomatoes", "tomato"), ("shoes", "shoe"), ("ties", "tie"), ("buses", "bus"),
        ("skis", "ski"), ("MEN", "man"), ("snowmen", "snowman"), ("women", "woman"), ("people", "person"),
        ("scissors", "scissors"), ("knives", "knife"), ("houses", "house"), ("as", "as"),
        ("elephants/", "elephant"), ("“cats”,", "cat"), ("/", "/"),
    ],
)  # fmt: skip
def test_a_plural_gives_its_singular(form: str, lemma: str) -> None:
    assert noun_lemma(form, plural=True) == lemma


@pytest.mark.parametrize("form", ["bus", "glass", "tennis", "grass", "lens", "dog", "犬", "été", "specimen"])
def test_a_singular_is_its_own_lemma(form: str) -> None:
    assert noun_lemma(form, plural=False) == form


def test_irregular_plurals_are_known_even_where_the_tagger_calls_them_singular() -> None:
    assert [noun_lemma(form, plural=False) for form in ("men", "children", "firemen")] == ["man", "child", "fireman"]
