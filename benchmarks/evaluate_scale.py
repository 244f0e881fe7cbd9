"""What scoring costs beside the model: ``python benchmarks/evaluate_scale.py [--pictures 1000 10000]``.

Human boxes and answers are generated (``benchmarks/generated_answers.py``: a dataset, and the ``units/`` of an
evaluation of it that was answered and not scored), then for each protocol a process of its own
does ``glip-engine evaluate``, which finds every answer there: it reads, scores, judges every box and writes
the table, the page and the document. Prints the CPU seconds inside the protocol (other work on the machine does not
change them), those of the whole command, and the peak memory of that process. ``--keep FOLDER`` leaves the data for
another run, or for another version of the code to be measured on.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

from generated_answers import write_answered
from own_process import in_own_process, peak_mib

from engine.metrics.protocols import PROTOCOLS, Metric
from schemas.recipes import EvaluateRecipe

Task = Literal["detection", "grounding"]
TASKS: tuple[Task, ...] = ("detection", "grounding")
OTHER_DATA = ("referring",)  # left out: needs samples of one phrase, and computes the same as any-box
ROW = "{:>10} {:>9} {:>11} {:>12} {:>14} {:>12} {:>10} {:>12}"
COLUMNS = ("task", "pictures", "candidates", "protocol", "in protocol", "CPU s", "peak MiB", "ms / picture")


def measure(dataset: str, protocol: str, task: Task) -> dict[str, float]:
    """Evaluate existing answers in this process: CPU seconds of the protocol and in all, and peak memory."""
    from pipelines.evaluate import evaluate

    spent = [0.0]

    def timed(metric: Metric) -> Metric:
        def scored(*arguments):  # type: ignore[no-untyped-def]
            started = time.process_time()
            figures = metric(*arguments)
            spent[0] += time.process_time() - started
            return figures

        return scored

    PROTOCOLS[task][protocol] = timed(PROTOCOLS[task][protocol])
    recipe = EvaluateRecipe(datasets=(dataset,), protocols=(protocol,))  # type: ignore[arg-type]
    started = time.process_time()
    (report,) = evaluate(recipe, f"{dataset}-out", backend="ray", progress=False)
    seconds = time.process_time() - started
    return {"images": report.images, "protocol": spent[0], "seconds": seconds, "peak_mib": peak_mib()}


def remove_results(out: Path) -> None:
    """Delete everything but the answers from the folder of an evaluation."""
    for place in (out / "evaluation.json", out / "index.html", out / "answers"):
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)


def main() -> int:
    options = _options()
    print(ROW.format(*COLUMNS), flush=True)
    with tempfile.TemporaryDirectory(prefix="evaluate-scale-") as temporary:
        for pictures in options.pictures:
            for task in TASKS if options.task is None else (options.task,):
                dataset = Path(options.keep or temporary) / f"{task}-{pictures}x{options.candidates}"
                if not dataset.exists():
                    write_answered(dataset, task, pictures, options.candidates)
                for protocol in PROTOCOLS[task]:
                    if protocol in (options.protocols or PROTOCOLS[task].keys() - OTHER_DATA):
                        _print_row(str(dataset), task, protocol, pictures, options.candidates)
    return 0


def _print_row(dataset: str, task: Task, protocol: str, pictures: int, candidates: int) -> None:
    try:
        found = in_own_process(measure, dataset, protocol, task)
    finally:
        remove_results(Path(f"{dataset}-out"))
    assert found["images"] == pictures
    cells = (f"{found['protocol']:.1f}", f"{found['seconds']:.1f}", f"{found['peak_mib']:,.0f}")
    each = f"{1000 * found['seconds'] / pictures:.2f}"
    print(ROW.format(task, f"{pictures:,}", candidates, protocol, *cells, each), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--candidates", type=int, default=100, help="of each picture")
    parser.add_argument("--protocols", nargs="+", help="only these")
    parser.add_argument("--task", choices=TASKS, help="only this one")
    parser.add_argument("--keep", help="folder for the generated data, used again where it is there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
