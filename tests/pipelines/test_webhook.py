"""The webhook: what arrives, what is tried again, and that its address is kept secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipelines.retraining import webhook
from pipelines.retraining.webhook import send, webhook_address
from schemas.retrain_recipes import NotifyRecipe


class Hook:
    """A server on loopback that answers with the statuses it is given, the last one for ever, and keeps what came."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.came: list[Any] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.came.append((self.path, self.headers["Content-Type"], json.loads(body)))
                self.send_response(hook.statuses.pop(0) if len(hook.statuses) > 1 else hook.statuses[0])
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hooks/secret-token"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setattr(webhook, "PAUSES_S", (0.0, 0.0, None))
    hook = Hook()
    thread = threading.Thread(target=hook.server.serve_forever, args=(0.01,))
    thread.start()
    yield hook
    hook.server.shutdown()
    thread.join()
    hook.server.server_close()


def notify(url: str, **fields: Any) -> NotifyRecipe:
    return NotifyRecipe.model_validate({"url": url, **fields})


def test_an_event_arrives_as_json(hook: Hook) -> None:
    assert send(notify(hook.url), {"event": "refused", "run": {"number": 3}})
    assert hook.came == [("/hooks/secret-token", "application/json", {"event": "refused", "run": {"number": 3}})]


def test_a_server_that_fails_is_tried_three_times_and_its_path_is_never_told(
    hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    hook.statuses = [503, 503, 200]
    assert send(notify(hook.url), {})
    hook.statuses = [500]
    assert not send(notify(hook.url), {})
    assert len(hook.came) == 6
    said = capsys.readouterr().out
    assert "the webhook on 127.0.0.1 could not be notified: it answered 500" in said
    assert "secret" not in said


@pytest.mark.parametrize("status", [302, 307, 404])
def test_a_refusal_and_a_redirect_are_not_tried_again_nor_followed(hook: Hook, status: int) -> None:
    hook.statuses = [status]
    assert not send(notify(hook.url), {})
    assert [path for path, *_ in hook.came] == ["/hooks/secret-token"]


def test_a_server_that_is_not_there_fails_nothing(capsys: pytest.CaptureFixture[str], hook: Hook) -> None:
    hook.server.server_close()
    assert not send(notify(hook.url, timeout_s=1), {})
    assert "could not be notified: URLError" in capsys.readouterr().out
    assert not send(notify(f"http://{70 * 'a'}.invalid/"), {}), "a name that no host can have"
    assert "could not be notified: Unicode" in capsys.readouterr().out  # newer Pythons: UnicodeEncodeError


def test_an_address_can_come_from_the_environment_and_a_bad_one_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, hook: Hook
) -> None:
    monkeypatch.setenv("HOOK", hook.url)
    assert webhook_address(NotifyRecipe(url_from="HOOK")) == hook.url
    for bad in (NotifyRecipe(url_from="NO_SUCH"), notify("ftp://user:secret@host/x"), notify("secret")):
        with pytest.raises(ValueError, match="holds no http") as refused:
            webhook_address(bad)
        assert "secret" not in str(refused.value)
    assert "secret-token" not in repr(notify(hook.url)) + notify(hook.url).model_dump_json()
    with pytest.raises(ValueError, match="url_from"):
        NotifyRecipe()
