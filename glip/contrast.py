"""Contrast of regions with the words of every picture of a batch (GLIPv2, Zhang et al., NeurIPS 2022, section 3.2).

In: regions and words as the towers give them, before the fusion, in which a word could learn from its own picture; and
which words name which region. Out: one scalar. A word of another picture's text is a positive where it belongs to the
same concept (label propagation), is left out where its concept may be the same thing under another name, and is a
negative otherwise. Similarity is the cosine over a learned temperature, as in CLIP (Radford et al., ICML 2021).

Shapes: B pictures, T tokens, P regions, W = B * T words, K concepts, C towers' channels, D text width, E shared width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glip.processes import ALONE, Processes

NO_CONCEPT = -1
_FIRST_TEMPERATURE, _SHARPEST = 0.07, 100.0


@dataclass(frozen=True)
class WordConcepts:
    """What the words of a batch stand for.

    concept_BT: long, the concept of the phrase that a token belongs to, NO_CONCEPT for tokens of no phrase.
    related_KK: bool, pairs of different concepts that may be the same thing ("man" and "person"); symmetric.
    """

    concept_BT: Tensor
    related_KK: Tensor


class Temperature(nn.Module):
    """Divides cosines by a learned temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor([math.log(1 / _FIRST_TEMPERATURE)]))  # FSDP shards no scalar

    def forward(self, first_PE: Tensor, second_WE: Tensor) -> Tensor:
        """[P, W] float32."""
        cosine = F.normalize(first_PE.float(), dim=-1) @ F.normalize(second_WE.float(), dim=-1).T
        return cosine * self.log_scale.exp().clamp(max=_SHARPEST)


class RegionWordContrast(nn.Module):
    """The projections of both sides into one space, and the loss there."""

    def __init__(self, channels: int, text_width: int) -> None:
        super().__init__()
        self.region = nn.Linear(channels, channels)
        self.word = nn.Linear(text_width, channels)
        self.similarity = Temperature()

    def forward(
        self,
        regions_PC: Tensor,
        image_P: Tensor,
        token_map_PT: Tensor,
        text_BTD: Tensor,
        attention_mask_BT: Tensor,
        words: WordConcepts,
        processes: Processes = ALONE,
    ) -> Tensor:
        """The loss of the regions and words of all processes, the same in each; 0 where there is no region.

        image_P: the picture of each region. token_map_PT: bool, the words of its own picture's text that name it.
        words: concepts are numbered alike in all processes.
        """
        before = processes.gather(image_P.new_tensor([len(text_BTD)]))[: processes.rank].sum()
        image_P = processes.gather(image_P + before)
        regions_PE, words_BTE = processes.gather(self.region(regions_PC)), processes.gather(self.word(text_BTD.float()))
        valid_W = processes.gather(attention_mask_BT.bool()).flatten()
        words = WordConcepts(processes.gather(words.concept_BT), words.related_KK)
        positive_PW, ignored_PW = word_targets(image_P, processes.gather(token_map_PT), words)
        similarity_PW = self.similarity(regions_PE, words_BTE.flatten(0, 1)[valid_W])
        return symmetric_contrast(similarity_PW, positive_PW[:, valid_W], ignored_PW[:, valid_W])


def word_targets(image_P: Tensor, token_map_PT: Tensor, words: WordConcepts) -> tuple[Tensor, Tensor]:
    """[P, W] bool, which words of the batch name a region, and which may.

    In a region's own picture the annotation decides. In the others, words of one of its concepts name it, and those of
    a related concept may.
    """
    concepts = words.related_KK.shape[0]
    own_PK = torch.zeros(len(image_P), concepts + 1, dtype=torch.bool, device=image_P.device)
    # The last column takes the words of no concept, and is dropped.
    index_PT = words.concept_BT[image_P].masked_fill(~token_map_PT, NO_CONCEPT) % (concepts + 1)
    own_PK = own_PK.scatter(1, index_PT, True)[:, :concepts]
    related_PK = (own_PK.float() @ words.related_KK.float() > 0) & ~own_PK
    concept_W = words.concept_BT.flatten()
    named_W = concept_W != NO_CONCEPT
    same_PW, related_PW = (x[:, concept_W.clamp(min=0)] & named_W for x in (own_PK, related_PK))
    batch, tokens = words.concept_BT.shape
    own_image_PB1 = (image_P[:, None] == torch.arange(batch, device=image_P.device)).unsqueeze(-1)
    own_image_PW = own_image_PB1.expand(-1, -1, tokens).flatten(1)
    map_PW = (own_image_PB1 & token_map_PT.unsqueeze(1)).flatten(1)
    return torch.where(own_image_PW, map_PW, same_PW), related_PW & ~own_image_PW


def symmetric_contrast(similarity_PW: Tensor, positive_PW: Tensor, ignored_PW: Tensor) -> Tensor:
    """Cross-entropy along the rows and along the columns, added up; several positives of a row share its target.

    Rows and columns without a positive have no target, and are taken by the others alone. 0 without any pair.
    """
    scores_PW = similarity_PW.masked_fill(ignored_PW & ~positive_PW, float("-inf"))
    return _rows_contrast(scores_PW, positive_PW) + _rows_contrast(scores_PW.T, positive_PW.T)


def _rows_contrast(scores_PW: Tensor, positive_PW: Tensor) -> Tensor:
    rows = positive_PW.any(dim=1)
    scores_PW, positive_PW = scores_PW[rows], positive_PW[rows]
    log_share_PW = scores_PW.log_softmax(dim=1).masked_fill(~positive_PW, 0.0)
    losses_P = -log_share_PW.sum(dim=1) / positive_PW.sum(dim=1)
    return losses_P.sum() / max(1, len(losses_P))
