"""Does a student of human labels and pseudo-labels beat its teacher? Drawn scenes, and photos, with controls.

    python benchmarks/self_training.py --scale 0.2                 # scenes, on one CPU core
    python benchmarks/self_training.py --world photos --scale 0.3  # needs the data folder
    python benchmarks/self_training.py --scale 0.2 --variants score-weighted ensemble second-round   # adds students

For each seed: a *teacher* trained on human data alone labels the "web"; from it begin *students* (human + pseudo), a
*control* with the same steps (human alone) and, where truth may be learned from, an *oracle* (human + hidden boxes).
All but the teacher read captions packed with those of other pictures (``caption_negatives``).
Students differ by who labels, what is selected and how they train (``self_training_variants.py``); the plain one is
always there, for the others to be compared with. What stands in ``--out`` is read and what was stopped goes on, so that
the same command with other variants adds to a table. Tables are printed and written to ``results.json``.

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
from typing import Any

from self_training_cells import Experiment
from self_training_print import print_tables
from self_training_seed import run_seed
from self_training_tables import summarise
from self_training_variants import PLAIN, VARIANTS, is_calibrated
from self_training_worlds import WORLDS

from engine.artifacts import Store


def main() -> int:
    options = _options()
    experiment = _experiment(options)
    found = [run_seed(experiment, seed) for seed in options.seeds]
    result = summarise(found, experiment)
    Store(experiment.out).write(
        f"results{experiment.world.cell_suffix}.json", (json.dumps(result, indent=1) + "\n").encode()
    )
    print_tables(result)
    return 0


def _experiment(options: argparse.Namespace) -> Experiment:
    world = WORLDS[options.world](options.scale)
    if options.exam_seed is not None:
        world = world.examined_by(options.exam_seed)
    variants = tuple(dict.fromkeys([PLAIN, *options.variants]))
    refused = [name for name in variants if is_calibrated(VARIANTS[name]) and world.calibration is None]
    if refused:
        raise SystemExit(f"{', '.join(refused)}: the world {world.name!r} has no human data that no model learns from")
    return Experiment(
        world=world,
        out=Path(options.out or f"runs/self_training/{options.world}"),
        init=options.init,
        steps=max(2, round(options.steps * options.scale)),
        teacher_steps=max(2, round(options.teacher_steps * options.scale)),
        variants=variants,
        oracle=not options.without_oracle,
        threads=options.threads,
        train=dict(options.set),
    )


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", choices=sorted(WORLDS), default="scenes")
    parser.add_argument("--out", help="folder of all that is made; gone on with (runs/self_training/WORLD)")
    parser.add_argument(
        "--exam-seed", type=int, help="scenes of another seed examine, for what was chosen by the others"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps, the web and the exam")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="each its own data and models")
    parser.add_argument("--steps", type=int, default=950, help="of students, control and oracle, at scale 1")
    parser.add_argument("--teacher-steps", type=int, default=300, help="at scale 1")
    parser.add_argument(
        "--variants", nargs="+", choices=sorted(VARIANTS), default=["glip"], help=f"students beside {PLAIN}"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        type=_field,
        default=[],
        metavar="FIELD=JSON",
        help="of the training of students, control and oracle, such as caption_negatives=8 lr=3e-4",
    )
    parser.add_argument("--without-oracle", action="store_true", help="spare the models that learn from hidden boxes")
    parser.add_argument("--init", default="nano", help="what teachers begin from")
    parser.add_argument("--threads", type=int, default=1, help="of the models that label and are evaluated")
    return parser.parse_args(arguments)


def _field(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        raise argparse.ArgumentTypeError(f"wanted FIELD=JSON, such as caption_negatives=4, not {text!r}") from None


if __name__ == "__main__":
    sys.exit(main())
