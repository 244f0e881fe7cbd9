"""Does a student of human labels and pseudo-labels beat its teacher? Drawn scenes, and photos, with controls.

    python benchmarks/self_training.py --scale 0.2                 # scenes, one CPU core, about half an hour
    python benchmarks/self_training.py --world photos --scale 0.3  # needs the data folder

For each seed: a *teacher* trained on human data alone labels the "web"; from it begin a *student* (human + pseudo), a
*control* with the same steps (human alone) and, where truth may be learned from, an *oracle* (human + hidden boxes).
All stand in ``--out`` and are gone on with where they stopped. The tables are printed and written to ``results.json``.

In the scenes world (``self_training_worlds.py``) captions of the web name kinds, attributes and combinations that human
data lack, by words that no model here has seen. All models begin from ``nano``, which has seen such *things* under
their usual names: what is new to it are the words. ``--init random:nano`` begins from nothing and wants far more steps.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from self_training_cells import Cell, Experiment, run_seed
from self_training_tables import print_tables, summarise
from self_training_worlds import SELECTIONS, WORLDS

from engine.artifacts import Store


def main() -> int:
    options = _options()
    world = WORLDS[options.world](options.scale)
    experiment = Experiment(
        world=world,
        out=Path(options.out or f"runs/self_training/{options.world}"),
        init=options.init,
        steps=max(2, round(options.steps * options.scale)),
        teacher_steps=max(2, round(options.teacher_steps * options.scale)),
        selections=tuple(options.selections),
        oracle=not options.without_oracle,
        threads=options.threads,
    )
    cells: list[Cell] = []
    for seed in range(options.seeds):
        cells += run_seed(experiment, seed)
    result = summarise(cells, experiment)
    Store(experiment.out).write("results.json", (json.dumps(result, indent=1) + "\n").encode())
    print_tables(result)
    return 0


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", choices=sorted(WORLDS), default="scenes")
    parser.add_argument("--out", help="folder of all that is made; gone on with (runs/self_training/WORLD)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps, the web and the exam")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=950, help="of student, control and oracle, at scale 1")
    parser.add_argument("--teacher-steps", type=int, default=300, help="at scale 1")
    parser.add_argument(
        "--selections", nargs="+", choices=SELECTIONS, default=["glip", "best-box"], help="a student each"
    )
    parser.add_argument("--without-oracle", action="store_true", help="spare the models that learn from hidden boxes")
    parser.add_argument("--init", default="nano", help="what teachers begin from")
    parser.add_argument("--threads", type=int, default=1, help="of the models that label and are evaluated")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
