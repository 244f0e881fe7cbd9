"""Lists of urls: every row has one outcome, whatever the server does, and no address is reached that must not be."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_outcomes import FAST, list_of, outcomes, reasons

from engine.sources import open_source
from engine.sources.urls import Urls
from engine.statistics.rejects import host_of
from schemas.recipes import UrlsSource
from schemas.records import Reject

# ------------------------------------------------------------------------------------------------------------- lists


def test_a_headless_tsv_is_read_by_what_its_first_line_holds(bad_server: Any, tmp_path: Path) -> None:
    path = tmp_path / "conceptual.tsv"
    path.write_text(f"a dog on grass\t{bad_server.url('/picture/1')}\r\na cat\t{bad_server.url('/picture/2')}\r\n")
    assert [(one.key, one.caption, one.extension) for one in outcomes(path)] == [
        ("000000000", "a dog on grass", "jpg"),
        ("000000001", "a cat", "jpg"),
    ]


def test_a_tsv_with_a_line_of_names_is_read_by_them_and_numbered_without_it(bad_server: Any, tmp_path: Path) -> None:
    path = tmp_path / "list.tsv"
    path.write_text(f"id\tURL\tTEXT\nx1\t{bad_server.url('/picture/1')}\ta dog\n")
    (one,) = outcomes(path)
    assert (one.key, one.caption, one.image) == ("000000000", "a dog", bad_server.picture)
    assert outcomes(path, key_column="id")[0].key == "x1"


def test_a_tab_in_a_caption_is_a_reject_and_not_the_end_of_the_caption(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("url\tcaption\nftp://a/1\ta dog\tand a cat\nftp://a/2\ta dog\n")
    assert reasons(outcomes(tmp_path / "a.tsv")) == ["row_invalid", "url_invalid"]
    (tmp_path / "b.tsv").write_text("url\tcaption\tmore\nftp://a/1\ta dog\tx\n")
    with pytest.raises(ValueError, match=r"b\.tsv does not begin with the line of names of the first file"):
        outcomes(tmp_path)


@pytest.mark.parametrize("names", [("url", "caption"), ("URL", "TEXT"), ("image_url", "caption"), ("url", "text")])
def test_parquet_lists_of_the_usual_columns_are_read(bad_server: Any, tmp_path: Path, names: tuple[str, str]) -> None:
    url, caption = names
    rows = {url: [bad_server.url(f"/picture/{n}") for n in range(5)], caption: [f"dog {n}" for n in range(5)]}
    pq.write_table(pa.table({"similarity": [0.3] * 5, **rows}), tmp_path / "part.parquet", row_group_size=2)
    found = outcomes(tmp_path / "part.parquet", unit_size=2)
    assert [one.caption for one in found] == rows[caption]
    assert [one.locator for one in found] == rows[url]


@pytest.mark.parametrize("unit_size", [1, 3, 64, 65, 1000])
def test_units_are_every_line_once_whatever_their_size(tmp_path: Path, unit_size: int) -> None:
    for part, count in enumerate((130, 1, 70)):
        list_of(tmp_path / f"{part}.jsonl", [f"ftp://x/{part}/{n}" for n in range(count)])
    source = Urls(UrlsSource(uri=str(tmp_path), **FAST))
    refs = source.units(unit_size)
    assert [ref.index for ref in refs] == list(range(len(refs)))
    found = [one for ref in refs for one in source.read(ref)]
    assert [one.key for one in found] == [f"{n:09d}" for n in range(201)]
    assert [one.message.split(":")[1] for one in found[:130]] == [f"//x/0/{n}" for n in range(130)]


def test_a_bad_line_is_one_reject_and_the_next_one_is_read(bad_server: Any, tmp_path: Path) -> None:
    good = json.dumps({"url": bad_server.url("/picture/1"), "caption": "a dog"}).encode()
    lines = [
        good,
        b"",
        b"[1, 2]",
        b'{"url": ',
        b"\xff\xfe",
        b'{"url": "' + b"x" * 1_500_000 + b'"}',
        b"[" * 50_000,
        b'{"caption": "a dog"}',
        b'{"url": "http://x/", "caption": "  "}',
        b'{"url": "http://x/", "caption": "\\ud800"}',
        good,
    ]
    path = tmp_path / "list.jsonl"
    path.write_bytes(b"\n".join(lines))  # the last line has no end
    expected = ["ok", *["row_unreadable"] * 6, "url_missing", "caption_missing", "caption_unreadable", "ok"]
    assert reasons(outcomes(path)) == expected
    assert reasons(outcomes(path, unit_size=4)) == expected


def test_the_fingerprint_is_of_the_lists_content(tmp_path: Path) -> None:
    def fingerprint(folder: str, *urls: str) -> str:
        (tmp_path / folder).mkdir()
        return Urls(UrlsSource(uri=str(list_of(tmp_path / folder / "x.jsonl", list(urls))))).fingerprint()

    assert fingerprint("a", "http://a/1", "http://a/2") == fingerprint("b", "http://a/1", "http://a/2")
    assert fingerprint("c", "http://a/1", "http://a/3") != fingerprint("d", "http://a/1", "http://a/2")


def test_a_key_that_repeats_counts_once_over_all_files(bad_server: Any, tmp_path: Path) -> None:
    for part, ids in enumerate((["a", "b"], ["b", "c", "no/key", None])):
        rows = [{"id": one, "url": bad_server.url("/picture/1"), "caption": "a dog"} for one in ids]
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = outcomes(tmp_path, key_column="id", unit_size=2)
    assert reasons(found) == ["ok", "ok", "key_duplicate", "ok", "key_invalid", "key_invalid"]


def test_columns_that_are_not_there_are_an_error_that_names_what_is(tmp_path: Path) -> None:
    path = list_of(tmp_path / "x.jsonl", ["http://a/1"])
    with pytest.raises(ValueError, match=r"no column 'link'.*it has url, caption"):
        open_source(UrlsSource(uri=str(path), url_column="link"))
    (tmp_path / "x.tsv").write_text("a dog\ta cat\n")
    with pytest.raises(ValueError, match="its first line no url and caption"):
        open_source(UrlsSource(uri=str(tmp_path / "x.tsv")))


@pytest.mark.data
def test_the_real_lists_are_cut_into_their_rows(data_folder: Path) -> None:
    for name, rows in (("conceptual_captions_val_open.tsv", 11152), ("laion_sample_open.jsonl", 7030)):
        source = Urls(UrlsSource(uri=str(data_folder / "captions" / name)))
        assert sum(ref.rows for ref in source.units(200)) == rows


# --------------------------------------------------------------------------------------------------------- downloads

CASES = {
    "/picture/1": "ok",
    "/404/1": "http_404",
    "/status/410": "http_410",
    "/status/206": "http_206",
    "/loop/1": "redirect_loop",
    "/hops/3": "ok",
    "/hops/9": "redirect_loop",
    "/page/1": "not_an_image",
    "/empty/1": "not_an_image",
    "/bomb/1": "not_an_image",
    "/cut/1": "cut_short",
    "/reset/1": "connection_failed",
    "/noise/1": "http_malformed",
    "/endless_head/1": "http_malformed",
    "/huge/1": "too_large",
    "/endless/1": "too_large",
    "/two_lengths/1": "http_malformed",
    "/tagged/1?tag=noai": "opted_out",
    "/tagged/2?tag=noindex,%20NoImageAI": "opted_out",
    "/tagged/3?tag=glip-engine:%20noai": "opted_out",
    "/tagged/4?tag=otherbot:%20noai": "ok",
    "/tagged/5?tag=noindex": "ok",
    "/to/1?url=ftp://127.0.0.1/x": "redirect_invalid",
    "/to/2?url=http://": "redirect_invalid",
}


def test_each_thing_a_server_can_do_is_one_outcome_with_a_stable_reason(bad_server: Any, tmp_path: Path) -> None:
    path = list_of(tmp_path / "list.jsonl", [bad_server.url(target) for target in CASES])
    found = outcomes(path, max_image_bytes=1_000_000)
    assert dict(zip(CASES, reasons(found), strict=True)) == CASES
    rejects = [one for one in found if isinstance(one, Reject)]
    assert all(one.stage == "read" and one.message.startswith(bad_server.url("/")) for one in rejects)


def test_as_many_redirects_are_followed_as_the_recipe_allows(bad_server: Any, tmp_path: Path) -> None:
    path = list_of(tmp_path / "list.jsonl", [bad_server.url("/hops/3")])
    assert [reasons(outcomes(path, max_redirects=most)) for most in (3, 2)] == [["ok"], ["redirect_loop"]]


def test_what_hangs_or_drips_ends_at_the_timeout(bad_server: Any, tmp_path: Path) -> None:
    path = list_of(tmp_path / "list.jsonl", [bad_server.url("/hang/1"), bad_server.url("/drip/1")])
    started = time.monotonic()
    assert reasons(outcomes(path, timeout_s=0.5)) == ["timeout", "timeout"]
    assert time.monotonic() - started < 30  # and not for ever, which is how long they hang


def test_bad_urls_and_dead_hosts_are_counted(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    urls = {
        f"http://127.0.0.1:{port}/": "connection_failed",
        "http://name.invalid/x.jpg": "dns_failed",
        "file:///etc/passwd": "url_invalid",
        "ftp://a/b": "url_invalid",
        "no url at all": "url_invalid",
        "http://": "url_invalid",
        "http://[::1": "url_invalid",
        "http://a..b/": "url_invalid",
        f"http://a/{'x' * 5000}": "url_invalid",
    }
    found = reasons(outcomes(list_of(tmp_path / "list.jsonl", list(urls))))
    assert dict(zip(urls, found, strict=True)) == urls


@pytest.mark.parametrize(("status", "tries"), [(503, 3), (429, 3), (404, 1)])
def test_only_what_may_pass_is_tried_again(bad_server: Any, tmp_path: Path, status: int, tries: int) -> None:
    target = f"/flaky/1?n=9&status={status}"
    path = list_of(tmp_path / "list.jsonl", [bad_server.url(target)])
    assert reasons(outcomes(path, retries=2)) == [f"http_{status}"]
    assert bad_server.asked[target] == tries


def test_retry_after_is_waited_for_whether_seconds_or_a_date(bad_server: Any, tmp_path: Path) -> None:
    for in_seconds in (True, False):
        after = "2" if in_seconds else quote(format_datetime(datetime.now(UTC) + timedelta(seconds=4), usegmt=True))
        path = list_of(tmp_path / "list.jsonl", [bad_server.url(f"/flaky/1?n=1&status=429&after={after}")])
        started = time.monotonic()
        assert reasons(outcomes(path, retries=1, timeout_s=10)) == ["ok"]
        assert 1 < time.monotonic() - started < 20


@pytest.mark.parametrize("date", [None, "%a, %d %b %Y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"])
def test_a_server_that_asks_for_an_hour_is_not_asked_again(
    bad_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, date: str | None
) -> None:
    monkeypatch.setenv("TZ", "EET-2")
    time.tzset()
    after = "3600" if date is None else quote((datetime.now(UTC) + timedelta(hours=1)).strftime(date))
    path = list_of(tmp_path / "list.jsonl", [bad_server.url(f"/flaky/1?n=1&status=429&after={after}")])
    assert reasons(outcomes(path, retries=5)) == ["http_429"]
    assert sum(bad_server.asked.values()) == 1
    monkeypatch.undo()
    time.tzset()


def test_no_more_downloads_run_at_once_than_the_recipe_allows(bad_server: Any, tmp_path: Path) -> None:
    path = list_of(tmp_path / "list.jsonl", [bad_server.url(f"/slow/{n}?s=0.05") for n in range(40)])
    outcomes(path, concurrency=8)
    assert 2 <= bad_server.most_active <= 8
    bad_server.most_active = 0
    outcomes(path, concurrency=30, concurrency_per_host=3)
    assert bad_server.most_active <= 3


def test_pictures_are_downloaded_under_a_running_event_loop_too(bad_server: Any, tmp_path: Path) -> None:
    async def cell_of_a_notebook() -> list[str]:
        return reasons(outcomes(list_of(tmp_path / "list.jsonl", [bad_server.url("/hops/1")])))

    assert asyncio.run(cell_of_a_notebook()) == ["ok"]


def test_what_a_host_did_not_serve_names_the_host_and_the_status(bad_server: Any, tmp_path: Path) -> None:
    targets = ["/404/1", "/404/2", "/page/1", "/picture/1"]
    urls = [bad_server.url(target) for target in targets] + [bad_server.url("/status/500", "localhost"), "nonsense"]
    found = outcomes(list_of(tmp_path / "list.jsonl", urls))
    rot = Counter((host_of(one.message), one.reason) for one in found if isinstance(one, Reject))
    assert rot == {
        ("127.0.0.1", "http_404"): 2,
        ("127.0.0.1", "not_an_image"): 1,
        ("localhost", "http_500"): 1,
        (None, "url_invalid"): 1,
    }
