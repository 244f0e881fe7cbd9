"""What all tests of pipelines share: the parser, opened once, a second model, and a headless browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pytest


@cache
def _opened_once() -> Callable[..., Any]:
    from engine.phrases import open_pipeline

    return lru_cache(open_pipeline)


@pytest.fixture(scope="module", autouse=True)
def _parser_opened_once() -> Iterator[None]:
    """To open the shipped parser takes several times as long as to label the few captions of a test: the jobs of this
    process share one. Those that run in processes of their own open theirs, and tests of other rooms do."""
    from engine import phrases

    shared = _opened_once()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrases, "open_pipeline", shared)
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that are fetched lie in the test's own folder, never in the user's."""
    monkeypatch.setenv("GLIP_ENGINE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def second_checkpoint(random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``random_checkpoint``, with other weights."""
    import torch

    from glip.checkpoint import load_model, save_model

    loaded = load_model(random_checkpoint)
    with torch.no_grad():
        loaded.model.rpn.head.bias0.add_(0.25)
    return save_model(tmp_path_factory.mktemp("second") / "model", loaded.model, loaded.tokenizer, {})


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The system's Chromium, headless (a ``playwright`` Browser). Of one module only: while it is there, its event loop
    counts as running, and no test beside it can run another."""
    from browser_pages import chromium_path
    from playwright.sync_api import sync_playwright

    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium or Chrome installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _pages_closed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Pages end with their test: one that stays open goes on drawing beside the tests after it."""
    browser = request.getfixturevalue("chromium") if "chromium" in request.fixturenames else None
    yield
    for context in [] if browser is None else browser.contexts:
        context.close()


@pytest.fixture(scope="module")
def address(dogs: Path, chromium: Any) -> Iterator[str]:
    """Where a module's dataset ``dogs`` is reviewed by ann."""
    from review_servers import review_server

    with review_server(dogs, "ann") as found:
        yield found
