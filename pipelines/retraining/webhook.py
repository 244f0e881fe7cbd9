"""A webhook: JSON by POST to the user's address, tried three times, without following redirects.

In: the address and an event. Out: whether it arrived. The address is a secret: only its host is ever printed. If the
webhook does not answer, that is printed, and nothing fails.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from schemas.retrain_recipes import NotifyRecipe

PAUSES_S = (1.0, 4.0, None)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: another address is not the one that the user gave."""

    def redirect_request(self, *_: Any) -> None:
        return None


def webhook_address(notify: NotifyRecipe) -> str:
    """The address, from the recipe or the environment. ValueError, without the address in it, where it is invalid."""
    address = os.environ.get(notify.url_from or "", "") if notify.url is None else notify.url.get_secret_value()
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        where = f"the environment variable {notify.url_from}" if notify.url_from else "notify.url"
        raise ValueError(f"{where} holds no http(s) address to notify; give one, or take `notify` out of the recipe")
    return address


def send(notify: NotifyRecipe, event: dict[str, Any]) -> bool:
    """Post the event; returns False, and prints a line, where it did not arrive."""
    address = webhook_address(notify)
    host = urlsplit(address).hostname
    request = urllib.request.Request(
        address,
        data=json.dumps(event).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "glip-engine"},
        method="POST",
    )
    opener = urllib.request.build_opener(_NoRedirects)
    fault = ""
    for pause_s in PAUSES_S:
        try:
            with opener.open(request, timeout=notify.timeout_s):
                return True
        except urllib.error.HTTPError as error:
            fault = f"it answered {error.code}"
            error.close()
            if error.code < 500 and error.code != 429:
                break
        except (OSError, HTTPException, UnicodeError) as error:  # UnicodeError: an invalid host name
            fault = type(error).__name__
        if pause_s is not None:
            time.sleep(pause_s)
    print(f"the webhook on {host} could not be notified: {fault}", flush=True)
    return False
