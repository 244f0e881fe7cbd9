"""Each drop rule, with a phrase it drops and its neighbour that it keeps."""

import pytest

from engine.noun_phrases.chunks import Chunk, Tree
from engine.noun_phrases.rules import DROP_RULES, Mention, dropping_rule, mention_of


def mention(
    text: str, head_lemma: str, *, modifiers: str = "", tags: str = "", before: str = "", after: str = ""
) -> Mention:
    return Mention(text, head_lemma, modifiers.split(), tags.split(), before, after)


DROPPED = {
    "pronoun": mention("the other one", "one", modifiers="the other", tags="DT JJ"),
    "existential_there": mention("there", "there", after="is"),
    "unit_of_measure": mention("10 inches", "inch", modifiers="10", tags="CD"),
    "quantity": mention("a couple", "couple", modifiers="a", tags="DT", after="of"),
    "picture_word": mention("a blurry photo", "photo", modifiers="a blurry", tags="DT JJ", after="of"),
    "place_word": mention("the background", "background", modifiers="the", tags="DT", before="in"),
    "without_letters": mention("🐕 12", "12"),
    "link_or_markup": mention("www.dogs.example", "www.dogs.example"),
}
KEPT = [
    mention("a couple", "couple", modifiers="a", tags="DT", after="dancing"),
    mention("a framed picture", "picture", modifiers="a framed", tags="DT JJ", before="hanging", after="above"),
    mention("a pink top", "top", modifiers="a pink", tags="DT JJ", before="in"),
    mention("the city center", "center", modifiers="the city", tags="DT NN", before="in"),
    mention("a foot", "foot", modifiers="a", tags="DT"),
    mention("a yard", "yard", modifiers="a", tags="DT", before="in"),
    mention("犬", "犬"),
    mention("st. paul", "paul"),
]


@pytest.mark.parametrize(("tag", "lemma"), [("NNS", "dog"), ("NNPS", "dog"), ("NOUN", "dog"), ("NN", "dogs")])
def test_a_noun_may_be_plural_unless_its_tag_says_that_it_is_not(tag: str, lemma: str) -> None:
    tree = Tree(["two", "dogs"], [True, False], ["CD", tag], [1, 1], ["nummod", "root"])
    assert mention_of(tree, Chunk(0, 2, 1)).head_lemma == lemma


def test_every_rule_of_the_table_has_a_case_here() -> None:
    assert set(DROPPED) == set(DROP_RULES)


@pytest.mark.parametrize("rule", DROPPED)
def test_a_rule_drops_its_case_and_no_earlier_rule_does(rule: str) -> None:
    assert dropping_rule(DROPPED[rule]) == rule


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.text)
def test_things_that_only_look_alike_are_kept(kept: Mention) -> None:
    assert dropping_rule(kept) is None
