"""Taking units back: what a folder holds of earlier work is never mixed with what is made anew in it.

In: a dataset that is being relabelled, or has been damaged. Out: the same without the commits, or the files, of units
that its work does not have. A manifest goes before the files that it vouches for.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from engine.artifacts import Store
from engine.shard_files import FOLDERS, committed_units, manifest_name

_UNIT_FILE = re.compile(r"(\d{6,})\.[a-z]+")


def uncommit(store: Store, units: Collection[int]) -> int:
    """Take back the commits of those of ``units`` that have one; returns how many. Their files stay, to be replaced."""
    found = set(committed_units(store)) & set(units)
    for unit in sorted(found):
        store.delete(manifest_name(unit))
    return len(found)


def delete_units_beyond(store: Store, count: int) -> int:
    """Remove the units from number ``count`` on; returns how many files went."""
    removed = 0
    for folder in reversed(FOLDERS):  # manifests first
        for name in store.names(folder):
            found = _UNIT_FILE.fullmatch(name)
            if found and int(found[1]) >= count:
                store.delete(f"{folder}/{name}")
                removed += 1
    return removed
