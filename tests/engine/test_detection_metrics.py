"""Average precision: COCO's, and the same on resampled images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from samples import Gold, detection_sample

from engine.metrics import Figures, ImageResult, image_key, resampling
from engine.metrics.detection import average_precision
from engine.metrics.federated import fixed_average_precision
from engine.metrics.resampling import image_keys, resampled
from schemas.records import Candidate
from schemas.reports import EvaluationReport

CLASSES = ["person", "dog", "kite"]


def figures_by_name(figures: Figures) -> dict[str, float | None]:
    return {metric.name: metric.value for metric in figures.values}


def noisy_results(seed: int, images: int = 25, prefix: str = "") -> list[ImageResult]:
    """Images with a few boxes, and detections that are near them, far from them, or missing."""
    rng = np.random.default_rng(seed)
    results = []
    for image in range(images):
        gold: Gold = []
        found: list[Candidate] = []
        for _ in range(int(rng.integers(0, 5))):
            number = int(rng.integers(0, 3))
            x, y, size = rng.uniform(0, 100), rng.uniform(0, 100), rng.uniform(10, 95)
            gold.append((CLASSES[number], (x, y, x + size, y + size)))
            dx, dy = rng.normal(0, size / 6, 2)
            found.append(Candidate(number, (x + dx, y + dy, x + dx + size, y + dy + size), float(rng.uniform(0.1, 1))))
        found += [Candidate(int(rng.integers(0, 3)), (1, 1, 30, 30), float(rng.uniform(0, 0.9))) for _ in range(2)]
        results.append(ImageResult(detection_sample(f"{prefix}{image}", gold), tuple(found)))
    return results


def as_report(figures: Figures, dataset: str = "photos") -> EvaluationReport:
    return EvaluationReport(
        model_digest="m",
        dataset=dataset,
        dataset_fingerprint="f",
        metrics=figures.values,
        per_image=figures.per_image,
        per_image_count=figures.per_image_count,
        detections=figures.detections,
        federated=figures.federated,
    )


@pytest.mark.parametrize(("figures_of", "prefix"), [(average_precision, ""), (fixed_average_precision, "lvis_")])
def test_a_figure_by_size_is_over_the_boxes_of_that_size(
    figures_of: Callable[[list[ImageResult], list[str]], Figures], prefix: str
) -> None:
    sides = {"s": (20, 20, 20), "m": (60,), "l": (150, 150)}
    gold: Gold = [("dog", (0.0, 0.0, side, side)) for of_size in sides.values() for side in of_size]
    figures = figures_of([ImageResult(detection_sample("a", gold), ())], CLASSES)
    counts = {metric.name.removeprefix(prefix): metric.count for metric in figures.values}
    assert {name: counts[name] for name in ("AP", "AP50", "AP75")} == {"AP": 6, "AP50": 6, "AP75": 6}
    assert {name: counts[f"AP{name}"] for name in sides} == {name: len(of_size) for name, of_size in sides.items()}


def test_perfect_detections_score_one_and_a_missed_class_zero() -> None:
    gold = detection_sample("a", [("person", (10, 10, 60, 60)), ("dog", (100, 100, 180, 180))])
    figures = figures_by_name(average_precision([ImageResult(gold, (Candidate(0, (10, 10, 60, 60), 0.9),))], CLASSES))
    assert figures["AP50/person"] == pytest.approx(1.0)
    assert figures["AP50/dog"] == 0.0
    assert figures["AP50"] == pytest.approx(0.5)
    assert "AP50/kite" not in figures, "a class without a human box has no figure and is not averaged in"


def test_precision_falls_by_hand_count_when_a_false_box_scores_higher() -> None:
    gold = detection_sample("a", [("person", (10, 10, 60, 60))])
    found = (Candidate(0, (120, 120, 160, 160), 0.9), Candidate(0, (10, 10, 60, 60), 0.8))
    figures = figures_by_name(average_precision([ImageResult(gold, found)], CLASSES))
    assert figures["AP50/person"] == pytest.approx(0.5)


def test_boxes_beyond_the_best_of_an_image_do_not_count() -> None:
    gold = detection_sample("a", [("person", (10, 10, 60, 60))])
    found = (Candidate(1, (120, 120, 160, 160), 0.9), Candidate(0, (10, 10, 60, 60), 0.8))
    assert figures_by_name(average_precision([ImageResult(gold, found)], CLASSES, max_boxes=1))["AP50"] == 0.0


def test_an_image_without_boxes_and_a_grounder_without_answer_are_no_error() -> None:
    empty = ImageResult(detection_sample("a", []), ())
    assert figures_by_name(average_precision([empty], CLASSES))["AP"] is None


def test_a_box_of_no_class_is_named() -> None:
    gold = detection_sample("a", [("zebra", (10, 10, 60, 60))])
    with pytest.raises(ValueError, match=r"'a' has boxes of 'zebra'.*import the dataset again"):
        average_precision([ImageResult(gold, ())], CLASSES)


def test_pycocotools_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    average_precision(noisy_results(0), CLASSES)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "metric", ["AP", "AP50", "AP75", "AP/person", "AP50/dog", "AP50:other", "AP:tail", "AP:unseen"]
)
def test_drawing_every_image_once_gives_the_figure_of_pycocotools(metric: str) -> None:
    report = as_report(average_precision(noisy_results(1), CLASSES, frequencies={"person": "head", "dog": "tail"}))
    keys = sorted(image_keys(report, metric))
    assert resampled(report, metric, keys, np.ones((1, len(keys))))[0] == pytest.approx(report.value(metric), abs=1e-12)


@pytest.mark.parametrize("metric", ["lvis_AP", "lvis_AP50", "lvis_APr", "lvis_APf", "lvis_AP/dog"])
def test_fixed_ap_of_every_image_drawn_once_is_that_of_the_report(metric: str) -> None:
    frequencies: dict[str, Literal["r", "c", "f"]] = {"person": "f", "dog": "r", "kite": "r"}
    report = as_report(fixed_average_precision(noisy_results(6), CLASSES, frequencies=frequencies))
    keys = sorted(image_keys(report, metric))
    assert resampled(report, metric, keys, np.ones((1, len(keys))))[0] == pytest.approx(report.value(metric), abs=1e-12)


def test_a_group_is_the_mean_of_its_classes() -> None:
    figures = average_precision(noisy_results(5), CLASSES, frequencies={"dog": "tail", "kite": "tail"})
    values = figures_by_name(figures)
    assert values["AP50:tail"] == values["AP50:other"] == pytest.approx((values["AP50/dog"] + values["AP50/kite"]) / 2)  # type: ignore[operator]
    assert values["AP:unseen"] == values["AP/person"]
    assert "AP:other" not in figures_by_name(average_precision([], ["dog"])), "there is no person to be other than"


@pytest.mark.parametrize("metric", ["AP", "AP50/person", "AP50:other"])
def test_a_resample_equals_pycocotools_on_a_dataset_with_the_drawn_images(metric: str) -> None:
    results = noisy_results(2, images=12)
    report = as_report(average_precision(results, CLASSES))
    keys = [image_key(result.gold) for result in results]
    times = np.random.default_rng(3).multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=4)
    for draw in times:
        copies = [
            ImageResult(result.gold.model_copy(update={"image_sha256": f"{copy:064x}"}), result.candidates)
            for result, count in zip(results, draw, strict=True)
            for copy in range(count)
        ]
        expected = figures_by_name(average_precision(copies, CLASSES))[metric]
        assert resampled(report, metric, keys, draw[None].astype(float))[0] == pytest.approx(expected, abs=1e-12)


def test_resamples_of_many_boxes_are_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    difficult = detection_sample("hard", [("dog", (10, 10, 60, 60))], difficult={0})  # thresholds ignore it apart
    answer = (Candidate(1, (10, 10, 60, 48), 0.9), Candidate(1, (10, 10, 60, 60), 0.8))
    report = as_report(average_precision([ImageResult(difficult, answer), *noisy_results(8)], CLASSES))
    assert report.detections is not None
    assert any(0 < bits < 1023 for one in report.detections.classes for bits in one.ignored)
    keys = sorted(image_keys(report, "AP"))
    draws = np.random.default_rng(0).multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=30).astype(float)
    whole = resampled(report, "AP", keys, draws)
    assert len(set(whole.tolist())) > 20
    monkeypatch.setattr(resampling, "MAX_CELLS", 100)
    np.testing.assert_allclose(resampled(report, "AP", keys, draws), whole, atol=1e-12)


def test_metrics_that_cannot_be_resampled_have_no_images() -> None:
    report = as_report(average_precision(noisy_results(4), CLASSES))
    assert image_keys(report, "APs") == set()
    with pytest.raises(ValueError, match="cannot be resampled"):
        resampled(as_report(Figures([])), "AP", [], np.ones((1, 0)))
