"""What a user writes: recipes, in YAML, checked before any work starts.

A recipe file holds only what differs from the defaults; an unknown field is refused. ``load_recipe`` reads one and
applies ``--set a.b=c`` overrides; the resolved recipe is saved beside what it made. The classes stand in a file for
each job (``source_recipes``, ``label_recipes``, ``train_recipes``, ``evaluate_recipes``, and ``generation_recipes``,
which puts them together); here are their names.
"""

from __future__ import annotations

from schemas.evaluate_recipes import CalibrateRecipe, EvaluateRecipe, EvaluationProtocol, protocols_with
from schemas.generation_recipes import (
    EXPORT_FORMATS,
    GOLD_FILES,
    CandidateWeights,
    GateRecipe,
    GenerationRecipe,
    GoldSource,
    PromotionRule,
    TruthRecipe,
)
from schemas.label_recipes import (
    DEFAULT_DISTANCE,
    FiltersRecipe,
    GroundRecipe,
    LabelRecipe,
    PhrasesRecipe,
    SelectionChoice,
    TeacherRecipe,
)
from schemas.recipe_files import Recipe, explain, load_recipe, make_recipe
from schemas.source_recipes import (
    CocoSource,
    FolderSource,
    ParquetSource,
    ScenesSource,
    Source,
    UrlsSource,
    WebDatasetSource,
)
from schemas.train_recipes import MixEntry, MixSampling, OptimizerRecipe, RunEvaluation, Synonyms, TrainRecipe

__all__ = [
    "DEFAULT_DISTANCE",
    "EXPORT_FORMATS",
    "GOLD_FILES",
    "CalibrateRecipe",
    "CandidateWeights",
    "CocoSource",
    "EvaluateRecipe",
    "EvaluationProtocol",
    "FiltersRecipe",
    "FolderSource",
    "GateRecipe",
    "GenerationRecipe",
    "GoldSource",
    "GroundRecipe",
    "LabelRecipe",
    "MixEntry",
    "MixSampling",
    "OptimizerRecipe",
    "ParquetSource",
    "PhrasesRecipe",
    "PromotionRule",
    "Recipe",
    "RunEvaluation",
    "ScenesSource",
    "SelectionChoice",
    "Source",
    "Synonyms",
    "TeacherRecipe",
    "TrainRecipe",
    "TruthRecipe",
    "UrlsSource",
    "WebDatasetSource",
    "explain",
    "load_recipe",
    "make_recipe",
    "protocols_with",
]
