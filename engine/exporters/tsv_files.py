"""Tab-separated files with an index of their lines, as GLIP's and GLIGEN's readers open them.

In: columns of text. Out: ``NAME.tsv``, and ``NAME.lineidx`` with the byte at which each line begins, written line by
line. Source: maskrcnn_benchmark/data/datasets/tsv.py of microsoft/GLIP.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from engine.artifacts import Store


@contextmanager
def tsv_file(store: Store, name: str) -> Iterator[Callable[[str, str], None]]:
    """Yield ``add(key, value)``, which writes a line; both files appear when the block ends without an error."""
    with store.writing(f"{name}.tsv") as lines, store.writing(f"{name}.lineidx") as index:
        at = 0

        def add(key: str, value: str) -> None:
            nonlocal at
            line = f"{key}\t{value}\n".encode()
            index.write(f"{at}\n".encode())
            lines.write(line)
            at += len(line)

        yield add


def ascii_json(value: Any) -> str:
    """JSON without tab, line end and non-ASCII characters: those readers open files in the machine's encoding."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False)
