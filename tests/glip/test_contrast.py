"""Region-word contrast against a loop that reads like the definition, and one case worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from glip.contrast import NO_CONCEPT, RegionWordContrast, Temperature, WordConcepts, symmetric_contrast, word_targets

# Two pictures of four tokens: [CLS] dog . [SEP] and [CLS] cat puppy [SEP]; concepts 0 dog, 1 cat, 2 puppy.
CONCEPTS = torch.tensor([[-1, 0, -1, -1], [-1, 1, 2, -1]])
RELATED = torch.zeros(3, 3, dtype=torch.bool)
RELATED[0, 2] = RELATED[2, 0] = True


def test_words_of_other_pictures_are_positive_by_concept_ignored_by_kinship_and_negative_otherwise() -> None:
    image_P = torch.tensor([0, 1])
    map_PT = torch.tensor([[False, True, False, False], [False, True, False, False]])  # a dog here, a cat there
    positive, ignored = word_targets(image_P, map_PT, WordConcepts(CONCEPTS, RELATED))
    assert positive.int().tolist() == [[0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0, 0]]
    assert ignored.int().tolist() == [[0, 0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0]]
    same = WordConcepts(torch.tensor([[-1, 0, -1, -1], [-1, 1, 0, -1]]), RELATED[:2, :2])
    positive, ignored = word_targets(image_P, map_PT, same)
    assert positive[0].int().tolist() == [0, 1, 0, 0, 0, 0, 1, 0], "the label has spread to the other caption"
    assert not ignored.any()


def test_in_its_own_picture_the_annotation_decides() -> None:
    """ "a dog and another dog": the word of the other dog is no positive of the first one's box."""
    concepts = torch.tensor([[0, 0]])
    positive, ignored = word_targets(
        torch.tensor([0]), torch.tensor([[True, False]]), WordConcepts(concepts, torch.zeros(1, 1, dtype=torch.bool))
    )
    assert positive.tolist() == [[True, False]]
    assert not ignored.any()
    kin = WordConcepts(torch.tensor([[0, 1], [1, 0]]), ~torch.eye(2, dtype=torch.bool))
    positive, ignored = word_targets(torch.tensor([0]), torch.tensor([[True, False]]), kin)
    assert positive.tolist() == [[True, False, False, True]]
    assert ignored.tolist() == [[False, False, True, False]], "of its own picture the annotation says that it is none"


def _by_hand(similarity: list[list[float]], positive: list[list[int]], ignored: list[list[int]]) -> float:
    def rows(values: list[list[float]], right: list[list[int]], out: list[list[int]]) -> float:
        losses = []
        for value, is_right, is_out in zip(values, right, out, strict=True):
            if any(is_right):
                total = sum(math.exp(v) for v, r, o in zip(value, is_right, is_out, strict=True) if r or not o)
                own = [-math.log(math.exp(v) / total) for v, r in zip(value, is_right, strict=True) if r]
                losses.append(sum(own) / len(own))
        return sum(losses) / max(1, len(losses))

    def turned(table: list[list[float]]) -> list[list[float]]:
        return [list(row) for row in zip(*table, strict=True)]

    return rows(similarity, positive, ignored) + rows(turned(similarity), turned(positive), turned(ignored))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_is_cross_entropy_along_both_sides(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    positive, ignored = (torch.rand(4, 6, generator=generator) < share for share in (0.3, 0.2))
    loss = symmetric_contrast(similarity, positive, ignored)
    assert loss.item() == pytest.approx(_by_hand(similarity.tolist(), positive.int().tolist(), ignored.int().tolist()))


def test_two_regions_and_two_words_by_hand() -> None:
    """Scores 1 on the diagonal and 0 beside it: each of the four rows costs log(1 + e^-1)."""
    loss = symmetric_contrast(torch.eye(2), torch.eye(2, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.bool))
    assert loss.item() == pytest.approx(2 * math.log(1 + math.exp(-1)))


def test_without_a_pair_the_loss_is_zero_and_still_has_gradients() -> None:
    contrast = RegionWordContrast(8, 6)
    loss = contrast(
        torch.zeros(0, 8),
        torch.zeros(0, dtype=torch.long),
        torch.zeros(0, 4, dtype=torch.bool),
        torch.randn(2, 4, 6),
        torch.ones(2, 4, dtype=torch.bool),
        WordConcepts(CONCEPTS, RELATED),
    )
    loss.backward()
    assert loss.item() == 0
    assert all(parameter.grad is not None for parameter in contrast.parameters())


def test_training_brings_regions_to_their_words_and_pads_to_nothing() -> None:
    torch.manual_seed(0)
    contrast = RegionWordContrast(8, 6)
    regions, text = torch.randn(2, 8), torch.randn(2, 4, 6)
    mask = torch.tensor([[True, True, True, False], [True] * 4])
    arguments = (torch.tensor([0, 1]), torch.eye(4, dtype=torch.bool)[[1, 1]])
    words = WordConcepts(torch.tensor([[-1, 0, -1, NO_CONCEPT], [-1, 1, 2, -1]]), RELATED)
    first = contrast(regions, *arguments, text, mask, words)
    changed = text.clone()
    changed[0, 3] += 5
    assert torch.equal(first, contrast(regions, *arguments, changed, mask, words))
    optimizer = torch.optim.Adam(contrast.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss = contrast(regions, *arguments, text, mask, words)
        loss.backward()
        optimizer.step()
    assert loss < 0.2 * first


def test_the_temperature_begins_at_clips() -> None:
    vector = torch.tensor([[3.0, 4.0]])
    assert Temperature()(vector, 2 * vector).item() == pytest.approx(1 / 0.07)


def test_the_temperature_ends_at_clips() -> None:
    temperature, vector = Temperature(), torch.tensor([[3.0, 4.0]])
    temperature.log_scale.data.fill_(9.0)
    assert temperature(vector, vector).item() == pytest.approx(100)
