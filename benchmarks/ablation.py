"""What each option of training is worth at nano scale, each on against off, over several seeds.

    OMP_NUM_THREADS=1 python benchmarks/ablation.py                       # eight options, three seeds, 100 steps each
    OMP_NUM_THREADS=1 python benchmarks/ablation.py --only "region-word contrast" --steps 300 --out runs/contrast

All cells begin from one *stem*: the shipped nano, trained ``--stem-steps`` on human data alone. The stem labels the web
half of both worlds, so that pseudo-labels are as wrong as they are in a first generation. Each cell then trains
``--steps`` on human and pseudo data, a caption packed with up to four others, since new words are not learned without;
of the same seed, cells differ by one option alone. Scenes name eight kinds and two attributes by words that nano never
read, photos are COCO's as in the data folder's DATA.md (without the folder: scenes alone). Scored: Recall@1 of phrases
on scenes of those eight kinds and on photos, no cell being trained on them.

A finished cell is a file under ``--out``/cells; an interrupted table goes on where it stopped. Intervals are those of
``self_training_tables.py``: a paired bootstrap over seeds and pictures. Runs this short tell what an option does to the
beginning of a run, and nothing about its end.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from self_training_cells import BATCH, FLOOR, Cell, GroupResult, answers
from self_training_tables import CONFIDENCE, difference, recall
from self_training_worlds import KNOWN_KINDS, NOVEL_ATTRIBUTES, NOVEL_KINDS

from engine.artifacts import Store
from engine.gold import import_gold
from engine.metrics.grounding import phrase_recall
from pipelines.label import label
from pipelines.shipped import DATA
from pipelines.train import train
from schemas.recipes import (
    LabelRecipe,
    MixEntry,
    OptimizerRecipe,
    ScenesSource,
    Source,
    TeacherRecipe,
    TrainRecipe,
    WebDatasetSource,
)

BASE = "base"
CAPTIONS = {"caption_negatives": 4}  # in every cell, except that of the option which turns it off
RATE = 4e-4
METRIC = "phrase_recall@1"
OPTIONS: dict[str, dict[str, Any]] = {
    BASE: {},
    "pseudo boxes not in the box loss": {"pseudo_regression": False},
    "loss weighted by score": {"score_weighted": True},
    "words without pseudo box ignored": {"ignore_ungrounded": True},
    "captions not packed": {"caption_negatives": 0},
    "repeat factors (0.05, head)": {"sampling": {"repeat_threshold": 0.05}},
    "region-word contrast": {"region_word_contrast": 0.5},
    "masked language": {"masked_language": 0.25},
    "granular alignment": {"granular_alignment": 0.25},
}
SIZE = 128  # short side of every picture, in training and in the exam
PSEUDO = {"min_score": 0.3}
GROUPS = {"exam-scenes": "scenes", "exam-photos": "photos"}
EXAM_PHOTOS = 100  # the first ones of the data folder's
WORLD: dict[str, Any] = {
    "kinds": (*KNOWN_KINDS, *NOVEL_KINDS),
    "names": {**NOVEL_KINDS, **NOVEL_ATTRIBUTES},
    "zipf_exponent": 0.4,
}
HUMAN = ScenesSource(count=400, seed=740_000, **WORLD)
WEB = ScenesSource(count=200, seed=750_000, **WORLD)
EXAM = ScenesSource(count=120, seed=760_000, **{**WORLD, "kinds": tuple(NOVEL_KINDS)})


class Ablation:
    """The folder of a table: its data, its stem and its cells."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.out: Path = options.out
        self.steps, self.stem_steps, self.init = options.steps, options.stem_steps, options.init
        self.photos: Path | None = options.data / "photos" if (options.data / "photos").is_dir() else None
        settings = json.dumps([self.steps, self.stem_steps, self.init, SIZE, PSEUDO, self.photos is not None])
        found = self.out / "settings.json"
        if found.is_file() and found.read_text() != settings:
            raise SystemExit(f"{self.out} holds a table of other settings; give another --out, or delete it")
        self.out.mkdir(parents=True, exist_ok=True)
        found.write_text(settings)

    def prepare(self) -> None:
        """Make the human data, the exams, the stem, and the stem's labels of the web."""
        import_gold("scenes", HUMAN, self.out / "scenes")
        import_gold("scenes", EXAM, self.out / "exam-scenes")
        if self.photos is not None:
            import_gold("coco-phrases", self.photos / "human", self.out / "photos-phrases")
            import_gold("coco", self.photos / "human", self.out / "photos-boxes")
            import_gold("coco-phrases", self.photos / "val", self.out / "exam-photos")
        self._train("stem", self._human(), self.init, self.stem_steps, seed=0)
        self._label("web-scenes", WEB)
        if self.photos is not None:
            self._label("web-photos", WebDatasetSource(uri=str(self.photos / "web")))

    def cell(self, name: str, seed: int) -> Cell:
        """The figures of a model trained with an option; read if they exist."""
        store, file = Store(self.out / "cells"), f"{_file_name(name)}-{seed}.json"
        if store.exists(file):
            return Cell.model_validate_json(store.read(file))
        started = time.monotonic()
        work = f"work/{_file_name(name)}-{seed}"
        checkpoint = self._train(work, self._all(), str(self.out / "stem/model"), self.steps, seed, **OPTIONS[name])
        cell = Cell(model=name, seed=seed, groups=self._examine(checkpoint))
        store.write(file, (cell.model_dump_json() + "\n").encode())
        shutil.rmtree(self.out / work)
        print(f"{name}, seed {seed}: {time.monotonic() - started:.0f} s", flush=True)
        return cell

    def stem(self) -> Cell:
        """The figures of the model that all cells begin with."""
        store = Store(self.out / "cells")
        if not store.exists("stem.json"):
            found = Cell(model="stem", seed=0, groups=self._examine(str(self.out / "stem/model")))
            store.write("stem.json", (found.model_dump_json() + "\n").encode())
        return Cell.model_validate_json(store.read("stem.json"))

    def _human(self) -> list[MixEntry]:
        names = ["photos-phrases", "photos-boxes"] if self.photos is not None else []
        return [self._entry("scenes", 2), *(self._entry(name, 1) for name in names)]

    def _all(self) -> list[MixEntry]:
        names = ["web-scenes", "web-photos"] if self.photos is not None else ["web-scenes"]
        return [*self._human(), *(self._entry(name, 2).model_copy(update={"selection": PSEUDO}) for name in names)]

    def _entry(self, name: str, weight: float) -> MixEntry:
        return MixEntry(dataset=str(self.out / name), weight=weight)

    def _train(self, folder: str, mix: list[MixEntry], init: str, steps: int, seed: int, **option: Any) -> str:
        optimizer = OptimizerRecipe(
            lr=RATE, text_lr_factor=1.0, warmup_steps=max(1, steps // 10), schedule="cosine", ema_decay=0.95
        )
        recipe = TrainRecipe(
            mix=tuple(mix),
            init=init,
            steps=steps,
            batch_size=BATCH,
            optimizer=optimizer,
            min_sizes=(SIZE,),
            max_size=224,
            max_negatives=12,
            seed=seed,
            checkpoint_every=steps,
            loader_threads=1,
            **(CAPTIONS | option),
        )
        return train(recipe, self.out / folder, progress=False).checkpoint

    def _label(self, name: str, source: Source) -> None:
        teacher = TeacherRecipe(checkpoint=str(self.out / "stem/model"), threads=1, min_size=SIZE)
        recipe = LabelRecipe(source=source, teacher=teacher, min_score=FLOOR, unit_size=100)
        label(recipe, self.out / name, backend="inline")

    def _examine(self, checkpoint: str) -> dict[str, GroupResult]:
        recipe = TeacherRecipe(checkpoint=checkpoint, threads=1, min_size=SIZE)
        groups: dict[str, GroupResult] = {}
        for exam, group in GROUPS.items():
            if (self.out / exam).is_dir():
                asked = EXAM_PHOTOS if group == "photos" else None
                figures = phrase_recall(list(answers(recipe, self.out / exam, asked)))
                groups[group] = GroupResult(hits=figures.per_image[METRIC], counts=figures.per_image_count[METRIC])
        return groups


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def _recall(cells: Sequence[Cell], group: str) -> list[float]:
    return recall([cell.groups[group] for cell in cells])


def summarise(cells: Sequence[Cell], stem: Cell) -> dict[str, Any]:
    """Recall of each option by group and seed, and its difference to ``base`` with the interval."""
    names = list(dict.fromkeys(cell.model for cell in cells))
    groups = [group for group in GROUPS.values() if group in stem.groups]
    by_name = {name: [cell for cell in cells if cell.model == name] for name in names}
    return {
        "seeds": len({cell.seed for cell in cells}),
        "confidence": CONFIDENCE,
        "phrases": {group: sum(stem.groups[group].counts.values()) for group in groups},
        "stem": {group: _recall([stem], group)[0] for group in groups},
        "recall": {name: {group: _recall(by_name[name], group) for group in groups} for name in names},
        "differences": {
            name: {group: difference(cells, name, BASE, group) for group in groups} for name in names if name != BASE
        },
    }


def print_table(result: dict[str, Any]) -> None:
    """Markdown: Recall@1 in per cent, then the difference to ``base`` in points with its interval."""
    groups = list(result["phrases"])
    print("| | " + " | ".join(f"{group} ({result['phrases'][group]})" for group in groups) + " |")
    print("|" + " --- |" * (1 + len(groups)))
    print("| stem | " + " | ".join(f"{100 * result['stem'][group]:.1f}" for group in groups) + " |")
    for name, by_group in result["recall"].items():
        parts = []
        for group in groups:
            values = by_group[group]
            text = f"{100 * sum(values) / len(values):.1f}"
            if name != BASE:
                one = result["differences"][name][group]
                low, high = one["interval"]
                text += f", {100 * one['mean']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
            parts.append(text)
        print(f"| {name} | " + " | ".join(parts) + " |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="folder of all that is made")
    parser.add_argument("--steps", type=int, default=100, help="of each cell")
    parser.add_argument("--stem-steps", type=int, default=60, help="of what all cells begin from")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--init", default="nano", help="what the stem begins from")
    parser.add_argument("--only", nargs="+", choices=OPTIONS, default=list(OPTIONS), help="some of the options")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data; scenes alone without it")
    options = parser.parse_args()
    ablation = Ablation(options)
    ablation.prepare()
    names = list(dict.fromkeys([BASE, *options.only]))
    cells = [ablation.cell(name, seed) for seed in range(options.seeds) for name in names]
    result = summarise(cells, ablation.stem())
    Store(ablation.out).write("ablation.json", (json.dumps(result, indent=1) + "\n").encode())
    print_table(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
