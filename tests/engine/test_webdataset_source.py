"""Tars from the web: what is good is read, what is bad is counted with its reason, nothing raises, nothing escapes."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import pytest
from source_outcomes import read_tars, told

from engine.sources import open_source
from engine.sources.webdataset import WebDataset
from schemas.recipes import WebDatasetSource
from schemas.records import CaptionedImage


def test_samples_are_read_in_order_with_their_bytes_untouched(web: Any, tmp_path: Path) -> None:
    members = web.samples(5)
    outcomes = read_tars(web.tar_of(tmp_path / "00000.tar", members))
    assert [one.image for one in outcomes] == [content for name, content in members if name.endswith(".jpg")]
    assert outcomes[1].caption == "A man with a skateboard beside a red car."
    assert outcomes[1].locator == "00000.tar#000000001"
    assert {one.extension for one in outcomes} == {"jpg"}


@pytest.mark.parametrize("unit_size", [1, 2, 3, 100])
def test_units_are_every_row_once_and_never_span_two_tars(web: Any, tmp_path: Path, unit_size: int) -> None:
    web.tar_of(tmp_path / "a.tar", web.samples(5))
    web.tar_of(tmp_path / "b.tar", web.samples(2, first=5))
    source = open_source(WebDatasetSource(uri=str(tmp_path)))
    refs = source.units(unit_size)
    assert [ref.index for ref in refs] == list(range(len(refs)))
    rows = [(ref.uri, row) for ref in refs for row in range(ref.first_row, ref.first_row + ref.rows)]
    assert rows == [("a.tar", row) for row in range(5)] + [("b.tar", row) for row in range(2)]
    assert max(ref.rows for ref in refs) <= unit_size


def test_the_fingerprint_is_of_the_content_and_not_of_the_place(web: Any, tmp_path: Path) -> None:
    here = web.tar_of(tmp_path / "here" / "0.tar", web.samples(3))
    there = web.tar_of(tmp_path / "there" / "0.tar", web.samples(3))
    other = web.samples(3)
    other[1] = (other[1][0], b"A black dog and two cats.")  # as long as before
    changed = web.tar_of(tmp_path / "changed" / "0.tar", other)
    prints = [WebDataset(WebDatasetSource(uri=str(path))).fingerprint() for path in (here, there, changed)]
    assert prints[0] == prints[1] == WebDataset(WebDatasetSource(uri=str(here.parent))).fingerprint()
    assert prints[2] != prints[0]


def test_a_pickled_source_reads_the_same_without_listing_again(web: Any, tmp_path: Path) -> None:
    web.tar_of(tmp_path / "0.tar", web.samples(3))
    source = WebDataset(WebDatasetSource(uri=str(tmp_path)))
    ref = source.units(10)[0]
    assert pickle.loads(pickle.dumps(source)).read(ref) == source.read(ref)


def test_a_tar_that_changes_between_listing_and_reading_stops_the_job(web: Any, tmp_path: Path) -> None:
    path = web.tar_of(tmp_path / "0.tar", web.samples(3))
    source = WebDataset(WebDatasetSource(uri=str(path)))
    ref = source.units(10)[0]
    web.tar_of(path, web.samples(3, first=7))
    with pytest.raises(RuntimeError, match=r"0\.tar changed while the job ran"):
        source.read(ref)


def test_what_macos_puts_beside_each_file_parts_no_sample(web: Any, tmp_path: Path) -> None:
    beside = [one for name, part in web.samples(3) for one in ((f"./._{name}", b"\0\5"), (f"./{name}", part))]
    found = read_tars(web.tar_of(tmp_path / "0.tar", beside))
    assert [reason for _, reason in told(found)] == ["ok"] * 3
    (tmp_path / "._0.tar").write_bytes(b"\0\5")
    assert read_tars(tmp_path) == found


GOOD = b"\xff\xd8 a picture, as far as the source knows"
BAD_MEMBERS = {
    "no caption": ([("a.jpg", GOOD)], [("a", "caption_missing")]),
    "no picture": ([("a.txt", b"a dog"), ("a.json", b"{}")], [("a", "image_missing")]),
    "json without caption": ([("a.jpg", GOOD), ("a.json", b"{}")], [("a", "caption_missing")]),
    "json whose caption is no text": ([("a.jpg", GOOD), ("a.json", b'{"caption": [1]}')], [("a", "caption_missing")]),
    "json that is a list": ([("a.jpg", GOOD), ("a.json", b"[1]")], [("a", "caption_missing")]),
    "json that is broken": ([("a.jpg", GOOD), ("a.json", b'{"caption": ')], [("a", "caption_unreadable")]),
    "json nested without end": ([("a.jpg", GOOD), ("a.json", b"[" * 100_000)], [("a", "caption_unreadable")]),
    "half a surrogate pair": ([("a.jpg", GOOD), ("a.json", b'{"caption": "\\ud800"}')], [("a", "caption_unreadable")]),
    "caption in latin-1": ([("a.jpg", GOOD), ("a.txt", "café".encode("latin-1"))], [("a", "caption_unreadable")]),
    "caption of two megabytes": ([("a.jpg", GOOD), ("a.txt", b"x" * 2_000_000)], [("a", "caption_too_long")]),
    "picture of too many bytes": ([("a.jpg", b"x" * 2000), ("a.txt", b"a dog")], [("a", "image_too_large")]),
    "a name that leads up": ([("../x.jpg", GOOD)], [("../x.jpg", "member_name_unsafe")]),
    "a name that leads up from within": ([("a/../../x.txt", b"")], [("a/../../x.txt", "member_name_unsafe")]),
    "an absolute name": ([("/etc/x.jpg", GOOD)], [("/etc/x.jpg", "member_name_unsafe")]),
    "a name of another system": ([("c:x.jpg", GOOD)], [("c:x.jpg", "member_name_unsafe")]),
    "a name with a backslash": ([("a\\x.jpg", GOOD)], [("a\\x.jpg", "member_name_unsafe")]),
    "a name with a line break": ([("a\nb.jpg", GOOD)], [("a\nb.jpg", "member_name_unsafe")]),
    "a name that is no text": ([("\udcffa.jpg", GOOD)], [("\\udcffa.jpg", "member_name_unsafe")]),
    "a folder": ([("b/a.jpg", GOOD), ("b/a.txt", b"a dog")], [("b/a", "key_invalid")]),
    "no key": ([(".jpg", GOOD), (".txt", b"a dog")], [("", "key_invalid")]),
    "a key twice": (
        [("a.jpg", GOOD), ("a.txt", b"a dog"), ("b.jpg", GOOD), ("b.txt", b"a cat"), ("a.jpg", GOOD), ("a.txt", b"?")],
        [("a", "ok"), ("b", "ok"), ("a", "key_duplicate")],
    ),
    "a member twice": ([("a.jpg", GOOD), ("a.jpg", GOOD), ("a.txt", b"a dog")], [("a", "member_duplicate")]),
}


@pytest.mark.parametrize("case", BAD_MEMBERS)
def test_a_bad_sample_is_one_reject_with_a_reason_and_the_next_one_is_read(web: Any, tmp_path: Path, case: str) -> None:
    members, expected = BAD_MEMBERS[case]
    path = web.tar_of(tmp_path / "in" / "0.tar", [*members, *web.samples(1)])
    assert told(read_tars(path, max_image_bytes=1500)) == [*expected, ("000000000", "ok")]
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["0.tar", "in"]


def test_a_leading_dot_folder_and_upper_case_extensions_are_fine(web: Any, tmp_path: Path) -> None:
    outcomes = read_tars(web.tar_of(tmp_path / "0.tar", [("./a.JPG", GOOD), ("./a.TXT", "\ufeffa dog\n".encode())]))
    assert [(one.key, one.extension, one.caption) for one in outcomes] == [("a", "jpg", "a dog")]


def test_the_caption_of_the_json_is_taken_where_there_is_no_txt(web: Any, tmp_path: Path) -> None:
    fields = json.dumps({"caption": "an élan", "url": "x"}).encode()
    assert read_tars(web.tar_of(tmp_path / "0.tar", [("a.webp", GOOD), ("a.json", fields)]))[0].caption == "an élan"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_counted_and_never_followed(web: Any, tmp_path: Path, kind: bytes) -> None:
    path = web.tar_of(tmp_path / "0.tar", [])
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("a.txt")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
        for name, content in web.samples(1):
            tar.addfile(_member(name, len(content)), io.BytesIO(content))
    assert told(read_tars(path)) == [("a.txt", "member_not_a_file"), ("000000000", "ok")]


def test_a_key_of_an_earlier_tar_is_a_duplicate(web: Any, tmp_path: Path) -> None:
    web.tar_of(tmp_path / "a.tar", web.samples(2))
    web.tar_of(tmp_path / "b.tar", web.samples(2, first=1))
    expected = [("000000000", "ok"), ("000000001", "ok"), ("000000001", "key_duplicate"), ("000000002", "ok")]
    assert told(read_tars(tmp_path)) == expected


def test_a_tar_whose_keys_an_earlier_one_now_has_is_another_part(web: Any, tmp_path: Path) -> None:
    def parts() -> dict[str, str]:
        source = open_source(WebDatasetSource(uri=str(tmp_path)))
        return {ref.uri: source.part_digest(ref.uri) for ref in source.units(10)}

    web.tar_of(tmp_path / "0.tar", web.samples(1))
    web.tar_of(tmp_path / "1.tar", web.samples(1, first=1))
    before = parts()
    web.tar_of(tmp_path / "0.tar", web.samples(2))
    after = parts()
    assert all(after[name] != before[name] for name in ("0.tar", "1.tar"))


def test_a_truncated_tar_keeps_its_whole_samples_wherever_it_breaks(web: Any, tmp_path: Path) -> None:
    whole = web.tar_of(tmp_path / "whole.tar", web.samples(4)).read_bytes()
    good = told(read_tars(tmp_path / "whole.tar"))
    counts = []
    for size in range(0, len(whole) - 1024, 256):  # the end mark is two blocks of 512; the rest is filling
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        outcomes = told(read_tars(tmp_path / "cut.tar"))
        if outcomes[-1][1] == "ok":
            assert outcomes == good
            break
        counts.append(len(outcomes) - 1)
        assert outcomes[:-1] == good[: len(outcomes) - 1]
        assert outcomes[-1][1] == "tar_broken"
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == 3


def _member(name: str, size: int, **fields: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    for field, value in fields.items():
        setattr(member, field, value)
    return member


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    return _member(name, size, type=kind).tobuf(tarfile.GNU_FORMAT)


HOSTILE = {
    "noise": bytes(range(256)) * 20,
    "nothing": b"",
    "a forged size": _header("b.jpg", 1 << 40),
    "a negative size": _header("b.jpg", -(1 << 20)),
    "a pax header that claims a terabyte": _header("pax", 1 << 40, tarfile.XHDTYPE),
    "a name that claims a gigabyte": _header("name", 1 << 30, tarfile.GNUTYPE_LONGNAME),
    "a pax header of negative size": _header("pax", -512, tarfile.XHDTYPE) * 3,
    "names of names without end": (_header("x", 512, tarfile.GNUTYPE_LONGNAME) + b"n" * 512) * 3000,
    "a gzip": b"\x1f\x8b\x08\x00" + b"\x00" * 600 + b"x" * 600,
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("after", [0, 2])
def test_a_hostile_tar_is_one_reject_after_the_samples_before_it(
    web: Any, tmp_path: Path, case: str, after: int
) -> None:
    whole = web.tar_of(tmp_path / "0.tar", web.samples(after)).read_bytes()
    with tarfile.open(tmp_path / "0.tar") as tar:
        tar.getmembers()
        end = tar.offset
    (tmp_path / "0.tar").write_bytes(whole[:end] + HOSTILE[case])
    outcomes = told(read_tars(tmp_path / "0.tar"))
    assert outcomes[-1][1] == "tar_broken"
    assert len(outcomes) - 1 in (after, max(after - 1, 0))  # the last one counts only if its end has been seen
    assert all(outcome == "ok" for _, outcome in outcomes[:-1])


@pytest.mark.parametrize("uri", ["missing", "missing/*.tar", "empty"])
def test_a_source_with_nothing_in_it_is_an_error_in_one_line(tmp_path: Path, uri: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ValueError, match="nothing is there" if "miss" in uri else "no file that could be the source"
    ) as caught:
        open_source(WebDatasetSource(uri=str(tmp_path / uri)))
    assert "\n" not in str(caught.value)


def test_tars_without_a_member_are_an_error_too(web: Any, tmp_path: Path) -> None:
    web.tar_of(tmp_path / "0.tar", [])
    with pytest.raises(ValueError, match="holds no sample"):
        open_source(WebDatasetSource(uri=str(tmp_path))).units(10)


def test_the_caption_may_be_any_field_of_the_json(web: Any, tmp_path: Path) -> None:
    fields = json.dumps({"caption": "raw", "recaption": "a dog"}).encode()
    path = web.tar_of(tmp_path / "0.tar", [("a.jpg", GOOD), ("a.txt", b"raw"), ("a.json", fields)])
    assert read_tars(path, caption_field="recaption")[0].caption == "a dog"
    assert read_tars(path)[0].caption == "raw"
    assert told(read_tars(path, caption_field="other")) == [("a", "caption_missing")]
    only_text = web.tar_of(tmp_path / "1.tar", [("a.jpg", GOOD), ("a.txt", b"raw")])
    assert told(read_tars(only_text, caption_field="recaption")) == [("a", "caption_missing")]


@pytest.mark.parametrize("extension", ["jpeg", "PNG", "webp", "avif", "tiff", "image.jpg", "jfif"])
def test_any_extension_of_an_image_is_read(web: Any, tmp_path: Path, extension: str) -> None:
    path = web.tar_of(tmp_path / "0.tar", [(f"a.{extension}", GOOD), ("a.txt", b"a dog"), ("a.cls", b"1")])
    assert read_tars(path)[0].extension == extension.lower().rpartition(".")[2]


@pytest.mark.data
def test_the_real_photos_are_all_read(data_folder: Path) -> None:
    outcomes = read_tars(data_folder / "photos" / "web")
    assert len(outcomes) == 714
    assert all(isinstance(one, CaptionedImage) and one.caption for one in outcomes)
