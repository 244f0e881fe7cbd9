"""The format of a dataset: round trip, equal bytes for equal work, open to public tools, closed to broken samples."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest
from sample_labels import labels_of

from engine.artifacts import Store
from engine.shards import (
    LabelledImage,
    ShardReader,
    committed_units,
    read_card,
    read_manifest,
    read_shard,
    sample_json,
    sample_schema,
    shard_name,
    write_shard,
)
from schemas.records import Reject, UnitRef
from schemas.shards import SampleBox, ShardManifest

REF = UnitRef(3, "0.tar", 0, 3)
SCHEMA = Path(__file__).parents[2] / "docs" / "sample.schema.json"


def sample(key: str, caption: str = "Ein Hund 🐕 und a cat", image: bytes = b"picture") -> LabelledImage:
    at = caption.index("a cat") if "a cat" in caption else 0
    labels = labels_of(
        caption,
        [(at, at + 5, "cat")],
        [(0, (0.1, 2.0, 30.3, 40.0), 0.1234)],
        key=key,
        size=(64, 48),
        image_sha256=hashlib.sha256(image).hexdigest(),
        locator=f"0.tar#{key}",
        teacher_digest="t",
    )
    return LabelledImage(labels, image, "jpg")


SAMPLES = [sample("b"), sample("a", image=b"another"), sample("ü-1")]


def write(store: Store, samples: list[LabelledImage] = SAMPLES, work_digest: str = "w") -> ShardManifest:
    rejects = [Reject("c", "read", "image_missing", "no picture")]
    return write_shard(store, REF, samples, rejects, work_digest=work_digest, stages=[], finished_at="now")


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path if request.param == "folder" else f"memory://{tmp_path.name}")


def test_a_shard_reads_back_as_it_was_written(store: Store) -> None:
    manifest = write(store)
    assert list(read_shard(store, 3)) == SAMPLES
    assert (manifest.samples, manifest.boxes, manifest.rejects) == (3, 3, 1)
    assert (manifest.first_key, manifest.last_key) == ("b", "ü-1")
    assert committed_units(store) == [3]
    reader = ShardReader(store, 3)
    assert reader[2] == SAMPLES[2]
    assert reader.labels(1) == SAMPLES[1].labels
    reader.close()


def test_equal_work_gives_equal_bytes(tmp_path: Path) -> None:
    first, second = write(Store(tmp_path / "a")), write(Store(tmp_path / "b"))
    assert first.files == second.files


def test_an_empty_unit_is_a_whole_shard(store: Store) -> None:
    assert write(store, []).samples == 0
    assert list(read_shard(store, 3)) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves its file open
def test_public_tools_open_a_shard(tmp_path: Path) -> None:
    import webdataset

    write(Store(tmp_path))
    with tarfile.open(tmp_path / "shards/000003.tar") as tar:
        assert tar.getnames() == ["b.jpg", "b.json", "a.jpg", "a.json", "ü-1.jpg", "ü-1.json"]
    url = str(tmp_path / "shards/000003.tar")
    found = list(webdataset.WebDataset(url, shardshuffle=False, empty_check=False))
    assert [one["__key__"] for one in found] == ["b", "a", "ü-1"]
    assert json.loads(found[0]["json"])["caption"] == "Ein Hund 🐕 und a cat"
    rows = pq.read_table(tmp_path / "annotations/000003.parquet").to_pylist()
    assert [(row["key"], row["phrase_text"], round(row["score"], 4)) for row in rows[:1]] == [("b", "a cat", 0.1234)]
    assert pq.read_table(tmp_path / "rejects/000003.parquet")["reason"].to_pylist() == ["image_missing"]


def test_written_samples_are_of_the_published_json_schema(tmp_path: Path) -> None:
    write(Store(tmp_path))
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    with tarfile.open(tmp_path / "shards/000003.tar") as tar:
        written = [json.load(tar.extractfile(name)) for name in tar.getnames() if name.endswith(".json")]  # type: ignore[arg-type]
    for one in written:
        jsonschema.validate(one, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written[0], "label": "cat"}, schema)


def test_the_published_json_schema_is_current() -> None:
    assert SCHEMA.read_text() == sample_schema(), "write it anew: see CONTRIBUTING.md"


@pytest.mark.parametrize("key", ["a.b", "a/b", "", "a\\b", "a\nb", "x" * 201, "\ud800"])
def test_a_key_that_webdataset_would_split_commits_nothing(store: Store, key: str) -> None:
    bad = LabelledImage(SAMPLES[0].labels.model_copy(update={"key": key}), b"", "jpg")
    with pytest.raises(ValueError, match="cannot be a WebDataset member"):
        write(store, [bad])
    assert committed_units(store) == []


@pytest.mark.parametrize("extension", ["json", "JPG", "jp/g", ""])
def test_an_extension_that_is_none_commits_nothing(store: Store, extension: str) -> None:
    with pytest.raises(ValueError, match="cannot be a WebDataset member"):
        write(store, [LabelledImage(SAMPLES[0].labels, b"", extension)])
    assert committed_units(store) == []


def test_a_key_twice_commits_nothing(store: Store) -> None:
    with pytest.raises(ValueError, match="'b' occurs twice"):
        write(store, [SAMPLES[0], SAMPLES[0]])
    assert committed_units(store) == []


def test_a_unit_that_this_work_has_committed_stays_as_it_is(store: Store) -> None:
    first = write(store)
    assert write(store, SAMPLES[:1]) == first, "a worker that was thought lost may have come first"
    assert write(store, SAMPLES[:1], work_digest="other") != first


@pytest.mark.parametrize("left", [None, b"cut off"])
def test_a_manifest_whose_shard_is_gone_or_cut_off_vouches_for_nothing(store: Store, left: bytes | None) -> None:
    name = shard_name(write(store).unit)
    whole = store.digest(name)
    store.delete(name)
    if left is not None:
        store.write(name, left)
    write(store)
    assert store.digest(name) == whole


@pytest.mark.parametrize(
    "changes",
    [
        {"caption": "another caption"},
        {"boxes": [SampleBox(phrase=1, box_xyxy=(0, 0, 1, 1), score=0.5)]},
        {"boxes": [SampleBox(phrase=0, box_xyxy=(0, 0, 65, 1), score=0.5)]},
        {"boxes": [SampleBox(phrase=0, box_xyxy=(5, 0, 1, 1), score=0.5)]},
    ],
)
def test_a_sample_that_breaks_the_format_is_refused_when_written_and_when_read(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    store = Store(tmp_path)
    broken = SAMPLES[0].labels.model_copy(update=changes)
    with pytest.raises(ValueError, match="breaks the format"):
        write(store, [LabelledImage(broken, b"", "jpg")])
    assert committed_units(store) == []
    write(store, [SAMPLES[0]])
    members = {"b.jpg": b"", "b.json": sample_json(broken)}
    with tarfile.open(tmp_path / "shards/000003.tar", "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(ValueError, match="breaks the format"):
        list(read_shard(store, 3))


def test_a_unit_that_failed_half_way_is_not_committed_even_if_it_was_before(store: Store) -> None:
    write(store, work_digest="old")
    broken = LabelledImage(SAMPLES[1].labels, "no bytes", "jpg")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        write(store, [SAMPLES[0], broken], work_digest="new")
    assert read_manifest(store, 3) is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"unit": 3}', b"\xff\xfe"])
def test_half_a_manifest_is_none(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    write(store)
    (tmp_path / "manifests/000003.json").write_bytes(content)
    assert read_manifest(store, 3) is None
    with pytest.raises(ValueError, match="not committed"):
        list(read_shard(store, 3))


@pytest.mark.parametrize("size", [0, 700, 2048, -1025])
def test_a_cut_shard_is_never_read_as_whole(tmp_path: Path, size: int) -> None:
    store = Store(tmp_path)
    write(store)
    shard = tmp_path / "shards/000003.tar"
    with tarfile.open(shard) as tar:
        tar.getmembers()
        end = tar.offset
    shard.write_bytes(shard.read_bytes()[: size if size >= 0 else end - 1])
    with pytest.raises(ValueError, match="000003"):
        list(read_shard(store, 3))


def test_a_folder_without_a_card_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not a dataset: it has no dataset\.json"):
        read_card(Store(tmp_path))
    (tmp_path / "dataset.json").write_text('{"format": "another/9"}')
    with pytest.raises(ValueError, match="not of the format glip-engine/1") as caught:
        read_card(Store(tmp_path))
    assert "\n" not in str(caught.value)


def test_the_json_member_keeps_its_text_as_utf_8() -> None:
    assert "🐕".encode() in sample_json(SAMPLES[0].labels)
    assert sample_json(SAMPLES[0].labels).startswith(b'{"key":"b","caption":')
