"""Compares the stages of a running GLIP model with recorded samples, by forward hooks.

In: the model, a fixture's description and its samples. Out: a printed line per stage and a verdict.
Stages up to the first head layer must be equal to 1e-4 (relative and absolute), later ones to 1e-3 of their spread,
gradients to 1e-2 of their norm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from glip.model import GLIP

EARLY_TOLERANCE, LATE_TOLERANCE, LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3, 1e-4, 1e-2


@dataclass
class Report:
    """Lines printed so far, and what failed."""

    rows: list[tuple[str, float, float]] = field(default_factory=list)

    def add(self, name: str, error: float, tolerance: float) -> None:
        self.rows.append((name, error, tolerance))
        print(f"{name:<84} {error:10.2e} {tolerance:8.0e}  {'ok' if error <= tolerance else 'FAIL'}")

    def summarise(self, fixture: str) -> bool:
        failed = [name for name, error, tolerance in self.rows if not error <= tolerance]
        name, error, tolerance = max(self.rows, key=lambda row: math.inf if row[1] != row[1] else row[1] / row[2])
        print(f"\n{fixture}: {len(self.rows)} compared, {len(failed)} beyond tolerance")
        print(f"{fixture}: worst is {name}: error {error:.2e}, tolerance {tolerance:.0e}\n")
        return not failed


class Recorder:
    """Compares stages while the model runs, without keeping tensors."""

    def __init__(self, model: GLIP, fixture: dict[str, Any], samples: dict[str, Tensor], report: Report) -> None:
        self.expected, self.samples, self.report = fixture["tensors"], samples, report
        self.calls: dict[str, int] = {}
        self.seen: set[str] = set()
        self.shapes: list[tuple[int, int]] = []
        self.handles = [
            module.register_forward_hook(partial(self._on_forward, name)) for name, module in model.named_modules()
        ]

    def compare(self, name: str, value: Tensor) -> None:
        """Compare with the recorded sample, if this stage was recorded under this name."""
        wanted = self.expected.get(name)
        if wanted is None:
            return
        self.seen.add(name)
        flat = value.detach().reshape(wanted["shape"]).flatten().double()
        sample = self.samples[name].double()
        difference = (flat[:: wanted["stride"]].cpu() - sample).abs()
        drift = abs(flat.norm().item() - wanted["l2"]) / max(wanted["l2"], 1e-12)
        if name.startswith("grad"):
            # By the norm of the difference, as the fixture measures its own rounding: single entries of a gradient
            # move by a hundredth of its spread with the number of threads alone.
            floor = max(1e-6 * wanted["l2"], 1e-12)
            error, tolerance = difference.norm().item() / max(sample.norm().item(), floor), GRADIENT_TOLERANCE
        elif name.startswith(("head", "out")) and not name.startswith("head.0."):
            error, tolerance = difference.max().item() / max(wanted["std"], 1e-12), LATE_TOLERANCE
        else:
            error, tolerance = (difference / (1 + sample.abs())).max().item(), EARLY_TOLERANCE
        self.report.add(name, max(error, drift), tolerance)

    def missed(self) -> list[str]:
        """The recorded stages of a forward pass that the model never reached."""
        return sorted(n for n in self.expected if n not in self.seen and not n.startswith(("grad.", "input.")))

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()

    def _call(self, name: str, value: Tensor) -> None:
        count = self.calls.get(name, 0)
        self.calls[name] = count + 1
        self.compare(f"{name}#{count}", value)

    def _levels(self, name: str, maps: list[Tensor]) -> None:
        for level, value in enumerate(maps, start=3):
            self.compare(f"{name}.p{level}", value)

    def _on_forward(self, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        parts = name.split(".")
        if name.startswith("language_backbone"):
            self._language(parts, inputs, output)
        elif name.startswith("backbone"):
            self._backbone(name, parts, output)
        elif name.startswith("rpn.head.dyhead_tower.") and int(parts[3]) % 3 == 2:
            self._dyconv(int(parts[3]) // 3, ".".join(parts[4:]), output)
        elif name.startswith("rpn.head.dyhead_tower."):
            self._fusion(int(parts[3]), ".".join(parts[4:]), output)

    def _language(self, parts: list[str], inputs: tuple[Any, ...], output: Any) -> None:
        if parts[-1] == "embeddings":
            self.compare("bert.embeddings", output)
        elif parts[-2:-1] == ["layer"]:
            self.compare(f"bert.layer{parts[-1]}", output[0] if isinstance(output, tuple) else output)
        elif len(parts) == 1:
            mask = inputs[1].unsqueeze(-1).to(output.dtype)
            self.compare("lang.hidden", output)
            self.compare("lang.embedded", output * mask)
            self.compare("lang.aggregate", (output * mask).sum(1) / mask.sum(1))

    def _backbone(self, name: str, parts: list[str], output: Any) -> None:
        if name == "backbone.fpn":
            self.shapes = [(m.shape[2], m.shape[3]) for m in output]
            self._levels("fpn", output)
        elif name == "backbone.body":
            for stage, value in enumerate(output, start=3):
                self.compare(f"swin.c{stage}", value)
        elif name == "backbone.body.patch_embed":
            self.compare("swin.patch_embed", output.permute(0, 3, 1, 2))
        elif name == "backbone.body.layers.0":
            self.compare("swin.c2", output.permute(0, 3, 1, 2))
        elif parts[-2:-1] == ["blocks"]:
            self.compare(f"swin.stage{parts[3]}.block{parts[5]}", output)

    def _fusion(self, index: int, inner: str, output: Any) -> None:
        layer = f"head.{index // 3}"
        if index % 3 == 1 and not inner:
            self.compare(f"{layer}.bert.lang", output)
        elif inner == "b_attn.attn":
            self.compare(f"{layer}.fuse.delta_v", output[0])
            self.compare(f"{layer}.fuse.delta_l", output[1])
        elif index % 3 == 0 and not inner:
            levels = output[0].split([h * w for h, w in self.shapes], dim=1)
            self._levels(f"{layer}.fuse", [level.transpose(1, 2) for level in levels])
            self.compare(f"{layer}.fuse.lang", output[1])

    def _dyconv(self, layer: int, inner: str, output: Any) -> None:
        if not inner:
            self._levels(f"head.{layer}.dyconv", output)
            return
        sources = {"0": "from_coarser", "1": "mid", "2": "from_finer"}
        names = {"offset": "offset_mask_raw", "AttnConv": "attn"}
        names |= {f"DyConv.{i}.conv": f"{source}.dcn" for i, source in sources.items()}
        names |= {f"DyConv.{i}": f"{source}.gn" for i, source in sources.items()}
        if inner in names:
            self._call(f"head.{layer}.dyconv.{names[inner]}", output)
