"""Pictures that nobody wants to decode: each is labelled as it is stored, or a reject with its reason; never a crash.

The cases (``hostile_pictures``) go through one job in a process of bounded memory, and nothing may be written but its
output.
"""

from __future__ import annotations

from typing import Any

import pytest
from bounded_jobs import label_apart
from hostile_pictures import cases

from schemas.recipes import WebDatasetSource


@pytest.fixture(scope="module")
def labelled(web: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("pictures")
    members = [
        (f"{key}.{kind}", part)
        for key, (image, _) in cases().items()
        for kind, part in (("jpg", image), ("txt", b"A dog beside a red car."))
    ]
    web.tar_of(folder / "in" / "0.tar", members)
    return label_apart(WebDatasetSource(uri=str(folder / "in")), folder)


def test_each_hostile_picture_is_labelled_as_stored_or_a_reject_with_its_reason(labelled: Any) -> None:
    expected = {key: outcome for key, (_, outcome) in cases().items()}
    assert len(expected) >= 60
    found = {key: labelled.reason(key) or (labelled.labels[key].width, labelled.labels[key].height) for key in expected}
    assert found == expected


def test_what_is_labelled_has_boxes_inside_the_stored_picture_and_its_bytes(labelled: Any) -> None:
    pictures = {key: image for key, (image, outcome) in cases().items() if not isinstance(outcome, str)}
    assert {key: labelled.images[key] for key in pictures} == pictures
    for labels in labelled.labels.values():
        assert labels.boxes
        for box in labels.boxes:
            x1, y1, x2, y2 = box.box_xyxy
            assert 0 <= x1 <= x2 <= labels.width
            assert 0 <= y1 <= y2 <= labels.height


def test_an_orientation_that_means_nothing_turns_nothing(labelled: Any) -> None:
    assert labelled.labels["turned-by-nonsense"].boxes == labelled.labels["plain"].boxes


def test_bombs_take_no_memory(labelled: Any) -> None:
    assert labelled.peak_bytes < 2 << 30
