"""Running out of memory, on a CPU as on a GPU: less at once, the same result, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from grounding_requests import request
from PIL import Image
from python_paths import python_path

from schemas.records import Grounding, Reject
from teacher.memory import is_out_of_memory
from teacher.protocol import Grounder
from teacher.worker import TeacherWorker

ROOT = Path(__file__).parents[2]


def test_what_pytorch_raises_on_a_cpu_is_known_as_want_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert not isinstance(caught.value, torch.OutOfMemoryError), "else this file is not needed"
    assert is_out_of_memory(caught.value)


def test_what_python_raises_is_known_as_want_of_memory_and_other_errors_are_not() -> None:
    with pytest.raises(MemoryError) as caught:
        bytes(1 << 62)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("not enough memory of the past"))


def test_an_error_in_the_wake_of_want_of_memory_is_known_as_that() -> None:
    """As of a CUDA graph, whose capture cannot be ended after memory ran out in it."""
    ended = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    ended.__context__ = torch.OutOfMemoryError("CUDA out of memory")
    assert is_out_of_memory(ended)


class Forgetful:
    """A grounder whose pictures find no memory while others are decoded: ``prepare`` fails so often on threads, or
    everywhere."""

    def __init__(self, grounder: Grounder, failures: int, error: Exception, *, everywhere: bool = False) -> None:
        self._grounder, self._failures, self._error, self._everywhere = grounder, failures, error, everywhere

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grounder, name)

    def prepare(self, image: Image.Image) -> Any:
        beside_others = threading.current_thread() is not threading.main_thread()
        if self._failures and (beside_others or self._everywhere):
            self._failures -= 1
            raise self._error
        return self._grounder.prepare(image)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[...] DefaultCPUAllocator: can't allocate memory")])
def test_a_picture_that_found_no_memory_is_decoded_again_and_is_no_reject(
    web: Any, grounder: Grounder, error: Exception
) -> None:
    requests = [request(str(number), web.jpeg(number)) for number in range(6)]
    wanted = TeacherWorker(grounder, batch_size=2, min_score=0.05).ground(requests)
    crowded = TeacherWorker(Forgetful(grounder, 3, error), batch_size=2, min_score=0.05, decode_threads=1)
    assert crowded.ground(requests) == wanted


def test_a_picture_that_never_finds_memory_stops_the_job_and_says_what_to_do(web: Any, grounder: Grounder) -> None:
    worker = TeacherWorker(Forgetful(grounder, 99, MemoryError("no"), everywhere=True), batch_size=2, min_score=0.05)
    with pytest.raises(RuntimeError, match=r"picture 7 of 80 x 64 pixels does not fit .* lower teacher\.max_size"):
        worker.ground([request("7", web.jpeg())])


def test_any_other_error_of_a_picture_is_still_a_reject(web: Any, grounder: Grounder) -> None:
    worker = TeacherWorker(Forgetful(grounder, 1, RuntimeError("a broken table")), batch_size=2, min_score=0.05)
    outcomes = worker.ground([request("0", web.jpeg()), request("1", web.jpeg(1))])
    assert [type(one) for one in outcomes] in ([Reject, Grounding], [Grounding, Reject])


def test_the_worker_knows_how_much_of_its_time_the_model_computes(web: Any, grounder: Grounder) -> None:
    worker = TeacherWorker(grounder, batch_size=2, min_score=0.05)
    assert (worker.computing_seconds, worker.elapsed_seconds) == (0.0, 0.0)
    worker.ground([request(str(number), web.jpeg(number)) for number in range(4)])
    first, elapsed = worker.computing_seconds, worker.elapsed_seconds
    assert 0 < first < elapsed
    time.sleep(0.2)
    worker.ground([request("again", web.jpeg())])
    assert first < worker.computing_seconds < worker.elapsed_seconds
    assert worker.elapsed_seconds >= elapsed + 0.2, "waiting for a unit counts"


# In a process of its own, so that no other test's memory counts: when every picture has been grounded alone, memory is
# limited to what the process holds then and ROOM more. The allocator gives back what is freed (MALLOC_MMAP_THRESHOLD_,
# one arena), so that what a batch needs does not depend on what was freed before it.
LIMITED = """
import json, resource, sys
from grounding_requests import request
from schemas.recipes import TeacherRecipe
from teacher.grounder import open_grounder
from teacher.worker import TeacherWorker

pictures, size, room = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
requests = [request(str(number), open(f"{pictures}/{number}.jpg", "rb").read()) for number in range(size)]
grounder = open_grounder(TeacherRecipe(checkpoint="nano", device="cpu", min_size=256, max_size=384))

def held(field):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(field + ":"))

def ground(batch_size):
    worker = TeacherWorker(grounder, batch_size=batch_size, min_score=0.05, decode_threads=1)
    return worker.ground(requests), worker.largest_batch(grounder.bucket(384, 256))

def same(one, other):
    return len(one) == len(other) and all(any(near(box, there) for there in other) for box in one)

def near(box, other):  # in a batch of another size a last digit may be rounded otherwise
    pairs = zip((*box.box_xyxy, 100 * box.score), (*other.box_xyxy, 100 * other.score))
    return box.phrase == other.phrase and all(abs(a - b) < 0.15 for a, b in pairs)

alone, _ = ground(1)
limit = held("VmSize") + room
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
together, fits = ground(size)
answers = [(one.candidates, other.candidates) for one, other in zip(alone, together, strict=True)]
print(json.dumps({"same": all(same(*both) for both in answers), "boxes": len(answers[0][0]), "fits": fits}))
"""
BATCH, ROOM = 24, 100 << 20  # one picture needs half of the room, all together three times as much


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_batch_that_exceeds_memory_ends_in_the_same_result(web: Any, tmp_path: Path) -> None:
    for number in range(BATCH):
        (tmp_path / f"{number}.jpg").write_bytes(web.jpeg(number, 384, 256))
    allocator = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", LIMITED, str(tmp_path), str(BATCH), str(ROOM)]
    environment = {**os.environ, **allocator, **python_path(ROOT)}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    limited = json.loads(done.stdout.splitlines()[-1])
    assert 1 <= limited["fits"] < BATCH, "no limit was reached: this test shows nothing"
    assert limited["same"]
    assert limited["boxes"] > 0
