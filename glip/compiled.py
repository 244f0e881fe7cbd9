"""The model through `torch.compile`: one graph for each shape of a batch, and a bound on their number.

In: a model in evaluation mode. Out: what is called as the model is, with answers equal within rounding. Shapes are
static: images come padded to few sizes (`bucket_shape`), the caller keeps the batch size, and prompts are padded on to
one of `LENGTHS`, which changes no answer; so there are as many graphs as sizes times lengths in use. What comes after
`MAX_GRAPHS` shapes runs as it is written, instead of compiling on and on. The text tower is not compiled:
`TextFeatureCache` calls it seldom.

Shapes: B batch of prompts, I pictures, H W padded image, T tokens, D text width.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from glip.deform_conv_engine import gpu_engine
from glip.head import GLIPOutput
from glip.model import GLIP
from glip.tokens import padded_length

LENGTHS = (32, 64, 128, 256)  # fewer than `padded_length` has: a graph takes minutes, tokens more take next to nothing
MAX_GRAPHS = 64  # the sizes and lengths that a job meets first, which are those it meets again

CompileMode = Literal["default", "reduce-overhead"]
Backend = Callable[[torch.fx.GraphModule, list[Tensor]], Callable[..., Any]]


class CompiledModel:
    """A model whose forward pass is compiled at the first batch of each shape. Not for sharing between threads."""

    def __init__(self, model: GLIP, mode: CompileMode = "default", *, backend: Backend | str = "inductor") -> None:
        """mode: `reduce-overhead` has a GPU replay each graph as a CUDA graph; its output is valid until the next call.

        Raises: ValueError where inductor finds no compiler for the model's device.
        """
        self._model, self._replayed = model, mode == "reduce-overhead"
        if backend == "inductor":
            device = next(model.parameters()).device
            check_compiler(device)
            if device.type == "cuda":
                gpu_engine()  # tries kernels on the device: now, and not while the model is traced
        self._compiled: Callable[..., Any] = torch.compile(
            model, dynamic=False, fullgraph=True, backend=backend, mode=mode
        )
        self.shapes: set[tuple[torch.Size, torch.Size]] = set()

    def __call__(
        self,
        images_I3HW: Tensor,
        token_ids_BT: Tensor,
        attention_mask_BT: Tensor,
        text_BTD: Tensor | None = None,
        image_B: Tensor | None = None,
    ) -> GLIPOutput:
        """Arguments and result are those of `GLIP.forward`."""
        if text_BTD is None:
            text_BTD = self._model.language_backbone(token_ids_BT, attention_mask_BT)
        tokens = token_ids_BT.shape[1]
        more = self._padded(tokens) - tokens
        token_ids_BT, attention_mask_BT = (F.pad(x_BT, (0, more)) for x_BT in (token_ids_BT, attention_mask_BT))
        text_BTD = F.pad(text_BTD, (0, 0, 0, more))
        output = self._answer(images_I3HW, token_ids_BT, attention_mask_BT, text_BTD, image_B)
        return replace(output, logits=[logits[..., :tokens] for logits in output.logits])

    def _padded(self, tokens: int) -> int:
        """The length that a prompt of so many tokens is padded to: the next of `LENGTHS`, at most the model's
        longest."""
        return max(tokens, min(padded_length(tokens, LENGTHS), self._model.config.max_tokens))

    def _answer(
        self,
        images_I3HW: Tensor,
        token_ids_BT: Tensor,
        attention_mask_BT: Tensor,
        text_BTD: Tensor,
        image_B: Tensor | None,
    ) -> GLIPOutput:
        """The model's output by the graph for these shapes, which is compiled at their first batch; uncompiled beyond
        `MAX_GRAPHS`."""
        shape = (images_I3HW.shape, token_ids_BT.shape)
        if shape not in self.shapes and len(self.shapes) >= MAX_GRAPHS:
            output: GLIPOutput = self._model(images_I3HW, token_ids_BT, attention_mask_BT, text_BTD, image_B)
            return output
        self.shapes.add(shape)
        if self._replayed:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        # Beyond the limit a graph would be looked for no more, and the shapes after it would run as they are written.
        with torch._dynamo.config.patch(cache_size_limit=MAX_GRAPHS):
            output = self._compiled(images_I3HW, token_ids_BT, attention_mask_BT, text_BTD, image_B)
        return output


def check_compiler(device: torch.device) -> None:
    """ValueError where what inductor compiles with on the device is not installed: a C++ compiler, on a GPU Triton."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise ValueError(f"torch.compile needs a C++ compiler, and there is no {compiler!r}; install one, or set CXX")
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise ValueError("torch.compile needs triton on a GPU, and it is not installed; `pip install triton`")
