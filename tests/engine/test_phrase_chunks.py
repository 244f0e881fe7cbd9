"""Chunks from hand-written trees: the rule itself, apart from any trained parser, on both label sets."""

import nltk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.noun_phrases.chunks import Chunk, Tree, extend_to_expression, grammar_chunks, noun_chunks


def tree(text: str) -> Tree:
    """Read "word tag head arc | word tag head arc"; a word written with a final "_" is glued to the next."""
    words, tags, heads, arcs = zip(*(row.split() for row in text.split(" | ")), strict=True)
    return Tree(
        words=[word.rstrip("_") for word in words],
        spaces=[not word.endswith("_") for word in words],
        tags=tags,
        heads=[int(head) for head in heads],
        arcs=arcs,
    )


def texts(parsed: Tree, chunks: list[Chunk]) -> list[str]:
    return [" ".join(parsed.words[chunk.start : chunk.end]) for chunk in chunks]


DOG_AND_CATS_UD = tree("a DT 1 det | dog NN 1 ROOT | and CC 4 cc | two CD 4 nummod | cats NNS 1 conj")
DOG_AND_CATS_CLEARNLP = tree("a DT 1 det | dog NN 1 ROOT | and CC 1 cc | two CD 4 nummod | cats NNS 1 conj")
WOMANS_HAT_UD = tree("a DT 1 det | woman NN 4 nmod:poss | 's POS 1 case | red JJ 4 amod | hat NN 4 ROOT")
WOMANS_HAT_CLEARNLP = tree("a DT 1 det | woman NN 4 poss | 's POS 1 case | red JJ 4 amod | hat NN 4 ROOT")
DOG_IN_FIELD_UD = tree(
    "a DT 1 det | dog NN 1 ROOT | in IN 4 case | a DT 4 det | "
    "field NN 1 nmod | of IN 6 case | flowers NNS 4 nmod | . . 1 punct"
)
DOG_IN_FIELD_CLEARNLP = tree(
    "a DT 1 det | dog NN 1 ROOT | in IN 1 prep | a DT 4 det | "
    "field NN 2 pobj | of IN 4 prep | flowers NNS 5 pobj | . . 1 punct"
)


@pytest.mark.parametrize("parsed", [DOG_AND_CATS_UD, DOG_AND_CATS_CLEARNLP])
def test_coordination_gives_two_phrases(parsed: Tree) -> None:
    assert texts(parsed, noun_chunks(parsed)) == ["a dog", "two cats"]


@pytest.mark.parametrize("parsed", [WOMANS_HAT_UD, WOMANS_HAT_CLEARNLP])
def test_a_possessor_stays_inside_the_phrase_of_what_it_owns(parsed: Tree) -> None:
    (chunk,) = noun_chunks(parsed)
    assert chunk == Chunk(0, 5, head=4)


@pytest.mark.parametrize("parsed", [DOG_IN_FIELD_UD, DOG_IN_FIELD_CLEARNLP])
def test_prepositional_phrases_are_phrases_of_their_own_and_expressions_take_them_in(parsed: Tree) -> None:
    chunks = noun_chunks(parsed)
    assert texts(parsed, chunks) == ["a dog", "a field", "flowers"]
    wide = [extend_to_expression(parsed, chunk) for chunk in chunks]
    assert texts(parsed, wide) == ["a dog in a field of flowers", "a field of flowers", "flowers"]


@pytest.mark.parametrize("parsed", [DOG_AND_CATS_UD, DOG_AND_CATS_CLEARNLP])
def test_coordinated_phrases_are_not_extended(parsed: Tree) -> None:
    chunks = noun_chunks(parsed)
    assert [extend_to_expression(parsed, chunk) for chunk in chunks] == chunks


def test_hyphens_and_commas_inside_a_phrase_are_kept_and_those_at_its_edge_are_not() -> None:
    parsed = tree(
        "( -LRB- 5 punct | a DT 5 det | T NN 4 compound | "
        "- HYPH 4 punct | shirt NN 5 compound | rack NN 5 ROOT | , , 5 punct"
    )
    assert texts(parsed, noun_chunks(parsed)) == ["a T - shirt rack"]


