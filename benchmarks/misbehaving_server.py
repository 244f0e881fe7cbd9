"""A web server on loopback that misbehaves like the web; for `benchmarks/urls.py` and the tests.

In: requests, answered by `misbehaving_routes.py`. As a command it prints its port and serves until its standard input
is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from misbehaving_routes import PICTURE, ROUTES, Request, not_found


class MisbehavingServer:
    """Serves on 127.0.0.1. `root`: the folder with the files of `/file/NAME`. `asked` counts requests by path."""

    picture = PICTURE

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self.port = 0
        self.asked: Counter[str] = Counter()
        self.active = 0
        self.most_active = 0
        self.extra_head = ""

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        return server

    @contextmanager
    def in_a_thread(self) -> Iterator[Self]:
        """A context with the server in a thread of its own; at the end it is stopped, with all hanging requests."""
        loop, ready = asyncio.new_event_loop(), threading.Event()

        def serve() -> None:
            asyncio.set_event_loop(loop)
            server = loop.run_until_complete(self.start())
            ready.set()
            loop.run_forever()
            server.close()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
                self.asked[target] += 1
                self.active += 1
                self.most_active = max(self.active, self.most_active)
                try:
                    await ROUTES.get(urlsplit(target).path.split("/")[1], not_found)(
                        Request(self, method, target, writer)
                    )
                    await writer.drain()
                finally:
                    self.active -= 1
                if writer.is_closing():
                    break
        writer.close()


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with MisbehavingServer().in_a_thread() as server:
        print(server.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
