"""A review server in a process of its own, as the command line starts it: for tests of the page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def review_server(dataset: Path, reviewer: str, *arguments: str) -> Iterator[str]:
    """The address that `glip-engine serve` prints; the server is stopped as a person would, and must end well."""
    command = [sys.executable, "-m", "pipelines.cli", "serve", str(dataset), "--reviewer", reviewer, *arguments]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert server.stdout is not None
        said = [server.stdout.readline() for _ in range(3)]
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", said[1])
        assert found is not None, said + server.stdout.readlines()
        yield found.group()
    finally:
        server.terminate()
        rest, _ = server.communicate(timeout=300)
    assert server.returncode == 0, rest
    assert rest == "", rest
