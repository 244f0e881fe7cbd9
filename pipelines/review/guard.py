"""Access control of the review server: only browsers on this machine that know the token, on the server's own page.

In: requests. Out: a refusal, or the handler's answer with headers that protect the page. No other web page can reach
the data: not by a name of its own (the Host header is checked, against DNS rebinding), not by form or script (the
cookie is not sent from other sites, and requests that change something must have this origin), not by a frame.
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
HTTP_PORT = 80  # browsers leave it out of an address


class Guard:
    """The access control of one server, which listens on ``port`` of the loopback and has one token."""

    def __init__(self, token: str, port: int) -> None:
        self._token = token.encode()
        self.cookie = f"glip-engine-review-{port}"  # browsers share cookies between ports
        self._hosts = {f"{host}:{port}" for host in HOSTS} | (set(HOSTS) if port == HTTP_PORT else set())

    def address(self) -> str:
        """The address to open in a browser. It has the token, which the browser then keeps as a cookie."""
        return f"http://{min(self._hosts)}/?token={self._token.decode()}"

    def guarded(self, handler: Handler) -> Handler:
        """The handler behind the check; its errors become answers in JSON."""

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
        """Answer with the token as a cookie, so that it stays in no address bar; and with a page that loads the real
        one, since after a redirect from another site's link a browser would not send a strict cookie."""
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
        """Whether the token is right, compared in constant time, so that timing does not tell how much of it was."""
        return hmac.compare_digest(token.encode(errors="replace"), self._token)

    def _is_own(self, request: web.Request) -> bool:
        origin = request.headers.get("Origin", "")
        return request.content_type == "application/json" and origin == f"http://{request.headers['Host']}"


def _refused(message: str) -> web.Response:
    return web.json_response({"error": message}, status=403)
