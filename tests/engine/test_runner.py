"""The runner: the same units and the same manifests inline and on Ray; an error of a stage ends the job in one line."""

from __future__ import annotations

import os
import pickle
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.runner import connected, run
from engine.running.layout import Workers
from engine.running.stages import Commit, Stage, Work
from engine.running.stopping import Stopping
from engine.running.unit_flow import UNIT_RETRIES, UNITS_AHEAD, Lost
from schemas.records import (
    Candidate,
    CaptionedImage,
    Grounding,
    GroundingRequest,
    ParsedCaption,
    Phrase,
    Prompt,
    PromptSpan,
    PseudoLabel,
    Reject,
    StageTally,
    Unit,
    UnitRef,
)
from schemas.shards import ShardManifest

REFS = [UnitRef(number, f"{number}.tar", 5, 4) for number in range(5)]
WORKERS = Workers(count=2)
IMAGE = CaptionedImage("k", b"\x00\xff" * 500, "jpg", "a dog 🐕", "0.tar#k")
PHRASES = (Phrase("a dog", 0, 5, "dog"),)
BOX = Candidate(0, (0.1, 2.0, 30.3, 40.0), 0.1234)
RECORDS = [
    IMAGE,
    ParsedCaption(IMAGE, PHRASES),
    GroundingRequest(IMAGE, PHRASES, (Prompt("a dog", (PromptSpan(0, 0, 5),)),)),
    Grounding(IMAGE, PHRASES, 64, 48, (BOX, BOX)),
    PseudoLabel(IMAGE, PHRASES, 64, 48, (BOX,)),
]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One Ray for all tests of this file, which each job joins. The GPU it is told of is a mere number to Ray, which
    hands it out as it hands out a real one."""
    import ray as ray_module

    ray_module.init(address="local", num_cpus=3, num_gpus=1, include_dashboard=False, log_to_driver=False)
    with connected(WORKERS) as ray:
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import a test file
        yield ray
    ray_module.shutdown()


def open_reader() -> Work:
    return lambda unit: [
        Reject(f"{row}", "read", "is_six", "six") if row == 6 else CaptionedImage(f"{row}", b"x", "jpg", "", "")
        for row in unit.records
    ]


def open_teacher(what: str = "fine") -> Work:
    if what == "cannot open":
        raise ValueError("the checkpoint\nis not there")

    def work(unit: Unit[CaptionedImage]) -> list[ParsedCaption]:
        if unit.ref.index == 3 and what == "raises":
            raise ValueError("unit 3 is odd")
        if unit.ref.index == 3 and what == "dies":
            os._exit(1)
        if unit.ref.index == 3 and what == "loses":
            return []
        return [ParsedCaption(image, PHRASES) for image in unit.records]

    return work


def open_commit() -> Commit[ShardManifest]:
    def commit(unit: Unit[ParsedCaption]) -> ShardManifest:
        return ShardManifest(
            unit=unit.ref.index,
            source_uri=unit.ref.uri,
            first_row=unit.ref.first_row,
            rows=unit.ref.rows,
            work_digest=" ".join(f"{tally.stage}:{tally.came_in}>{tally.went_on}" for tally in unit.tallies),
            stages=[],
            samples=len(unit.records),
            phrases=sum(len(record.phrases) for record in unit.records),
            boxes=0,
            rejects=len(unit.rejects),
            files=[],
            first_key=unit.records[0].source.key,
            last_key=unit.records[-1].source.key,
        )

    return commit


def open_marker() -> Work:
    """Writes down its process in the captions."""
    return lambda unit: [replace(image, caption=str(os.getpid())) for image in unit.records]


def open_signer() -> Work:
    """Adds its process to that of the captions."""
    return lambda unit: [
        replace(parsed, source=replace(parsed.source, caption=f"{parsed.source.caption} {os.getpid()}"))
        for parsed in unit.records
    ]


def open_signing_commit() -> Commit[ShardManifest]:
    """A commit whose manifest names the processes that the unit went through."""
    commit = open_commit()
    return lambda unit: commit(unit).model_copy(
        update={"work_digest": f"{unit.records[0].source.caption} {os.getpid()}"}
    )


def job(backend: Any, what: str = "fine", workers: Workers = WORKERS, lost: Lost | None = None) -> list[ShardManifest]:
    stages = [Stage("read", open_reader), Stage("teach", partial(open_teacher, what), "teacher")]
    manifests = run(REFS, stages, open_commit, backend=backend, workers=workers, lost=lost)
    return sorted(manifests, key=lambda manifest: manifest.unit)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_unit_of_every_record_comes_through_pickle_equal_and_of_its_type(record: Any) -> None:
    rejects, tallies = (Reject("r", "read", "why", "so"),), (StageTally("read", 2, 1, 0.5),)
    unit = Unit(REFS[1], (record, record), rejects, tallies)
    found = pickle.loads(pickle.dumps(unit))
    assert found == unit
    assert type(found.records[0]) is type(record)


def test_every_unit_gives_one_manifest_and_its_counts_are_those_of_the_stages() -> None:
    manifests = job("inline")
    assert [manifest.unit for manifest in manifests] == [0, 1, 2, 3, 4]
    assert {manifest.work_digest for manifest in manifests} == {"read:4>3 teach:3>3"}
    assert {(one.samples, one.rejects, one.first_key, one.last_key) for one in manifests} == {(3, 1, "5", "8")}


def test_ray_gives_the_same_manifests_as_this_process(ray: Any) -> None:
    assert job("ray") == job("inline")


def test_beside_a_gpu_reading_teaching_and_writing_are_processes_of_their_own(ray: Any) -> None:
    def pids(workers: Workers) -> list[set[str]]:
        stages = [
            Stage("read", open_reader),
            Stage("mark", open_marker),
            Stage("teach", open_teacher, "teacher"),
            Stage("sign", open_signer, "teacher"),
        ]
        manifests = list(run(REFS, stages, open_signing_commit, backend="ray", workers=workers))
        return [set(manifest.work_digest.split()) for manifest in manifests]

    assert {len(processes) for processes in pids(Workers(count=2))} == {1}
    assert {len(processes) for processes in pids(Workers(wants_gpu=True))} == {3}
    assert job("ray", workers=Workers(wants_gpu=True)) == job("inline")


@pytest.mark.parametrize("backend", ["inline", "ray"])
def test_what_a_stage_raises_ends_the_job_with_its_own_words(ray: Any, backend: str) -> None:
    with pytest.raises(ValueError, match="unit 3 is odd") as caught:
        job(backend, "raises")
    assert str(caught.value) == "unit 3 is odd"


def test_a_stage_that_loses_a_sample_ends_the_job() -> None:
    with pytest.raises(RuntimeError, match="stage 'teach' took 3 records of unit 3 and gave 0"):
        job("inline", "loses")


def test_a_stage_that_cannot_open_ends_the_job_with_its_own_words(ray: Any) -> None:
    with pytest.raises(ValueError, match="the checkpoint"):
        job("ray", "cannot open")


def test_a_unit_that_kills_its_worker_ends_the_job_instead_of_killing_workers_for_ever(ray: Any) -> None:
    lost = Counter[int]()
    with pytest.raises(RuntimeError, match="a worker process was lost"):
        job("ray", "dies", lost=lambda ref, why: lost.update([ref.index]))
    assert max(lost.values()) == UNIT_RETRIES


@pytest.mark.parametrize("backend", ["inline", "ray"])
def test_once_asked_to_stop_the_units_that_were_begun_are_done_and_no_other(ray: Any, backend: Any) -> None:
    refs = [UnitRef(number, "0.tar", 5, 4) for number in range(100)]
    stages = [Stage("read", open_reader), Stage("teach", open_teacher, "teacher")]
    stopping, done = Stopping(), []
    for manifest in run(refs, stages, open_commit, backend=backend, workers=WORKERS, stopping=stopping):
        done.append(manifest.unit)
        if len(done) == 10:
            stopping.request("enough")
    begun_ahead = 0 if backend == "inline" else WORKERS.count * UNITS_AHEAD
    assert 10 <= len(done) <= 10 + begun_ahead
    assert sorted(done) == list(range(len(done)))


def test_a_worker_that_dies_once_costs_its_units_a_second_try_and_nothing_else(ray: Any, tmp_path: Path) -> None:
    lost: list[int] = []
    stages = [
        Stage("read", open_reader),
        Stage("teach", partial(open_dying_once, tmp_path / "died"), "teacher"),
    ]
    manifests = run(
        REFS, stages, open_commit, backend="ray", workers=WORKERS, lost=lambda ref, why: lost.append(ref.index)
    )
    assert sorted(manifest.unit for manifest in manifests) == [0, 1, 2, 3, 4]
    assert 3 in lost
    assert len(lost) <= UNITS_AHEAD


def open_dying_once(mark: Path) -> Work:
    """Kills its process on unit 3, if none has done so before."""
    work = open_teacher()

    def die_once(unit: Unit[CaptionedImage]) -> Any:
        if unit.ref.index == 3 and not mark.exists():
            mark.touch()
            os._exit(1)
        return work(unit)

    return die_once


def test_workers_that_no_machine_has_room_for_are_told_of(
    ray: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("engine.running.unit_flow.TELL_AFTER_S", 0.2)
    workers, stages = Workers(count=2, threads=512), [Stage("read", open_reader)]
    assert list(run(REFS, stages, open_commit, backend="ray", workers=workers, stopping=Stopping(3.0))) == []
    assert [record.message[:23] for record in caplog.records] == ["no unit could start for"]
    assert "2 worker processes have not started" in caplog.text


def test_no_unit_is_no_work() -> None:
    assert list(run([], [Stage("read", open_reader)], open_commit, backend="ray", workers=WORKERS)) == []
