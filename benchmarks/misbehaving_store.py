"""An object store on loopback that fails as asked: a proxy before a real S3 API; for `faults.py` and the tests.

In: requests of any S3 client. Out: the real store's responses, except for every `every`-th request, which meets `fault`
(`FAULTS`). `counts` has the number of requests, and of those that met it.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FAULTS = {
    "500": "answers 500 InternalError",
    "503": "answers 503 SlowDown",
    "expired": "answers 400 ExpiredToken",
    "bad token": "answers 400 InvalidToken",
    "skewed": "answers 403 RequestTimeTooSkewed",
    "unconditional": "answers 501 NotImplemented to a conditional put",
    "slow": "takes a while, and sends its answer in drops",
    "cut": "sends half of an answer and closes the connection",
    "reset": "closes the connection before it has done anything",
    "lost": "does what was asked and closes the connection without an answer",
    "half": "stores half of what is put and says that all is well",
}
ERRORS = {
    "500": (500, b"InternalError"),
    "503": (503, b"SlowDown"),
    "expired": (400, b"ExpiredToken"),
    "bad token": (400, b"InvalidToken"),
    "skewed": (403, b"RequestTimeTooSkewed"),
    "unconditional": (501, b"NotImplemented"),
}
CONDITIONS = ("If-None-Match", "If-Match")
SLOW_S = 0.2
TIMEOUT_S = 60.0
NOT_PASSED = {"content-length", "transfer-encoding", "connection", "expect", "date", "server"}
ERROR = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>as asked</Message></Error>"


class MisbehavingStore:
    """A proxy on 127.0.0.1 before the S3 API at `upstream` (`http://host:port`). No fault until `fault` is set."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.fault: str | None = None
        self.every = 1
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"store": self}))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def misbehave(self, fault: str | None, every: int = 1) -> None:
        """From now on, let every `every`-th request meet `fault`; None for no fault."""
        with self._lock:
            self.fault, self.every, self.counts = fault, every, Counter()

    def fault_of_next(self) -> str | None:
        with self._lock:
            self.counts["requests"] += 1
            if self.fault is None or self.counts["requests"] % self.every:
                return None
            self.counts["faults"] += 1
            return self.fault

    @contextmanager
    def running(self) -> Iterator[MisbehavingStore]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One connection; `store` decides which fault each request meets."""

    store: MisbehavingStore
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S

    def handle_one_request(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            super().handle_one_request()

    def _serve(self) -> None:
        body = self._body()
        fault = self.store.fault_of_next()
        if fault in ERRORS and (fault != "unconditional" or any(name in self.headers for name in CONDITIONS)):
            status, code = ERRORS[fault]
            self._answer(status, [], ERROR % code)
            return
        if fault == "reset":
            self.close_connection = True
            return
        if fault == "half" and self.command == "PUT" and body:
            body = body[: len(body) // 2]
        status, headers, content = self._ask(body)
        if fault == "slow":
            time.sleep(SLOW_S)
        if fault == "lost":
            self.close_connection = True
            return
        self._answer(status, headers, content, fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.store.upstream, timeout=TIMEOUT_S)
        passed = {name: value for name, value in self.headers.items() if name.lower() not in NOT_PASSED}
        connection.request(self.command, self.path, body, {**passed, "Content-Length": str(len(body))})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), content

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, fault: str | None = None) -> None:
        self.send_response_only(status)
        kept = [(name, value) for name, value in headers if name.lower() not in NOT_PASSED]
        length = {name.lower(): value for name, value in headers}.get("content-length")
        size = length if self.command == "HEAD" and length is not None else str(len(content))
        for name, value in [*kept, ("Content-Length", size)]:
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "cut":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        elif fault == "slow":
            self._drip(content)
        else:
            self.wfile.write(content)

    def _drip(self, content: bytes) -> None:
        step = max(1, -(-len(content) // 8))
        for start in range(0, len(content), step):
            self.wfile.write(content[start : start + step])
            time.sleep(SLOW_S / 8)

    def log_message(self, *arguments: Any) -> None:
        """Nothing is printed."""
