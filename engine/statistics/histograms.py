"""The distributions that a dataset's report asks of its tables: histograms, and boxes by place in the image.

In: filled :class:`~engine.statistics.tables.StatisticsTables`. Out: counts by bin, with their definition and SQL. To
add a distribution, add a line to ``DISTRIBUTIONS``.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.statistics.tables import StatisticsTables
from schemas.dataset_report import HeatMap, Histogram, Section

HEAT_MAP_SIDE = 24


class Distribution(NamedTuple):
    """A value ``v`` of each thing, and the bins: lower edge, width, number; which ends are open."""

    name: str
    title: str
    section: Section
    unit: str
    sql: str
    low: float
    width: float
    bins: int
    definition: str
    open_start: bool = False
    open_end: bool = False


DISTRIBUTIONS = (
    Distribution(
        "scores", "Scores", "scores", "score",
        "SELECT score AS v FROM boxes",
        0.0, 0.05, 20, "Boxes by raw score.",
    ),
    Distribution(
        "boxes_per_image", "Boxes per image", "size", "boxes",
        "SELECT boxes AS v FROM images",
        1, 1, 20, "Images with a box by their selected boxes.", open_end=True,
    ),
    Distribution(
        "boxes_per_phrase", "Boxes per phrase", "size", "boxes",
        "SELECT boxes AS v FROM occurrences",
        1, 1, 10, "Grounded phrases by their selected boxes.", open_end=True,
    ),
    Distribution(
        "phrases_per_image", "Grounded phrases per image", "size", "phrases",
        "SELECT phrases AS v FROM images",
        1, 1, 12, "Images with a box by their grounded phrases.", open_end=True,
    ),
    Distribution(
        "box_sizes", "Box size", "boxes", "side of the box, as a share of the image",
        "SELECT sqrt((x2 - x1) * (y2 - y1) / (width::DOUBLE * height)) AS v FROM boxes",
        0.0, 0.05, 20, "Boxes by the square root of their share of the image's area.",
    ),
    Distribution(
        "box_aspects", "Box aspect", "boxes", "log2 of width / height",
        "SELECT log2((x2 - x1) / (y2 - y1)) AS v FROM boxes WHERE x2 > x1 AND y2 > y1",
        -4.0, 0.5, 16, "Boxes with an area by the logarithm of width / height: 0 is square, 1 twice as wide as high.",
        open_start=True, open_end=True,
    ),
    Distribution(
        "image_sides", "Image size", "images", "longer side, pixels",
        "SELECT greatest(width, height) AS v FROM images",
        0, 128, 20, "Images with a box by their longer side as stored.", open_end=True,
    ),
    Distribution(
        "image_aspects", "Image aspect", "images", "log2 of width / height",
        "SELECT log2(width / height) AS v FROM images",
        -2.0, 0.25, 16, "Images with a box by the logarithm of width / height.", open_start=True, open_end=True,
    ),
)  # fmt: skip


def histograms(tables: StatisticsTables) -> list[Histogram]:
    """The histograms of all ``DISTRIBUTIONS``, in order; zeros where a table is empty."""
    return [histogram(tables, one) for one in DISTRIBUTIONS]


def binned(one: Distribution) -> str:
    """The SQL that counts by bin. The small term keeps a value on an edge, such as float32 0.3, in the bin that begins
    there."""
    bin_of = f"least(greatest(floor((v - ({one.low})) / {one.width} + 1e-6), 0), {one.bins - 1})::INTEGER"
    return f"SELECT {bin_of} AS bin, count(*) AS things FROM ({one.sql}) GROUP BY bin ORDER BY bin"


def histogram(tables: StatisticsTables, one: Distribution) -> Histogram:
    counts = dict(tables.rows(binned(one)))
    return Histogram(
        name=one.name,
        title=one.title,
        unit=one.unit,
        edges=[round(one.low + one.width * edge, 6) for edge in range(one.bins + 1)],
        counts=[int(counts.get(number, 0)) for number in range(one.bins)],
        open_start=one.open_start,
        open_end=one.open_end,
        definition=one.definition,
        sql=binned(one),
        section=one.section,
    )


def heat_maps(tables: StatisticsTables) -> list[HeatMap]:
    """Counts of the boxes' centres by place in the image."""
    side = HEAT_MAP_SIDE
    x, y = (
        f"least(floor(({low}::DOUBLE + {high}) / 2 / {size} * {side}), {side - 1})::INTEGER"
        for low, high, size in (("x1", "x2", "width"), ("y1", "y2", "height"))
    )
    sql = f"SELECT {y} AS place_y, {x} AS place_x, count(*) AS boxes FROM boxes GROUP BY ALL ORDER BY ALL"
    counts = [[0] * side for _ in range(side)]
    for row, column, boxes in tables.rows(sql):
        counts[row][column] = int(boxes)
    definition = f"Boxes by the position of their centre in the image, cut into {side} x {side} equal parts."
    return [HeatMap(name="box_centres", title="Where boxes are", definition=definition, sql=sql, counts=counts)]
