"""What a source gives, read unit by unit as a job does, and what became of each row."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

from engine.sources import Source, open_source
from engine.sources.urls import Urls
from engine.sources.webdataset import WebDataset
from schemas.recipes import UrlsSource, WebDatasetSource
from schemas.records import CaptionedImage, Reject

FAST = {"allow_private": True, "timeout_s": 5.0, "retries": 0}
Outcomes = list[CaptionedImage | Reject]


def read_units(source: Source, unit_size: int) -> Outcomes:
    """All rows; each unit has as many outcomes as it says."""
    found: Outcomes = []
    for ref in source.units(unit_size):
        unit = source.read(ref)
        assert len(unit) == ref.rows
        found += unit
    return found


def reasons(found: Outcomes) -> list[str]:
    """``ok``, or the reason of the reject."""
    return [one.reason if isinstance(one, Reject) else "ok" for one in found]


def told(found: Outcomes) -> list[tuple[str, str]]:
    """Keys and :func:`reasons`."""
    return [(one.key, reason) for one, reason in zip(found, reasons(found), strict=True)]


def assert_reads_alike(local: Any, remote: Any, unit_size: int) -> None:
    """Two recipes give the same units and rows, the second one also as a worker has it."""
    here, there = open_source(local), open_source(remote)
    refs = here.units(unit_size)
    assert there.units(unit_size) == refs
    assert there.fingerprint() == here.fingerprint()
    copy = pickle.loads(pickle.dumps(there))
    assert [copy.read(ref) for ref in refs] == [here.read(ref) for ref in refs]


def read_tars(path: Path, unit_size: int = 100, **fields: Any) -> Outcomes:
    """What becomes of the rows of tars."""
    return read_units(WebDataset(WebDatasetSource(uri=str(path), **fields)), unit_size)


def list_of(path: Path, urls: list[str]) -> Path:
    """A list of urls at ``path``, each with a caption."""
    path.write_text("".join(json.dumps({"url": url, "caption": f"dog {n}"}) + "\n" for n, url in enumerate(urls)))
    return path


def outcomes(path: Path, unit_size: int = 1000, **fields: Any) -> Outcomes:
    """What became of the rows of a list, by default without waiting and with addresses of this machine allowed."""
    return read_units(Urls(UrlsSource(uri=str(path), **{**FAST, **fields})), unit_size)
