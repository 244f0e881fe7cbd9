"""Masked language modelling on captions (GLIPv2, section 3.2; BERT, Devlin et al. 2019, section 3.1).

In: token ids. Out: ids some of which are masked, and what stood there; from the text after the fusion, which has seen
the picture, the loss of telling it.

Shapes: B prompts, T tokens, D text width, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

NOT_MASKED = -100
_LEAST_COUNT = 1e-6  # instead of 0, where there is nothing to divide
_MASK_SHARE, _RANDOM_SHARE = 0.8, 0.1  # of the chosen tokens; the rest stay as they are


def mask_tokens(
    ids_T: Tensor, maskable_T: Tensor, *, share: float, mask_id: int, vocabulary: int, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Ids to be read, and the original ids of those that are to be told (NOT_MASKED elsewhere), both ``[T]``.

    Each token of ``maskable_T`` is chosen by chance, a ``share`` of them: eight in ten chosen ones become ``mask_id``,
    one in ten any id of the vocabulary.
    """
    drawn = torch.from_numpy(random.random((2, len(ids_T))))
    others_T = torch.from_numpy(random.integers(vocabulary, size=len(ids_T)))
    chosen_T = maskable_T & (drawn[0] < share)
    kinds_T = torch.where(drawn[1] < _MASK_SHARE, torch.full_like(ids_T, mask_id), others_T)
    changed_T = chosen_T & (drawn[1] < _MASK_SHARE + _RANDOM_SHARE)
    return torch.where(changed_T, kinds_T, ids_T), torch.where(chosen_T, ids_T, NOT_MASKED)


class MaskedLanguageHead(nn.Module):
    """BERT's head: a layer, and the word embeddings themselves as the classifier."""

    def __init__(self, text_width: int, vocabulary: int) -> None:
        super().__init__()
        self.dense = nn.Linear(text_width, text_width)
        self.norm = nn.LayerNorm(text_width, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(
        self, fused_text_BTD: Tensor, labels_BT: Tensor, embeddings_VD: Tensor, count: Tensor | None = None
    ) -> Tensor:
        """Mean cross-entropy over the masked tokens; 0 where there is none.

        count: where this is a part of a larger batch, what its sum is divided by instead of the number of its tokens.
        """
        masked_BT = labels_BT != NOT_MASKED
        hidden = self.norm(F.gelu(self.dense(fused_text_BTD[masked_BT])))
        scores = F.linear(hidden, embeddings_VD, self.bias).float()
        total = F.cross_entropy(scores, labels_BT[masked_BT], reduction="sum")
        return total / (masked_BT.sum() if count is None else count).clamp(min=_LEAST_COUNT)
