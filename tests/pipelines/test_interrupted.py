"""Ctrl-C at any moment of a command: a line and status 130, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Ctrl-C comes when a module is looked for; libraries that catch it, or make another error of it, do so here, too.
WHILE_IMPORTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from pipelines.cli import main
sys.argv = ["glip-engine", "history", "/nowhere"]
sys.exit(main())
"""
AT_THE_END = """
import atexit, os, signal, sys, time
atexit.register(lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(5)))
from pipelines.cli import main
sys.argv = ["glip-engine", "train", "--fields", "seed"]
sys.exit(main())
"""


# Whoever started the tests in the background had Ctrl-C ignored, by them and by what they start.
HEARING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def ended(program: str) -> tuple[int, str]:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", HEARING + program], cwd=root, capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stderr


MODULES = (
    *("pipelines.commands.command_line", "pydantic_core", "yaml", "pipelines.commands.installation"),
    "pipelines.registry",
)


@pytest.mark.parametrize("module", MODULES)
def test_ctrl_c_while_a_command_is_imported_is_one_line(module: str) -> None:
    assert ended(WHILE_IMPORTED.format(module=module)) == (130, "glip-engine: error: interrupted\n")


def test_so_it_is_when_the_work_is_done_and_the_interpreter_ends() -> None:
    assert ended(AT_THE_END) == (130, "glip-engine: error: interrupted\n")


@pytest.mark.parametrize("ignored", [True, False])
def test_a_command_leaves_ctrl_c_as_it_finds_it(ignored: bool) -> None:
    """A shell that starts a job in the background ignores Ctrl-C for it; another program that calls it goes on."""
    before = "signal.SIG_IGN" if ignored else "signal.default_int_handler"
    program = f"import signal; signal.signal(signal.SIGINT, {before}); from pipelines.cli import main; "
    program += f"main(['history', '/nowhere']); assert signal.getsignal(signal.SIGINT) is {before}, 'changed'"
    assert ended(program)[0] == 0