def test_a_name_hung_on_its_first_part_is_one_phrase() -> None:
    parsed = tree("Barack NNP 2 nsubj | Obama NNP 0 flat | smiles VBZ 2 ROOT")
    assert texts(parsed, noun_chunks(parsed)) == ["Barack Obama"]


def test_a_phrase_has_one_article_even_where_the_tree_is_wrong() -> None:
    parsed = tree("a DT 4 det | cat NN 4 compound | and CC 4 cc | a DT 4 det | dog NN 4 ROOT")
    assert texts(parsed, noun_chunks(parsed)) == ["a cat", "a dog"]


@pytest.mark.parametrize(
    ("parsed", "phrases"),
    [
        (tree("a DT 1 det | person NN 3 compound | riding VBG 3 compound | skis NNS 3 ROOT"), ["a person", "skis"]),
        (
            tree("a DT 1 det | sink NN 4 compound | , , 4 punct | tub NN 4 compound | set NN 4 ROOT"),
            ["a sink", "tub set"],
        ),
        (
            tree("men NNS 4 compound | are VBP 4 dep | in IN 4 case | Hong NNP 4 compound | Kong NNP 4 ROOT"),
            ["men", "Hong Kong"],
        ),
        (tree("T_ NN 0 ROOT | -_ : 2 punct | shirt NN 0 appos"), ["T - shirt"]),
        (tree("T NN 0 ROOT | - : 2 punct | shirt NN 0 appos"), ["T", "shirt"]),
    ],
)
def test_wrong_arcs_of_kinds_that_are_known_do_not_spoil_a_phrase(parsed: Tree, phrases: list[str]) -> None:
    assert texts(parsed, noun_chunks(parsed)) == phrases


def test_a_tree_without_words_has_no_phrase() -> None:
    nothing = Tree(words=(), spaces=(), tags=(), heads=(), arcs=())
    assert noun_chunks(nothing) == grammar_chunks(nothing) == []


TAGS = st.sampled_from(["DT", "JJ", "JJR", "NN", "NNS", "NNP", "IN", "VBG", "CC", ",", "PRP"])


@given(st.lists(TAGS, max_size=12))
def test_the_grammar_finds_what_nltk_finds(tags: list[str]) -> None:
    words = tuple(f"w{i}" for i in range(len(tags)))
    parsed = Tree(words=words, spaces=[True] * len(tags), tags=tags, heads=range(len(tags)), arcs=["ROOT"] * len(tags))
    grammar = nltk.RegexpParser("NP: {<DT>?<JJ.*>*<NN.*>+}")
    expected = []
    if tags:
        nodes = grammar.parse(list(zip(words, tags, strict=True)))
        expected = [" ".join(word for word, _ in node.leaves()) for node in nodes if isinstance(node, nltk.Tree)]
    assert texts(parsed, grammar_chunks(parsed)) == expected


@given(st.data())
def test_any_tree_even_a_cyclic_one_gives_ordered_disjoint_chunks_around_their_heads(data: st.DataObject) -> None:
    size = data.draw(st.integers(0, 12))
    tags = data.draw(st.lists(TAGS, min_size=size, max_size=size))
    heads = data.draw(st.lists(st.integers(0, max(size - 1, 0)), min_size=size, max_size=size))
    labels = st.sampled_from(
        ["det", "amod", "compound", "flat", "nmod:poss", "punct", "conj", "ROOT", "nsubj", "prep", ""]
    )
    arcs = data.draw(st.lists(labels, min_size=size, max_size=size))
    parsed = Tree(words=["w"] * size, spaces=[True] * size, tags=tags, heads=heads, arcs=arcs)
    chunks = noun_chunks(parsed)
    edges = [edge for chunk in chunks for edge in (chunk.start, chunk.end)]
    assert edges == sorted(edges)
    assert all(chunk.start <= chunk.head < chunk.end for chunk in chunks)
    assert all(chunk.end <= extend_to_expression(parsed, chunk).end <= size for chunk in chunks)
