"""The selected boxes of a dataset as Arrow tables, some hundred thousand rows at a time: images, occurrences, boxes.

In: stored annotation tables, and what readers make of them: the selection, duplicates, reviewers' verdicts. Out: a
:class:`Batch` whose rows are numbered through the dataset, so that no key or caption has to be compared again, and the
boxes that were dropped by reason. An occurrence is one phrase of one image, with its boxes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.dataset.annotation_tables import StoredTable
from engine.selecting.columns import PIXEL_DECIMALS, SCORE_DECIMALS, BoxColumns, Integers
from engine.selecting.rules import group_numbers, select_rows
from engine.selection import Selection
from schemas.calibration import GROUPS
from schemas.shards import CORNERS

ROWS_A_BATCH = 250_000
HEX_DIGITS = 64  # of a SHA-256
TEXT = pa.dictionary(pa.int32(), pa.string())
BOX_SCHEMA = pa.schema(
    [
        ("key", TEXT),
        ("phrase", pa.int32()),
        ("phrase_text", TEXT),
        ("head_lemma", TEXT),
        ("start", pa.int32()),
        ("end", pa.int32()),
        *((side, pa.float32()) for side in CORNERS),
        ("score", pa.float32()),
        ("agreement", pa.float32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("caption_sha256", TEXT),
        ("image_sha256", TEXT),
    ]
)


class Batch(NamedTuple):
    """Rows for the tables of the report, numbered from the counts given on."""

    images: pa.Table
    occurrences: pa.Table
    boxes: pa.Table
    dropped: Counter[str]
    came_by_group: NDArray[np.int64]
    """Candidates by group of the calibration; zeros where the selection is not calibrated."""
    kept_by_group: NDArray[np.int64]


def check_stored_agreement(stored: StoredTable, selection: Selection | None, name: str) -> None:
    """ValueError where the selection asks for an agreement that the table ``name`` does not hold."""
    if selection is not None and selection.min_agreement is not None and stored.table["agreement"].null_count:
        raise ValueError(
            f"{name} was labelled by one teacher, so its boxes have no agreement with another's; leave min_agreement "
            "out of the selection, or label with an ensemble"
        )


def joined(tables: Iterable[StoredTable], rows: int = ROWS_A_BATCH) -> Iterator[pa.Table]:
    """Tables of units one behind the other with a column ``unit``; each but the last has at least ``rows`` rows."""
    waiting: list[pa.Table] = []
    count = 0
    for one in tables:
        if waiting and not len(one.table):  # a unit whose samples were all rejected; there may be very many
            continue
        waiting.append(one.table.append_column("unit", pa.array(np.full(len(one.table), one.unit, np.int32))))
        count += len(one.table)
        if count >= rows:
            yield _concatenated(waiting)
            waiting, count = [], 0
    if waiting:
        yield _concatenated(waiting)


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def numbered(table: pa.Table) -> tuple[pa.Table, Integers]:
    """The rows with those of an image together, and the number of each row's image, from 0 on in their order."""
    keys, units = codes(table, "key"), table["unit"].to_numpy().astype(np.int64)
    samples = units * (keys.max(initial=0) + 1) + keys
    begins = np.flatnonzero(np.diff(samples, prepend=samples[:1] - 1))
    found, first = np.unique(samples[begins], return_index=True)
    if len(found) == len(begins):
        return table, np.repeat(np.arange(len(begins)), np.diff(begins, append=len(samples)))
    place = np.empty(len(found), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(found))
    image = place[np.searchsorted(found, samples)]
    order = np.argsort(image, kind="stable")
    return table.take(pa.array(order)), image[order]


