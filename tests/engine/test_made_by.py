"""What a thing says of its maker, installed or not."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from engine import made_by


def test_a_maker_has_its_version_and_a_checkout_that_is_not_installed_makes_things_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert made_by.made_by("label") == f"glip-engine {version('glip-engine')} label"
    monkeypatch.setattr(made_by, "PACKAGE", "a-package-that-nobody-installed")
    assert made_by.made_by("import") == "a-package-that-nobody-installed (not installed) import"
