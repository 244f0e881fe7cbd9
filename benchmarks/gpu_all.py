"""All that is to be measured on a GPU, one step after the other, each with a limit; what is known is kept at any time.

    python benchmarks/gpu_all.py --out runs/gpu --peak-tflops 989                            # all, within 25 minutes
    python benchmarks/gpu_all.py --out runs/gpu --peak-tflops 989 --minutes 9 --steps tests tiny # some of it

Runs from a plain checkout: torch, triton, transformers, pydantic, pyarrow, fsspec, rich and defusedxml are what it
needs, for the tests pytest and hypothesis; neither ray nor spaCy. A step that fails or is stopped at its limit does not
keep the next from being run. OUT/report.txt grows as the steps print; the figures are beside it, a JSON for each step
that has some.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Files with tests marked gpu: first the kernels that all others use, last those that compile for minutes.
GPU_TESTS = [f"tests/glip/test_{name}.py" for name in ("deform_conv_triton", "preprocess", "compiled")]
EAGER = ["ours", "bf16", "grounding-dino", "grounding-dino-bf16"]
COMPILED = ["ours", "bf16", "compiled", "graphs"]


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and the most seconds that it may take."""

    name: str
    seconds: float
    command: list[str]


def plan(out: Path, peak_tflops: float) -> list[Step]:
    """The steps, the most important first."""

    def speed(name: str, size: str, sides: list[str], batches: str, seconds: float) -> Step:
        what = ["--size", size, "--sides", *sides, "--batch", *batches.split(), "--peak-tflops", str(peak_tflops)]
        kept = ["--json", str(out / f"{name}.json")]
        return Step(name, seconds, ["benchmarks/teacher_speed.py", "--device", "cuda", *what, *kept])

    tests = [*GPU_TESTS, "-m", "gpu", "-W", "ignore", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
    training = ["--size", "tiny", "--batch-size", "4", "16", "--json", str(out / "training.json")]
    agreement = ["--scenes", "300", "--one-shape", "--paths", "bf16", "compiled", "graphs"]
    return [
        Step("tests", 150, ["-m", "pytest", *tests]),
        Step("convolution", 60, ["benchmarks/deform_conv.py", "--device", "cuda", "--batch", "8", "--backward"]),
        speed("tiny", "tiny", EAGER, "1 8 32", 200),
        speed("tiny-compiled", "tiny", COMPILED, "32", 350),
        Step("training", 180, ["benchmarks/training_step.py", "--device", "cuda", *training]),
        Step("agreement", 240, ["benchmarks/path_agreement.py", "--device", "cuda", *agreement]),
        speed("large", "large", EAGER, "1 8 32", 300),
        speed("large-compiled", "large", COMPILED[:-1], "32", 350),  # without graphs: compiling once takes long enough
    ]


def run(step: Step, seconds: float, report: Path) -> str:
    """Run a step, with its output written to the report at once; returns how it ended."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
    with report.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, *step.command], cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # including the compiler's processes
            process.wait()
            return f"stopped after {seconds:.0f} s"
    return "done" if status == 0 else f"failed with status {status}"


def run_all(steps: list[Step], report: Path, minutes: float) -> list[str]:
    """Run all steps for which there is time; returns how each ended."""
    deadline = time.monotonic() + minutes * 60
    ends = []
    for step in steps:
        seconds = min(step.seconds, deadline - time.monotonic())
        say(report, f"\n## {step.name}: python {' '.join(step.command)}")
        started, written = time.monotonic(), report.stat().st_size
        ends.append(run(step, seconds, report) if seconds > 0 else "not begun: no time is left")
        sys.stdout.write(report.read_bytes()[written:].decode(errors="replace"))
        say(report, f"## {step.name}: {ends[-1]}, {time.monotonic() - started:.0f} s")
    return ends


def say(report: Path, line: str) -> None:
    """Print a line, and write it to the report."""
    print(line, flush=True)
    with report.open("a") as file:
        file.write(line + "\n")


def main() -> int:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    steps = plan(options.out.resolve(), options.peak_tflops)
    chosen = [step for step in steps if not options.steps or step.name in options.steps]
    ends = run_all(chosen, options.out / "report.txt", options.minutes)
    return 0 if all(end == "done" for end in ends) else 1


def _options() -> argparse.Namespace:
    names = [step.name for step in plan(Path(), 0.0)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the report and the figures")
    parser.add_argument("--steps", nargs="+", choices=names, help="these alone")
    parser.add_argument("--minutes", type=float, default=25.0, help="of all steps together")
    parser.add_argument("--peak-tflops", type=float, required=True, help="of the card in bf16")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
