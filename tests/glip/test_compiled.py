"""The compiled model: a graph for each shape and no more, and the answers of the model as it is written."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from glip import compiled
from glip.compiled import CompiledModel, check_compiler
from glip.config import GLIPConfig
from glip.head import GLIPOutput
from glip.model import GLIP

SHAPES = [((32, 64), 8), ((64, 64), 16)]
"""Of images and prompts; each takes the compiler seconds, whatever the model."""


@pytest.fixture(autouse=True)
def _forget_graphs() -> Iterator[None]:
    yield
    torch._dynamo.reset()


@pytest.fixture
def smallest_model(small_config: GLIPConfig) -> GLIP:
    """One of each part: each operation is compiled, and takes its time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GLIP(dataclasses.replace(small_config, swin_depths=(1, 2, 1, 1), head_layers=1)).eval()


class CountingBackend:
    """Runs a graph as it is, and counts the graphs it was given."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        self.graphs += 1
        return graph.forward


def inputs(size_hw: tuple[int, int], length: int, batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 200, (batch, length), generator=generator)
    return (
        torch.randn(batch, 3, *size_hw, generator=generator),
        ids,
        torch.arange(length).expand(batch, -1) < length - 2,
    )


def tensors(output: Any) -> list[Tensor]:
    return [*output.logits, *output.box_regression, *output.centerness]


class Stub(nn.Module):
    """Called as the model is, and traced in no time: for how many graphs there are, which the shapes alone decide."""

    config = GLIPConfig.tiny()

    def language_backbone(self, token_ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
        return (token_ids_BT * attention_mask_BT).float().unsqueeze(-1)

    def forward(self, images_B3HW: Tensor, ids_BT: Tensor, mask_BT: Tensor, text_BTD: Tensor, *_: None) -> GLIPOutput:
        logits_B1T = images_B3HW.mean((1, 2, 3)).view(-1, 1, 1) + text_BTD.mean(2).unsqueeze(1)
        return GLIPOutput([logits_B1T], [], [], [(1, 1)])


@torch.inference_mode()
def test_the_model_has_one_graph_for_each_shape_and_its_own_answers(smallest_model: GLIP) -> None:
    backend = CountingBackend()
    model = CompiledModel(smallest_model, backend=backend)
    for seed in range(2):
        for size, length in SHAPES:
            images, ids, mask = inputs(size, length, seed=seed)
            wanted = tensors(smallest_model(images, ids, mask))
            text = smallest_model.language_backbone(ids, mask)
            for found in (tensors(model(images, ids, mask)), tensors(model(images, ids, mask, text))):
                for ours, plain in zip(found, wanted, strict=True):
                    torch.testing.assert_close(ours, plain)  # the prompts are padded on
    assert backend.graphs == len(SHAPES) == len(model.shapes)


@pytest.mark.parametrize(("most", "graphs"), [(2, 2), (64, 12)])
@torch.inference_mode()
def test_there_are_graphs_up_to_the_limit_and_shapes_beyond_run_uncompiled(
    monkeypatch: pytest.MonkeyPatch, most: int, graphs: int
) -> None:
    monkeypatch.setattr(compiled, "MAX_GRAPHS", most)
    backend, plain = CountingBackend(), Stub()
    model = CompiledModel(plain, backend=backend)  # type: ignore[arg-type]
    for _ in range(2):
        for batch_size in range(1, 13):  # more than torch keeps by itself
            images, ids, mask = inputs((32, 64), 8, batch_size)
            wanted = plain(images, ids, mask, plain.language_backbone(ids, mask))
            assert torch.equal(model(images, ids, mask).logits[0], wanted.logits[0])
    assert backend.graphs == graphs


@torch.inference_mode()
def test_prompts_of_many_lengths_share_few_graphs() -> None:
    backend, plain = CountingBackend(), Stub()
    model = CompiledModel(plain, backend=backend)  # type: ignore[arg-type]
    for length in range(3, 257, 11):
        images, ids, mask = inputs((32, 64), length)
        wanted = plain(images, ids, mask, plain.language_backbone(ids, mask)).logits[0]
        assert torch.equal(model(images, ids, mask).logits[0], wanted)
    assert backend.graphs == len(compiled.LENGTHS)


NO_COMPILER = shutil.which(os.environ.get("CXX", "g++")) is None


@pytest.mark.skipif(NO_COMPILER, reason="inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # what inductor imports uses what torch deprecates
@pytest.mark.parametrize(
    ("device", "mode"),
    [
        pytest.param("cpu", "default", marks=pytest.mark.slow),
        pytest.param("cuda", "default", marks=pytest.mark.gpu),
        pytest.param("cuda", "reduce-overhead", marks=pytest.mark.gpu),
    ],
)
@torch.inference_mode()
def test_what_inductor_makes_answers_as_the_model_does(smallest_model: GLIP, device: str, mode: Any) -> None:
    model = CompiledModel(smallest_model.to(device), mode)
    for seed in range(3):
        batch = [tensor.to(device) for tensor in inputs(*SHAPES[0], seed=seed)]
        for ours, plain in zip(tensors(model(*batch)), tensors(smallest_model(*batch)), strict=True):
            torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-4)


def test_a_missing_compiler_is_said_before_the_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match="needs a C\\+\\+ compiler, and there is no 'no-such-compiler'"):
        check_compiler(torch.device("cpu"))
