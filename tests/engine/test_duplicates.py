"""Duplicates of a dataset: the first sample of a picture stays, and the table says which rows readers leave out."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import saved
from sample_labels import labels_of, write_units

from engine.artifacts import Store
from engine.duplicates import (
    DUPLICATES,
    EXACT,
    NEAR,
    FoundDuplicates,
    Identities,
    duplicate_table,
    find_duplicates,
    read_duplicates,
    write_duplicates,
)
from engine.filtering.image_hash import near, words_of
from engine.filtering.image_identity import ImageIdentity, image_identities
from engine.shards import LabelledImage, annotations_name
from schemas.shards import DUPLICATE_SCHEMA, ShardManifest

OTHER = 0x0F0F_3355_AA00_FF12 << 64 | 0x1234_5678_9ABC_DEF0


def image(file: str, phash: int | None, caption: str = "a dog") -> ImageIdentity:
    return ImageIdentity(file, hashlib.sha256(file.encode()).digest(), phash, hashlib.sha256(caption.encode()).digest())


def found(*images: ImageIdentity, by: str = "image", distance: int = 6) -> FoundDuplicates:
    return find_duplicates(Identities.of(images), by=by, max_distance=distance)  # type: ignore[arg-type]


def test_the_first_of_a_file_and_of_a_picture_stays() -> None:
    two_bits = OTHER ^ 0b11 << 70
    result = found(
        image("a", 1 << 90), image("b", OTHER), image("a", 1 << 90), image("c", two_bits), image("c", two_bits)
    )
    assert result.of.tolist() == [0, 1, 0, 1, 1]
    assert result.exact.tolist() == [False, False, True, False, True]
    assert result.distance.tolist() == [0, 0, 0, 2, 2]


def test_other_files_with_the_same_hash_are_near_duplicates_and_distance_0_finds_them() -> None:
    result = found(image("a", OTHER), image("b", OTHER), distance=0)
    assert result.of.tolist() == [0, 0]
    assert result.exact.tolist() == [False, False]


def test_a_picture_without_a_hash_is_a_duplicate_of_the_same_file_only() -> None:
    assert found(image("a", None), image("b", None), image("a", None), image("c", 0)).of.tolist() == [0, 1, 0, 3]


def test_by_pair_the_caption_must_be_the_same_too() -> None:
    images = [image("a", OTHER, "a dog"), image("a", OTHER, "a cat"), image("b", OTHER ^ 1 << 64, "a cat")]
    assert found(*images).of.tolist() == [0, 0, 0]
    assert found(*images, by="pair").of.tolist() == [0, 1, 1]


def test_what_stays_has_no_duplicate_among_what_stays() -> None:
    random = np.random.default_rng(5)
    centres = [int.from_bytes(random.bytes(16), "big") for _ in range(15)]
    images = []
    for number in range(400):
        bits = random.integers(0, 128, random.integers(0, 8)).tolist()
        phash = centres[number % 15]
        for bit in bits:
            phash ^= 1 << bit
        images.append(image(f"{phash:x}", phash if number % 7 else None))
    result = found(*images)
    words = words_of(one.phash or 0 for one in images)
    for number, one in enumerate(result.of.tolist()):
        assert result.of[one] == one, "what a duplicate is of stays"
        assert one <= number
        same_file = images[number].sha256 == images[one].sha256
        assert same_file or result.exact[number] or near(words[number], words[one], 6)
    stay = [n for n in np.flatnonzero(result.of == np.arange(400)).tolist() if images[n].phash is not None]
    for place, number in enumerate(stay):
        assert not near(words[stay[:place]], words[number], 6).any()


def test_no_sample_has_no_duplicate() -> None:
    result = found()
    assert len(result.of) == 0
    assert duplicate_table(result, [], []).num_rows == 0


# ---------------------------------------------------------------------------------------------------- the view on read


def sample(key: str, content: bytes, phash: str | None, *, boxes: int = 1) -> LabelledImage:
    digest = hashlib.sha256(content).hexdigest()
    rows = [(0, (0, 0, 5, 5), 0.9)] * boxes
    labels = labels_of("a dog", ["a dog"], rows, key=key, size=(10, 10), image_sha256=digest, image_phash=phash)
    return LabelledImage(labels, content, "jpg")


def dataset(folder: Path, *units: list[LabelledImage]) -> tuple[Store, list[ShardManifest]]:
    store = Store(folder)
    return store, write_units(store, units, every=3)


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Store, list[ShardManifest]]:
    hashes = [f"{OTHER ^ bits << 64:032x}" for bits in (0, 0b1, 0b11)]
    return dataset(
        tmp_path / "labelled",
        [sample("a", b"1", hashes[0], boxes=2), sample("b", b"2", "0" * 32)],
        [sample("c", b"1", hashes[0]), sample("d", b"3", hashes[2], boxes=3), sample("e", b"4", None)],
    )


def write_view(store: Store, manifests: list[ShardManifest]) -> None:
    images = [one for unit in image_identities(store, manifests) for one in unit]
    result = find_duplicates(Identities.of(images), by="image", max_distance=6)
    table = duplicate_table(result, [one.key for one in images], manifests)
    write_duplicates(store, table, manifests, by="image", max_distance=6)


def test_identities_are_those_of_the_labels_in_their_order(labelled: tuple[Store, list[ShardManifest]]) -> None:
    store, manifests = labelled
    images = [one for unit in image_identities(store, manifests) for one in unit]
    assert [one.key for one in images] == ["a", "b", "c", "d", "e"]
    assert images[0] == ImageIdentity("a", hashlib.sha256(b"1").digest(), OTHER, hashlib.sha256(b"a dog").digest())
    assert (images[1].phash, images[4].phash) == (0, None)


@pytest.mark.parametrize("column", ["image_sha256", "caption_sha256", "image_phash"])
@pytest.mark.parametrize("other", [None, "no digest"])
def test_what_a_table_does_not_tell_is_found_in_the_shard(
    labelled: tuple[Store, list[ShardManifest]], column: str, other: str | None
) -> None:
    store, manifests = labelled
    whole = [one for unit in image_identities(store, manifests) for one in unit]
    path = store.path(annotations_name(3))
    table = pq.read_table(path)
    texts = [
        other if key == "c" else text
        for key, text in zip(*(table[n].to_pylist() for n in ("key", column)), strict=True)
    ]
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, pa.array(texts, pa.string())), path)
    assert [one for unit in image_identities(store, manifests) for one in unit] == whole


def test_a_sample_without_boxes_is_found_in_the_shard(tmp_path: Path) -> None:
    store, manifests = dataset(tmp_path / "human", [sample("a", b"1", "0" * 32, boxes=0), sample("b", b"2", "1" * 32)])
    assert [one.key for unit in image_identities(store, manifests) for one in unit] == ["a", "b"]


def test_a_picture_whose_labels_have_no_hash_is_hashed_when_it_is_read(tmp_path: Path) -> None:
    from PIL import Image

    store, manifests = dataset(
        tmp_path / "bare", [sample("a", saved(Image.radial_gradient("L")), None), sample("b", b"no picture", None)]
    )
    [[first, second]] = map(list, image_identities(store, manifests))
    assert first.phash is not None
    assert second.phash is None


def test_the_view_says_which_rows_are_left_out_and_why(labelled: tuple[Store, list[ShardManifest]]) -> None:
    store, manifests = labelled
    assert read_duplicates(store, manifests).digest is None, "nobody has looked"
    write_view(store, manifests)
    table = pq.read_table(io.BytesIO(store.read(DUPLICATES)))
    assert table.schema.equals(DUPLICATE_SCHEMA)
    assert table.to_pylist() == [
        {"unit": 3, "row": 0, "key": "c", "reason": EXACT, "of_key": "a", "distance": 0},
        {"unit": 3, "row": 1, "key": "d", "reason": NEAR, "of_key": "a", "distance": 2},
    ]
    view = read_duplicates(store, manifests)
    assert (view.of(0), view.of(3), view.counts) == (frozenset(), {0, 1}, {EXACT: 1, NEAR: 1})
    before = store.read(DUPLICATES)
    write_view(store, manifests)
    assert store.read(DUPLICATES) == before


def test_a_view_of_other_shards_is_refused(labelled: tuple[Store, list[ShardManifest]]) -> None:
    store, manifests = labelled
    write_view(store, manifests)
    with pytest.raises(ValueError, match=r"was made for other shards.*dedupe"):
        read_duplicates(store, manifests[:1])


def test_a_view_is_of_its_shards_also_where_the_tables_of_boxes_are_equal(tmp_path: Path) -> None:
    store, manifests = dataset(tmp_path / "one", [sample("a", b"1", "0" * 32), sample("b", b"2", None, boxes=0)])
    _, others = dataset(tmp_path / "other", [sample("a", b"1", "0" * 32), sample("b", b"3", None, boxes=0)])
    write_view(store, manifests)
    with pytest.raises(ValueError, match="was made for other shards"):
        read_duplicates(store, others)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more"])
def test_what_is_no_table_of_duplicates_is_refused(content: bytes, labelled: tuple[Store, list[ShardManifest]]) -> None:
    store, manifests = labelled
    store.write(DUPLICATES, content)
    with pytest.raises(ValueError, match="not a table of duplicates"):
        read_duplicates(store, manifests)


def _without_a_row(table: pa.Table) -> pa.Table:
    return table.set_column(1, DUPLICATE_SCHEMA.field("row"), pa.array([0, None], pa.int32()))


OTHER_TABLES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "no metadata": lambda table: table.replace_schema_metadata(None),
    "other metadata": lambda table: table.replace_schema_metadata({b"glip_engine": b"[1]"}),
    "other columns": lambda table: table.select(["unit"]),
    "numbers as texts": lambda table: table.set_column(0, "unit", table["unit"].cast(pa.string())),
    "a missing number": _without_a_row,
}


@pytest.mark.parametrize("change", OTHER_TABLES)
def test_a_table_that_is_not_ours_is_refused(change: str, labelled: tuple[Store, list[ShardManifest]]) -> None:
    store, manifests = labelled
    write_view(store, manifests)
    sink = io.BytesIO()
    pq.write_table(OTHER_TABLES[change](pq.read_table(io.BytesIO(store.read(DUPLICATES)))), sink)
    store.write(DUPLICATES, sink.getvalue())
    with pytest.raises(ValueError, match="not a table of duplicates"):
        read_duplicates(store, manifests)
