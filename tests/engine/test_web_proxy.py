"""Sources on the web behind a company's proxy, which alone can find their hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from source_outcomes import read_tars, told

from engine.sources.image_files import ImageFolder

HOST = "http://files.invalid"


@pytest.fixture
def proxy(bad_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("http_proxy", bad_server.url(""))
    return bad_server


def test_a_tar_is_read_through_the_proxy_of_the_environment(web: Any, proxy: Any) -> None:
    path: Path = web.tar_of(proxy.root / "0.tar", web.samples(3))
    found = read_tars(f"{HOST}/file/0.tar")
    assert found == read_tars(path)
    assert [reason for _, reason in told(found)] == ["ok"] * 3


def test_a_picture_of_a_table_is_read_through_it(proxy: Any) -> None:
    assert ImageFolder(HOST, 10**6).read("picture/1") == proxy.picture


def test_no_proxy_is_asked_for_what_no_proxy_names(web: Any, proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    web.tar_of(proxy.root / "0.tar", web.samples(3))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert len(read_tars(proxy.url("/file/0.tar"))) == 3
    assert all(target.startswith("/file/") for target in proxy.asked), "a proxy is asked for whole addresses"
