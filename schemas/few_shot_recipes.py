"""How a model is carried over to new detection data with few examples: what is tuned, on how much, how often."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from schemas.class_prompts import ClassPrompts
from schemas.evaluate_recipes import MetricName
from schemas.recipe_files import Recipe
from schemas.train_recipes import TuneMode

Shots = Literal["full"] | int


class TransferDataset(Recipe):
    """One dataset of the harness, in two parts of this project's format."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    """What the dataset is called in the tables, and its folder of cells."""
    train: str
    """Folder of the human detection dataset to draw examples from."""
    test: str
    """Folder of the dataset to evaluate on; never trained on."""
    prompts: ClassPrompts = {}
    """Knowledge prompts, by class: what to ask instead of the class's name, in tuning and in evaluation (see
    ``EvaluateRecipe.prompts``)."""

    def __hash__(self) -> int:
        return hash(self.name)  # prompts have no hash; names are a harness's own


class FewShotRecipe(Recipe):
    """Zero-shot, few-shot and full-data transfer as on ODinW (GLIP, section 5): every mode, shots and seed a cell."""

    datasets: tuple[TransferDataset, ...] = Field(min_length=1)
    shots: tuple[Shots, ...] = (1, 3, 5, 10, "full")
    """Pictures of each class to learn from; ``full`` takes all. Zero shots are always evaluated."""
    modes: tuple[TuneMode, ...] = ("full", "linear-probe", "prompt")
    """What to tune: see ``tune`` of a training recipe."""
    seeds: int = Field(default=3, gt=0)
    """Number of seeds. Each draws other pictures and another order."""
    metrics: tuple[MetricName, ...] = Field(default=("AP", "AP50"), min_length=1)
    """Metrics of the tables, named as the evaluation prints them."""
    train: dict[str, Any] = {}
    """Fields of ``TrainRecipe`` that differ from its defaults; mix, mode and seed are filled in here."""
    train_by_mode: dict[TuneMode, dict[str, Any]] = {}
    """Fields that differ in one mode, such as its learning rate."""
    evaluate: dict[str, Any] = {}
    """Fields of ``EvaluateRecipe`` that differ from its defaults; datasets and model are filled in here."""
    keep_models: bool = False
    """Keep the models of the cells; otherwise only their answers stay."""

    @model_validator(mode="after")
    def _names_and_shots_make_sense(self) -> FewShotRecipe:
        names = [dataset.name for dataset in self.datasets]
        if len(set(names)) < len(names):
            raise ValueError(f"datasets need different names; these came: {', '.join(names)}")
        if any(shots != "full" and shots < 1 for shots in self.shots):
            raise ValueError(f"shots are numbers from 1 up or 'full', not {list(self.shots)}; zero is always there")
        filled = {"mix", "tune", "seed"} & {name for one in (self.train, *self.train_by_mode.values()) for name in one}
        if filled:
            raise ValueError(f"train names {sorted(filled)}, which the harness fills in")
        return self
