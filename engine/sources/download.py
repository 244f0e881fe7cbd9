"""Downloads of pictures from the open web: many at once, each bounded in time, bytes, redirects and tries.

In: urls. Out: for each, in order, the bytes of a picture, or a reason and a message. The web is hostile: nothing it
sends raises here, no body larger than the recipe allows is kept, and only public addresses are connected to.

A message begins with the url, so that a report can count by host (:mod:`engine.statistics`). Reasons: ``url_invalid``,
``private_address``, ``dns_failed``, ``connection_failed``, ``tls_failed``, ``timeout``, ``redirect_loop``,
``redirect_invalid``, ``http_404`` and so on, ``http_malformed``, ``too_large``, ``cut_short``, ``opted_out``,
``not_an_image``, ``download_failed``, ``unit_too_large``.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from engine.sources import Problem
from engine.sources.addresses import PrivateAddressError, public_socket
from engine.sources.opt_out import forbidding_directive
from engine.sources.sayable import sayable
from engine.sources.unit_bytes import UnitBytes
from schemas.pictures import image_extension
from schemas.recipes import UrlsSource

MAX_URL_CHARS = 4000
MAX_WAIT_S = 30.0  # no retry if a server asks to wait longer
FIRST_WAIT_S = 0.5
RESOLVER_THREADS = 64  # the system resolves names, each in a thread
MAY_PASS = frozenset(
    ["dns_failed", "connection_failed", "cut_short", "http_429", "http_500", "http_502", "http_503", "http_504"]
)


@dataclass(frozen=True, slots=True)
class Download:
    """A picture as the server sent it."""

    content: bytes
    extension: str


@dataclass(frozen=True, slots=True)
class _Failure:
    """The failure of one try; ``wait_s`` is how long the server asks to wait, None where it does not."""

    reason: str
    detail: str
    wait_s: float | None = None


# The first that matches gives the reason, so subclasses come before their bases.
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "timeout"),
    (aiohttp.TooManyRedirects, "redirect_loop"),
    (aiohttp.InvalidUrlRedirectClientError, "redirect_invalid"),
    (aiohttp.NonHttpUrlRedirectClientError, "redirect_invalid"),
    (aiohttp.InvalidURL, "url_invalid"),
    (aiohttp.ClientConnectorDNSError, "dns_failed"),
    (aiohttp.ClientConnectorCertificateError, "tls_failed"),
    (aiohttp.ClientSSLError, "tls_failed"),
    (aiohttp.ClientPayloadError, "cut_short"),
    (aiohttp.ClientConnectionError, "connection_failed"),
    (aiohttp.ClientResponseError, "http_malformed"),
    (OSError, "connection_failed"),
    (ValueError, "url_invalid"),  # an invalid host name, which is noticed only when it is resolved
)


class Downloader:
    """Downloads pictures as the recipe says. No connection is kept between calls."""

    def __init__(self, recipe: UrlsSource) -> None:
        self._recipe = recipe
        self._name = recipe.user_agent.partition("/")[0]

    def download(self, urls: Sequence[str]) -> list[Download | Problem]:
        """The outcome of each url, in order."""
        return _run(self._download(urls)) if urls else []

    async def _download(self, urls: Sequence[str]) -> list[Download | Problem]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(RESOLVER_THREADS))
        slots = asyncio.Semaphore(self._recipe.concurrency)
        host_slots = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(self._recipe.concurrency_per_host))
        async with self._session() as session:
            room = UnitBytes()
            tasks = [self._kept(url, self._with_retries(session, url, slots, host_slots), room) for url in urls]
            return await asyncio.gather(*tasks)

    async def _kept(self, url: str, trying: Awaitable[Download | Problem], room: UnitBytes) -> Download | Problem:
        """The outcome of a url; a Problem for a picture that exceeds the memory for the pictures of its unit."""
        found = await trying
        full = room.over(len(found.content)) if isinstance(found, Download) else None
        return found if full is None else Problem(full.reason, f"{_shown(url)}: {full.message}")

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # the slots are the limit; here, waiting for a connection would count toward its timeout
                socket_factory=None if self._recipe.allow_private else public_socket,
            ),
            timeout=aiohttp.ClientTimeout(total=self._recipe.timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            # No compression, so that no small answer can become a large one.
            headers={"User-Agent": self._recipe.user_agent, "Accept": "image/*", "Accept-Encoding": "identity"},
            auto_decompress=False,
        )

    async def _with_retries(
        self,
        session: aiohttp.ClientSession,
        url: str,
        slots: asyncio.Semaphore,
        host_slots: defaultdict[str, asyncio.Semaphore],
    ) -> Download | Problem:
        host = _host(url)
        if host is None:
            return Problem("url_invalid", f"{_shown(url)}: it is not an http or https url")
        tries = 0
        while True:
            async with host_slots[host], slots:
                outcome = await self._try(session, url)
            if isinstance(outcome, Download):
                return outcome
            wait_s = _wait_s(outcome, tries)
            if outcome.reason not in MAY_PASS or tries == self._recipe.retries or wait_s > MAX_WAIT_S:
                return Problem(outcome.reason, f"{_shown(url)}: {outcome.detail}")
            await asyncio.sleep(wait_s)
            tries += 1

    async def _try(self, session: aiohttp.ClientSession, url: str) -> Download | _Failure:
        try:
            async with session.get(url, max_redirects=self._recipe.max_redirects + 1) as response:
                refused = self._refused(response)
                return refused or await self._body(response)
        except Exception as error:  # hostile answers make the client raise errors without a common class
            return _failure(error)

    def _refused(self, response: aiohttp.ClientResponse) -> _Failure | None:
        """The reason, from the response's headers, not to read its body; None if there is none."""
        if response.history or "X-Robots-Tag" in response.headers:
            answers = (*response.history, response)
            tags = [value for answer in answers for value in answer.headers.getall("X-Robots-Tag", [])]
            directive = forbidding_directive(tags, self._recipe.opt_out, self._name)
            if directive:
                return _Failure("opted_out", f"its owner answers X-Robots-Tag: {directive}")
        if response.status != 200:
            reason = (response.reason or "")[:80]
            return _Failure(f"http_{response.status}", f"answered {response.status} {reason}", _asked_wait_s(response))
        if (response.content_length or 0) > self._recipe.max_image_bytes:
            return _Failure("too_large", f"{response.content_length} bytes, more than max_image_bytes")
        return None

    async def _body(self, response: aiohttp.ClientResponse) -> Download | _Failure:
        try:
            content = await self._read(response)
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            return _Failure("cut_short", f"the body ends early: {type(error).__name__}")
        if len(content) > self._recipe.max_image_bytes:
            return _Failure("too_large", f"more than {self._recipe.max_image_bytes} bytes, max_image_bytes")
        extension = image_extension(content[:64])
        if extension is None:
            return _Failure("not_an_image", f"{len(content)} bytes that begin {content[:16]!r}")
        return Download(content, extension)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body; if it is longer than allowed, only enough of it to show that."""
        if response.content_length is not None and "Transfer-Encoding" not in response.headers:
            return await response.read()  # reads at most the stated length, which has been checked
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > self._recipe.max_image_bytes:
                break
        return b"".join(chunks)


def _run(downloads: Coroutine[Any, Any, list[Download | Problem]]) -> list[Download | Problem]:
    """The result of ``downloads``, also under a running event loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(downloads)
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(asyncio.run, downloads).result()


