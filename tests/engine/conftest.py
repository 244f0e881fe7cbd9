"""What several tests of the engine are run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.registry import Registry


@pytest.fixture(params=["folder", "s3"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    uri = tmp_path / "registry" if request.param == "folder" else f"{request.getfixturevalue('s3_bucket')}/registry"
    return Registry(uri)
