"""The shipped parser on captions: what is a phrase, what is dropped, and that no input breaks a span."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.phrases import PhraseParser, open_pipeline, readable_text
from schemas.recipes import PhrasesRecipe
from schemas.records import Phrase

PARSER = PhraseParser(PhrasesRecipe())


def texts(caption: str, parser: PhraseParser = PARSER) -> list[str]:
    return [phrase.text for phrase in parser.parse([caption])[0]]


def assert_spans_hold(captions: list[str], found: list[tuple[Phrase, ...]]) -> None:
    assert len(found) == len(captions)
    for caption, phrases in zip(captions, found, strict=True):
        assert all(caption[phrase.start : phrase.end] == phrase.text for phrase in phrases)
        assert all(phrase.text and phrase.head_lemma for phrase in phrases)
        assert [phrase.start for phrase in phrases] == sorted(phrase.start for phrase in phrases)


@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        ("A dog and two cats on a couch.", ["A dog", "two cats", "a couch"]),
        ("A man riding a wave on top of a surfboard.", ["A man", "a wave", "a surfboard"]),
        ("a black and white photo of a woman", ["a woman"]),
        ("There is a clock in front of the old building", ["a clock", "the old building"]),
        ("A couple of children playing with a red ball.", ["children", "a red ball"]),
        ("She throws it to him in the background.", []),
        ("A young man in a woman's hat", ["A young man", "a woman's hat"]),
        ("a piece of pizza on a plate", ["pizza", "a plate"]),
        ('A sign that says "STOP" next to a double-decker bus', ["A sign", "a double-decker bus"]),
        ("A DOG RUNNING ON THE BEACH", ["A DOG", "THE BEACH"]),
        ("2 people ride 3 horses", ["2 people", "3 horses"]),
    ],
)
def test_a_caption_gives_its_groundable_phrases(caption: str, phrases: list[str]) -> None:
    assert [text for text in texts(caption) if text != '"STOP"' and text != "STOP"] == phrases


def test_a_phrase_knows_the_lemma_of_its_head() -> None:
    (phrases,) = PARSER.parse(["Two young women holding tennis rackets"])
    assert [phrase.head_lemma for phrase in phrases] == ["woman", "racket"]


def test_order_and_length_are_those_of_the_captions_and_nothing_gives_nothing() -> None:
    found = PARSER.parse(["", "a dog", "   ", "x" * 5000, "a cat", "\x00"])
    assert [[phrase.text for phrase in phrases] for phrases in found[:3]] == [[], ["a dog"], []]
    assert (found[3], found[4][0].text, len(found)) == ((), "a cat", 6)
    assert PARSER.parse([]) == []


def test_a_caption_without_phrase_is_rejected_with_the_reason() -> None:
    reasons = [PARSER.reject("k", caption).reason for caption in ("", " \n", "a" * 2001, "running fast")]
    assert reasons == ["caption_empty", "caption_empty", "caption_too_long", "no_phrase"]
    assert [PARSER.is_parsable("é" * characters) for characters in (2000, 2001)] == [True, False]


@pytest.mark.parametrize(
    "caption",
    [
        "👩‍👩‍👧 a family 👨🏽‍🚒 and a dog 🐕‍🦺", "כלב שחור ליד a dog", "e\u0301te\u0301 a cafe\u0301 table",
        "a\x00dog\x07 and\u2028a cat", "<b>a dog</b> &amp; <a href='x'>two cats</a>", "“a ‘quoted’ dog’s” bowl",
        "a--dog---cat", "a \ud800 dog", "İSTANBUL A DOG", "a dog\t\t\n  and   a cat", "\u202ea dog\u202c",
        "日本語の犬 photo", "A" * 1999, "a dog " * 300, "'" * 50, "- - - a - dog -", "\ufeffA dog",
    ],
)  # fmt: skip
@pytest.mark.parametrize("expressions", [False, True])
def test_odd_text_never_breaks_a_span(caption: str, expressions: bool) -> None:
    parser = PhraseParser(PhrasesRecipe(expressions=expressions)) if expressions else PARSER
    assert_spans_hold([caption], parser.parse([caption]))


@given(
    st.lists(
        st.one_of(st.text(max_size=60), st.text(alphabet="a dog's-\u200d👩🐕\x00\n\"<>&;שA", max_size=60)), max_size=4
    )
)
@settings(max_examples=60)
def test_arbitrary_text_never_breaks_a_span(captions: list[str]) -> None:
    assert_spans_hold(captions, PARSER.parse(captions))


@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        ('<p class="x">A brown dog<br/>with <b>two cats</b></p>', ["A brown dog", "two cats"]),
        ("&quot;Two cats&quot; &amp; a dog&nbsp;&#8211; a red car", ["Two cats", "a dog", "a red car"]),
        ("A m\u200ban with a \u202ddog\u202c", ["A m\u200ban", "a \u202ddog"]),
        ("<PERSON> rides a horse", ["PERSON", "a horse"]),
    ],
)
def test_markup_and_what_is_not_seen_name_nothing(caption: str, phrases: list[str]) -> None:
    assert texts(caption) == phrases


def test_what_is_not_seen_is_no_part_of_a_lemma() -> None:
    assert [phrase.head_lemma for phrase in PARSER.parse(["A m\u200ban and two do\xadgs"])[0]] == ["man", "dog"]


@given(st.text(alphabet=st.sampled_from("aB .\n\t\x00\xa0\ud800\u2003İß<>/&;\u200b"), max_size=30))
def test_what_the_parser_reads_leads_back_to_the_caption(caption: str) -> None:
    readable = readable_text(caption)
    offsets = range(len(caption)) if readable.offsets is None else readable.offsets
    assert len(offsets) == len(readable.text)
    for character, offset in zip(readable.text, offsets, strict=True):
        assert character in (" ", ".", "\ufffd", caption[offset], caption[offset].lower())


def test_ten_thousand_characters_are_parsed_where_the_recipe_allows_them() -> None:
    parser = PhraseParser(PhrasesRecipe(max_caption_chars=20_000))
    caption = "a dog and a cat " * 700
    assert_spans_hold([caption], found := parser.parse([caption]))
    assert len(found[0]) == 1400


def test_words_are_forgotten_and_the_phrases_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.phrases.MAX_NEW_STRINGS", 0)
    parser = PhraseParser(PhrasesRecipe())
    before = parser.parse(["a quxly zorbish florp", "a dog"])
    held = parser._nlp
    assert parser.parse(["a quxly zorbish florp", "a dog"]) == before
    assert parser._nlp is not held


def test_batches_do_not_change_what_is_found() -> None:
    captions = ["A dog.", "Two men on a boat in the sea", "a red car parked by a tree", "", "sheep"] * 3
    assert PARSER.parse(captions) == [PARSER.parse([caption])[0] for caption in captions]


def test_the_papers_grammar_gives_runs_of_nouns_with_their_adjectives() -> None:
    parser = PhraseParser(PhrasesRecipe(method="nltk-grammar"))
    assert texts("Two dogs chase the small red ball in a grass field", parser) == [
        "dogs",
        "the small red ball",
        "a grass field",
    ]


def test_expressions_take_in_what_describes_the_head() -> None:
    parser = PhraseParser(PhrasesRecipe(expressions=True))
    assert texts("a dog in a field of flowers", parser) == [
        "a dog in a field of flowers",
        "a field of flowers",
        "flowers",
    ]


def test_a_pipeline_that_cannot_be_opened_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no_such_pipeline.*Wanted: 'bundled'"):
        open_pipeline("no_such_pipeline")
    with pytest.raises(ValueError, match="cannot open"):
        open_pipeline(str(tmp_path))


def test_a_pipeline_without_a_parser_is_refused_where_one_is_needed(tmp_path: Path) -> None:
    bundled = open_pipeline("bundled")
    bundled.remove_pipe("parser")
    bundled.to_disk(tmp_path / "tags_only")
    with pytest.raises(ValueError, match="dependency parser"):
        open_pipeline(str(tmp_path / "tags_only"))
    assert open_pipeline(str(tmp_path / "tags_only"), with_parser=False).pipe_names == ["tok2vec", "tagger"]


def test_the_shipped_parser_is_small_and_holds_no_pickle() -> None:
    files = [file for file in (Path(__file__).parents[2] / "engine" / "parser").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 10_000_000
    assert not [file for file in files if file.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05") or file.suffix == ".pkl"]


@pytest.mark.data
def test_raw_alt_texts_never_break_a_span(data_folder: Path) -> None:
    with (data_folder / "captions" / "laion_sample_open.jsonl").open() as lines:
        captions = [json.loads(line)["caption"] for line in lines][::20]
    with (data_folder / "captions" / "conceptual_captions_val_open.tsv").open() as lines:
        captions += [row[0] for row in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)][::40]
    assert_spans_hold(captions, PARSER.parse(captions))


@pytest.mark.data
def test_nearly_all_annotated_phrases_are_found_with_their_exact_span(data_folder: Path) -> None:
    entries = json.loads((data_folder / "photos" / "human" / "phrases.json").read_text())
    found = PARSER.parse([entry["caption"] for entry in entries])
    hits = [
        (wanted["start"], wanted["end"]) in {(phrase.start, phrase.end) for phrase in phrases}
        for entry, phrases in zip(entries, found, strict=True)
        for wanted in entry["phrases"]
    ]
    assert sum(hits) / len(hits) >= 0.97
