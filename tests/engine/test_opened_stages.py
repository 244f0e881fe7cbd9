"""Stages as they are opened in a process."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from engine.running.stages import OpenedStages, Stage, Work


def test_nothing_is_searched_for_garbage_while_stages_are_opened() -> None:
    before, during = gc.get_threshold(), list[int]()

    def opened() -> Work:
        gc.disable()
        gc.enable()  # as srsly does, with which spaCy reads its pipelines
        during.append(gc.get_threshold()[0])
        return lambda unit: unit.records

    OpenedStages([Stage("first", opened), Stage("second", opened)])
    assert during == [0, 0]
    assert gc.get_threshold() == before


def test_garbage_is_collected_again_after_a_stage_that_cannot_be_opened() -> None:
    before = gc.get_threshold()

    def broken() -> Any:
        raise ValueError("no such model")

    with pytest.raises(ValueError, match="no such model"):
        OpenedStages([Stage("broken", broken)])
    assert gc.get_threshold() == before
