"""What a new teacher or recipe changed: two labelled datasets of the same source, compared box by box.

In: two datasets. Out: a :class:`~schemas.label_diff.LabelDiff`. Only tables are read, never pictures; DuckDB compares
them out of core.
"""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from engine.artifacts import Store
from engine.box_tables import add_boxes, box_database
from engine.label_diff import LabelComparison, MatchedBy
from engine.selection import check_teacher, chosen_selection, resolve_selection, selection_name
from engine.shards import committed_units, read_card
from pipelines.console.terminal import plain_console, visible
from pipelines.labelling.bookkeeping import difference_of
from schemas.label_diff import LabelDiff
from schemas.recipes import SelectionChoice
from schemas.shards import DatasetCard

ALL = "all"


def diff(
    before: str | Path,
    after: str | Path,
    *,
    selection: SelectionChoice | None = None,
    force: bool = False,
    progress: bool = True,
) -> LabelDiff:
    """Compare the dataset ``after`` with ``before``, each under ``selection`` (its card's own where None).

    ValueError where one is no dataset, is damaged or not complete, or where their sources differ; with ``force`` they
    are compared all the same, samples being matched by picture and caption instead of by key. Duplicates are compared
    as all samples are: what the teacher said of them is there.
    """
    stores = Store(before), Store(after)
    first, second = (read_card(store) for store in stores)
    matched_by = _how_to_match(stores, (first, second), force)
    chosen = [chosen_selection(card, selection) for card in (first, second)]
    for card, choice in zip((first, second), chosen, strict=True):
        if choice is not None:
            check_teacher(choice, str(card.teacher_digest))
    with box_database() as (connection, folder):
        for view, store, choice in zip(("before", "after"), stores, chosen, strict=True):
            rules = None if choice is None or choice == ALL else resolve_selection(choice)
            add_boxes(connection, folder, view, store, committed_units(store), rules)
        compared = LabelComparison(connection, matched_by)
        lost_with = compared.boxes_of_lost("boxes_before", "boxes_after")
        gained_with = compared.boxes_of_lost("boxes_after", "boxes_before")
        result = LabelDiff(
            before=stores[0].root,
            after=stores[1].root,
            matched_by=matched_by,
            difference=difference_of(first, second),
            selections=(_name(chosen[0]), _name(chosen[1])),
            images=compared.images(),
            phrases=compared.phrases(),
            boxes=compared.boxes(),
            boxes_lost_with_image=lost_with[0],
            boxes_lost_with_phrase=lost_with[1],
            boxes_gained_with_image=gained_with[0],
            boxes_gained_with_phrase=gained_with[1],
            bands=compared.bands(),
            score_shift=compared.score_shift(),
            heads=compared.heads(),
        )
    if progress:
        print_diff(result)
    return result


def _how_to_match(stores: tuple[Store, Store], cards: tuple[DatasetCard, DatasetCard], force: bool) -> MatchedBy:
    unfinished = [store.root for store, card in zip(stores, cards, strict=True) if not card.complete]
    if unfinished and not force:
        raise ValueError(
            f"{unfinished[0]} is not complete: what is not labelled yet would count as lost. Run `label` again, or "
            "give --force"
        )
    if cards[0].source_fingerprint == cards[1].source_fingerprint:
        return "key"
    if not force:
        raise ValueError(
            f"{stores[0].root} and {stores[1].root} are of different sources (fingerprints "
            f"{cards[0].source_fingerprint[:12]} and {cards[1].source_fingerprint[:12]}): their keys may name other "
            "pictures. --force matches samples by picture and caption instead"
        )
    return "picture and caption"


def _name(selection: SelectionChoice | None) -> str | None:
    return None if selection is None else selection_name(selection)


def print_diff(found: LabelDiff) -> None:
    """The comparison as tables on the terminal."""
    first, second = found.selections
    print(f"{found.before} ({first}) -> {found.after} ({second}), matched by {found.matched_by}")
    print(f"what differs: {found.difference or 'nothing in source, recipe and teacher'}")
    console = plain_console()
    counts = Table()
    for column in ("", "in both", "lost", "gained"):
        counts.add_column(column, justify="left" if not column else "right")
    for name, row in (("images", found.images), ("phrases", found.phrases), ("boxes", found.boxes)):
        counts.add_row(name, f"{row.both:,}", f"{row.lost:,}", f"{row.gained:,}")
    console.print(counts)
    bands = ", ".join(f"{band.boxes:,} at IoU {band.min_iou:.2f} to {band.max_iou:.2f}" for band in found.bands)
    print(f"boxes in both: {bands}")
    shift = found.score_shift
    if shift.mean is not None:
        print(
            f"their score: {shift.mean:+.3f} on average, median {shift.median:+.3f}, 90 % between {shift.p05:+.3f} and "
            f"{shift.p95:+.3f}; {shift.rising_share:.1%} rise"
        )
    changed = [head for head in found.heads if head.lost or head.gained or head.moved]
    if not changed:
        return
    heads = Table(title="Head lemmas that changed most, in boxes")
    for column in ("head", "before", "after", "lost", "gained", "moved", "score"):
        heads.add_column(column, justify="left" if column == "head" else "right")
    for head in changed:
        numbers = (head.boxes_before, head.boxes_after, head.lost, head.gained, head.moved)
        shown = "-" if head.mean_shift is None else f"{head.mean_shift:+.3f}"
        heads.add_row(visible(head.head_lemma), *(f"{number:,}" for number in numbers), shown)
    console.print(heads)
