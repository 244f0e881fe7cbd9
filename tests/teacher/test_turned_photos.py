"""A photo that EXIF turns is grounded as it is seen, and its boxes are of the stored pixels."""

from __future__ import annotations

import io
from typing import Any

import pytest
from grounding_requests import request
from PIL import Image
from turned_photos import stored_as

from schemas.orientation import box_as_stored
from schemas.records import Grounding
from teacher.protocol import Grounder
from teacher.worker import TeacherWorker


def grounded(grounder: Grounder, image: bytes, key: str = "a") -> Grounding:
    (found,) = TeacherWorker(grounder, batch_size=4, min_score=0.05).ground([request(key, image)])
    assert isinstance(found, Grounding)
    assert found.candidates
    return found


@pytest.mark.parametrize("orientation", range(1, 9))
def test_however_a_photo_is_stored_its_boxes_are_of_the_same_things(
    web: Any, grounder: Grounder, orientation: int
) -> None:
    photo = Image.open(io.BytesIO(web.jpeg(1, 120, 80)))
    upright = grounded(grounder, stored_as(photo, 1))
    lying = grounded(grounder, stored_as(photo, orientation))
    assert (lying.width, lying.height) == ((80, 120) if orientation >= 5 else (120, 80))
    size = (lying.width, lying.height)
    expected = [(one.phrase, one.score, *box_as_stored(one.box_xyxy, orientation, *size)) for one in upright.candidates]
    found = [(one.phrase, one.score, *one.box_xyxy) for one in lying.candidates]
    assert sorted(found) == [pytest.approx(one, abs=0.051) for one in sorted(expected)]


def test_a_turned_photo_shares_batches_with_those_that_look_as_it_does(web: Any, grounder: Grounder) -> None:
    photo, standing = (Image.open(io.BytesIO(web.jpeg(1, *size))) for size in ((120, 80), (80, 120)))
    requests = [request(str(number), stored_as(one, 6)) for number, one in enumerate((photo, standing))]
    requests += [request(str(number), stored_as(one, 1)) for number, one in enumerate((photo, standing))]
    together = TeacherWorker(grounder, batch_size=4, min_score=0.05).ground(requests)
    assert together == [grounded(grounder, one.source.image, one.source.key) for one in requests]
