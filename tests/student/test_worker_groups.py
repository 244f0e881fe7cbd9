"""Two processes with half of each batch come to what one process comes to with the whole, whatever the recipe asks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from worker_groups import Case, outcome, outcomes_of_two

from schemas.recipes import TrainRecipe
from student.process_group import DistributedWorkers
from student.workers import Workers

CONTRAST = {"region_word_contrast": 1.0, "caption_negatives": 2}
MASKED = {"masked_language": 1.0, "masked_share": 0.4}
GRANULAR = {"granular_alignment": 1.0}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "parts": {"accumulation": 2},
    "uneven": {"batch_size": 5, "accumulation": 2, **MASKED},
    "recomputed": {"gradient_checkpointing": True},
    "contrast": CONTRAST,
    "uneven-contrast": {"batch_size": 5, **CONTRAST},
    "masked": MASKED,
    "granular": GRANULAR,
    "linear-probe": {"tune": "linear-probe"},
    "prompt": {"tune": "prompt"},
    "lora": {"tune": "lora"},
    "fsdp": {"strategy": "fsdp"},
    "fsdp-parts": {"strategy": "fsdp", "accumulation": 2, **MASKED},
    "fsdp-objectives": {"strategy": "fsdp", **CONTRAST, **MASKED, **GRANULAR},
    "fsdp-lora": {"strategy": "fsdp", "tune": "lora", "gradient_checkpointing": True},
}


@pytest.fixture(scope="module")
def cases(small_recipe: TrainRecipe) -> dict[str, Case]:
    # Wrong pairs of the matching are drawn among a worker's own concepts, and by its own random numbers.
    unlike = ("loss_granular_match",)
    # AdamW hardly sees how a gradient is scaled, so that clipping is looked at by itself.
    recipe = small_recipe.model_copy(
        update={"optimizer": small_recipe.optimizer.model_copy(update={"clip_norm": 0.01})}
    )
    return {
        name: Case(recipe.model_copy(update=options), unlike if "granular_alignment" in options else ())
        for name, options in OPTIONS.items()
    }


@pytest.fixture(scope="module")
def of_two(cases: dict[str, Case], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return outcomes_of_two(cases, tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("name", OPTIONS)
def test_two_workers_come_to_what_one_comes_to(
    name: str, cases: dict[str, Case], of_two: dict[str, dict[str, Any]]
) -> None:
    one, two = outcome(cases[name], Workers(torch.device("cpu"))), of_two[name]
    assert two["losses"].keys() == one["losses"].keys()
    for loss, value in one["losses"].items():
        if loss not in cases[name].unlike:
            assert value > 0
            torch.testing.assert_close(two["losses"][loss], value, atol=1e-6, rtol=1e-5, msg=f"{loss}: {{}}".format)
    assert two["gradients"].keys() == one["gradients"].keys()
    assert _distance(two["gradients"], one["gradients"]) < 1e-4
    if not cases[name].unlike:
        torch.testing.assert_close(two["norms"], one["norms"], atol=0, rtol=1e-3)
        assert min(one["norms"]) > 0.01
        assert _distance(two["clipped"], one["clipped"]) < 1e-2
        assert _distance(two["weights"], one["weights"]) < 1e-3


def _distance(found: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """How far all tensors are from the exact ones, as one vector, relative."""
    apart = sum(float((found[name] - value).square().sum()) for name, value in exact.items())
    return float((apart / sum(float(value.square().sum()) for value in exact.values())) ** 0.5)


def test_without_the_gather_the_contrast_of_two_is_not_that_of_one(cases: dict[str, Case]) -> None:
    """That the comparison above can fail: half a batch has fewer wrong words."""
    recipe = cases["contrast"].recipe
    half = outcome(Case(recipe.model_copy(update={"batch_size": 2})), Workers(torch.device("cpu")))
    whole = outcome(cases["contrast"], Workers(torch.device("cpu")))
    assert half["losses"]["loss_region_word"] < 0.95 * whole["losses"]["loss_region_word"]


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (2,), (1, 2, 3)])
def test_a_group_of_one_gathers_its_own_rows_with_their_gradient(shape: tuple[int, ...]) -> None:
    rows = torch.randn(shape, requires_grad=True)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        workers = DistributedWorkers(torch.device("cpu"))
        gathered = workers.gather(rows)
        assert workers.gather_text('["é", "a b"]') == ['["é", "a b"]']
        assert workers.gather(rows > 0).dtype == torch.bool
    finally:
        dist.destroy_process_group()
    assert torch.equal(gathered, rows)
    gathered.square().sum().backward()
    torch.testing.assert_close(rows.grad, 2 * rows.detach())
