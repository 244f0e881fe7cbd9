"""The measurements of the speed benchmarks besides times: FLOPs, peak memory, images a second end to end; and failures.

In: a function that runs a batch. Out: numbers; None where this system cannot measure one.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from own_process import memory_mib
from speed_workload import Inputs, Workload
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from glip.boxes import pairwise_iou
from glip.postprocess import PhraseBoxes

Result = TypeVar("Result")
MATCH_IOU = 0.9
_BATCHES_AHEAD = 2


@torch.inference_mode()
def count_flops(model: nn.Module, inputs: Inputs, *, by_shapes: bool) -> int:
    """Floating-point operations (two a multiply-add) of matrix products, attention and convolutions.

    by_shapes: count from shapes without computing, for models whose operations do not depend on values.
    """
    shapes_alone = FakeTensorMode(allow_non_fake_inputs=True) if by_shapes else nullcontext()
    # Attention as matrix products: the counter does not know a CPU's own attention.
    products = sdpa_kernel(SDPBackend.MATH)
    with products, shapes_alone, FlopCounterMode(display=False) as counter:
        model(inputs.images_B3HW, inputs.token_ids_BT, inputs.attention_mask_BT)
    return int(counter.get_total_flops())


def peak_memory(work: Callable[[], Any], device: torch.device) -> float | None:
    """The MiB that the work adds, at its peak, to the memory before it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        allocated = torch.cuda.memory_allocated(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - allocated) / 2**20
    try:
        # Memory that earlier work freed, and the allocator kept, would hide what this work takes.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark of resident memory
        before = memory_mib("VmRSS")
        work()
        return memory_mib("VmHWM") - before
    except (OSError, AttributeError):  # no Linux, or no glibc
        return None


def attempt(work: Callable[[], Result], name: str, failed: dict[str, str]) -> Result | None:
    """The result of ``work``; None, with the error in ``failed``, where it raises, so that the other sides still
    run."""
    try:
        return work()
    except Exception as error:  # any: out of memory, a compiler, another version of transformers
        failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        print(f"{name} is left out: {failed[name]}", file=sys.stderr, flush=True)
    gc.collect()  # not in the except clause, where the error still holds the attempt's tensors
    torch.cuda.empty_cache()
    return None


def found_again(wanted: list[PhraseBoxes], found: list[PhraseBoxes]) -> float | None:
    """The share of the wanted boxes that are found for the same phrase with an IoU of at least 0.9; None without
    any."""
    hits = []
    for ours, theirs in zip(wanted, found, strict=True):
        same_KM = ours.phrase_index_K.unsqueeze(1) == theirs.phrase_index_K
        near_KM = pairwise_iou(ours.boxes_xyxy_K4, theirs.boxes_xyxy_K4) >= MATCH_IOU
        hits.append((same_KM & near_KM).any(dim=1))
    all_hits = torch.cat(hits)
    return float(all_hits.float().mean()) if len(all_hits) else None


def stream(work: Workload, step: Callable[[Tensor], Any], at_least_s: float, threads: int) -> dict[str, float]:
    """Images a second from JPEG to boxes, and the share of time in which the model computed. As in the teacher's
    worker, pictures are decoded ahead by threads, and padding a batch is part of computing."""
    computing, elapsed, batches = 0.0, 0.0, 0
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[list[Future[Tensor]]] = deque()
        started = time.perf_counter()
        while elapsed < at_least_s:
            while len(waiting) <= _BATCHES_AHEAD:
                waiting.append([pool.submit(work.picture, slot) for slot in range(work.batch)])
            pictures = [future.result() for future in waiting.popleft()]
            began = time.perf_counter()
            step(work.pad(pictures))  # ends with boxes on the host, so that the device is done
            done = time.perf_counter()
            computing, elapsed, batches = computing + done - began, done - started, batches + 1
    return {"images_per_s": batches * work.batch / elapsed, "utilisation": computing / elapsed, "batches": batches}
