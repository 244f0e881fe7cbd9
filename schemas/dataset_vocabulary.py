"""What a report says of a dataset's phrases: their counts, the laws they follow, and what humans never named.

Phrases are texts in lower case unless a field says otherwise.
"""

from __future__ import annotations

from pydantic import Field

from schemas.reports import Document


class PhraseCount(Document):
    """A noun phrase (lower-case) with how often it occurs with a box: occurrences, images, boxes.

    ``new``: whether it is absent from the human vocabulary; None where none was given.
    """

    text: str
    occurrences: int
    images: int
    boxes: int
    new: bool | None = None


class HeadCount(Document):
    """A head lemma: how often a phrase with this head occurs with a box, how many different phrases, their boxes, and
    the boxes' mean raw score."""

    head_lemma: str
    occurrences: int
    unique_phrases: int
    boxes: int
    mean_score: float | None


class ZipfFit(Document):
    """``occurrences = scale / rank ** exponent``, fitted by least squares in logarithms to the spaced ranks from
    ``first_rank`` to ``last_rank``; ``r_squared`` of the logarithms."""

    exponent: float
    scale: float
    r_squared: float
    first_rank: int
    last_rank: int
    definition: str


class GrowthPoint(Document):
    """The first ``images`` images of the dataset, in its order: their grounded phrases' occurrences and unique ones."""

    images: int
    occurrences: int
    unique_phrases: int


class VocabularyGrowth(Document):
    """Heaps' law ``unique phrases = scale * occurrences ** exponent``, fitted by least squares in logarithms.

    ``early_exponent`` and ``late_exponent`` are those of the first and of the second half of the points: they tell how
    far the law holds. None where there are too few points.
    """

    points: list[GrowthPoint]
    exponent: float | None = None
    scale: float | None = None
    r_squared: float | None = None
    early_exponent: float | None = None
    late_exponent: float | None = None
    definition: str
    sql: str


class PaperFigure(Document):
    """A number of this dataset, the same extrapolated to the paper's 24M pairs, and the paper's own."""

    name: str
    title: str
    here: float | None
    extrapolated: float | None = Field(description="None where it cannot be told")
    paper: float
    definition: str


class Novelty(Document):
    """Phrases and heads that the human datasets never name: the new concepts. ``phrases``: the most frequent ones."""

    human_datasets: list[str]
    human_phrases: int = Field(description="unique phrases of the human datasets")
    new_phrases: int = Field(description="unique phrases of this dataset that are not among them")
    new_share: float | None = Field(description="of the unique phrases")
    new_occurrences: int
    new_occurrence_share: float | None
    new_heads: int = Field(description="unique head lemmas that no phrase of the human datasets has")
    phrases: list[PhraseCount]
    heads: list[HeadCount]
    definition: str
    sql: str
