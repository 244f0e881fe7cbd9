"""Filters: each rule rejects what its name says and nothing else, with everything off nothing is rejected."""

from __future__ import annotations

from typing import Any

import pytest
from pictures import saved
from PIL import Image
from pydantic import ValidationError

from engine.filters import CAPTION_RULES, IMAGE_RULES, PhraseStopList, SampleFilter, image_size
from schemas.recipes import FiltersRecipe
from schemas.records import CaptionedImage, ParsedCaption, Phrase, Reject, Unit, UnitRef


def picture(width: int = 80, height: int = 60) -> bytes:
    return saved(Image.new("RGB", (width, height), "green"))


def sample(caption: str = "A dog on the grass.", image: bytes | None = None) -> CaptionedImage:
    return CaptionedImage("k", picture() if image is None else image, "png", caption, "here")


def reason(one: CaptionedImage, **rules: Any) -> str | None:
    reject = SampleFilter(FiltersRecipe(**rules)).check(one)
    assert reject is None or (reject.key, reject.stage) == ("k", "filter")
    return None if reject is None else reject.reason


def test_with_every_rule_off_anything_goes_on() -> None:
    assert FiltersRecipe().rules() == {}
    for one in (sample(), sample(""), sample(image=b""), sample(image=picture(1, 900))):
        assert reason(one) is None


@pytest.mark.parametrize(
    ("rules", "goes_on", "rejected", "expected"),
    [
        ({"min_caption_chars": 5}, sample("a dog"), sample(" dog \n "), "caption_chars_below_min"),
        ({"min_caption_words": 3}, sample("a b c"), sample("abc def"), "caption_words_below_min"),
        ({"max_caption_words": 3}, sample("a b c"), sample("a b c d"), "caption_words_above_max"),
        (
            {"min_image_side": 50},
            sample(image=picture(50, 200)),
            sample(image=picture(200, 49)),
            "image_side_below_min",
        ),
        (
            {"max_image_aspect": 3},
            sample(image=picture(20, 60)),
            sample(image=picture(61, 20)),
            "image_aspect_above_max",
        ),
        (
            {"max_image_aspect": 3},
            sample(image=picture(60, 20)),
            sample(image=picture(20, 61)),
            "image_aspect_above_max",
        ),
    ],
)
def test_a_rule_rejects_what_is_beyond_its_limit_and_not_what_is_at_it(
    rules: dict[str, Any], goes_on: CaptionedImage, rejected: CaptionedImage, expected: str
) -> None:
    assert reason(goes_on, **rules) is None
    assert reason(rejected, **rules) == expected
    assert expected in CAPTION_RULES | IMAGE_RULES
    message = SampleFilter(FiltersRecipe(**rules)).check(rejected)
    assert message is not None
    assert next(iter(rules)) in message.message, "a person is told which field to change"


def test_a_picture_whose_header_cannot_be_read_goes_on_to_the_stage_that_says_why() -> None:
    assert image_size(b"no picture") is None
    assert image_size(picture(30, 40)) == (30, 40)
    assert reason(sample(image=b"no picture"), min_image_side=50, max_image_aspect=2) is None


def test_the_first_rule_that_is_broken_gives_the_reason_and_the_unit_keeps_its_order() -> None:
    records = (sample("a"), sample("a b c"), sample("a b", picture(10, 10)))
    outcomes = SampleFilter(FiltersRecipe(min_caption_words=2, min_image_side=20))(
        Unit(UnitRef(0, "here", 0, 3), records)
    )
    assert [type(one) for one in outcomes] == [Reject, CaptionedImage, Reject]
    unit = Unit(UnitRef(0, "here", 0, 3), records).advance("filter", outcomes, 0.0)
    assert (unit.tallies[0].came_in, unit.tallies[0].went_on) == (3, 1)
    assert [one.reason for one in unit.rejects] == ["caption_words_below_min", "image_side_below_min"]


# --------------------------------------------------------------------------------------------------------- languages


@pytest.fixture(scope="module")
def english() -> SampleFilter:
    pytest.importorskip("py3langid")
    return SampleFilter(FiltersRecipe(languages=("en",)))


