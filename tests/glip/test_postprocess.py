"""Candidates, per-phrase NMS against brute force, frames, floors and limits."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from glip import boxes as box_math
from glip import postprocess
from glip.anchors import anchor_grid
from glip.config import GLIPConfig
from glip.head import GLIPOutput
from glip.nms import nms
from glip.postprocess import find_candidates, ground, keep_best_by_phrase, keep_best_in_one_fetch

CONFIG = GLIPConfig.nano()
SHAPES = [(8, 8), (4, 4), (2, 2), (1, 1)]


def random_output(batch: int, tokens: int, seed: int, spread: float = 3.0) -> GLIPOutput:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    lengths = [height * width for height, width in SHAPES]
    return GLIPOutput(
        [draw(batch, n, tokens) * spread for n in lengths],
        [draw(batch, n, 4) * spread for n in lengths],
        [draw(batch, n) for n in lengths],
        SHAPES,
    )


def brute_force_nms(boxes: Tensor, scores: Tensor, groups: Tensor, max_iou: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i].item(), i)):
        same = [j for j in kept if groups[j] == groups[i]]
        if not same or box_math.pairwise_iou(boxes[i : i + 1], boxes[same]).max() <= max_iou:
            kept.append(i)
    return sorted(kept)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 80), groups=st.integers(1, 9), max_iou=st.floats(0.05, 0.9))
def test_nms_equals_brute_force_in_every_group(seed: int, count: int, groups: int, max_iou: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 60
    boxes = torch.cat((corner, corner + torch.rand(count, 2, generator=generator) * 60), dim=1)
    scores = (torch.rand(count, generator=generator) * 20).round() / 20  # with ties
    group = (torch.rand(count, generator=generator) ** 3 * groups).long()  # of very different sizes
    assert nms(boxes, scores, group, max_iou).tolist() == brute_force_nms(boxes, scores, group, max_iou)


def test_of_each_level_so_many_candidates_are_looked_at_the_best_by_score_times_centerness() -> None:
    output = random_output(1, 4, seed=11)
    config = dataclasses.replace(CONFIG, max_candidates_per_level=3, candidate_min_score=0.0)
    found = find_candidates(output, torch.tensor([[[1], [2]]]), torch.full((1, 4), 63.0), config, 0.0)
    ranks = [
        (logits[0, :, 1:3].sigmoid() * centerness[0].sigmoid().unsqueeze(1)).flatten().sort(descending=True).values[:3]
        for logits, centerness in zip(output.logits, output.centerness, strict=True)
    ]
    torch.testing.assert_close(found.scores_BK[0], torch.cat(ranks).sort(descending=True).values.sqrt())


def test_a_box_that_overlaps_as_much_as_it_may_stays() -> None:
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 4.0]])  # of 100 and 50 pixels
    assert nms(boxes, torch.tensor([0.9, 0.8]), torch.zeros(2, dtype=torch.long), 0.5).tolist() == [0, 1]


def test_nms_settles_long_chains_of_suppression() -> None:
    left = torch.arange(200) * 3.0
    boxes = torch.stack((left, torch.zeros(200), left + 9, torch.full((200,), 9.0)), dim=1)
    scores = torch.linspace(1, 0.1, 200)
    assert nms(boxes, scores, torch.zeros(200, dtype=torch.long), 0.5).tolist() == list(range(0, 200, 2))


def test_grounding_equals_a_loop_over_positions_and_phrases() -> None:
    output, positions = random_output(2, 7, seed=1), [[[1], [2, 3], [5]], [[4, 6]]]
    unlimited = dataclasses.replace(CONFIG, max_boxes_per_image=10**6)
    found = ground(output, positions, [(60, 50), (64, 64)], [(60, 50), (64, 64)], unlimited)
    anchors = anchor_grid(SHAPES, CONFIG, "cpu")
    for image, (phrases, size) in enumerate(zip(positions, ((60, 50), (64, 64)), strict=True)):
        tokens = torch.cat(output.logits, dim=1)[image].sigmoid()
        centerness = torch.cat(output.centerness, dim=1)[image].sigmoid()
        boxes = box_math.decode(torch.cat(output.box_regression, dim=1)[image], anchors).clamp(min=0)
        boxes = boxes.minimum(torch.tensor([size[1] - 1, size[0] - 1] * 2))
        for index, phrase in enumerate(phrases):
            phrase_score = tokens[:, phrase].mean(dim=1)
            ids = (phrase_score > CONFIG.candidate_min_score).nonzero().squeeze(1)
            scores = (phrase_score * centerness).sqrt()[ids]
            kept = brute_force_nms(boxes[ids], scores, torch.zeros(len(ids)), CONFIG.nms_max_iou)
            own = found[image].phrase_index_K == index
            torch.testing.assert_close(found[image].scores_K[own], scores[kept].sort(descending=True).values)
            by_score = torch.tensor(kept)[scores[kept].argsort(descending=True)]
            torch.testing.assert_close(found[image].boxes_xyxy_K4[own], boxes[ids][by_score])


def test_an_image_gives_the_same_boxes_alone_and_in_a_batch() -> None:
    output, positions = random_output(3, 7, seed=2), [[[1]], [[2], [3, 4], [5]], []]
    sizes = [(64, 64)] * 3
    together = ground(output, positions, sizes, sizes, CONFIG)
    for image in range(3):
        parts = ([x[image : image + 1] for x in xs] for xs in dataclasses.astuple(output)[:3])
        alone = ground(GLIPOutput(*parts, SHAPES), positions[image : image + 1], sizes[:1], sizes[:1], CONFIG)[0]
        assert torch.equal(alone.phrase_index_K, together[image].phrase_index_K)
        # Vectorised exponentials round the last bit by their place in the batch.
        torch.testing.assert_close(alone.boxes_xyxy_K4, together[image].boxes_xyxy_K4, rtol=1e-6, atol=1e-5)
        torch.testing.assert_close(alone.scores_K, together[image].scores_K, rtol=1e-6, atol=1e-6)


def test_boxes_come_in_the_frame_of_the_original_image() -> None:
    output = random_output(1, 4, seed=3)
    resized = ground(output, [[[1]]], [(64, 32)], [(64, 32)], CONFIG)[0]
    original = ground(output, [[[1]]], [(64, 32)], [(128, 320)], CONFIG)[0]
    factors = torch.tensor([10.0, 2.0, 10.0, 2.0])
    torch.testing.assert_close(original.boxes_xyxy_K4, resized.boxes_xyxy_K4 * factors)
    assert resized.boxes_xyxy_K4.min() >= 0
    assert resized.boxes_xyxy_K4[:, 2].max() <= 31
    assert resized.boxes_xyxy_K4[:, 3].max() <= 63


@pytest.mark.parametrize("positions", [[[]], [[[]]], [[[], []]]])
def test_phrases_without_tokens_and_images_without_phrases_get_no_box(positions: list[list[list[int]]]) -> None:
    found = ground(random_output(1, 4, seed=4), positions, [(64, 64)], [(64, 64)], CONFIG)[0]
    assert len(found.scores_K) == len(found.phrase_index_K) == len(found.boxes_xyxy_K4) == 0


def test_the_floor_is_on_the_final_score() -> None:
    output, arguments = random_output(1, 4, seed=5), ([[[1], [2]]], [(64, 64)], [(64, 64)], CONFIG)
    everything, floored = ground(output, *arguments)[0], ground(output, *arguments, min_score=0.5)[0]
    assert torch.equal(floored.scores_K, everything.scores_K[everything.scores_K >= 0.5])
    assert 0 < len(floored.scores_K) < len(everything.scores_K)


def test_only_the_best_boxes_stay_and_they_come_best_first() -> None:
    output, sizes = random_output(1, 4, seed=6), [(64, 64)]
    everything = ground(output, [[[1], [2]]], sizes, sizes, dataclasses.replace(CONFIG, max_boxes_per_image=10**6))[0]
    best = ground(output, [[[1], [2]]], sizes, sizes, dataclasses.replace(CONFIG, max_boxes_per_image=5))[0]
    assert everything.scores_K.tolist() == sorted(everything.scores_K.tolist(), reverse=True)
    assert torch.equal(best.boxes_xyxy_K4, everything.boxes_xyxy_K4[:5])


def undecided_output() -> GLIPOutput:
    """Every word and every centre has a probability of one half, and so has every box its score."""
    drawn = random_output(1, 4, seed=6)
    logits, centerness = ([torch.zeros_like(one) for one in level] for level in (drawn.logits, drawn.centerness))
    return GLIPOutput(logits, drawn.box_regression, centerness, SHAPES)


def test_boxes_that_tie_for_the_last_place_all_stay() -> None:
    sizes = [(64, 64)]
    most = [dataclasses.replace(CONFIG, max_boxes_per_image=count) for count in (10**6, 5)]
    everything, best = (ground(undecided_output(), [[[1]]], sizes, sizes, config)[0] for config in most)
    assert len(best.scores_K) == len(everything.scores_K) > 5


@pytest.mark.parametrize(
    ("exceeded", "floor", "some"), [(0.49, 0.5, True), (0.5, 0.0, False), (0.49, 0.51, False), (0.0, 0.0, True)]
)
def test_the_score_of_a_phrase_is_above_its_threshold_and_the_final_one_at_least_the_floor(
    exceeded: float, floor: float, some: bool
) -> None:
    config, sizes = dataclasses.replace(CONFIG, candidate_min_score=exceeded), [(64, 64)]
    found = ground(undecided_output(), [[[1]]], sizes, sizes, config, min_score=floor)[0]
    assert (len(found.scores_K) > 0) == some


def test_lists_that_do_not_fit_the_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 2 images"):
        ground(random_output(2, 4, seed=7), [[[1]]], [(64, 64)], [(64, 64)], CONFIG)


def crowded_output(boxes_a_row: int, step: float) -> GLIPOutput:
    """One image whose boxes, of one level, stand in rows: each overlaps the next ones, the first is best."""
    lengths = [height * width for height, width in CROWDED]
    codes = [torch.zeros(1, n, 4) for n in lengths]
    position = torch.arange(lengths[0])
    # A position's anchor is moved to where its box should stand, in tenths of its own side.
    target = torch.stack((position % boxes_a_row * step, position // boxes_a_row * 40.0), dim=1) + 16
    anchors = anchor_grid(CROWDED, CONFIG, "cpu")[: lengths[0]]
    codes[0][0, :, :2] = (target - box_math.centres(anchors)) / (anchors[:, 2:] - anchors[:, :2] + 1) * 10
    logits = [torch.full((1, n, 3), -9.0) for n in lengths]
    logits[0][0, :, 1] = 2.0 - position / lengths[0]
    return GLIPOutput(logits, codes, [torch.full((1, n), 3.0) for n in lengths], CROWDED)


CROWDED = [(60, 60), (4, 4), (2, 2), (1, 1)]


@pytest.mark.parametrize(
    ("boxes_a_row", "step"),
    [(60, 0.2), (60, 6.0), (60, 40.0)],
    ids=["the best 1,024 hide fewer boxes than may stay", "chains longer than the passes", "nothing overlaps"],
)
def test_the_gpus_way_to_the_best_boxes_gives_what_the_cpus_way_gives(boxes_a_row: int, step: float) -> None:
    config = dataclasses.replace(CONFIG, max_candidates_per_level=3600, nms_max_iou=0.5)
    positions, limits = torch.tensor([[[1], [2]]]), torch.full((1, 4), 4000.0)
    candidates = find_candidates(crowded_output(boxes_a_row, step), positions, limits, config, 0.0)
    wanted, found = keep_best_by_phrase(candidates, config)[0], keep_best_in_one_fetch(candidates, config)[0]
    assert torch.equal(found, wanted)
    assert len(found) >= 60


def test_both_ways_agree_on_every_image_for_any_number_of_boxes_and_of_candidates_looked_at_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the candidates that are looked at first give one box too few, the next may be among the others."""
    monkeypatch.setattr(postprocess, "_FIRST_CANDIDATES", 16)
    positions, limits = torch.tensor([[[1], [2]], [[2], [3]], [[4], [-1]]]), torch.full((3, 4), 63.0)
    candidates = find_candidates(random_output(3, 5, seed=13), positions, limits, CONFIG, 0.0)
    for most in range(1, 40):
        config = dataclasses.replace(CONFIG, max_boxes_per_image=most)
        both = (keep_best_by_phrase(candidates, config), keep_best_in_one_fetch(candidates, config))
        assert all(torch.equal(found, wanted) for wanted, found in zip(*both, strict=True))
        assert all(len(rows) > 0 for rows in both[0])


