"""Every benchmark imports, and every command line that is written down for one is a command line of it; none is run."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from gpu_all import plan

ROOT = Path(__file__).parents[2]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))
SCRIPTS = [file for file in BENCHMARKS if "if __name__ ==" in file.read_text(encoding="utf-8")]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), *BENCHMARKS)

Read = Callable[[str, Sequence[str]], argparse.Namespace]


def by_name(file: Path) -> str:
    return file.name


class _ReadError(Exception):
    """The arguments are read; what follows would be work."""


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Begins a script of that path and stops when it has read its arguments; SystemExit where it refuses them."""
    parse_args = argparse.ArgumentParser.parse_args

    def read_and_stop(parser: argparse.ArgumentParser, *given: Any) -> None:
        raise _ReadError(parse_args(parser, *given))

    def begin(script: str, arguments: Sequence[str]) -> argparse.Namespace:
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(_ReadError) as stopped:
            importlib.import_module(Path(script).stem).main()
        options: argparse.Namespace = stopped.value.args[0]
        return options

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", read_and_stop)
    return begin


@pytest.mark.parametrize("file", [file for file in BENCHMARKS if file not in SCRIPTS], ids=by_name)
def test_every_part_imports(file: Path) -> None:
    importlib.import_module(file.stem)


@pytest.mark.parametrize("script", SCRIPTS, ids=by_name)
def test_every_script_tells_its_help_without_work(script: Path, read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        read(str(script), ["--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_command_line_that_is_written_down_is_one(page: Path, read: Read) -> None:
    for line in command_lines(page.read_text(encoding="utf-8")):
        script, *arguments = shlex.split(line, comments=True)
        assert (ROOT / script).is_file(), line
        read(script, arguments)


def test_a_gpus_visit_gives_every_script_arguments_that_it_takes(tmp_path: Path, read: Read) -> None:
    commands = [step.command for step in plan(tmp_path, 989.0) if step.command[0] != "-m"]
    assert len(commands) > 5
    for script, *arguments in commands:
        read(script, arguments)


def command_lines(text: str) -> Iterator[str]:
    """What stands after ``python`` where a benchmark is run: between backticks, whatever the lines, or on a line."""
    text = text.replace("\\\n", " ")
    for span in re.findall(r"`+([^`]+)`+", text):
        yield from _of_line(" ".join(span.split()))
    for line in re.sub(r"`+[^`]+`+", "", text).splitlines():
        yield from _of_line(line)


def _of_line(line: str) -> list[str]:
    """Brackets around what may be left out are taken away."""
    return [re.sub(r"[][]", "", found) for found in re.findall(r"python (benchmarks/\w+\.py\b.*)", line)]