def codes(table: pa.Table, name: str) -> Integers:
    """The dictionary codes of a column of texts; 0 for null."""
    column = table[name].combine_chunks()
    found: Integers = pc.fill_null(column.indices, 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def texts(table: pa.Table, name: str) -> pa.Array:
    """The texts that the codes of a column stand for; one empty text where there is none."""
    found = table[name].combine_chunks().dictionary
    return found if len(found) else pa.array([""])


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column of numbers; 0 for null."""
    found: NDArray[np.float64] = pc.fill_null(table[name].cast(pa.float64()), 0.0).to_numpy()
    return found


def box_columns(table: pa.Table, image: Integers) -> BoxColumns:
    """What the rules of a selection look at."""
    sides = [np.round(_numbers(table, side), PIXEL_DECIMALS) for side in CORNERS]
    return BoxColumns(
        image=image,
        phrase=_numbers(table, "phrase").astype(np.int64),
        start=_numbers(table, "start").astype(np.int64),
        end=_numbers(table, "end").astype(np.int64),
        head=codes(table, "head_lemma"),
        heads=tuple((head or "").lower() for head in texts(table, "head_lemma").to_pylist()),
        score=np.round(_numbers(table, "score"), SCORE_DECIMALS),
        agreement=np.round(_numbers(table, "agreement"), SCORE_DECIMALS),
        boxes_xyxy=np.stack(sides, axis=1),
        width=_numbers(table, "width"),
        height=_numbers(table, "height"),
    )


def batch_of(
    table: pa.Table, image: Integers, selection: Selection | None, images_before: int, occurrences_before: int
) -> Batch:
    """The rows that the selection keeps (None: all) as tables. ``table`` and ``image`` as :func:`numbered` gives them;
    images that keep no box have no row."""
    dropped: Counter[str] = Counter()
    came = kept = np.zeros(len(GROUPS), dtype=np.int64)
    if selection is not None and selection.identity() and len(table):
        columns = box_columns(table, image)
        stays, dropped = select_rows(columns, selection)
        if selection.calibrated is not None:
            groups = group_numbers(columns, selection.calibrated)
            came, kept = (np.bincount(one, minlength=len(GROUPS)) for one in (groups, groups[stays]))
        table, image = table.filter(pa.array(stays)), image[stays]
    image = np.unique(image, return_inverse=True)[1].astype(np.int64)
    occurrences, of_box = _occurrences(table, image, images_before, occurrences_before)
    boxes = pa.table(
        {
            "image": image + images_before,
            "occurrence": of_box + occurrences_before,
            **{name: table[name] for name in ("score", *CORNERS, "width", "height")},
        }
    )
    return Batch(_images(table, image, occurrences, images_before), occurrences, boxes, dropped, came, kept)


def _occurrences(table: pa.Table, image: Integers, images_before: int, before: int) -> tuple[pa.Table, Integers]:
    """A row for each phrase of each image, and for each box the number of its occurrence within the batch."""
    phrase = table["phrase"].to_numpy().astype(np.int64)
    pairs = image * (phrase.max(initial=0) + 1) + phrase
    _, first, of_box, boxes = np.unique(pairs, return_index=True, return_inverse=True, return_counts=True)
    written, meanings = codes(table, "phrase_text")[first], texts(table, "phrase_text")
    lower = pc.utf8_lower(meanings).dictionary_encode()
    spelling = lower.indices.to_numpy().astype(np.int64)[written]
    first_in_image = np.zeros(len(first), dtype=bool)
    first_in_image[np.unique(image[first] * len(lower.dictionary) + spelling, return_index=True)[1]] = True
    head = table["head_lemma"].combine_chunks().take(pa.array(first))
    rows = {
        "occurrence": np.arange(len(first)) + before,
        "image": image[first] + images_before,
        "text": meanings.take(pa.array(written)),
        "head_lemma": head.cast(pa.string()),
        "boxes": boxes.astype(np.int32),
        "score_sum": np.bincount(of_box, weights=_numbers(table, "score"), minlength=len(first)),
        "first_in_image": first_in_image,
    }
    return pa.table(rows), of_box.astype(np.int64)


def _images(table: pa.Table, image: Integers, occurrences: pa.Table, before: int) -> pa.Table:
    first = np.flatnonzero(np.diff(image, prepend=-1))
    rows = table.select(["unit", "width", "height"]).take(pa.array(first))
    phrases = np.bincount(occurrences["image"].to_numpy() - before, minlength=len(first))
    file_a, file_b = _digest_words(table, "image_sha256", first)
    caption_a, caption_b = _digest_words(table, "caption_sha256", first)
    return pa.table(
        {
            "image": np.arange(len(first)) + before,
            **{name: rows[name] for name in rows.column_names},
            "file_a": file_a,
            "file_b": file_b,
            "caption_a": caption_a,
            "caption_b": caption_b,
            "boxes": np.bincount(image, minlength=len(first)).astype(np.int32),
            "phrases": phrases.astype(np.int32),
        }
    )


def _digest_words(table: pa.Table, name: str, rows: Integers) -> tuple[pa.Array, pa.Array]:
    """The digests of some rows, folded to 128 bits, as two integer columns: comparing them costs a quarter of comparing
    texts."""
    unknown = table[name].combine_chunks().is_null().to_numpy(zero_copy_only=False)[rows]
    words = folded_digests(texts(table, name))[codes(table, name)[rows]]
    return pa.array(words[:, 0], mask=unknown), pa.array(words[:, 1], mask=unknown)


def folded_digests(digests: pa.Array) -> NDArray[np.uint64]:
    """[N, 2] words: each SHA-256 (hexadecimal) folded to 128 bits. A text that is no SHA-256 gives those of its own
    SHA-256."""
    packed = b""
    if pc.all(pc.equal(pc.binary_length(digests), HEX_DIGITS)).as_py():
        whole = pa.concat_arrays([digests]).cast(pa.string())  # its bytes stand one behind the other
        first = whole.offset * HEX_DIGITS
        content = whole.buffers()[2].to_pybytes()[first : first + len(whole) * HEX_DIGITS]
        with suppress(ValueError):
            packed = bytes.fromhex(content.decode())
    if len(packed) * 2 != len(digests) * HEX_DIGITS:
        encoded = (str(digest).encode("utf-8", "surrogatepass") for digest in digests.to_pylist())
        packed = b"".join(hashlib.sha256(one).digest() for one in encoded)
    words = np.frombuffer(packed, dtype=">u8").astype(np.uint64).reshape(-1, 4)
    return words[:, :2] ^ words[:, 2:]
