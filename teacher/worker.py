"""The teacher at work on a unit: decode ahead on threads, batch by shape bucket, survive running out of memory.

In: grounding requests with encoded pictures. Out, in the same order: groundings, or a Reject where a picture cannot be
read. A photo that EXIF turns is shown to the model upright, and its boxes are of the stored pixels as all are. What a
picture's boxes are depends on the picture and its prompts alone, never on its neighbours; only the last digit of a
number may be rounded otherwise in a batch of another size.

Memory per batch grows with its pictures; where it does not suffice, on a GPU or on a CPU, the batch is halved, the size
that fits is remembered for the bucket, and what was in the batch goes through in parts.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image

from glip.rgb import as_rgb, upright
from schemas.orientation import box_as_stored, orientation_of, turned_size
from schemas.pictures import open_picture_file
from schemas.records import BoxXYXY, Candidate, Grounding, GroundingRequest, Prompt, Reject, Unit
from teacher.memory import is_out_of_memory
from teacher.merging import merge_prompts
from teacher.picture_file import open_picture, unreadable
from teacher.protocol import Grounder, Question

BATCHES_AHEAD = 2  # decoded while the model works on one
DECODE_THREADS_OF_A_GPU = 8  # it takes a hundred pictures a second, of which two threads decode and resize fewer
SCORE_DECIMALS = 4
PIXEL_DECIMALS = 1


@dataclass(slots=True)
class _Sample:
    """A request whose picture's header has been read."""

    request: GroundingRequest
    image: Image.Image | None
    """Until it is decoded; then only what the grounder made of it is kept, and that only until its batch is done."""
    width: int  # of the picture upright, as the model sees it
    height: int
    orientation: int
    bucket: Hashable
    answers: list[list[Candidate]] = field(default_factory=list)
    """One list for each prompt that has been through the model."""
    reject: Reject | None = None


@dataclass(frozen=True, slots=True)
class _Item:
    """One prompt of one sample: what goes through the model."""

    sample: _Sample
    prompt: Prompt


