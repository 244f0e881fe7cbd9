"""The labels of a batch: numbered alike in all its pictures, with which of them may mean the same thing."""

from __future__ import annotations

import torch

from engine.mix import NameRelations
from glip.contrast import NO_CONCEPT
from glip.masked_language import NOT_MASKED
from glip.tokens import PromptTokenizer
from student.picture_words import PictureWords, batch_words, visual_concepts, word_concepts


def _picture(labels: tuple[str, ...], tokens: list[int], boxes: list[int]) -> PictureWords:
    """``tokens`` and ``boxes`` are places among ``labels``; NO_CONCEPT stands for no phrase, or the whole picture."""
    return PictureWords(
        labels=labels,
        token_label_T=torch.tensor(tokens),
        told_T=torch.full((len(tokens),), NOT_MASKED),
        boxes_xyxy_K4=torch.zeros(len(boxes), 4),
        label_K=torch.tensor(boxes, dtype=torch.long),
        texts=tuple("the picture" if box == NO_CONCEPT else labels[box] for box in boxes),
        locate_K=torch.zeros(len(boxes), dtype=torch.bool),
    )


def test_a_label_has_one_number_in_all_pictures_and_kin_is_told(small_tokenizer: PromptTokenizer) -> None:
    none = NO_CONCEPT
    pictures = [
        _picture(("dog", "cat"), [none, 0, 1, none], [0, 1, none]),
        _picture((), [none] * 4, [none]),
        _picture(("cat", "puppy"), [none, 1, 0, 0], [1, none]),
    ]
    words = batch_words(pictures, NameRelations())
    dog, cat, puppy = 0, 1, 2
    spoken = word_concepts(pictures, words, torch.device("cpu"))
    assert spoken.concept_BT.tolist() == [[none, dog, cat, none], [none] * 4, [none, puppy, cat, cat]]
    seen = visual_concepts(pictures, words, small_tokenizer, 16)
    assert seen.label_K.tolist() == [dog, cat, none, none, puppy, none]
    assert seen.image_K.tolist() == [0, 0, 0, 1, 2, 2]
    for related in (spoken.related_KK, seen.related_LL):
        assert related.nonzero().tolist() == [[dog, puppy], [puppy, dog]]
