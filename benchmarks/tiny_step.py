"""One training step of GLIP-T's architecture: bf16 with gradient checkpointing against fp32, and what each holds.

    OMP_NUM_THREADS=1 python benchmarks/tiny_step.py            # a picture of 256 x 256; bf16 is slow on a CPU

Three steps of ``student.step`` from the same random weights on the same drawn scene, each in a process of its own:
fp32, fp32 with checkpointing, bf16 with checkpointing. Dropout, drop path and DropBlock are off, since bf16 draws other
masks. Compared with fp32: each loss, the norm of the whole gradient, and the norms of all parameters' gradients as one
vector, relative. Tolerances: checkpointing 1e-4 (it computes the same again), bf16 as ``--tolerance`` says. Weights are
random because the published ones cannot be had offline; the figure is about arithmetic and memory, not about learning.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from own_process import in_own_process

from engine.gold import import_gold
from engine.mix import Mix
from pipelines.shipped import DATA
from schemas.recipes import MixEntry, ScenesSource, TrainRecipe
from student.peak_memory import peak_memory_gb
from student.session import build
from student.step import train_step
from student.workers import Workers

FP32, RECOMPUTED, BF16 = "fp32", "fp32 checkpointed", "bf16 checkpointed"
MODES: dict[str, dict[str, Any]] = {
    FP32: {"precision": "fp32"},
    RECOMPUTED: {"precision": "fp32", "gradient_checkpointing": True},
    BF16: {"precision": "bf16", "gradient_checkpointing": True},
}
CHECKPOINTING_TOLERANCE = 1e-4


def one_step(mode: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Take one step: its losses, gradient norms, seconds and gigabytes."""
    recipe = TrainRecipe(
        mix=(MixEntry(dataset=str(folder)),),
        init=f"random:{options.model}",
        tokenizer=str(options.tokenizer),
        batch_size=1,
        min_sizes=(options.side,),
        max_size=options.side,
        loader_threads=0,
        flip=False,
        **MODES[mode],
    )
    mix = Mix.open(recipe.mix, recipe.seed)
    try:
        session = build(recipe, mix, Workers())
        session.raw.eval()
        batch = session.data.batch(0)
        started = time.perf_counter()
        values = {name: float(value) for name, value in train_step(session, batch, 0).items()}
        seconds = time.perf_counter() - started
    finally:
        mix.close()
    norms = [0.0 if p.grad is None else float(p.grad.norm()) for p in session.raw.parameters()]
    shape = f"{batch.shape_hw[0]} x {batch.shape_hw[1]}, {batch.token_ids_bt.shape[1]} tokens"
    memory = peak_memory_gb(session.device)
    return {"values": values, "norms": norms, "seconds": seconds, "memory_gb": memory, "shape": shape}


def differences(found: dict[str, Any], exact: dict[str, Any]) -> dict[str, float]:
    """Relative differences of the losses and of the gradient."""
    relative = {name: abs(found["values"][name] - value) / abs(value) for name, value in exact["values"].items()}
    norms, exact_norms = np.array(found["norms"]), np.array(exact["norms"])
    return relative | {"gradient_norms": float(np.linalg.norm(norms - exact_norms) / np.linalg.norm(exact_norms))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256, help="longest side of the picture in pixels")
    parser.add_argument("--model", choices=["nano", "tiny", "large"], default="tiny")
    parser.add_argument("--tokenizer", type=Path, default=DATA / "wordpiece" / "vocab.txt")
    parser.add_argument("--tolerance", type=float, default=0.03, help="of bf16 against fp32, relative")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        import_gold("scenes", ScenesSource(count=1, seed=1), Path(temporary) / "scenes")
        steps = {mode: in_own_process(one_step, mode, Path(temporary) / "scenes", options) for mode in MODES}
    print(f"{options.model}, {steps[FP32]['shape']}, {torch.get_num_threads()} threads")
    good = True
    for mode, step in steps.items():
        print(f"{mode:18} {step['seconds']:7.1f} s   peak {step['memory_gb']:.2f} GiB")
        tolerance = CHECKPOINTING_TOLERANCE if mode == RECOMPUTED else options.tolerance
        for name, value in differences(step, steps[FP32]).items() if mode != FP32 else ():
            good &= value <= tolerance
            print(
                f"    {name:16} differs by {value:.1e} (at most {tolerance:g}){'' if value <= tolerance else ' FAILED'}"
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
