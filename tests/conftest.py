"""Marks that skip by themselves, each with its reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("GLIP_ENGINE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        reason = _reason_to_skip(config, item)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def _reason_to_skip(config: pytest.Config, item: pytest.Item) -> str | None:
    if item.get_closest_marker("slow") and not config.getoption("--slow"):
        return "slow; run with --slow"
    if item.get_closest_marker("data") and not DATA.is_dir():
        return f"no data at {DATA}; set GLIP_ENGINE_DATA"
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            return "no CUDA device"
    return None


@pytest.fixture
def data_folder() -> Path:
    """The folder of real photos, captions and treebanks; use with the mark ``data``."""
    return DATA


@pytest.fixture
def fixtures_folder() -> Path:
    """The folder of the model's published fixtures, beside the data; use with the mark ``data``."""
    return DATA.parent / "glip"
