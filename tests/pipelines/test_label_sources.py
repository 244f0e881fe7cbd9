"""The same photos through every kind of source: the same records, hence the same pseudo-labels."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelled_datasets import label_inline

from engine.artifacts import Store
from engine.shards import read_card
from engine.sources import open_source
from engine.statistics import dataset_report
from pipelines.verify import verify
from schemas.recipes import CocoSource, LabelRecipe, ParquetSource, TeacherRecipe, UrlsSource, WebDatasetSource
from schemas.records import CaptionedImage

FEW = 60
Photo = tuple[str, bytes, str]
KINDS = ("parquet", "paths", "urls", "coco", "s3", "http")


def read_photos(folder: Path) -> list[Photo]:
    """Key, picture and caption of the web photos, by tarfile alone."""
    photos = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
        names = [name for name in members if name.endswith(".jpg")]
        photos += [(name[:-4], members[name], members[f"{name[:-4]}.txt"].decode().strip()) for name in names]
    return photos


def write_images(folder: Path, photos: list[Photo]) -> None:
    folder.mkdir(parents=True)
    for key, image, _ in photos:
        (folder / f"{key}.jpg").write_bytes(image)


def as_parquet(photos: list[Photo], folder: Path, server: Any, bucket: str) -> ParquetSource:
    """The layout of Hugging Face ``datasets``: a struct of bytes and path."""
    images = pa.array([{"bytes": image, "path": f"{key}.jpg"} for key, image, _ in photos])
    columns = {"id": [key for key, _, _ in photos], "image": images, "caption": [text for _, _, text in photos]}
    pq.write_table(pa.table(columns), folder / "photos.parquet", row_group_size=100)
    return ParquetSource(uri=str(folder / "photos.parquet"), key_column="id")


def as_paths(photos: list[Photo], folder: Path, server: Any, bucket: str) -> ParquetSource:
    write_images(folder / "images", photos)
    columns = {"id": [key for key, _, _ in photos], "file_name": [f"images/{key}.jpg" for key, _, _ in photos]}
    table = pa.table({**columns, "text": [text for _, _, text in photos]})
    pq.write_table(table, folder / "paths.parquet", row_group_size=37)
    return ParquetSource(uri=str(folder / "paths.parquet"), key_column="id")


def as_urls(photos: list[Photo], folder: Path, server: Any, bucket: str) -> UrlsSource:
    write_images(server.root / "images", photos)
    rows = [{"key": key, "url": server.url(f"/file/images/{key}.jpg"), "caption": text} for key, _, text in photos]
    (folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return UrlsSource(uri=str(folder / "list.jsonl"), key_column="key", allow_private=True)


def as_coco(photos: list[Photo], folder: Path, server: Any, bucket: str) -> CocoSource:
    write_images(folder / "photos", photos)
    images = [{"id": int(key), "file_name": f"{key}.jpg"} for key, _, _ in photos]
    captions = [{"id": n, "image_id": int(key), "caption": text} for n, (key, _, text) in enumerate(photos)]
    (folder / "captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
    return CocoSource(uri=str(folder / "captions.json"), images=str(folder / "photos"), captions="joined")


def as_s3(photos: list[Photo], folder: Path, server: Any, bucket: str) -> WebDatasetSource:
    import s3fs

    files = s3fs.S3FileSystem()
    for number, path in enumerate(write_tars(photos, folder / "tars")):
        files.put(str(path), f"{bucket}/web/{number:05d}.tar")
    return WebDatasetSource(uri=f"{bucket}/web")


def as_http(photos: list[Photo], folder: Path, server: Any, bucket: str) -> WebDatasetSource:
    paths = write_tars(photos, server.root / "tars")
    return WebDatasetSource(uri=server.url(f"/file/tars/{{00000..{len(paths) - 1:05d}}}.tar"))


def write_tars(photos: list[Photo], folder: Path) -> list[Path]:
    import io

    folder.mkdir(parents=True)
    starts = range(0, len(photos), 100)
    for number, start in enumerate(starts):
        with tarfile.open(folder / f"{number:05d}.tar", "w") as tar:
            for key, image, text in photos[start : start + 100]:
                for name, content in ((f"{key}.jpg", image), (f"{key}.txt", text.encode())):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return [folder / f"{number:05d}.tar" for number in range(len(starts))]


MAKERS: dict[str, Callable[..., Any]] = {
    "parquet": as_parquet,
    "paths": as_paths,
    "urls": as_urls,
    "coco": as_coco,
    "s3": as_s3,
    "http": as_http,
}


@pytest.mark.data
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_source_gives_the_same_records(
    data_folder: Path, tmp_path: Path, bad_server: Any, s3_bucket: str, kind: str
) -> None:
    photos = read_photos(data_folder / "photos" / "web")[:FEW]
    source = open_source(MAKERS[kind](photos, tmp_path, bad_server, s3_bucket))
    found = [one for ref in source.units(25) for one in source.read(ref)]
    assert all(isinstance(one, CaptionedImage) for one in found)
    assert [(one.key, one.image, one.caption) for one in found] == photos  # type: ignore[union-attr]
    assert {one.extension for one in found} == {"jpg"}  # type: ignore[union-attr]


def labels_of(source: Any, out: Path) -> dict[str, list[dict[str, Any]]]:
    """Annotations and rejects of a job over the source, by key; checked by ``verify``."""
    recipe = LabelRecipe(source=source, teacher=TeacherRecipe(checkpoint="nano", device="cpu"), unit_size=100)
    label_inline(recipe, out)
    assert not verify(out, progress=False).problems
    assert read_card(Store(out)).complete
    found: dict[str, list[dict[str, Any]]] = {}
    for kind in ("annotations", "rejects"):
        for path in sorted((out / kind).glob("*.parquet")):
            for row in pq.read_table(path).to_pylist():
                found.setdefault(f"{kind} {row['key']}", []).append(row)
    return found


@pytest.mark.slow
@pytest.mark.data
def test_each_kind_of_source_gives_the_same_pseudo_labels(
    data_folder: Path, tmp_path: Path, bad_server: Any, s3_bucket: str
) -> None:
    photos = read_photos(data_folder / "photos" / "web")
    assert len(photos) == 714
    expected = labels_of(WebDatasetSource(uri=str(data_folder / "photos" / "web")), tmp_path / "expected")
    assert len(expected) == 714
    for kind in ("parquet", "urls", "coco", "s3"):
        (tmp_path / kind).mkdir()
        source = MAKERS[kind](photos, tmp_path / kind, bad_server, s3_bucket)
        assert labels_of(source, tmp_path / f"out-{kind}") == expected


def test_the_link_rot_of_a_labelled_list_is_told_by_host_and_reason(
    bad_server: Any, web: Any, random_checkpoint: Path, tmp_path: Path
) -> None:
    targets = ["/picture/1", "/404/1", "/404/2", "/page/1", "/tagged/1?tag=noai"]
    urls = [*map(bad_server.url, targets), bad_server.url("/status/500", "localhost"), "nonsense"]
    rows = [{"url": url, "caption": "A brown dog."} for url in urls]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = UrlsSource(uri=str(tmp_path / "list.jsonl"), allow_private=True, retries=0)
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu")
    label_inline(LabelRecipe(source=source, teacher=teacher, unit_size=3), tmp_path / "out")
    rot = dataset_report(tmp_path / "out").link_rot
    assert [(one.host, one.rows, one.reasons) for one in rot] == [
        ("127.0.0.1", 4, {"http_404": 2, "not_an_image": 1, "opted_out": 1}),
        ("localhost", 1, {"http_500": 1}),
    ]
    web.tar_of(tmp_path / "web/0.tar", [("http://a.org/x.jpg", b""), *web.samples(1)])
    recipe = LabelRecipe(source=WebDatasetSource(uri=str(tmp_path / "web")), teacher=teacher)
    label_inline(recipe, tmp_path / "tars")
    assert dataset_report(tmp_path / "tars").link_rot == []
