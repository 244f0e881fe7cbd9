"""Who may speak to the review server: a program on this machine that knows the token, from a page of the server's own.

In: requests. Out: a refusal, or the handler's answer with headers that keep the page closed. A page elsewhere on the
web cannot reach the data: not by its own name (the Host header is looked at, against DNS rebinding), not by form or
script (the cookie is sent to no other site, and what changes something must come from this origin), not by a frame.
"""

from __future__ import annotations

import hmac

from aiohttp import web
from aiohttp.typedefs import Handler

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
WELCOME = '<!doctype html><title>glip-engine review</title><meta http-equiv="refresh" content="0; url=/">'
HOSTS = ("127.0.0.1", "localhost")
HTTP_PORT = 80  # which a browser leaves out of an address


class Guard:
    """The check of one server, which listens on ``port`` of the loopback and knows one token."""

    def __init__(self, token: str, port: int) -> None:
        self._token = token.encode()
        self.cookie = f"glip-engine-review-{port}"  # browsers share cookies between ports
        self._hosts = {f"{host}:{port}" for host in HOSTS} | (set(HOSTS) if port == HTTP_PORT else set())

    def address(self) -> str:
        """Where a browser is to go: it takes the token along once, and keeps it as a cookie."""
        return f"http://{sorted(self._hosts)[0]}/?token={self._token.decode()}"

    def guarded(self, handler: Handler) -> Handler:
        """The handler behind the check; what it raises becomes an answer in JSON."""

        async def answer_or_refuse(request: web.Request) -> web.StreamResponse:
            refusal = self._refusal(request)
            if refusal is not None:
                answer: web.StreamResponse = refusal
            elif request.path == "/" and "token" in request.query:
                answer = self._welcome(request)
            else:
                try:
                    answer = await handler(request)
                except web.HTTPException as error:
                    answer = web.json_response({"error": error.reason}, status=error.status)
            answer.headers.update(HEADERS)
            return answer

        return answer_or_refuse

    def _welcome(self, request: web.Request) -> web.StreamResponse:
        """The token becomes a cookie, so that it stands in no address bar. A page that goes on by itself, and no
        redirect: where a page of another site has the link, a browser would send no strict cookie along with that."""
        answer = web.Response(text=WELCOME, content_type="text/html")
        answer.set_cookie(self.cookie, request.query["token"], httponly=True, samesite="Strict", path="/")
        return answer

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Host", "") not in self._hosts:
            return _refused("this server answers to its own address on this machine alone")
        given = request.query.get("token", "") if request.path == "/" else ""
        if not self._knows(given or request.cookies.get(self.cookie, "")):
            return _refused("open the whole address that `glip-engine serve` printed, with its token")
        if request.method not in ("GET", "HEAD") and not self._is_own(request):
            return _refused("changes are taken from this server's own page alone")
        return None

    def _knows(self, token: str) -> bool:
        """Compared in constant time, so that no clock tells how much of it was right."""
        return hmac.compare_digest(token.encode(errors="replace"), self._token)

    def _is_own(self, request: web.Request) -> bool:
        origin = request.headers.get("Origin", "")
        return request.content_type == "application/json" and origin == f"http://{request.headers['Host']}"


def _refused(message: str) -> web.Response:
    return web.json_response({"error": message}, status=403)
