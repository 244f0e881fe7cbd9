"""The Ray started here forgets tasks that are done: a job of a million units takes no more memory than one of ten."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TASKS = 400
# In a process of its own, which has not told any Ray before what to keep. Records arrive a second after their tasks.
PROGRAM = f"""
import time
from engine.runner import connected
from engine.running.layout import Workers

class Worker:
    def work(self, number):
        return number

with connected(Workers(count=1)) as ray:
    actor = ray.remote(Worker).remote()
    ray.get([actor.work.remote(number) for number in range({TASKS})])
    remembered, deadline = 0, time.monotonic() + 60
    while not remembered and time.monotonic() < deadline:
        time.sleep(3)
        remembered = sum(event["name"] == "task:execute" for event in ray.timeline())
    print(remembered)
"""


def test_tasks_that_are_done_are_forgotten() -> None:
    pytest.importorskip("ray")
    told = ("RAY_ADDRESS", "RAY_task_events_max_num_task_in_gcs")
    environment = {name: value for name, value in os.environ.items() if name not in told}
    command = [sys.executable, "-c", PROGRAM]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert 0 < int(answer.stdout) < TASKS // 2
