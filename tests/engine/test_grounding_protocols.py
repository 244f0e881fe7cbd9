"""Recall@k by both protocols, accuracy on referring expressions and pointing at phrases, against plain loops written
from the definitions and against examples worked by hand. Boxes have whole coordinates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from samples import grounding_sample

from engine.metrics import Figures, ImageResult, image_key
from engine.metrics.grounding import merged_phrase_recall, phrase_recall
from engine.metrics.pointing import pointing_at_classes, pointing_at_phrases
from engine.metrics.protocols import PROTOCOLS, ScoringContext, protocols_for, score_by
from engine.metrics.referring import referring_accuracy
from engine.metrics.resampling import image_keys, resampled
from schemas.records import BoxXYXY, Candidate
from schemas.reports import EvaluationReport

CASES = 200
LEFT: BoxXYXY = (0, 0, 40, 40)
RIGHT: BoxXYXY = (60, 60, 100, 100)
WHOLE: BoxXYXY = (0, 0, 100, 100)


def random_box(rng: np.random.Generator) -> BoxXYXY:
    x, y, w, h = (int(value) for value in rng.integers((0, 0, 1, 1), (60, 60, 60, 60)))
    return (x, y, x + w, y + h)


def near(box: BoxXYXY, rng: np.random.Generator) -> BoxXYXY:
    x1, y1, x2, y2 = (int(side + shift) for side, shift in zip(box, rng.integers(-8, 9, 4), strict=True))
    return (max(0, x1), max(0, y1), max(x2, x1 + 1, 1), max(y2, y1 + 1, 1))


def random_case(seed: int, *, referring: bool = False) -> list[ImageResult]:
    """Captions of few pictures; phrases with no, one or several boxes; up to 14 candidates with ties in score."""
    rng = np.random.default_rng(seed)
    results = []
    for number in range(int(rng.integers(0 if seed % 20 == 0 else 1, 5))):
        phrases: dict[str, list[BoxXYXY]] = {}
        found: list[Candidate] = []
        for phrase in range(1 if referring else int(rng.integers(0, 4))):
            boxes = [random_box(rng) for _ in range(1 if referring else int(rng.integers(0, 4)))]
            phrases[f"thing {phrase}"] = boxes
            proposed = [random_box(rng) for _ in range(int(rng.integers(0, 9)))]
            proposed += [near(box, rng) for box in boxes for _ in range(int(rng.integers(0, 3)))]
            found += [Candidate(phrase, box, int(rng.integers(1, 9)) / 8) for box in proposed]
        order = rng.permutation(len(found))
        picture = f"{seed}-{int(rng.integers(0, 3))}"
        results.append(ImageResult(grounding_sample(picture, phrases, number), tuple(found[place] for place in order)))
    return results


def overlaps_by_half(a: BoxXYXY, b: BoxXYXY) -> bool:
    """IoU >= 1/2, without a division."""
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return union > 0 and 2 * shared >= union


def asked(results: list[ImageResult]) -> list[tuple[str, list[BoxXYXY], list[BoxXYXY]]]:
    """Picture, human boxes and candidates, best first, of each phrase that has a human box."""
    found = []
    for result in results:
        for number in range(len(result.gold.phrases)):
            human = [box.box_xyxy for box in result.gold.boxes if box.phrase == number]
            mine = [one for one in result.candidates if one.phrase == number]
            ranked = [one.box_xyxy for score in range(8, 0, -1) for one in mine if one.score == score / 8]
            if human:
                found.append((image_key(result.gold), human, ranked))
    return found


def check_share(figures: Figures, name: str, hits: list[tuple[str, bool]], seed: int) -> None:
    """The figure, its count and the values of pictures are those of ``hits``: picture and whether it is one."""
    (metric,) = [one for one in figures.values if one.name == name]
    value = sum(hit for _, hit in hits) / len(hits) if hits else None
    assert metric.value == (None if value is None else pytest.approx(value, abs=1e-6)), f"case {seed}, {name}"
    assert metric.count == len(hits)
    by_picture: dict[str, list[bool]] = defaultdict(list)
    for picture, hit in hits:
        by_picture[picture].append(hit)
    means = {picture: sum(of_picture) / len(of_picture) for picture, of_picture in by_picture.items()}
    assert figures.per_image[name] == pytest.approx(means)
    assert figures.per_image_count[name] == {picture: len(of_picture) for picture, of_picture in by_picture.items()}


def merge(boxes: list[BoxXYXY]) -> list[BoxXYXY]:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return [(min(lefts), min(tops), max(rights), max(bottoms))]


def test_recall_at_k_equals_plain_loops_by_both_protocols() -> None:
    for seed in range(CASES):
        results = random_case(seed)
        either, merged = phrase_recall(results), merged_phrase_recall(results)
        for k in (1, 5, 10):
            hits = [
                (picture, any(overlaps_by_half(box, one) for box in ranked[:k] for one in human))
                for picture, human, ranked in asked(results)
            ]
            check_share(either, f"phrase_recall@{k}", hits, seed)
            hits = [
                (picture, any(overlaps_by_half(box, one) for box in ranked[:k] for one in merge(human)))
                for picture, human, ranked in asked(results)
            ]
            check_share(merged, f"phrase_recall_merged@{k}", hits, seed)


def test_referring_accuracy_equals_plain_loops() -> None:
    for seed in range(CASES):
        results = random_case(seed, referring=True)
        hits = [
            (picture, bool(ranked) and overlaps_by_half(ranked[0], human[0]))
            for picture, human, ranked in asked(results)
        ]
        check_share(referring_accuracy(results), "referring_accuracy", hits, seed)


def test_pointing_at_phrases_equals_plain_loops() -> None:
    for seed in range(CASES):
        results = random_case(seed)
        hits = [
            (picture, bool(ranked) and any(centre_inside(ranked[0], box) for box in human))
            for picture, human, ranked in asked(results)
        ]
        check_share(pointing_at_phrases(results), "pointing", hits, seed)


def centre_inside(box: BoxXYXY, human: BoxXYXY) -> bool:
    """In half pixels, so that all numbers are whole."""
    x, y = box[0] + box[2], box[1] + box[3]
    return 2 * human[0] <= x <= 2 * human[2] and 2 * human[1] <= y <= 2 * human[3]


def values(figures: Figures) -> dict[str, float | None]:
    return {metric.name: metric.value for metric in figures.values}


def test_one_of_two_dogs_is_a_hit_by_any_box_and_both_in_one_box_by_merged_box() -> None:
    gold = grounding_sample("a", {"two dogs": [LEFT, RIGHT]})
    one, both = ImageResult(gold, (Candidate(0, LEFT, 0.9),)), ImageResult(gold, (Candidate(0, WHOLE, 0.9),))
    assert [values(phrase_recall([r]))["phrase_recall@1"] for r in (one, both)] == [1.0, 0.0]
    assert [values(merged_phrase_recall([r]))["phrase_recall_merged@1"] for r in (one, both)] == [0.0, 1.0]


def test_recall_at_k_by_hand() -> None:
    sixth = (*(Candidate(0, RIGHT, 0.9 - n / 10) for n in range(5)), Candidate(0, LEFT, 0.1))
    results = [
        ImageResult(grounding_sample("a", {"a dog": [LEFT]}), sixth),
        ImageResult(
            grounding_sample("b", {"a cat": [LEFT], "a sky": []}), (Candidate(0, LEFT, 0.2), Candidate(1, LEFT, 0.9))
        ),
        ImageResult(grounding_sample("c", {"a bird": [LEFT], "a tree": [RIGHT]}), (Candidate(1, LEFT, 0.9),)),
    ]
    expected = {"phrase_recall@1": 1 / 4, "phrase_recall@5": 1 / 4, "phrase_recall@10": 2 / 4}
    assert values(phrase_recall(results)) == pytest.approx(expected)


def test_pointing_by_hand() -> None:
    gold = grounding_sample("a", {"a dog": [LEFT]})
    on, beside, corner = (
        Candidate(0, (30, 0, 50, 40), 0.5),  # centre (40, 20): on the edge
        Candidate(0, (45, 0, 65, 40), 0.5),  # centre (55, 20): 15 pixels off
        Candidate(0, (42, 42, 62, 62), 0.5),  # centre (52, 52): 12 off both ways, 17 in all
    )
    for candidate, of_phrase, of_class in ((on, 1.0, 1.0), (beside, 0.0, 1.0), (corner, 0.0, 0.0)):
        result = [ImageResult(gold, (candidate, Candidate(0, LEFT, 0.4)))]
        assert values(pointing_at_phrases(result))["pointing"] == of_phrase
        assert values(pointing_at_classes(result, ["a dog"]))["pointing"] == of_class, "a margin of 15 pixels"


def test_a_sample_that_does_not_refer_to_one_thing_is_refused() -> None:
    for phrases in ({"two dogs": [LEFT, RIGHT]}, {"a dog": [LEFT], "a cat": [RIGHT]}, {"a dog": []}):
        with pytest.raises(ValueError, match=r"'a-0' has .* one of each. Evaluate this dataset by phrase recall"):
            referring_accuracy([ImageResult(grounding_sample("a", phrases), ())])


METRICS: list[Callable[[list[ImageResult]], Figures]] = [
    phrase_recall,
    merged_phrase_recall,
    referring_accuracy,
    pointing_at_phrases,
]


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_asked_gives_no_figure_and_no_answer_is_a_miss(metric: Callable[[list[ImageResult]], Figures]) -> None:
    assert set(values(metric([])).values()) == {None}
    assert set(values(metric([ImageResult(grounding_sample("a", {"a dog": [LEFT]}), ())])).values()) == {0.0}


@pytest.mark.parametrize("metric", METRICS)
def test_drawing_every_picture_once_gives_the_figure(metric: Callable[[list[ImageResult]], Figures]) -> None:
    results = [one for seed in range(30) for one in random_case(seed + 1, referring=True)]
    figures = metric(results)
    report = EvaluationReport(
        model_digest="m",
        dataset="d",
        dataset_fingerprint="f",
        metrics=figures.values,
        per_image=figures.per_image,
        per_image_count=figures.per_image_count,
    )
    for name, value in values(figures).items():
        keys = sorted(image_keys(report, name))
        assert 0 < (value or 0) < 1
        assert resampled(report, name, keys, np.ones((1, len(keys))))[0] == pytest.approx(value)


def test_the_protocols_of_a_task_give_their_figures_side_by_side() -> None:
    results = random_case(7, referring=True)
    figures = score_by(list(PROTOCOLS["grounding"]), "grounding", results, ScoringContext())
    alone = [score_by([name], "grounding", results, ScoringContext()) for name in PROTOCOLS["grounding"]]
    assert figures.values == [value for one in alone for value in one.values]
    assert figures.per_image.keys() == values(figures).keys()
    assert protocols_for("grounding", ["coco", "any-box"]) == ["any-box"]
    with pytest.raises(
        ValueError, match=r"none of the protocols coco, voc12 scores a grounding dataset; these do: any-"
    ):
        protocols_for("grounding", ["coco", "voc12"])