def test_a_bf16_answer_is_read_in_fp32() -> None:
    drawn = random_output(1, 4, seed=12)
    rounded = [[x.bfloat16() for x in xs] for xs in dataclasses.astuple(drawn)[:3]]
    exact = [[x.float() for x in xs] for xs in rounded]
    sizes = [(64, 64)]
    found, wanted = (
        ground(GLIPOutput(*one, SHAPES), [[[1], [2, 3]]], sizes, sizes, CONFIG)[0] for one in (rounded, exact)
    )
    assert torch.equal(found.scores_K, wanted.scores_K)
    assert torch.equal(found.boxes_xyxy_K4, wanted.boxes_xyxy_K4)


def test_on_a_gpu_too_all_boxes_stay_that_tie_for_the_last_place() -> None:
    """More of them than are looked at first."""
    config = dataclasses.replace(CONFIG, max_candidates_per_level=3600)
    output = crowded_output(60, 40.0)
    output.logits[0][0, :, 1] = 2.0
    candidates = find_candidates(output, torch.tensor([[[1]]]), torch.full((1, 4), 4000.0), config, 0.5)
    assert len(keep_best_in_one_fetch(candidates, config)[0]) == len(keep_best_by_phrase(candidates, config)[0]) == 3600


@pytest.mark.parametrize(("seed", "floor"), [(8, 0.0), (9, 0.4), (10, 0.999)])
def test_both_ways_agree_on_whole_batches(seed: int, floor: float) -> None:
    positions = torch.tensor([[[1, 2], [3, -1], [-1, -1]], [[4, -1], [-1, -1], [5, 6]], [[-1, -1]] * 3])
    limits = torch.full((3, 4), 63.0)
    candidates = find_candidates(random_output(3, 7, seed), positions, limits, CONFIG, floor)
    both = (keep_best_by_phrase(candidates, CONFIG), keep_best_in_one_fetch(candidates, CONFIG))
    for wanted, found in zip(*both, strict=True):
        assert torch.equal(found, wanted)
    assert [len(rows) > 0 for rows in both[0]] == [floor < 0.9] * 2 + [False]
