"""What an object store refuses is told in words that name the file and what to do; the store is a real S3 API."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from python_paths import python_path

from engine.artifacts import Store
from engine.sources.last_opened import LastOpened
from engine.sources.places import Files


def test_a_file_that_is_not_there_is_named(s3_bucket: str) -> None:
    for read in (lambda: Store(f"{s3_bucket}/a").read("b.json"), lambda: Store("s3://nobody/a").open("b.json")):
        with pytest.raises(FileNotFoundError) as raised:
            read()
        assert str(raised.value.filename).endswith("/a/b.json")


def test_who_has_no_credentials_hears_where_they_are_wanted(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    Store(s3_bucket).write("web/0.tar", b"")
    files = Files(f"{s3_bucket}/web", (".tar",))  # as a driver lists them that has some
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    s3fs.S3FileSystem.clear_instance_cache()
    store = Store(f"{s3_bucket}/a")
    for work in (lambda: store.write("b", b""), lambda: store.read("b"), lambda: store.names("")):
        with pytest.raises(RuntimeError, match=r"s3://bucket/a.* give credentials .* where each node is started"):
            work()
    opened = LastOpened(files, files.open_whole)
    with pytest.raises(RuntimeError, match=r"s3://bucket/web/0.tar cannot be read .* give credentials"):
        pickle.loads(pickle.dumps(opened)).open("0.tar")


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("s4://bucket/a", "s4://bucket/a is no address of a folder or of an object store"),
        ("oci://bucket/a", "oci://bucket/a needs a package that is not installed here"),
    ],
)
def test_an_address_that_nothing_here_knows_is_told_before_any_work(root: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Store(root)


def test_a_place_that_takes_no_file_is_told_beforehand(s3_bucket: str, tmp_path: Path) -> None:
    for root in (f"{s3_bucket}/a", str(tmp_path / "a")):
        Store(root).check_writable()
        assert Store(root).names("") == []
    assert list((tmp_path / "a").iterdir()) == []
    with pytest.raises(ValueError, match="make the bucket, or give another address"):
        Store("s3://nobody/a").check_writable()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Store(tmp_path / "file" / "a").check_writable()


def test_of_what_goes_to_an_object_store_the_disk_of_temporary_files_is_what_is_full(tmp_path: Path) -> None:
    """A file may have no more bytes here, as on a full disk."""
    program = """
import resource
from engine.artifacts import Store
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    Store("memory://bucket").write("a", b"x" * 100_000)
except RuntimeError as error:
    print(error)
"""
    environment = {"TMPDIR": str(tmp_path), **python_path(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert f"no room in {tmp_path} for memory://bucket/a" in done.stdout, done.stderr
    assert "TMPDIR" in done.stdout
