"""To whom the review server speaks, and that no request leads out of the dataset or its page."""

from __future__ import annotations

import asyncio
import io
import socket
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from report_datasets import dog, write_dataset
from review_clients import TOKEN, Client, talk
from review_servers import review_server

from engine.review.verdicts import VERDICTS
from pipelines.review.guard import Guard
from pipelines.review.server import MAX_REQUEST_BYTES

ACCEPT = {"phrase": 0, "target": [10.0, 10.0, 60.0, 80.0], "verdict": "accepted"}
PATHS = ("/", "/review.js", "/api/dataset", "/api/samples", "/api/picture?key=000", "/nothing")


@pytest.fixture
def dogs(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "dogs", [dog(number) for number in range(2)])


def test_the_address_gives_the_token_as_a_cookie_that_scripts_cannot_read(dogs: Path) -> None:
    async def look(client: Client) -> None:
        async with client.http.get(client.url(f"/?token={TOKEN}")) as answer:
            assert (answer.status, "url=/" in await answer.text()) == (200, True)
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
        status, page = await client.get("/")
        assert (status, b"<form" in page, TOKEN.encode() in page) == (200, True, False)

    talk(dogs, look)


@pytest.mark.parametrize("token", ["", "the-toke", "the-token-", "THE-TOKEN"])
def test_without_the_token_nothing_is_told(dogs: Path, token: str) -> None:
    async def look(client: Client) -> None:
        for path in PATHS:
            status, body = await client.get(path)
            assert (path, status) == (path, 403)
            assert b"dog" not in body
        assert (await client.judge("000", ACCEPT))[0] == 403
        assert (await client.get("/?token=wrong"))[0] == 403
        assert (await client.get(f"/api/dataset?token={TOKEN}"))[0] == 403, "the token is taken at the front door alone"

    talk(dogs, look, token=token)
    assert not (dogs / VERDICTS).exists()


@pytest.mark.parametrize(("port", "status"), [(80, 200), (8080, 403)])
def test_a_browser_names_no_port_where_it_is_the_one_of_http(port: int, status: int) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response()

    guard = Guard(TOKEN, port)
    for host in ("127.0.0.1", "localhost"):
        request = make_mocked_request("GET", "/", headers={"Host": host, "Cookie": f"{guard.cookie}={TOKEN}"})
        assert asyncio.run(guard.guarded(handler)(request)).status == status


def test_what_is_no_request_gets_no_answer_and_prints_nothing(dogs: Path) -> None:
    with review_server(dogs, "ann") as address:  # which looks that nothing was printed
        for said in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"* HTTP/1.1\r\n\r\n", b"GET /" + b"x" * 9000):
            with socket.create_connection(("127.0.0.1", int(address.split(":")[2].partition("/")[0])), 10) as browser:
                browser.sendall(said + b"\r\n\r\n")
                assert browser.recv(100).startswith(b"HTTP/1.0 400")


def test_another_host_name_is_refused(dogs: Path) -> None:
    """DNS rebinding: a page elsewhere whose name leads to this machine sends its own name, and may have the cookie."""

    async def look(client: Client) -> None:
        for host in ("evil.example", f"evil.example:{client.port}", "127.0.0.1", f"127.0.0.1:{client.port}.evil", ""):
            status, body = await client.get("/api/dataset", Host=host)
            assert (host, status, b"its own address" in body) == (host, 403, True)
        assert (await client.get("/api/dataset", Host=f"localhost:{client.port}"))[0] == 200

    talk(dogs, look)


def test_a_change_comes_from_the_servers_own_page(dogs: Path) -> None:
    async def look(client: Client) -> None:
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Content-Type": "text/plain"}):
            assert (await client.judge("000", ACCEPT, **headers))[0] == 403
        async with client.http.post(client.url("/api/verdicts"), json={}) as answer:  # no Origin at all
            assert answer.status == 403

    talk(dogs, look)
    assert not (dogs / VERDICTS).exists()


def test_every_answer_closes_the_page(dogs: Path) -> None:
    async def look(client: Client) -> None:
        for path in PATHS:
            async with client.http.get(client.url(path)) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'")
                assert "unsafe" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cache-Control"] == "no-store"

    talk(dogs, look)


def test_a_key_is_looked_up_and_never_a_path(dogs: Path) -> None:
    keys = ("../dataset.json", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "000.jpg", "shards/000000.tar", "000\x00", "")

    async def look(client: Client) -> None:
        for key in (*keys, "a" * 5000, "*", "00?"):
            for path in ("/api/sample", "/api/picture"):
                async with client.http.get(client.url(path), params={"key": key}) as answer:
                    assert (answer.status, (await answer.json())["error"]) == (404, "no sample with a box has this key")
            assert (await client.judge(key, ACCEPT))[0] in (400, 404)

    talk(dogs, look)
    assert not (dogs / VERDICTS).exists()


def test_only_the_table_of_files_is_served(dogs: Path) -> None:
    paths = ("/../dataset.json", "/%2e%2e/%2e%2e/etc/passwd", "/templates/review.js", "/review.js/", "//etc/passwd")

    async def look(client: Client) -> None:
        cookie = "; ".join(f"{one.key}={one.value}" for one in client.http.cookie_jar)
        for path in paths:
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{client.port}\r\nCookie: {cookie}\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert answer.splitlines()[0].split()[1] in (b"404", b"400"), path

    talk(dogs, look)


def test_a_request_without_end_is_cut_off(dogs: Path) -> None:
    async def look(client: Client) -> None:
        headers = {"Origin": f"http://127.0.0.1:{client.port}", "Content-Type": "application/json"}
        body = io.BytesIO(b" " * (MAX_REQUEST_BYTES + 1))
        async with client.http.post(client.url("/api/verdicts"), data=body, headers=headers) as answer:
            assert answer.status == 413

    talk(dogs, look)
