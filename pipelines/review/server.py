"""The review server's routes: the page and its files, searches, samples, pictures, verdicts. JSON in, JSON out.

In: a :class:`~pipelines.review.session.ReviewSession`, and requests that passed the guard. Out: responses. No part of a
request becomes a path: files of the page are a fixed table, samples are looked up by key. Slow work is done on a
bounded number of threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from engine.dataset.sample_lookup import UnknownKeyError
from engine.review.queries import ReviewQuery
from pipelines.pages.page_templates import asset
from pipelines.review.guard import Guard
from pipelines.review.session import SIDES, Judgements, ReviewSession
from schemas.recipes import explain

MAX_REQUEST_BYTES = 1 << 20
THREADS = 4
FILES = {
    "/": ("review.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/review.css": ("review.css", "text/css"),
    "/favicon.svg": ("favicon.svg", "image/svg+xml"),
    "/favicon.ico": ("favicon.svg", "image/svg+xml"),  # browsers request it before the page has named its icon
    "/theme.js": ("theme.js", "text/javascript"),
    "/review_boxes.js": ("review_boxes.js", "text/javascript"),
    "/review_page.js": ("review_page.js", "text/javascript"),
    "/review_requests.js": ("review_requests.js", "text/javascript"),
    "/review_verdicts.js": ("review_verdicts.js", "text/javascript"),
    "/review.js": ("review.js", "text/javascript"),
}
Answer = TypeVar("Answer")
Request = TypeVar("Request", bound=BaseModel)


def application(session: ReviewSession, guard: Guard) -> web.Application:
    """The server, ready to be bound to a port: one table of all routes, behind one guard."""
    routes = Routes(session)
    table: dict[tuple[str, str], Handler] = {
        ("GET", "/api/dataset"): routes.dataset,
        ("GET", "/api/samples"): routes.samples,
        ("GET", "/api/totals"): routes.totals,
        ("GET", "/api/sample"): routes.sample,
        ("GET", "/api/picture"): routes.picture,
        ("POST", "/api/verdicts"): routes.verdicts,
        **{("GET", path): _file(asset(name), kind) for path, (name, kind) in FILES.items()},
    }

    async def dispatch(request: web.Request) -> web.StreamResponse:
        handler = table.get((request.method, request.path))
        if handler is None:
            raise web.HTTPNotFound(reason="there is no such page")
        return await handler(request)

    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    app.router.add_route("*", "/{path:.*}", guard.guarded(dispatch))
    return app


def _file(text: str, kind: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind, charset="utf-8")

    return answer


class Routes:
    """The handlers of ``/api/``."""

    def __init__(self, session: ReviewSession) -> None:
        self._session = session
        self._free = asyncio.Semaphore(THREADS)

    async def dataset(self, _: web.Request) -> web.Response:
        """The facts about the dataset."""
        return web.json_response(self._session.about())

    async def samples(self, request: web.Request) -> web.Response:
        """A page of samples; parameters are the fields of a query, and ``after``."""
        fields = dict(request.query)
        after = fields.pop("after", None)
        query = _checked(ReviewQuery, fields)
        return web.json_response(await self._do(lambda: self._session.find(query, after)))

    async def totals(self, request: web.Request) -> web.Response:
        """The number of samples and boxes that match a query."""
        query = _checked(ReviewQuery, dict(request.query))
        return web.json_response(await self._do(lambda: self._session.totals(query)))

    async def sample(self, request: web.Request) -> web.Response:
        """One sample by ``key``."""
        key = request.query.get("key", "")
        return web.json_response(await self._do(lambda: self._session.sample(key)))

    async def picture(self, request: web.Request) -> web.Response:
        """A sample's picture by ``key``, in one of two sizes."""
        key, size = request.query.get("key", ""), request.query.get("size", "small")
        if size not in SIDES:
            raise web.HTTPBadRequest(reason=f"no such size; there are: {', '.join(SIDES)}")
        jpeg = await self._do(lambda: self._session.picture(key, size))
        if jpeg is None:
            raise web.HTTPNotFound(reason="the picture cannot be shown: it does not decode, or is too large")
        return web.Response(body=jpeg, content_type="image/jpeg")

    async def verdicts(self, request: web.Request) -> web.Response:
        """Save verdicts; responds with the sample as it is then."""
        try:
            judgements = Judgements.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(reason=_one_line(explain(error))) from None
        return web.json_response(await self._do(lambda: self._session.judge(judgements)))

    async def _do(self, work: Callable[[], Answer]) -> Answer:
        """Run ``work`` on a thread; mistakes of the reviewer become responses with a message."""
        async with self._free:
            try:
                return await asyncio.to_thread(work)
            except UnknownKeyError:
                raise web.HTTPNotFound(reason="no sample with a box has this key") from None
            except ValueError as error:
                raise web.HTTPBadRequest(reason=_one_line(str(error))) from None
            except (OSError, RuntimeError) as error:
                raise web.HTTPServiceUnavailable(reason=_one_line(str(error))) from None


def _checked(kind: type[Request], fields: dict[str, str]) -> Request:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise web.HTTPBadRequest(reason=_one_line(explain(error))) from None


def _one_line(text: str) -> str:
    """A text for the reason in the status line, which must be one line."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:500]
