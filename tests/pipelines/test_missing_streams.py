"""A command that is started without its standard streams (`>&-`), on a full disk, or in a folder that is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "pipelines.cli"]
NO_REGISTRY = (
    "glip-engine: error: /nowhere is not a registry; `glip-engine promote MODEL --registry /nowhere` makes one\n"
)
FULL = "glip-engine: error: the output cannot be written: No space left on device\n"
PRINTS_BESIDE_A_FILE = """
import os, subprocess, sys
from pipelines.commands.closed_output import open_missing_streams
open_missing_streams()
with open(sys.argv[1], "w") as file:
    for number in (1, 2):
        os.write(number, b"as a library in C prints")
    print("as Python prints", flush=True)
    subprocess.run("echo as a worker prints; echo as a worker complains >&2; cat", shell=True, check=True)
"""


def shell(line: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Status, output and errors of a line in which ``"$@"`` stands for the arguments."""
    done = subprocess.run(
        ["sh", "-c", line, "sh", *arguments], capture_output=True, text=True, env=os.environ | environment, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("closed", "errors"), [("<&-", NO_REGISTRY), (">&-", NO_REGISTRY), ("2>&-", ""), ("<&- >&- 2>&-", "")]
)
def test_a_command_without_standard_streams_has_its_exit_status_and_prints_what_it_can(
    closed: str, errors: str
) -> None:
    assert shell(f'"$@" {closed}', *COMMAND, "history", "/nowhere") == (2, "", errors)


def test_help_that_is_not_wanted_is_no_failure() -> None:
    assert shell('"$@" >&-', *COMMAND, "--version") == (0, "", "")


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_nothing_is_printed_into_a_file_that_is_opened_later(closed: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    status, printed, _ = shell(f'"$@" {closed}', sys.executable, "-c", PRINTS_BESIDE_A_FILE, str(file))
    assert (status, printed, file.read_text()) == (0, "", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize(("redirected", "errors"), [(">/dev/full", FULL), (">/dev/full 2>&1", ""), ("2>/dev/full", "")])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_on_a_full_disk_is_told_of_where_it_can_be(redirected: str, errors: str, unbuffered: str) -> None:
    asked = ("history", "/nowhere", "--json") if "2>" in redirected else ("train", "--fields")
    assert shell(f'"$@" {redirected}', *COMMAND, *asked, PYTHONUNBUFFERED=unbuffered)[0::2] == (1, errors)


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    line = 'cd "$1" && rmdir "$1" && shift && "$@"'
    status, _, errors = shell(line, str(tmp_path / "gone"), *COMMAND, "history", "runs/models")
    assert status == 2
    assert errors == "glip-engine: error: the working directory has been deleted; change into another one (`cd`)\n"


@pytest.mark.parametrize(
    ("argument", "utf8", "told"),
    [
        ("größe", "0", "is not ASCII; set PYTHONUTF8=1, or another locale"),
        (os.fsdecode(b"gr\xf6\xdfe"), "1", "is not UTF-8; give a file or folder another name"),
    ],
)
def test_an_argument_that_cannot_be_read_is_told_with_the_encoding_it_was_read_in(
    argument: str, utf8: str, told: str
) -> None:
    status, _, errors = shell('"$@"', *COMMAND, "history", argument, PYTHONUTF8=utf8, LC_ALL="POSIX")
    assert status == 2
    assert told in errors