@pytest.mark.parametrize(
    "caption",
    [
        "a man riding a wave on top of a surfboard",
        "two dogs",
        "a cat",
        "NBA Draft 2019",
        "DSC_0042.JPG",
        "",
        "\ud800 a dog",
        "a dog \x00 " * 500,
        "🐕👩‍👩‍👧",
    ],
)
def test_an_english_caption_and_one_that_leaves_it_open_go_on(english: SampleFilter, caption: str) -> None:
    assert english.check(sample(caption)) is None


@pytest.mark.parametrize(
    "caption",
    [
        "Ein brauner Hund liegt neben zwei Katzen auf dem roten Sofa",
        "un homme assis à une table devant une fenêtre avec une tasse de café",
        "一只棕色的狗和两只猫坐在红色的沙发上",
        "коричневая собака и две кошки на красном диване",
        "كلب بني وقطتان على الأريكة الحمراء في غرفة المعيشة",
    ],
)
def test_a_caption_in_another_language_is_rejected_unless_that_is_wanted(english: SampleFilter, caption: str) -> None:
    reject = english.check(sample(caption))
    assert reject is not None
    assert reject.reason == "caption_language_other"
    wanted = FiltersRecipe(languages=("de", "fr", "zh", "ru", "ar"))
    assert SampleFilter(wanted).check(sample(caption)) is None


def test_a_language_that_cannot_be_identified_is_a_wrong_recipe() -> None:
    pytest.importorskip("py3langid")
    with pytest.raises(ValueError, match="qq is not among the languages"):
        SampleFilter(FiltersRecipe(languages=("qq",)))
    with pytest.raises(ValidationError):
        FiltersRecipe(languages=("English",))


def test_without_the_library_a_recipe_with_languages_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "py3langid", None)
    monkeypatch.setitem(__import__("sys").modules, "py3langid.langid", None)
    with pytest.raises(ValueError, match=r"pip install 'glip-engine\[language\]'"):
        SampleFilter(FiltersRecipe(languages=("en",)))


# ----------------------------------------------------------------------------------------------------------- phrases


def parsed(*phrases: tuple[str, str]) -> ParsedCaption:
    caption = ", ".join(text for text, _ in phrases)
    found, start = [], 0
    for text, lemma in phrases:
        found.append(Phrase(text, start, start + len(text), lemma))
        start += len(text) + 2
    return ParsedCaption(sample(caption), tuple(found))


@pytest.mark.parametrize(
    ("text", "lemma", "stopped"),
    [
        ("a photo", "photo", True),
        ("Photos", "photo", True),
        ("the stock photo", "photo", True),
        ("a photo album", "album", False),
        ("Free  Shipping", "shipping", True),
        ("shipping", "shipping", False),
        ("the", "the", False),
        ("a logo", "logo", True),
        ("the logo", "logo", False),
    ],
)
def test_a_phrase_that_ends_in_a_stopped_one_is_stopped(text: str, lemma: str, stopped: bool) -> None:
    stops = PhraseStopList(["PHOTO", "free shipping", "a logo"])
    assert stops.stops(Phrase(text, 0, len(text), lemma)) is stopped


def test_a_sample_goes_on_with_its_other_phrases_and_the_stage_counts_those_left_out() -> None:
    unit = Unit(
        UnitRef(0, "here", 0, 2),
        (parsed(("a dog", "dog"), ("a photo", "photo"), ("cats", "cat")), parsed(("photos", "photo"))),
    )
    outcomes = PhraseStopList(["photo"])(unit)
    after = unit.advance("filter_phrases", outcomes, 0.0)
    assert [phrase.text for phrase in after.records[0].phrases] == ["a dog", "cats"]
    assert [(one.stage, one.reason) for one in after.rejects] == [("filter_phrases", "phrases_all_stopped")]
    assert after.tallies[0].phrases_left_out == 1


@pytest.mark.parametrize("phrases", [("",), ("  ",)])
def test_a_blank_stop_phrase_is_a_wrong_recipe(phrases: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        FiltersRecipe(stop_phrases=phrases)
