"""A terminal that has not every letter, as in a locale that is not UTF-8, shows the rest; JSON stays JSON."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from registered_versions import add

from engine.registry import Registry
from pipelines.cli import main

REASON = "nachts schlechter: größere 猫 🦝"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_what_has_no_letter_is_escaped(
    encoding: str, more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(tmp_path / "registry")
    add(registry, "one")
    add(registry, "two")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    assert main(["rollback", registry.uri, "--reason", REASON, "--json"]) == 0
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written := io.BytesIO(), encoding=encoding))
    assert main(["history", registry.uri, *more]) == 0
    printed = written.getvalue().decode(encoding)
    if more:
        assert REASON in json.dumps(json.loads(printed), ensure_ascii=False)
    else:
        assert "nachts schlechter: gr" in printed
        assert ("\\u732b" in printed) == (encoding != "utf-8")
