"""The best pairs of boxes and phrases of one prompt."""

from __future__ import annotations

import torch

from schemas.records import Candidate
from teacher.best_pairs import best_pairs

BOXES = torch.tensor([[0.0, 0.0, 4.0, 5.0], [1.0, 2.0, 6.0, 7.0]])


def test_pairs_of_at_least_the_floor_come_best_first_under_the_numbers_of_their_phrases() -> None:
    scores = torch.tensor([[0.25, 0.125], [0.5, 0.0]])
    assert best_pairs(scores, BOXES, [3, 7], 0.125) == [
        Candidate(3, (1.0, 2.0, 6.0, 7.0), 0.5),
        Candidate(3, (0.0, 0.0, 4.0, 5.0), 0.25),
        Candidate(7, (0.0, 0.0, 4.0, 5.0), 0.125),
    ]
    assert best_pairs(torch.zeros(2, 0), BOXES, [], 0.0) == []


def test_of_many_pairs_three_hundred_stay() -> None:
    scores = torch.linspace(0.1, 1, 400).reshape(200, 2)
    found = best_pairs(scores, BOXES[:1].expand(200, 4), [0, 1], 0.0)
    assert len(found) == 300
    assert found[-1].score > 0.3
