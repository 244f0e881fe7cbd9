"""The responses of `misbehaving_server.py`, by name: all that a downloader may meet on the web.

In: a request; the first part of its path selects the response (`ROUTES`). Out: responses, good and bad, written byte by
byte, as no proper server would send them.
"""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

# Bytes that begin like a JPEG and are as many as those of a small picture.
PICTURE = b"\xff\xd8\xff\xe0" + b"\x00\x10JFIF\x00" + bytes(range(256)) * 80 + b"\xff\xd9"
CHUNK = f"{len(PICTURE):x}\r\n".encode() + PICTURE + b"\r\n"
HANG_S = 60.0
DRIP_S = 0.05


class Server(Protocol):
    """The state that a response depends on besides the request."""

    root: Path | None
    asked: Counter[str]
    extra_head: str


class Request:
    """One request, and the ways to answer it."""

    def __init__(self, server: Server, method: str, target: str, writer: asyncio.StreamWriter) -> None:
        self.server, self.method, self.writer, self.target = server, method, writer, target
        parts = urlsplit(target)
        self.path, self.query = unquote(parts.path), {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.rest = self.path.split("/", 2)[2] if self.path.count("/") > 1 else ""

    def head(self, status: str, *fields: str) -> None:
        lines = [f"HTTP/1.1 {status}", *fields, *([self.server.extra_head] if self.server.extra_head else [])]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def answer(self, content: bytes, *fields: str, status: str = "200 OK", kind: str = "image/jpeg") -> None:
        self.head(status, f"Content-Type: {kind}", f"Content-Length: {len(content)}", *fields)
        if self.method != "HEAD":
            self.writer.write(content)

    @property
    def count(self) -> int:
        """The number of requests for this path."""
        return self.server.asked[self.target]


async def picture(request: Request) -> None:
    request.answer(PICTURE)


async def slow_picture(request: Request) -> None:
    await asyncio.sleep(float(request.query.get("s", "0.05")))
    request.answer(PICTURE)


async def file(request: Request) -> None:
    root = request.server.root
    wanted = (root / request.rest) if root else None
    if wanted is None or not wanted.is_file() or not wanted.resolve().is_relative_to(root.resolve() if root else "/"):
        await not_found(request)
    else:
        request.answer(wanted.read_bytes(), "Accept-Ranges: none")


async def not_found(request: Request) -> None:
    request.answer(b"<html>gone</html>", status="404 Not Found", kind="text/html")


async def status(request: Request) -> None:
    request.answer(b"no", status=f"{request.rest} Whatever", kind="text/plain")


async def flaky(request: Request) -> None:
    """`n` times 503, then a picture; `after` is the Retry-After."""
    if request.count <= int(request.query.get("n", "1")):
        fields = [f"Retry-After: {request.query['after']}"] if "after" in request.query else []
        request.answer(b"busy", *fields, status=request.query.get("status", "503") + " Busy")
    else:
        request.answer(PICTURE)


async def hang(request: Request) -> None:
    await asyncio.sleep(HANG_S)


async def drip(request: Request) -> None:
    request.head("200 OK", "Content-Type: image/jpeg", f"Content-Length: {len(PICTURE)}")
    for byte in PICTURE:
        request.writer.write(bytes([byte]))
        await request.writer.drain()
        await asyncio.sleep(DRIP_S)


async def loop(request: Request) -> None:
    request.answer(b"", f"Location: {request.target}", status="302 Found")


async def hops(request: Request) -> None:
    """A number of redirects, then a picture."""
    left = int(request.rest)
    if left:
        request.answer(b"", f"Location: /hops/{left - 1}", status="302 Found")
    else:
        request.answer(PICTURE)


async def to(request: Request) -> None:
    request.answer(b"", f"Location: {request.query['url']}", status="302 Found")


async def page(request: Request) -> None:
    request.answer(b"<!DOCTYPE html><p>Buy this domain", kind="image/jpeg")


async def empty(request: Request) -> None:
    request.answer(b"")


async def cut(request: Request) -> None:
    request.head("200 OK", "Content-Type: image/jpeg", f"Content-Length: {len(PICTURE)}")
    request.writer.write(PICTURE[: len(PICTURE) // 2])
    request.writer.close()


async def reset(request: Request) -> None:
    request.writer.transport.abort()


async def huge(request: Request) -> None:
    request.head("200 OK", "Content-Type: image/jpeg", f"Content-Length: {1 << 40}")
    await _flood(request, PICTURE)


async def endless(request: Request) -> None:
    request.head("200 OK", "Content-Type: image/jpeg", "Transfer-Encoding: chunked")
    await _flood(request, CHUNK)


async def two_lengths(request: Request) -> None:
    """A short Content-Length, but endless chunks."""
    request.head("200 OK", "Content-Type: image/jpeg", "Content-Length: 10", "Transfer-Encoding: chunked")
    await _flood(request, CHUNK)


async def endless_head(request: Request) -> None:
    request.writer.write(b"HTTP/1.1 200 OK\r\n")
    await _flood(request, b"X-More: more\r\n" * 100)


async def noise(request: Request) -> None:
    request.writer.write(bytes(range(256)) * 8)
    request.writer.close()


async def tagged(request: Request) -> None:
    request.answer(PICTURE, f"X-Robots-Tag: {request.query['tag']}")


async def bomb(request: Request) -> None:
    """A gigabyte of zeros in a megabyte of gzip."""
    request.answer(gzip.compress(bytes(1 << 20)) * 100, "Content-Encoding: gzip")


async def _flood(request: Request, content: bytes) -> None:
    while True:
        request.writer.write(content)
        await request.writer.drain()


ROUTES: dict[str, Callable[[Request], Awaitable[None]]] = {
    "picture": picture,
    "slow": slow_picture,
    "file": file,
    "404": not_found,
    "status": status,
    "flaky": flaky,
    "hang": hang,
    "drip": drip,
    "loop": loop,
    "hops": hops,
    "to": to,
    "page": page,
    "empty": empty,
    "cut": cut,
    "reset": reset,
    "huge": huge,
    "endless": endless,
    "endless_head": endless_head,
    "two_lengths": two_lengths,
    "noise": noise,
    "tagged": tagged,
    "bomb": bomb,
}
