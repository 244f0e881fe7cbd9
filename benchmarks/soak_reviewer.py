"""The reviewer of `soak_jobs.py`, who searches, looks and judges without rest.

In: the address that `glip-engine serve` prints. Out: requests, one after the other, and how many there were.
"""

from __future__ import annotations

import http.cookiejar
import itertools
import json
import urllib.request
from contextlib import suppress
from typing import Any


class Reviewer:
    """A browser, as far as the server can tell."""

    def __init__(self, address: str) -> None:
        self._root = address.partition("/?")[0]
        self.asked = 0
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)
        self._opener.open(address).read()

    def work(self, requests: int) -> None:
        """Search, look at what is found, accept its first box; until the server is gone."""
        with suppress(OSError):
            for number in itertools.count():
                order, phrase = ("dataset", "random", "lowest")[number % 3], ("", "dog", "red")[number // 3 % 3]
                found = self.ask(f"/api/samples?order={order}&phrase={phrase}")["samples"]
                self.ask(f"/api/totals?phrase={phrase}")
                for one in found[number % 7 :: 7]:
                    self.look(one["key"])
                if self.asked > requests:
                    return

    def look(self, key: str) -> None:
        self.ask(f"/api/picture?key={key}&size=small")
        box = self.ask(f"/api/sample?key={key}")["boxes"][0]
        judgement = {"phrase": box["phrase"], "target": box["target"], "verdict": "accepted"}
        self.ask("/api/verdicts", {"key": key, "judgements": [judgement]})

    def ask(self, path: str, body: Any = None) -> Any:
        self.asked += 1
        headers = {"Origin": self._root, "Content-Type": "application/json"} if body else {}
        data = None if body is None else json.dumps(body).encode()
        with self._opener.open(urllib.request.Request(f"{self._root}{path}", data, headers)) as answer:
            content = answer.read()
            return json.loads(content) if answer.headers.get_content_type() == "application/json" else content
