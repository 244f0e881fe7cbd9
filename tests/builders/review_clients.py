"""A review server on the loopback of the test's own process, and a browser's session with it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from pipelines.review.guard import Guard
from pipelines.review.server import application
from pipelines.review.session import ReviewSession

TOKEN = "the-token"


@dataclass
class Client:
    """A browser's session with a server on the loopback."""

    http: aiohttp.ClientSession
    port: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        async with self.http.get(self.url(path), headers=headers) as answer:
            return answer.status, await answer.read()

    async def json(self, path: str, **params: str) -> Any:
        async with self.http.get(self.url(path), params=params) as answer:
            return await answer.json()

    async def judge(self, key: str, *judgements: dict[str, Any], **headers: str) -> tuple[int, Any]:
        own = {"Origin": f"http://127.0.0.1:{self.port}"} | headers
        body = json.dumps({"key": key, "judgements": judgements})
        content_type = {"Content-Type": "application/json"} | own
        async with self.http.post(self.url("/api/verdicts"), data=body, headers=content_type) as answer:
            return answer.status, await answer.json()


def talk(
    dataset: Path | str, talk_to: Callable[[Client], Awaitable[None]], *, reviewer: str = "ann", token: str = TOKEN
) -> None:
    """Start a server on a free port, speak to it with ``token``, stop it."""

    async def run() -> None:
        with ReviewSession(str(dataset), reviewer) as session, socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            guard = Guard(TOKEN, port)
            runner = web.AppRunner(application(session, guard), access_log=None)
            await runner.setup()
            await web.SockSite(runner, bound).start()
            try:
                async with aiohttp.ClientSession(cookies={guard.cookie: token}) as http:
                    await talk_to(Client(http, port))
            finally:
                await runner.cleanup()

    asyncio.run(run())