class TeacherWorker:
    """One grounder, and what it takes to keep it busy.

    ``computing_seconds`` is the wall time the grounder has computed so far, ``elapsed_seconds`` that since the first
    unit; their quotient is the worker's utilisation: the rest went by waiting for pictures or for the next unit. Both
    only grow: the figures of one unit are differences.
    """

    def __init__(
        self,
        grounder: Grounder,
        *,
        batch_size: int,
        min_score: float,
        max_image_pixels: int = 100_000_000,
        decode_threads: int | None = None,
    ) -> None:
        self._grounder = grounder
        self._batch_size = batch_size
        self._min_score = min_score
        self._max_image_pixels = max_image_pixels
        self._decode_threads = decode_threads or (DECODE_THREADS_OF_A_GPU if torch.cuda.is_available() else 2)
        self._fitting: dict[Hashable, int] = {}  # largest batch of a bucket that memory holds, once it has run out
        self.computing_seconds = 0.0
        self.elapsed_seconds = 0.0
        self._done_at: float | None = None

    def __call__(self, unit: Unit[GroundingRequest]) -> list[Grounding | Reject]:
        """A stage's work: :meth:`ground` on the records of a unit."""
        return self.ground(unit.records)

    def ground(self, requests: Sequence[GroundingRequest]) -> list[Grounding | Reject]:
        """One grounding, or one Reject of stage ``ground``, for each request, in order; nothing for none.

        Reasons: ``image_unreadable``, ``image_too_many_pixels``, ``image_too_many_scans``, ``image_too_elongated``.
        Candidates have at least ``min_score``, lie inside the picture, and are ordered by phrase, then score.
        """
        started = time.perf_counter()
        opened = [self._open(request) for request in requests]
        samples = [sample for sample in opened if isinstance(sample, _Sample)]
        with ThreadPoolExecutor(self._decode_threads) as threads:
            for batch in self._decoded_batches(_items_by_bucket(samples), threads):
                self._ground_batch(batch)
        outcomes = [self._outcome(sample) if isinstance(sample, _Sample) else sample for sample in opened]
        done = time.perf_counter()
        self.elapsed_seconds += done - (started if self._done_at is None else self._done_at)
        self._done_at = done
        return outcomes

    def largest_batch(self, bucket: Hashable) -> int:
        """Pictures of the bucket that go through the model at once: ``batch_size``, or less once memory has run out."""
        return self._fitting.get(bucket, self._batch_size)

    def _open(self, request: GroundingRequest) -> _Sample | Reject:
        """Read the header: its size decides whether the picture is decoded at all, and in which bucket it goes."""
        image = open_picture(request.source, self._max_image_pixels)
        if isinstance(image, Reject):
            return image
        orientation = orientation_of(request.source.image)
        size = turned_size(image.size, orientation)
        return _Sample(request, image, *size, orientation, self._grounder.bucket(*size))

    def _decoded_batches(
        self, items: Sequence[_Item], threads: ThreadPoolExecutor
    ) -> Iterator[list[tuple[_Item, Question]]]:
        """Batches of one bucket, their pictures decoded while the batches before are in the model."""
        waiting: deque[list[tuple[_Item, Future[Any]]]] = deque()
        decoding: tuple[_Sample, Future[Any]] | None = None  # prompts of one sample stand together and share its pixels
        for _, group in itertools.groupby(items, key=lambda item: item.sample.bucket):
            for batch in _chunks(list(group), self._batch_size):
                waiting.append([])
                for item in batch:
                    if decoding is None or decoding[0] is not item.sample:
                        decoding = (item.sample, threads.submit(self._decode, item.sample))
                    waiting[-1].append((item, decoding[1]))
                if len(waiting) > BATCHES_AHEAD:
                    yield self._arrived(waiting.popleft())
        while waiting:
            yield self._arrived(waiting.popleft())

    def _arrived(self, batch: Sequence[tuple[_Item, Future[Any]]]) -> list[tuple[_Item, Question]]:
        """The batch with its pictures, without those that cannot be read."""
        questions = []
        for item, future in batch:
            pixels = self._pixels(item.sample, future)
            if pixels is not None:
                questions.append((item, Question(pixels, item.prompt, item.sample.width, item.sample.height)))
        return questions

    def _pixels(self, sample: _Sample, future: Future[Any]) -> Any:
        """The picture that was decoded ahead. If memory did not suffice for that beside the running model, it is
        decoded again here, while the model rests."""
        try:
            return future.result()
        except (RuntimeError, MemoryError) as error:  # only for want of memory does one leave _decode
            first = str(error)
        try:
            return self._decode(sample)
        except (RuntimeError, MemoryError) as error:
            what = f"picture {sample.request.source.key} of {sample.width} x {sample.height} pixels"
            raise _too_large(what, first) from error

    def _decode(self, sample: _Sample) -> Any:
        """The picture as the grounder wants it, None where it cannot be read. Want of memory is raised."""
        image, sample.image = sample.image, None
        try:
            if image is None:  # the first attempt ran out of memory
                image = open_picture_file(sample.request.source.image)
            return self._grounder.prepare(upright(as_rgb(image), sample.orientation))
        except Exception as error:  # hostile bytes make a decoder raise anything
            if is_out_of_memory(error):
                raise
            sample.reject = unreadable(sample.request.source, error)
            return None

    def _ground_batch(self, batch: Sequence[tuple[_Item, Question]]) -> None:
        """One batch of one bucket through the model, in parts where memory does not hold it whole."""
        rest = list(batch)
        while rest:
            bucket = rest[0][0].sample.bucket
            largest = self.largest_batch(bucket)
            part = rest[:largest]
            questions = [question for _, question in part]
            if self._grounder.full_batches:
                questions += questions[-1:] * (largest - len(part))
            answers = self._answers(questions, bucket)
            if answers is None:
                self._fitting[bucket] = len(questions) // 2
                continue
            if len(answers) != len(questions):
                raise RuntimeError(f"the grounder gave {len(answers)} lists of boxes for {len(questions)} questions")
            for (item, _), candidates in zip(part, answers, strict=False):  # the rest only filled the batch up
                item.sample.answers.append(candidates)
            rest = rest[len(part) :]

    def _answers(self, questions: Sequence[Question], bucket: Hashable) -> list[list[Candidate]] | None:
        """The grounder's answers; None where memory does not hold so many questions. RuntimeError where it does not
        hold even one."""
        started = time.perf_counter()
        try:
            return self._grounder.ground(questions, self._min_score)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(questions) == 1:
                raise _too_large(f"one image of bucket {bucket}", str(error)) from error
        finally:
            self.computing_seconds += time.perf_counter() - started
        torch.cuda.empty_cache()  # only now: within the except clause the error holds the tensors of the attempt
        return None

    def _outcome(self, sample: _Sample) -> Grounding | Reject:
        if sample.reject is not None:
            return sample.reject
        width, height = turned_size((sample.width, sample.height), sample.orientation)
        rounded = (_rounded(one, sample.orientation, width, height) for one in merge_prompts(sample.answers))
        kept = [candidate for candidate in rounded if candidate.score >= self._min_score]
        kept.sort(key=lambda candidate: (candidate.phrase, -candidate.score, candidate.box_xyxy))
        return Grounding(sample.request.source, sample.request.phrases, width, height, tuple(kept))


def _items_by_bucket(samples: Sequence[_Sample]) -> list[_Item]:
    """All prompts, those of one bucket together, otherwise in the order of the samples."""
    order: dict[Hashable, list[_Item]] = {}
    for sample in samples:
        order.setdefault(sample.bucket, []).extend(_Item(sample, prompt) for prompt in sample.request.prompts)
    return [item for items in order.values() for item in items]


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _too_large(what: str, error: str) -> RuntimeError:
    return RuntimeError(
        f"{what} does not fit into the memory of the device ({error}); "
        "lower teacher.max_size, or take a smaller checkpoint"
    )


def _rounded(candidate: Candidate, orientation: int, width: int, height: int) -> Candidate:
    """The candidate in pixels of the stored picture of this size, clipped to it and rounded, so that other hardware
    gives equal labels almost always."""
    x1, y1, x2, y2 = box_as_stored(candidate.box_xyxy, orientation, width, height)
    box: BoxXYXY = (_inside(x1, width), _inside(y1, height), _inside(x2, width), _inside(y2, height))
    agreement = None if candidate.agreement is None else round(candidate.agreement, SCORE_DECIMALS)
    return Candidate(candidate.phrase, box, round(candidate.score, SCORE_DECIMALS), agreement)


def _inside(coordinate: float, side: int) -> float:
    return round(min(max(coordinate, 0.0), float(side)), PIXEL_DECIMALS)
