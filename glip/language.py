"""Text tower: BERT (Devlin et al., 2019) from `transformers`, and the BERT layers between the fusions of the head.

In: token ids and their attention mask. Out: one vector a token. Padded tokens get vectors too, nothing reads them.
A prompt's vectors before fusion depend on no image, so `TextFeatureCache` keeps them.

Shapes: B batch, T tokens, D text width, h heads, d head width.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from glip.config import GLIPConfig
from glip.tokens import PADDED_LENGTHS, padded_length
from glip.transfer import to_device

# The reference clamps here against float16 overflow; it never acts in float32 or bfloat16.
_CLAMP = 50_000.0


class LanguageBackbone(nn.Module):
    """BERT without pooler, `body.model` in the published checkpoints."""

    def __init__(self, config: GLIPConfig) -> None:
        super().__init__()
        bert_config = BertConfig(
            vocab_size=config.vocabulary_size,
            hidden_size=config.text_width,
            num_hidden_layers=config.text_layers,
            num_attention_heads=config.text_heads,
            intermediate_size=config.text_intermediate,
            max_position_embeddings=config.text_positions,
            hidden_dropout_prob=config.text_dropout,
            attention_probs_dropout_prob=config.text_dropout,
            attn_implementation="sdpa",
        )
        self.body = nn.ModuleDict({"model": BertModel(bert_config, add_pooling_layer=False)})
        self.offsets: nn.Embedding | None = None
        if config.text_offsets:
            self.add_offsets(config)

    def add_offsets(self, config: GLIPConfig) -> None:
        """Add the learned offsets of the vocabulary entries (``text_offsets``, prompt tuning), on the tower's device;
        all begin at 0."""
        device = next(self.parameters()).device
        self.offsets = nn.Embedding(config.vocabulary_size, config.text_width, device=device)
        nn.init.zeros_(self.offsets.weight)

    @property
    def word_embeddings(self) -> Tensor:
        """[V, D], the learned vectors of the vocabulary."""
        return self.get_parameter("body.model.embeddings.word_embeddings.weight")

    def forward(self, token_ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
        """[B, T, D] last hidden states, not masked; each with the offset of its token where the model has offsets."""
        # Not through BertModel.forward: it looks into the mask for padding, for which the host waits for the device,
        # and without any takes another kernel, so that a prompt's neighbours would decide its last digits.
        embeddings, encoder = (self.body["model"].get_submodule(name) for name in ("embeddings", "encoder"))
        mask_B1TT = attention_mask_BT.bool()[:, None, None, :].expand(-1, -1, token_ids_BT.shape[1], -1)
        hidden_BTD: Tensor = encoder(embeddings(token_ids_BT), attention_mask=mask_B1TT).last_hidden_state
        if self.offsets is not None:
            hidden_BTD = hidden_BTD + self.offsets(token_ids_BT)
        return hidden_BTD


class TextFeatureCache:
    """The text tower's answers for inference, kept for the prompts used last.

    What a prompt gives depends on its own tokens alone, never on the prompts beside it or before it: all prompts go
    through the tower in batches of one fixed shape per length. So a kept answer and a fresh one are the same bits, and
    a class list that is asked of every image is encoded once.
    """

    def __init__(
        self,
        tower: LanguageBackbone,
        *,
        rows: int = 1,
        lengths: Sequence[int] = PADDED_LENGTHS,
        capacity: int = 128,
    ) -> None:
        """rows: prompts that go through the tower at once, empty rows included; one where computing is what costs (a
        CPU), more where starting it is (a GPU). lengths: what prompts are padded to, ascending; few where starting
        costs. capacity: prompts kept; 128 of 256 tokens with 768 numbers each are 100 MB on the tower's device.
        """
        self._tower, self._rows, self._lengths, self._capacity = tower, rows, lengths, capacity
        self._kept: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()

    @torch.inference_mode()
    def __call__(self, token_ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
        """[B, T, D] as the tower gives for valid tokens, 0 for padding. Ids and mask lie on the CPU.

        Raises: ValueError where padding comes before a token.
        """
        prompts = []
        for ids_T, mask_T in zip(token_ids_BT, attention_mask_BT, strict=True):
            length = int(mask_T.sum())
            if not bool(mask_T[:length].all()):
                raise ValueError("TextFeatureCache: valid tokens must come before the padding")
            prompts.append(tuple(ids_T[:length].tolist()))
        self._encode_new(prompts)
        width = self._kept[prompts[0]].shape[-1]
        text_BTD = self._kept[prompts[0]].new_zeros(*token_ids_BT.shape, width)
        for slot, prompt in zip(text_BTD, prompts, strict=True):
            slot[: len(prompt)] = self._kept[prompt]
            self._kept.move_to_end(prompt)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return text_BTD

    def _encode_new(self, prompts: list[tuple[int, ...]]) -> None:
        by_length: dict[int, list[tuple[int, ...]]] = {}
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._kept:
                by_length.setdefault(padded_length(len(prompt), self._lengths), []).append(prompt)
        for length, group in by_length.items():
            for start in range(0, len(group), self._rows):
                self._encode(group[start : start + self._rows], length)

    def _encode(self, prompts: list[tuple[int, ...]], length: int) -> None:
        rows = prompts + prompts[:1] * (self._rows - len(prompts))
        device = next(self._tower.parameters()).device
        ids_RT = to_device(torch.tensor([[*row, *[0] * (length - len(row))] for row in rows]), device)
        sizes_R1 = to_device(torch.tensor([[len(row)] for row in rows]), device)
        hidden_RTD = self._tower(ids_RT, torch.arange(length, device=device) < sizes_R1)
        for prompt, hidden_TD in zip(prompts, hidden_RTD, strict=False):  # the rest are rows that fill up the shape
            self._kept[prompt] = hidden_TD[: len(prompt)].clone()


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, text_BTD: Tensor, valid_BT: Tensor) -> Tensor:
        q, k, v = (
            torch.unflatten(project(text_BTD), -1, (self.heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        scores_BhTT = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).clamp(-_CLAMP, _CLAMP)
        lowest = torch.finfo(scores_BhTT.dtype).min
        attention = scores_BhTT.masked_fill(~valid_BT[:, None, None, :], lowest).softmax(dim=-1)
        attention = F.dropout(attention, self.dropout, self.training)
        out_BTD: Tensor = (attention.to(v.dtype) @ v).transpose(1, 2).flatten(2)
        return out_BTD


class _DenseAddNorm(nn.Module):
    def __init__(self, width_in: int, width: int, dropout: float, *, clamp: bool) -> None:
        super().__init__()
        self.dropout, self.clamp = dropout, clamp
        self.dense = nn.Linear(width_in, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        x = F.dropout(self.dense(x), self.dropout, self.training)
        if not self.clamp:
            normed: Tensor = self.LayerNorm(x + residual)
            return normed
        clamped: Tensor = self.LayerNorm(x.clamp(-_CLAMP, _CLAMP) + residual).clamp(-_CLAMP, _CLAMP)
        return clamped


class TextLayer(nn.Module):
    """One BERT encoder layer of the head, with the parameter names of `transformers.BertLayer`."""

    def __init__(self, config: GLIPConfig) -> None:
        super().__init__()
        width, dropout = config.text_width, config.text_dropout
        self.attention = nn.ModuleDict(
            {
                "self": _SelfAttention(width, config.text_heads, dropout),
                "output": _DenseAddNorm(width, width, dropout, clamp=False),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, config.text_intermediate)})
        self.output = _DenseAddNorm(config.text_intermediate, width, dropout, clamp=True)
        self.apply(_initialise)

    def forward(self, text_BTD: Tensor, valid_BT: Tensor) -> Tensor:
        attended = self.attention["output"](self.attention["self"](text_BTD, valid_BT), text_BTD)
        hidden = F.gelu(self.intermediate["dense"](attended).clamp(-_CLAMP, _CLAMP)).clamp(-_CLAMP, _CLAMP)
        out_BTD: Tensor = self.output(hidden, attended)
        return out_BTD


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
