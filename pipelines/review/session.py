"""A review session, independent of the web: a dataset opened for review, its samples as JSON, verdicts saved.

In: queries, keys and judgements as the page sends them. Out: plain values. Only the word, the phrase's number and the
drawn box are taken from a judgement: everything else of a verdict is read from the stored sample. The page has upright
pictures and boxes; verdicts are in stored pixels.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from engine.artifacts import Store
from engine.box_tables import box_database
from engine.dataset.sample_lookup import SampleLookup
from engine.dataset.wholeness import examine
from engine.review.queries import ReviewIndex, ReviewQuery
from engine.review.verdicts import VerdictLog, append_verdicts, caption_of, caption_sha256, target_of
from engine.selection import chosen_rules, chosen_selection
from engine.shards import read_card
from pipelines.pages.picture_cards import small_jpeg
from pipelines.pictures.upright import Turn
from pipelines.review.samples import rounded, shown_box, shown_sample
from schemas.recipes import SelectionChoice
from schemas.shards import DatasetCard, SampleBox, SampleLabels
from schemas.verdicts import MAX_REVIEWER_CHARS, Box, Verdict, VerdictWord

SIDES = {"small": 320, "large": 1600}  # pixels of the long side of a picture for the page
KEPT_PICTURES = 64  # cached, since a large photo takes long to decode
MAX_JUDGEMENTS = 500
MIN_DRAWN_SIDE = 1.0  # pixels of the picture
PATIENCE_S = 30.0  # the page waits no longer for its verdicts to be saved (review_requests.js)


class Judgement(BaseModel):
    """One verdict as the page sends it: ``target`` and ``drawn`` are xyxy pixels of the upright picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phrase: int = Field(ge=0)
    target: Box
    verdict: VerdictWord
    drawn: Box | None = None


