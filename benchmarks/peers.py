"""The labelling job against the same job written with the tools that others curate data with, on the same tars.

    python benchmarks/peers.py ../shared/data/photos/web

Sides are `glip-engine label`, and jobs that call this project's parser and teacher from Ray Data (which Data-Juicer
runs on too), from NeMo Curator and from datatrove (`peer_*.py`). Each has two workers of one thread, nano, batches of
8, and tars of 50 pictures. The sides take turns in every round, and each job runs on few pictures and on many, so that
what it takes to start falls out of the difference. Then every job is killed in the middle, with all its processes, and
run again. At last it reads tars of which one is cut short and one has a broken picture, and again once they are mended.

Sides whose tool is not installed are left out with a word. `--python` names an interpreter that has the tools.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from peer_runs import Run, run_job
from peer_sides import SIDES, Found, Side
from web_tars import repeat_source, samples_of, write_tar

from schemas.recipes import WebDatasetSource
from schemas.records import CaptionedImage

SAMPLES_A_TAR = 50
FAULTY_TARS, SAMPLES_A_FAULTY_TAR = 4, 40
KILLED_AT = 0.4  # of the samples
NOT_STARTED = "node timed out during startup"  # Ray's limit is half a minute, which a busy machine may exceed
START_TRIES = 5

Figures = dict[str, Any]


def main() -> int:
    options = _options()
    sides = [side for side in SIDES if side.name in (options.sides or side.name)]
    for side in list(sides):
        if not side.is_there(options.python):
            print(f"left out: {side.name}, {side.module} is not installed for {options.python}", file=sys.stderr)
            sides.remove(side)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        bench = Bench(Path(scratch), options)
        parts = {"speed": bench.speed, "kill": bench.killed, "bad": bench.bad_input}
        figures = {part: parts[part]([side for side in sides if part in side.parts]) for part in options.parts}
    print(json.dumps(figures, indent=1))
    return 0


class Bench:
    """A folder with the sources; each part of the benchmark returns its figures by side."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._folder, self._options = folder, options
        self._sizes = (options.few, options.many)
        self._few, self._many = (
            repeat_source(options.source, folder / f"web-{images}", images, SAMPLES_A_TAR) for images in self._sizes
        )

    def speed(self, sides: Sequence[Side]) -> Figures:
        """Images/s, processor time and memory of the rounds, after a run of each side that warms up."""
        runs: dict[str, list[tuple[Run, Run]]] = {side.name: [] for side in sides}
        for side in sides:
            self._run(side, self._few)
        for number in range(self._options.rounds):
            for side in sides:
                pair = self._run(side, self._few), self._run(side, self._many)
                runs[side.name].append(pair)
                print(f"round {number}, {side.name}:", *pair, file=sys.stderr)
        rates = {name: _rates(pairs, *self._sizes) for name, pairs in runs.items()}
        first = rates[sides[0].name]
        return {name: _figures(runs[name], rates[name], first) for name in runs}

    def killed(self, sides: Sequence[Side]) -> Figures:
        """The output after a job and all processes below it were killed, and after the same command was run again,
        compared with the labels of an undisturbed run of the first side."""
        undisturbed = self._out(sides[0], "undisturbed")
        self._run(sides[0], self._many, undisturbed)
        expected, keys, figures = sides[0].read(undisturbed).labels(), self._keys(self._sizes[1]), {}
        for side in sides:
            out = self._out(side, "killed")
            first = self._run(side, self._many, out, kill_when=partial(_has, side, out, KILLED_AT * len(keys)))
            if first.status is not None:
                raise SystemExit(f"{side.name} ended before it could be killed; give more --many")
            after_kill, again_at = side.read(out), time.time()
            self._run(side, self._many, out)
            found = side.read(out)
            figures[side.name] = {
                "images": len(keys),
                "readable_after_kill": len(after_kill.samples),
                "unreadable_files_after_kill": after_kill.unreadable,
                "written_by_second_run": sum(one.written_at >= again_at for one in found.samples),
                **_against(found, keys, expected),
            }
            print(side.name, json.dumps(figures[side.name]), file=sys.stderr)
        return figures

    def bad_input(self, sides: Sequence[Side]) -> Figures:
        """The outcome for a tar that is cut short and for a broken picture, before and after they are repaired."""
        keys, figures = self._keys(FAULTY_TARS * SAMPLES_A_FAULTY_TAR), {}
        for side in sides:
            source, mended = self._faulty_source(side), self._folder / "sound"
            out = self._out(side, "bad")
            first = self._run(side, source, out, may_fail=True)
            found = side.read(out)
            for tar in mended.glob("*.tar"):
                shutil.copy(tar, source)
            second = self._run(side, source, out, *side.again, may_fail=True)
            figures[side.name] = {
                "images": len(keys),
                "status": first.status,
                "labelled": len(found.labels()),
                "with_a_reason": dict(Counter(one.error for one in found.samples if one.error)),
                "neither": len(keys - {one.key for one in found.samples}),
                "last_words": first.printed.strip().splitlines()[-1:],
                "mended": {"status": second.status, **_against(side.read(out), keys, None)},
            }
            print(side.name, json.dumps(figures[side.name]), file=sys.stderr)
        return figures

    def _run(self, side: Side, source: Path, out: Path | None = None, *more: str, **how: Any) -> Run:
        may_fail = how.pop("may_fail", False)
        with tempfile.TemporaryDirectory(dir=self._folder) as nobody_reads:
            out, more = out or Path(nobody_reads) / "out", (*side.sized(self._options.size), *more)
            command = side.command(source, out, self._options.python, *more)
            for _ in range(START_TRIES):
                run = run_job(command, **how)
                if NOT_STARTED not in run.printed:
                    break
        if run.status and not may_fail:
            raise SystemExit(f"{' '.join(command)} ended with {run.status}:\n{run.printed[-3000:]}")
        return run

    def _out(self, side: Side, name: str) -> Path:
        return self._folder / f"{SIDES.index(side)}-{name}"

    def _keys(self, images: int) -> set[str]:
        return {f"{number:09d}" for number in range(images)}

    def _faulty_source(self, side: Side) -> Path:
        """Good tars, one cut in the middle, and one with a picture that is cut in the middle."""
        sound, source = self._folder / "sound", self._folder / f"{SIDES.index(side)}-tars"
        if not sound.exists():
            repeat_source(self._options.source, sound, FAULTY_TARS * SAMPLES_A_FAULTY_TAR, SAMPLES_A_FAULTY_TAR)
        shutil.copytree(sound, source)
        cut, broken = sorted(source.glob("*.tar"))[1:3]
        cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
        samples = samples_of(WebDatasetSource(uri=str(broken)))
        half = samples[7].image[: len(samples[7].image) // 2]
        write_tar(
            broken, [*samples[:7], CaptionedImage(samples[7].key, half, "jpg", samples[7].caption, ""), *samples[8:]]
        )
        return source


def _has(side: Side, out: Path, samples: float) -> bool:
    return out.exists() and len(side.read(out).samples) >= samples


def _against(found: Found, keys: set[str], expected: Mapping[str, str] | None) -> Figures:
    """The counts of what is wrong with the found samples."""
    times = Counter(one.key for one in found.samples)
    labels = found.labels()
    figures: Figures = {"missing": len(keys - times.keys()), "more_than_once": sum(n > 1 for n in times.values())}
    if expected is not None:
        figures["other_labels"] = sum(labels.get(key) != text for key, text in expected.items())
    return figures


def _rates(pairs: Sequence[tuple[Run, Run]], few: int, many: int) -> list[tuple[float, float]]:
    """Images/s of each round, with the start and without it."""
    return [(many / long.seconds, (many - few) / (long.seconds - short.seconds)) for short, long in pairs]


def _figures(
    pairs: Sequence[tuple[Run, Run]], rates: Sequence[tuple[float, float]], first: Sequence[tuple[float, float]]
) -> Figures:
    with_start, without = zip(*rates, strict=True)
    return {
        "images_per_s": _spread(with_start),
        "images_per_s_without_start": _spread(without),
        "of_first_side": _spread([one / other for (one, _), (other, _) in zip(rates, first, strict=True)], 3),
        "of_first_side_without_start": _spread(
            [one / other for (_, one), (_, other) in zip(rates, first, strict=True)], 3
        ),
        "seconds_of_few": _spread([short.seconds for short, _ in pairs]),
        "processor_seconds_of_few": _spread([short.processor_seconds for short, _ in pairs]),
        "processor_seconds_of_many": _spread([long.processor_seconds for _, long in pairs]),
        "peak_mib": _spread([long.peak_mib for _, long in pairs], 0),
    }


def _spread(values: Sequence[float], digits: int = 1) -> list[float]:
    """Median, lowest, highest."""
    return [round(one, digits) for one in (median(values), min(values), max(values))]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of tars as img2dataset writes them")
    parser.add_argument("--sides", nargs="+", choices=[side.name for side in SIDES], help="by default all")
    parser.add_argument("--parts", nargs="+", choices=("speed", "kill", "bad"), default=["speed", "kill", "bad"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--few", type=int, default=200, help="images of the shorter job")
    parser.add_argument("--many", type=int, default=1000, help="images of the longer job")
    parser.add_argument("--size", type=int, help="side that images are resized to; by default the model's own")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has this project and the tools")
    parser.add_argument("--scratch", help="folder for the repeated source and the labels")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
