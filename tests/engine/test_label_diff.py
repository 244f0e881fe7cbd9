"""The comparison of two labellings, against hand-made cases and against a plain count in Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sample_labels import labels_of, write_units

from engine.artifacts import Store
from engine.box_tables import add_boxes, box_database
from engine.label_diff import LabelComparison, MatchedBy
from engine.metrics.overlap import as_boxes, iou
from engine.shards import LabelledImage

CAPTION = "a dog and a ball"
SPANS = ((0, 5, "dog"), (10, 16, "ball"))
Box = tuple[int, tuple[float, float, float, float], float]
BIG, SHIFTED, FAR = (0.0, 0.0, 100.0, 100.0), (20.0, 0.0, 120.0, 100.0), (300.0, 300.0, 380.0, 380.0)


def sample(key: str, boxes: Sequence[Box], *, picture: str = "", caption: str = CAPTION) -> LabelledImage:
    digest = f"{int.from_bytes((picture or key).encode()):064x}"
    labels = labels_of(caption, SPANS, boxes, key=key, size=(400, 400), image_sha256=digest)
    return LabelledImage(labels, b"picture", "jpg")


def compare(
    tmp_path: Path, before: list[LabelledImage], after: list[LabelledImage], matched_by: MatchedBy = "key"
) -> dict[str, Any]:
    """Everything the comparison says."""
    with box_database() as (connection, folder):
        for view, samples in (("before", before), ("after", after)):
            store = Store(tmp_path / view)
            units = write_units(store, [samples[first : first + 3] for first in range(0, len(samples), 3)])
            add_boxes(connection, folder, view, store, range(len(units)), None)
        found = LabelComparison(connection, matched_by)
        return {
            **{
                name: getattr(found, name)() for name in ("images", "phrases", "boxes", "bands", "score_shift", "heads")
            },
            "lost_with": found.boxes_of_lost("boxes_before", "boxes_after"),
            "gained_with": found.boxes_of_lost("boxes_after", "boxes_before"),
        }


def counts(overlap: Any) -> tuple[int, int, int]:
    return overlap.both, overlap.lost, overlap.gained


def test_a_labelling_differs_from_itself_by_nothing(tmp_path: Path) -> None:
    same = [sample("a", [(0, BIG, 0.5), (0, FAR, 0.4)]), sample("b", [(1, BIG, 0.9)])]
    found = compare(tmp_path, same, same)
    assert counts(found["images"]) == (2, 0, 0)
    assert counts(found["boxes"]) == (3, 0, 0)
    assert [band.boxes for band in found["bands"]] == [3, 0, 0]
    assert found["score_shift"].mean == 0
    assert [(head.head_lemma, head.lost + head.gained + head.moved) for head in found["heads"]] == [
        ("ball", 0),
        ("dog", 0),
    ]


def test_lost_gained_and_moved_are_told_apart(tmp_path: Path) -> None:
    before = [sample("a", [(0, BIG, 0.5), (1, FAR, 0.4)]), sample("gone", [(0, BIG, 0.9), (1, BIG, 0.9)])]
    after = [sample("a", [(0, SHIFTED, 0.7), (0, FAR, 0.3)]), sample("new", [(0, BIG, 0.8)])]
    found = compare(tmp_path, before, after)
    assert counts(found["images"]) == (1, 1, 1)
    assert counts(found["phrases"]) == (1, 3, 1)
    assert counts(found["boxes"]) == (1, 3, 2)
    assert [band.boxes for band in found["bands"]] == [0, 0, 1]  # BIG and SHIFTED: IoU 2/3
    assert found["score_shift"].mean == pytest.approx(0.2)
    assert (found["lost_with"], found["gained_with"]) == ((2, 1), (1, 0))
    dog = next(head for head in found["heads"] if head.head_lemma == "dog")
    assert (dog.boxes_before, dog.boxes_after, dog.lost, dog.gained, dog.moved) == (2, 3, 1, 2, 1)


def test_a_box_of_another_phrase_is_no_match(tmp_path: Path) -> None:
    found = compare(tmp_path, [sample("a", [(0, BIG, 0.5)])], [sample("a", [(1, BIG, 0.5)])])
    assert counts(found["boxes"]) == (0, 1, 1)


def test_a_box_has_one_match_at_most(tmp_path: Path) -> None:
    found = compare(tmp_path, [sample("a", [(0, BIG, 0.5)])], [sample("a", [(0, BIG, 0.5), (0, SHIFTED, 0.4)])])
    assert counts(found["boxes"]) == (1, 0, 1)
    assert [band.boxes for band in found["bands"]] == [1, 0, 0]


def test_samples_may_be_matched_by_picture_and_caption(tmp_path: Path) -> None:
    before = [sample("a", [(0, BIG, 0.5)], picture="p"), sample("b", [(0, FAR, 0.5)], picture="p")]
    after = [sample("x", [(0, BIG, 0.5)], picture="p"), sample("y", [(0, FAR, 0.5)], picture="p")]
    assert counts(compare(tmp_path, before, after)["boxes"]) == (0, 2, 2)
    by_picture = compare(tmp_path, before, after, "picture and caption")
    assert counts(by_picture["images"]) == (2, 0, 0)  # the same picture and caption twice: in order of the keys
    assert counts(by_picture["boxes"]) == (2, 0, 0)
    other = [sample("x", [(0, BIG, 0.5)], picture="p", caption="a dog and a ball.")]
    assert counts(compare(tmp_path / "2", before[:1], other, "picture and caption")["images"]) == (0, 1, 1)


def test_nothing_against_nothing_is_nothing(tmp_path: Path) -> None:
    found = compare(tmp_path, [], [])
    assert counts(found["boxes"]) == (0, 0, 0)
    assert (found["score_shift"].mean, found["heads"]) == (None, [])


def test_it_counts_as_a_plain_count_does(tmp_path: Path) -> None:
    dice = random.Random(0)

    def boxes() -> list[Box]:
        found = []
        for phrase in (0, 1):
            for _ in range(dice.randrange(4)):
                x, y, side = dice.randrange(60), dice.randrange(60), dice.randrange(80, 140)
                found.append(
                    (phrase, (float(x), float(y), float(x + side), float(y + side)), dice.randrange(1, 99) / 100)
                )
        return found

    before = [sample(f"k{number}", boxes()) for number in range(60)]
    after = [sample(f"k{number}", boxes()) for number in range(60)]
    bands = [0, 0, 0]
    for one, other in zip(before, after, strict=True):
        for phrase in (0, 1):
            first, second = ([b for b in s.labels.boxes if b.phrase == phrase] for s in (one, other))
            if not first or not second:
                continue
            overlap = iou(as_boxes([b.box_xyxy for b in first]), as_boxes([b.box_xyxy for b in second]))
            for row in range(len(first)):
                column = int(overlap[row].argmax())
                best = overlap[row, column]
                if best >= 0.5 and overlap[:, column].argmax() == row:
                    bands[0 if best >= 0.95 else 1 if best >= 0.75 else 2] += 1
    found = compare(tmp_path, before, after)
    total = sum(len(one.labels.boxes) for one in before), sum(len(one.labels.boxes) for one in after)
    assert [band.boxes for band in found["bands"]] == bands
    assert counts(found["boxes"]) == (sum(bands), total[0] - sum(bands), total[1] - sum(bands))
    assert sum(head.lost for head in found["heads"]) == found["boxes"].lost
    assert sum(head.gained for head in found["heads"]) == found["boxes"].gained
