"""What one labelling of a source has that another has not: the result of ``glip-engine diff A B``."""

from __future__ import annotations

from pydantic import Field

from schemas.reports import Document


class Overlap(Document):
    """Things of one kind in both datasets, in the first alone (lost), in the second alone (gained)."""

    both: int
    lost: int
    gained: int


class BoxBand(Document):
    """Boxes of both datasets that are each other's best match, by how well they agree: IoU in ``[min_iou, max_iou)``,
    the last band with its upper end."""

    min_iou: float
    max_iou: float
    boxes: int


class ScoreShift(Document):
    """Second score minus first over the matched boxes; None where nothing matches."""

    mean: float | None
    p05: float | None
    median: float | None
    p95: float | None
    rising_share: float | None


class HeadChange(Document):
    """The boxes of the phrases of one head lemma. ``moved``: matched, with an IoU below the best band's."""

    head_lemma: str
    boxes_before: int
    boxes_after: int
    lost: int
    gained: int
    moved: int
    mean_shift: float | None


class LabelDiff(Document):
    """Two labelled datasets of one source, A (``before``) and B (``after``), compared box by box, each under its
    selection."""

    before: str
    after: str
    matched_by: str = Field(description="`key`, or `picture and caption` where the sources are not the same")
    difference: str = Field(description="what differs in recipe, teacher and source, in words; empty if nothing")
    selections: tuple[str | None, str | None] = Field(description="of A and of B; none for human boxes")
    images: Overlap = Field(description="samples with a selected box")
    phrases: Overlap = Field(description="phrases with a selected box, by sample and span")
    boxes: Overlap = Field(description="`both` are the matched ones, those of all bands together")
    boxes_lost_with_image: int = Field(description="of the lost boxes, those of images that B has no box of")
    boxes_lost_with_phrase: int = Field(description="of the others, those of phrases that B has no box of")
    boxes_gained_with_image: int
    boxes_gained_with_phrase: int
    bands: list[BoxBand]
    score_shift: ScoreShift
    heads: list[HeadChange] = Field(description="head lemmas with the most boxes lost, gained or moved, most first")
