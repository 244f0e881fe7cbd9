"""Flickr30k Entities and RefCOCO arrive exact from their published layouts; what is wrong is counted by reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from gold_files import (
    boxes_of,
    flickr_object,
    import_all,
    import_flickr,
    picture,
    refcoco_files,
    refcoco_reference,
    samples_of,
)

from engine.gold import import_gold
from engine.gold.flickr import parse_sentence


def test_flickr_sentences_lose_their_marks_and_keep_their_phrases(tmp_path: Path) -> None:
    sentence = (
        "[/EN#1/people/scene Two young , White males] are near [/EN#4/scene many bushes] and [/EN#0/notvisual it] ."
    )
    card, (sample,) = import_flickr(
        tmp_path, sentence, flickr_object("1", 1, 1, 20, 30) + flickr_object("1", 41, 41, 50, 50)
    )
    assert sample.caption == "Two young , White males are near many bushes and it ."
    assert boxes_of(sample) == [
        ("Two young , White males", (0, 0, 20, 30)),
        ("Two young , White males", (40, 40, 50, 50)),
    ]
    assert card.stages[1].dropped == {"phrase_without_box": 2}
    assert sample.key == "7-0"


def test_a_flickr_box_may_be_of_two_entities(tmp_path: Path) -> None:
    both = flickr_object("1", 1, 1, 20, 30).replace("</name>", "</name><name>2</name>")
    _, (sample,) = import_flickr(tmp_path, "[/EN#1/people A man] and [/EN#2/people his friend]", both)
    assert boxes_of(sample) == [("A man", (0, 0, 20, 30)), ("his friend", (0, 0, 20, 30))]


@pytest.mark.parametrize(
    ("sentence", "objects", "stage", "reason"),
    [
        ("[/EN#1/people A man", "", 0, "caption_malformed"),
        ("A man", "", 0, "no_phrase"),
        ("[/EN#2/people A man]", "<object><name>2</name><nobndbox>1</nobndbox></object>", 0, "no_phrase"),
        ("[/EN#1/people A man]", "<object><name>1</name><bndbox><xmin>1</xmin></bndbox></object>", 0, "no_phrase"),
    ],
)  # fmt: skip
def test_a_bad_flickr_sentence_is_a_counted_reject(
    tmp_path: Path, sentence: str, objects: str, stage: int, reason: str
) -> None:
    good = "[/EN#9/people Somebody]"
    card, (sample,) = import_flickr(tmp_path, f"{good}\n{sentence}", objects + flickr_object("9", 1, 1, 5, 5))
    assert card.stages[stage].dropped == {reason: 1}
    assert sample.caption == "Somebody"


def test_a_photo_of_a_split_without_sentences_or_annotations_is_a_counted_reject(tmp_path: Path) -> None:
    import_flickr(tmp_path, "[/EN#1/people Two men] .", flickr_object("1", 1, 1, 5, 5))
    (tmp_path / "test.txt").write_text("7\n8\n9\n")
    (tmp_path / "Sentences" / "9.txt").write_text("[/EN#1/people Two men] .\n")
    card, samples = import_all("flickr30k", tmp_path, split="test", out="test")
    assert [one.key for one in samples] == ["7-0"]
    assert card.stages[0].dropped == {"annotation_malformed": 1, "annotation_missing": 1}


def test_a_broken_box_of_a_photo_is_counted_once_and_not_with_each_of_its_sentences(tmp_path: Path) -> None:
    broken = "<object><name>1</name><bndbox><xmin>1</xmin></bndbox></object>"
    card, samples = import_flickr(
        tmp_path, "[/EN#9/people A]\n[/EN#9/people B]", broken + flickr_object("9", 1, 1, 5, 5)
    )
    assert (len(samples), card.stages[1].dropped) == (2, {"annotation_malformed": 1})


def test_a_long_broken_mark_is_read_in_no_time() -> None:
    assert parse_sentence("[/EN#1" + "/" * 50_000)[1] == []


@pytest.mark.data
def test_the_flickr_fragment_is_understood(data_folder: Path, tmp_path: Path) -> None:
    """Its pictures are not there: blank ones of the stated sizes stand for them."""
    fragment = data_folder / "flickr30k" / "mini_fixture"
    for name, size in (("1000092795", (333, 500)), ("92679312", (500, 486))):
        picture(tmp_path / "pictures" / f"{name}.jpg", size)
    card = import_gold("flickr30k", fragment, tmp_path / "out", images=tmp_path / "pictures")
    samples = samples_of(tmp_path / "out")
    first = samples[0]
    assert first.caption == "Two young guys with shaggy hair look at their hands while hanging out in the yard ."
    assert boxes_of(first) == [("Two young guys", (158, 124, 219, 335)), ("Two young guys", (196, 109, 261, 373))]
    assert {p.text for p in samples[-1].phrases} == {
        "A young white boy", "short hair", "a microphone", "a slightly balding white male",
    }  # fmt: skip
    assert (card.samples, card.stages[1].dropped) == (6, {"phrase_without_box": 8})


def test_an_expression_is_the_phrase_of_its_box(tmp_path: Path) -> None:
    refcoco_files(
        tmp_path,
        [
            refcoco_reference(11, "train", ["the left dog", "dog"]),
            refcoco_reference(11, "testA", ["that one"]),
            refcoco_reference(12, "testB", ["the other one"]),
        ],
    )
    card, samples = import_all("refcoco", tmp_path, split="train")
    assert [(sample.caption, *boxes_of(sample)) for sample in samples] == [
        ("the left dog", ("the left dog", (1, 2, 4, 6))),
        ("dog", ("dog", (1, 2, 4, 6))),
    ]
    assert (card.recipe["split"], [sample.key for sample in samples]) == ("train", ["one-110", "one-111"])
    of_test, (only,) = import_all("refcoco", tmp_path, split="testA", out="test")
    assert (only.caption, of_test.rejects) == ("that one", 0)
    with pytest.raises(ValueError, match="no reference of split 'val'"):
        import_all("refcoco", tmp_path, split="val", out="other")


def test_bad_references_are_counted(tmp_path: Path) -> None:
    good = refcoco_reference(11, "train", ["a dog"])
    bad = [
        {**good, "ann_id": 99, "sentences": [{"sent_id": 1, "sent": "x"}]},
        {**good, "image_id": 99, "sentences": [{"sent_id": 2, "sent": "x"}]},
        {**good, "sentences": [{"sent_id": 3}]},
        {"ann_id": 11},
        {**good, "ann_id": 12, "sentences": [{"sent_id": 5, "sent": "a box of the other picture"}]},
        {**good, "sentences": [{"sent_id": 4, "sent": " "}]},
        good,
    ]
    refcoco_files(tmp_path, [good, *bad])
    card, samples = import_all("refcoco", tmp_path)
    assert len(samples) == 1
    assert card.stages[0].dropped == {
        "box_undeclared": 2,
        "caption_malformed": 2,
        "duplicate_key": 1,
        "image_undeclared": 1,
        "no_phrase": 1,
    }


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    refcoco_files(tmp_path, [])
    (tmp_path / "refs.json").unlink()
    (tmp_path / "refs(unc).p").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    for source in (tmp_path, tmp_path / "refs(unc).p"):
        with pytest.raises(ValueError, match=r"may run code.*json\.dump"):
            import_gold("refcoco", source, tmp_path / "out")