class Judgements(BaseModel):
    """The verdicts on one sample that are saved together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(max_length=1000)
    judgements: list[Judgement] = Field(min_length=1, max_length=MAX_JUDGEMENTS)


class ReviewSession:
    """A dataset open for one reviewer; a context manager. Safe in several threads."""

    def __init__(self, dataset: str | Path, reviewer: str, selection: SelectionChoice | None = None) -> None:
        """ValueError where there is no dataset, it has no committed shard, no such selection exists, or the reviewer
        has no name."""
        if not 0 < len(reviewer.strip()) <= MAX_REVIEWER_CHARS:
            raise ValueError(f"a reviewer's name has 1 to {MAX_REVIEWER_CHARS} characters; give --reviewer")
        self.reviewer = reviewer.strip()
        self._store = Store(dataset)
        self._card = read_card(self._store)
        self.selection = chosen_selection(self._card, selection)
        self._rules = chosen_rules(self._card, selection)
        found = examine(self._store)
        if not found.manifests:
            raise ValueError(f"{self._store.root} has no committed shard yet; run `label` or `import` first")
        self._units = list(found.manifests)
        self._notes = found.whole(self._card).messages
        whole = found.manifests.values()
        self._counts = {name: sum(getattr(one, name) for one in whole) for name in ("samples", "boxes")}
        self._log = VerdictLog(self._store)
        self._turns: dict[str, Turn] = {}  # by key, for the pictures shown so far
        self._jpegs = lru_cache(KEPT_PICTURES)(lambda key, side: small_jpeg(self._samples.image(key), side))
        self._saving = threading.Lock()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._log.refresh()
        connection, _ = self._stack.enter_context(box_database())
        self._index = ReviewIndex(connection, self._store, self._units, self._log.verdicts())
        self._samples = SampleLookup(self._store, self._index.unit_of)
        self._stack.callback(self._samples.close)
        return self

    def __exit__(self, *_: object) -> None:
        del self._index, self._samples  # DuckDB's connection must be closed before the process ends
        self._stack.close()

    # ------------------------------------------------------------------------------------------------------ looking

    def about(self) -> dict[str, Any]:
        """The facts about the dataset for the page."""
        return {
            "dataset": self._store.name,
            "origin": self._card.origin,
            "notes": self._notes,
            "selection": self.selection if isinstance(self.selection, str) else "own numbers" if self.selection else "",
            "min_score": (self._rules.min_score if self._rules is not None else None) or 0.0,
            "reviewer": self.reviewer,
            "verdicts": len(self._log),
            **self._counts,
        }

    def find(self, query: ReviewQuery, after: str | None) -> dict[str, Any]:
        """A page of samples. ValueError where ``after`` is no ``next`` of a page, or the dataset was labelled again."""
        self._check_same()
        self._refresh()
        page = self._index.find(query, after)
        return {"samples": [sample._asdict() for sample in page.samples], "next": page.next}

    def totals(self, query: ReviewQuery) -> dict[str, Any]:
        """The number of samples and boxes that match."""
        return self._index.totals(query)._asdict()

    def picture(self, key: str, size: str) -> bytes | None:
        """The sample's upright picture as a JPEG of at most ``SIDES[size]`` pixels; None where it cannot be shown.

        It is decoded and encoded again, so that no stored byte reaches the browser. UnknownKeyError as :meth:`sample`.
        """
        return self._jpegs(key, SIDES[size])

    def sample(self, key: str) -> dict[str, Any]:
        """A sample with its current boxes, and the number of valid verdicts: on it (``judged``), and on the dataset
        (``verdicts``). UnknownKeyError where no sample with a box has the key."""
        self._refresh()
        return self._shown(self._samples.labels(key))

    def _shown(self, labels: SampleLabels) -> dict[str, Any]:
        caption = (labels.image_sha256, caption_sha256(labels.caption))
        held = self._log.held(caption)
        shown = shown_sample(labels, self._turn(labels), held, self._rules, self._log.given(caption))
        return shown | {"judged": len(held), "verdicts": len(self._log)}

    def _turn(self, labels: SampleLabels) -> Turn:
        """The orientation of the sample's picture, for which its file is read once."""
        if labels.key not in self._turns:
            try:
                encoded = self._samples.image(labels.key)
            except ValueError:  # too large to be shown: its boxes are shown alone
                encoded = b""
            self._turns[labels.key] = Turn.of(encoded, (labels.width, labels.height))
        return self._turns[labels.key]

    def _refresh(self, saved: str | None = None) -> None:
        """Read the verdicts that other reviewers have saved meanwhile; only the file ``saved``, if it is given."""
        with self._saving:
            if arrived := self._log.refresh(saved):
                self._index.take_verdicts(arrived)

    def _check_same(self) -> None:
        """Raise ValueError where the dataset was labelled again: verdicts would refer to boxes that are gone."""
        if _work(read_card(self._store)) != _work(self._card):
            raise ValueError(f"{self._store.root} was labelled again meanwhile; start `glip-engine serve` again")

    # ------------------------------------------------------------------------------------------------------- saying

    def judge(self, request: Judgements) -> dict[str, Any]:
        """Save the verdicts as one new file of the table; returns the sample as it is then.

        UnknownKeyError as :meth:`sample`. ValueError, with nothing saved, where a judgement refers to a box that does
        not exist, its own box is invalid, or the dataset was labelled again. RuntimeError, with nothing saved, where
        the dataset was not read within ``PATIENCE_S``: the page no longer shows these verdicts.
        """
        at = self._log.time_of_next()  # first: while a store does not answer, a later request may pass this one
        latest = time.monotonic() + PATIENCE_S
        self._check_same()
        labels = self._samples.labels(request.key)
        verdicts = [self._verdict(labels, one, at) for one in request.judgements]
        if time.monotonic() > latest:
            raise RuntimeError(f"{self._store.root} did not answer within {PATIENCE_S:.0f} s, and nothing is saved")
        saved = append_verdicts(self._store, verdicts)
        self._refresh(saved)
        return self._shown(labels)

    def _verdict(self, labels: SampleLabels, judgement: Judgement, at: str) -> Verdict:
        if judgement.phrase >= len(labels.phrases):
            raise ValueError(f"phrase {judgement.phrase} of {len(labels.phrases)} does not exist in {labels.key!r}")
        turn, drawn = self._turn(labels), judgement.drawn
        _check_box(judgement.target, turn, least_side=0)
        if drawn is not None:
            _check_box(drawn, turn, least_side=MIN_DRAWN_SIDE)
        phrase, looked_at = labels.phrases[judgement.phrase], _looked_at(labels, judgement, turn)
        verdict = Verdict(
            at=at,
            reviewer=self.reviewer,
            verdict=judgement.verdict,
            image_sha256=labels.image_sha256,
            caption_sha256=caption_sha256(labels.caption),
            key=labels.key,
            phrase_text=phrase.text,
            start=phrase.start,
            end=phrase.end,
            box_xyxy=rounded(looked_at.box_xyxy if looked_at else turn.stored_box(judgement.target)),
            drawn_xyxy=None if drawn is None else rounded(turn.stored_box(drawn)),
            score=looked_at.score if looked_at else None,
            teacher_digest=labels.teacher_digest,
        )
        if looked_at is None and judgement.verdict != "added" and not self._is_known(verdict):
            raise ValueError(f"{labels.key!r} has no box {judgement.target} of phrase {judgement.phrase}")
        return verdict

    def _is_known(self, verdict: Verdict) -> bool:
        """Whether the verdict's target was judged before: a box that a reviewer added, or one of earlier labels."""
        target = target_of(verdict)
        return any(target_of(one) == target for one in self._log.given(caption_of(verdict)))


def _work(card: DatasetCard) -> tuple[str | None, ...]:
    return card.source_fingerprint, card.recipe_digest, card.teacher_digest


def _looked_at(labels: SampleLabels, judgement: Judgement, turn: Turn) -> SampleBox | None:
    """The stored box that a judgement refers to, found by its coordinates on the page; None where there is none."""
    target = rounded(judgement.target)
    boxes = (box for box in labels.boxes if box.phrase == judgement.phrase and shown_box(box.box_xyxy, turn) == target)
    return next(boxes, None)


def _check_box(box: Box, turn: Turn, least_side: float) -> None:
    x1, y1, x2, y2 = box
    width, height = turn.size
    if not (x1 + least_side <= x2 <= width and y1 + least_side <= y2 <= height):
        raise ValueError(
            f"xyxy {box} is not a box of at least {least_side} pixels a side inside the picture of {width} x {height}"
        )
