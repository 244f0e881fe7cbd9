"""Two teachers as one: both are asked, and each box says how far they agree.

In: what any grounder takes. Out: the boxes of both, put together (``teacher.merging.combine_teachers``): matched per
phrase from an IoU of 0.5 on, the agreement kept on the box. A prompt is as long as the one with the smaller budget
reads, a phrase is asked for where both read it whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Hashable, Sequence
from typing import Any

from PIL.Image import Image

from schemas.records import Candidate
from teacher.merging import combine_teachers
from teacher.protocol import Grounder, Question

MEMBER_FLOOR = 0.05  # members are asked down to here whatever the floor: a weak box may confirm a strong one


class EnsembleGrounder:
    """Two opened grounders; they answer one after the other on the same device."""

    def __init__(self, first: Grounder, second: Grounder) -> None:
        self._members = (first, second)
        self.max_tokens = min(member.max_tokens for member in self._members)
        self.full_batches = any(member.full_batches for member in self._members)
        self.digest = hashlib.sha256(f"ensemble {first.digest} {second.digest}".encode()).hexdigest()

    def count_tokens(self, text: str) -> int:
        """Tokens as counted against ``max_tokens``: no more than that exactly where each member reads the whole
        prompt."""
        return max(member.count_tokens(text) + self.max_tokens - member.max_tokens for member in self._members)

    def phrase_fits(self, text: str) -> bool:
        return all(member.phrase_fits(text) for member in self._members)

    def bucket(self, width: int, height: int) -> Hashable:
        return tuple(member.bucket(width, height) for member in self._members)

    def prepare(self, image: Image) -> Any:
        return tuple(member.prepare(image) for member in self._members)

    def ground(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        floor = min(min_score, MEMBER_FLOOR)
        first, second = (
            member.ground([dataclasses.replace(one, pixels=one.pixels[number]) for one in questions], floor)
            for number, member in enumerate(self._members)
        )
        combined = (combine_teachers(ours, theirs) for ours, theirs in zip(first, second, strict=True))
        return [[one for one in candidates if one.score >= min_score] for candidates in combined]
