"""The tar of a shard: byte for byte what ``tarfile`` writes, and read where it is what its manifest vouches for."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from sample_labels import labels_of, write_units

from engine.artifacts import Store
from engine.dataset import shard_reader
from engine.dataset.sample_lookup import SampleLookup, UnknownKeyError
from engine.shards import LabelledImage, ShardReader, sample_json, shard_name

# Contents of whole blocks and of others; names that a plain header holds, and names that it does not.
SAMPLES = [
    LabelledImage(labels_of("a dog", ["a dog"], key=key), content, "jpg")
    for key, content in (("a", bytes(512)), ("b", b"x" * 513), ("Hündchen", b""), ("c" * 96, b"y"), ("c" * 97, b"y"))
]


def tar_of(members: Iterable[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def test_a_shard_is_the_tar_that_tarfile_writes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_units(store, [SAMPLES])
    members = [
        (f"{one.labels.key}.{ending}", content)
        for one in SAMPLES
        for ending, content in (("jpg", one.image), ("json", sample_json(one.labels)))
    ]
    assert store.read(shard_name(0)) == tar_of(members)


@pytest.mark.parametrize("names", [("a.jpg", "b.json"), ("a.jpg", "a.txt"), ("a.jpg",)])
def test_a_picture_without_labels_of_its_own_name_is_no_sample(tmp_path: Path, names: tuple[str, ...]) -> None:
    store = Store(tmp_path)
    write_units(store, [SAMPLES[:1]])
    store.write(shard_name(0), tar_of([(name, sample_json(SAMPLES[0].labels)) for name in names]))
    with pytest.raises(ValueError, match=r"after 'a\.jpg' its labels a\.json are missing"):
        ShardReader(store, 0)


def forged(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "members",
    [
        forged("b.jpg", 0) + forged("b.json", -2 * tarfile.BLOCKSIZE),
        forged("b.jpg", -tarfile.BLOCKSIZE) + forged("b.json", 0),
        forged("b.jpg", 0) + forged("b.json", -(1 << 60)),
        forged("b.jpg", 1 << 80),
        forged("", 0, tarfile.GNUTYPE_LONGNAME) * 2000,
    ],
    ids=["back to itself", "a picture", "before the tar", "beyond all files", "headers of headers"],
)
def test_a_forged_header_ends_in_words(tmp_path: Path, members: bytes) -> None:
    store = Store(tmp_path)
    write_units(store, [SAMPLES[:1]])
    store.write(shard_name(0), tar_of([("a.jpg", b""), ("a.json", b"")])[: 2 * tarfile.BLOCKSIZE] + members)
    with pytest.raises(ValueError, match=r"000000\.tar"):
        ShardReader(store, 0)


def test_a_key_that_the_shard_lacks_is_unknown_whatever_the_table_of_boxes_says(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_units(store, [SAMPLES])
    with closing(SampleLookup(store, {"a": 0, "lost": 0}.get)) as samples:
        assert samples.labels("a") == SAMPLES[0].labels
        for key in ("lost", "of no unit"):
            with pytest.raises(UnknownKeyError):
                samples.labels(key)


def test_labels_and_pictures_beyond_their_size_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    write_units(store, [SAMPLES])
    with ShardReader(store, 0) as reader:
        assert reader.image(1, max_bytes=513) == SAMPLES[1].image
        with pytest.raises(ValueError, match="the picture of row 1 has 513 bytes, more than 512"):
            reader.image(1, max_bytes=512)
    monkeypatch.setattr(shard_reader, "MAX_LABEL_BYTES", len(sample_json(SAMPLES[0].labels)) - 1)
    with pytest.raises(ValueError, match=r"its labels a\.json are missing"):
        ShardReader(store, 0)