def _failure(error: Exception) -> _Failure:
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, PrivateAddressError):
        return _Failure("private_address", "its address is not of the public internet; see source.allow_private")
    reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), "download_failed")
    detail = "" if reason in ("timeout", "redirect_loop") else f": {' '.join(str(error).split())[:200]}"
    return _Failure(reason, f"{type(error).__name__}{detail}")


def _host(url: str) -> str | None:
    """The host of an http or https url; None for any other text."""
    if len(url) > MAX_URL_CHARS:
        return None
    try:
        parts = urlsplit(url)
        return parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        return None


def _shown(url: str) -> str:
    return sayable(url)[:500]


def _wait_s(failure: _Failure, tries: int) -> float:
    """Seconds until the next try: what the server asks for, or exponential backoff with jitter."""
    spread = FIRST_WAIT_S * 2.0**tries * random.uniform(0.5, 1.5)
    return spread if failure.wait_s is None else failure.wait_s + spread / 10


def _asked_wait_s(response: aiohttp.ClientResponse) -> float | None:
    """``Retry-After`` in seconds, whether given as seconds or as a date; None where it is missing or invalid."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    try:
        then = parsedate_to_datetime(asked)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)  # HTTP's old date format has no zone, and means UTC
    return max(0.0, (then - datetime.now(UTC)).total_seconds())
