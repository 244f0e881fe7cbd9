"""`glip-engine … | head`: it ends quietly, as other tools do; a pipe that breaks elsewhere is a failure and is told."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from pipelines import cli


def with_nobody_reading(*arguments: str, errors_too: bool = False, buffered: bool = True) -> tuple[int, str]:
    """Status and standard error of a command whose output has been closed before it began."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            stdout=writer,
            stderr=writer if errors_too else subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"},
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize("buffered", [True, False])
def test_a_command_that_nobody_listens_to_ends_without_a_word(buffered: bool) -> None:
    assert with_nobody_reading("train", "--fields", buffered=buffered) == (141, "")


def test_so_does_its_help() -> None:
    assert with_nobody_reading("train", "--help") == (141, "")


def test_so_does_one_whose_errors_go_into_the_same_pipe() -> None:
    assert with_nobody_reading("history", "/nowhere", "--json", errors_too=True)[0] == 141


def test_an_error_is_told_where_only_the_answer_in_json_is_not_read() -> None:
    status, said = with_nobody_reading("history", "/nowhere", "--json")
    assert status == 141
    assert said.startswith("glip-engine: error: /nowhere is not a registry")
    assert said.count("\n") == 1


def test_a_pipe_that_breaks_elsewhere_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(*_: Any, **__: Any) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("pipelines.registry.history", breaks)
    assert cli.main(["history", "runs/models"]) == 1
    assert "Broken pipe" in capsys.readouterr().err
