"""The phrases of a dataset: which are frequent, which are rare, and which no human dataset names.

In: filled :class:`~engine.statistics.tables.StatisticsTables`. Out: lists for the report. Phrases are unique texts in
lower case; one is new where no human phrase has its lemma form.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from engine.statistics.tables import NEW_PHRASES, StatisticsTables
from schemas.dataset_vocabulary import HeadCount, Novelty, PhraseCount

HEAD_PHRASES = 30
TAIL_PHRASES = 40
HEADS = 50
SHOWN_NEW_PHRASES = 60
NEW_HEADS = 40
DIGITS = 6

_COUNTS = "phrase, occurrences, images, boxes"


def head_phrases(tables: StatisticsTables) -> list[PhraseCount]:
    """The most frequent phrases; equal counts go by text."""
    return _phrases(tables, "occurrences DESC, phrase", HEAD_PHRASES)


def tail_phrases(tables: StatisticsTables) -> list[PhraseCount]:
    """Some of the rarest phrases; equal counts go by a hash of the text, so that equal data give equal lists."""
    return _phrases(tables, "occurrences, hash(phrase), phrase", TAIL_PHRASES)


def _phrases(tables: StatisticsTables, order: str, limit: int) -> list[PhraseCount]:
    return _counts(tables, tables.rows(f"SELECT {_COUNTS} FROM phrases ORDER BY {order} LIMIT {limit}"))


def phrase_counts(tables: StatisticsTables, texts: Collection[str]) -> dict[str, PhraseCount]:
    """Counts of some phrases in the whole dataset, by the texts as given; a phrase that does not occur is not in the
    answer."""
    rows = tables.rows(
        f"SELECT given, {_COUNTS} FROM (SELECT DISTINCT unnest(?::VARCHAR[]) AS given) "
        "JOIN phrases ON lower(given) = phrase",
        [sorted(texts)],
    )
    counts = {one.text: one for one in _counts(tables, [row[1:] for row in rows])}
    return {given: counts[phrase] for given, phrase, *_ in rows}


def _counts(tables: StatisticsTables, rows: list[Any]) -> list[PhraseCount]:
    new = _new_among(tables, [row[0] for row in rows]) if tables.has_human else None
    return [
        PhraseCount(text=text, occurrences=count, images=images, boxes=boxes, new=None if new is None else text in new)
        for text, count, images, boxes in rows
    ]


def _new_among(tables: StatisticsTables, phrases: list[str]) -> set[str]:
    sql = "SELECT phrase FROM new_phrases WHERE phrase IN (SELECT unnest(?::VARCHAR[]))"
    return {phrase for (phrase,) in tables.rows(sql, [phrases])}


def head_lemmas(tables: StatisticsTables) -> list[HeadCount]:
    """The most frequent head lemmas."""
    return _heads(tables, "heads", HEADS)


def _heads(tables: StatisticsTables, source: str, limit: int) -> list[HeadCount]:
    rows = tables.rows(
        f"SELECT head_lemma, occurrences, unique_phrases, boxes, mean_score FROM {source} "
        f"ORDER BY occurrences DESC, head_lemma LIMIT {limit}"
    )
    return [
        HeadCount(head_lemma=head, occurrences=n, unique_phrases=unique, boxes=boxes, mean_score=round(mean, DIGITS))
        for head, n, unique, boxes, mean in rows
    ]


def novelty(tables: StatisticsTables, human_datasets: list[str]) -> Novelty:
    """What no human dataset names."""
    [human] = tables.one("SELECT count(DISTINCT phrase) FROM human_phrases")
    new, occurrences = tables.one("SELECT count(*), coalesce(sum(occurrences), 0)::BIGINT FROM new_phrases")
    all_phrases, all_occurrences = tables.one("SELECT count(*), coalesce(sum(occurrences), 0)::BIGINT FROM phrases")
    new_heads = "heads ANTI JOIN (SELECT DISTINCT head_lemma FROM human_phrases) USING (head_lemma)"
    rows = tables.rows(f"SELECT {_COUNTS} FROM new_phrases ORDER BY occurrences DESC, phrase LIMIT {SHOWN_NEW_PHRASES}")
    return Novelty(
        human_datasets=human_datasets,
        human_phrases=human,
        new_phrases=new,
        new_share=round(new / all_phrases, DIGITS) if all_phrases else None,
        new_occurrences=occurrences,
        new_occurrence_share=round(occurrences / all_occurrences, DIGITS) if all_occurrences else None,
        new_heads=tables.one(f"SELECT count(*) FROM {new_heads}")[0],
        phrases=[
            PhraseCount(text=text, occurrences=count, images=images, boxes=boxes, new=True)
            for text, count, images, boxes in rows
        ],
        heads=_heads(tables, new_heads, NEW_HEADS),
        definition="Unique phrases (lower case) whose lemma form no grounded phrase of the human datasets has, and "
        "head lemmas that none of them has.",
        sql=" ".join(NEW_PHRASES.split()),
    )
