"""Two labellings of the same samples compared, box by box, in DuckDB's SQL: out of core, without the pictures.

In: a connection in which ``before`` and ``after`` have the columns of ``ANNOTATION_SCHEMA``. Out: counts of what was
lost, gained and moved. Phrases are the same where sample and span are; boxes of one phrase match where each is the
other's best by IoU, and that is at least 0.5.
"""

from __future__ import annotations

from typing import Any, Literal

from engine.box_tables import Connection, naming_damage
from schemas.label_diff import BoxBand, HeadChange, Overlap, ScoreShift

MatchedBy = Literal["key", "picture and caption"]

BANDS = ((0.95, 1.0), (0.75, 0.95), (0.5, 0.75))
MIN_IOU, SAME_IOU = BANDS[-1][0], BANDS[0][0]
HEADS = 25

# A sample by its key; or by its picture and its caption, and by order of keys where a picture comes with the same
# caption more than once.
_SAMPLE = {
    "key": "key",
    "picture and caption": "image_sha256 || caption_sha256 || "
    "dense_rank() OVER (PARTITION BY image_sha256, caption_sha256 ORDER BY key)",
}
_BOXES = """
CREATE TABLE {table} AS
SELECT row_number() OVER () AS id, {sample} AS sample, start, "end", head_lemma,
       x1::DOUBLE AS x1, y1::DOUBLE AS y1, x2::DOUBLE AS x2, y2::DOUBLE AS y2, score::DOUBLE AS score
FROM {view}
"""
_MATCHED = f"""
CREATE TABLE matched AS
WITH pairs AS (
    SELECT a.id AS a_id, b.id AS b_id, b.head_lemma, b.score - a.score AS shift,
           greatest(least(a.x2, b.x2) - greatest(a.x1, b.x1), 0)
           * greatest(least(a.y2, b.y2) - greatest(a.y1, b.y1), 0) AS shared,
           (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) AS areas
    FROM boxes_before a JOIN boxes_after b USING (sample, start, "end")
), scored AS (
    SELECT a_id, b_id, head_lemma, shift, shared / (areas - shared) AS iou FROM pairs WHERE areas > shared
)
SELECT * FROM scored WHERE iou >= {MIN_IOU}
QUALIFY row_number() OVER (PARTITION BY a_id ORDER BY iou DESC, abs(shift), b_id) = 1
    AND row_number() OVER (PARTITION BY b_id ORDER BY iou DESC, abs(shift), a_id) = 1
"""


class LabelComparison:
    """The comparison, made once; each method asks it one question. RuntimeError where a stored table is damaged."""

    def __init__(self, connection: Connection, matched_by: MatchedBy) -> None:
        self._connection = connection
        with naming_damage():
            for view in ("before", "after"):
                connection.execute(_BOXES.format(table=f"boxes_{view}", view=view, sample=_SAMPLE[matched_by]))
        connection.execute(_MATCHED)

    def images(self) -> Overlap:
        """Samples with a box."""
        return self._overlap("sample")

    def phrases(self) -> Overlap:
        """Phrases with a box."""
        return self._overlap('sample, start, "end"')

    def boxes(self) -> Overlap:
        """Boxes; in both are those that match."""
        before, after, matched = (self._count(table) for table in ("boxes_before", "boxes_after", "matched"))
        return Overlap(both=matched, lost=before - matched, gained=after - matched)

    def boxes_of_lost(self, had: str, has: str) -> tuple[int, int]:
        """Boxes of table ``had`` whose sample has none in ``has``, and of the others those whose phrase has none."""
        no_sample = self._count(f"{had} ANTI JOIN {has} USING (sample)")
        return no_sample, self._count(f'{had} ANTI JOIN {has} USING (sample, start, "end")') - no_sample

    def bands(self) -> list[BoxBand]:
        """The matched boxes by how well they agree, the best first."""
        found = []
        for low, high in BANDS:
            below = "" if high == 1.0 else f"AND iou < {high}"
            count = self._count(f"matched WHERE iou >= {low} {below}")
            found.append(BoxBand(min_iou=low, max_iou=high, boxes=count))
        return found

    def score_shift(self) -> ScoreShift:
        """How the scores of the matched boxes changed."""
        row = self._rows(
            "SELECT avg(shift), quantile_cont(shift, 0.05), median(shift), quantile_cont(shift, 0.95), "
            "avg((shift > 0)::DOUBLE) FROM matched"
        )[0]
        names = ("mean", "p05", "median", "p95", "rising_share")
        return ScoreShift(
            **{name: None if value is None else round(value, 6) for name, value in zip(names, row, strict=True)}
        )

    def heads(self) -> list[HeadChange]:
        """The head lemmas whose boxes changed most: by boxes lost, gained and moved."""
        rows = self._rows(f"""
            WITH before AS (
                SELECT head_lemma, count(*) AS boxes, count(*) FILTER (a_id IS NULL) AS lost
                FROM boxes_before LEFT JOIN (SELECT a_id FROM matched) ON id = a_id GROUP BY head_lemma
            ), after AS (
                SELECT head_lemma, count(*) AS boxes, count(*) FILTER (b_id IS NULL) AS gained
                FROM boxes_after LEFT JOIN (SELECT b_id FROM matched) ON id = b_id GROUP BY head_lemma
            ), changed AS (
                SELECT head_lemma, count(*) FILTER (iou < {SAME_IOU}) AS moved, avg(shift) AS shift
                FROM matched GROUP BY head_lemma
            )
            SELECT head_lemma, coalesce(before.boxes, 0), coalesce(after.boxes, 0), coalesce(lost, 0),
                   coalesce(gained, 0), coalesce(moved, 0), round(shift, 6)
            FROM before FULL JOIN after USING (head_lemma) FULL JOIN changed USING (head_lemma)
            ORDER BY coalesce(lost, 0) + coalesce(gained, 0) + coalesce(moved, 0) DESC, head_lemma LIMIT {HEADS}
        """)
        names = ("head_lemma", "boxes_before", "boxes_after", "lost", "gained", "moved", "mean_shift")
        return [HeadChange(**dict(zip(names, row, strict=True))) for row in rows]

    def _overlap(self, columns: str) -> Overlap:
        before, after = (f"(SELECT DISTINCT {columns} FROM boxes_{side})" for side in ("before", "after"))
        both = self._count(f"{before} SEMI JOIN {after} USING ({columns})")
        return Overlap(both=both, lost=self._count(before) - both, gained=self._count(after) - both)

    def _count(self, what: str) -> int:
        return int(self._rows(f"SELECT count(*) FROM {what}")[0][0])

    def _rows(self, sql: str) -> list[Any]:
        rows: list[Any] = self._connection.execute(sql).fetchall()
        return rows
