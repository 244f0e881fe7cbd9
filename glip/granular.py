"""Objects, regions and whole pictures, each against its own text (X-VLM, Zeng et al., ICML 2022, section 3).

In: a map of the image tower before the fusion, and "visual concepts": boxes, each with a text of its own (a class name,
a phrase, or the caption of the whole picture). Out: three scalars. A concept is the mean of its patch features (3.2);
concepts and texts are contrasted over the batch, told apart as pairs with hard negatives drawn by similarity, and the
box is found from the text and the whole picture, by L1 and GIoU (3.3).

As in the paper, pictures are contrasted with captions and boxes with phrases, each kind among itself. What may be the
same thing under another name (``related_KK``) is no negative. Own choice: one cross-attention layer, not six.

Shapes: B pictures, K concepts, T tokens, N positions, C channels, D text width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glip import boxes as box_math
from glip.contrast import NO_CONCEPT, Temperature, symmetric_contrast
from glip.processes import ALONE, Processes
from glip.region_features import coverage, region_means, sine_positions

_HEADS = 4
_LEAST_COUNT = 1e-6  # instead of 0, where there is nothing to divide


@dataclass(frozen=True)
class VisualConcepts:
    """K boxes of a batch with a text each.

    image_K: long. boxes_xyxy_K4: pixels of the padded pictures. ids_KT and mask_KT: the texts, tokenised by themselves.
    label_K: long, the label or lemma of a box, NO_CONCEPT for a whole picture. related_LL: bool, which labels may be
    the same thing. locate_K: bool, those whose box is to be found from the text: the only one of its text, and trusted.
    """

    image_K: Tensor
    boxes_xyxy_K4: Tensor
    ids_KT: Tensor
    mask_KT: Tensor
    label_K: Tensor
    related_LL: Tensor
    locate_K: Tensor

    def to(self, device: torch.device) -> VisualConcepts:
        """The same on another device."""
        return VisualConcepts(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class ConceptPairs:
    """How the concepts of a batch relate to each other, pair by pair; all bool [K, K].

    kind_KK: both are whole pictures, or both are boxes. same_KK: one and the same concept, or two of one label.
    related_KK: the labels may be the same thing under another name.
    """

    kind_KK: Tensor
    same_KK: Tensor
    related_KK: Tensor


def concept_pairs(label_K: Tensor, related_LL: Tensor) -> ConceptPairs:
    """The relations of all pairs of concepts; the arguments are fields of :class:`VisualConcepts`."""
    whole_K = label_K == NO_CONCEPT
    named_KK = ~(whole_K[:, None] | whole_K)
    same_KK = (label_K[:, None] == label_K) & named_KK
    related_KK = torch.zeros_like(same_KK)
    if related_LL.numel():
        place_K = label_K.clamp(min=0)
        related_KK = related_LL[place_K[:, None], place_K] & named_KK
    own_KK = torch.eye(len(label_K), dtype=torch.bool, device=label_K.device)
    return ConceptPairs(whole_K[:, None] == whole_K, same_KK | own_KK, related_KK)


class GranularAlignment(nn.Module):
    """The heads of the three losses."""

    def __init__(self, channels: int, text_width: int) -> None:
        super().__init__()
        self.vision, self.text = nn.Linear(channels, channels), nn.Linear(text_width, channels)
        self.similarity = Temperature()
        self.words = nn.Linear(text_width, channels)
        self.cross = nn.TransformerDecoderLayer(
            channels, _HEADS, 2 * channels, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.match = nn.Linear(channels, 2)
        self.box = nn.Sequential(nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, 4))

    def forward(
        self,
        map_BCHW: Tensor,
        text_KTD: Tensor,
        concepts: VisualConcepts,
        stride: int,
        *,
        processes: Processes = ALONE,
        located: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """`loss_granular_contrast`, `loss_granular_match` and `loss_granular_box`; zeros where there is no concept.

        text_KTD: what the text tower gives for the concepts' texts. stride: pixels per position of the map. located:
        where this is a part of a larger batch, what the sum of its box losses is divided by, instead of their number.
        The contrast is of the concepts of all processes, whose labels are numbered alike; wrong pairs are looked for
        among a process's own concepts, as the authors do.
        """
        shape = (map_BCHW.shape[2], map_BCHW.shape[3])
        covered_KHW = coverage(concepts.boxes_xyxy_K4, shape, stride)
        means_KC = region_means(map_BCHW, concepts.image_K, covered_KHW)
        vision_KE, text_KE = self.vision(means_KC), self.text(text_KTD[:, 0])
        patches_KNC = map_BCHW.flatten(2).transpose(1, 2)[concepts.image_K]
        patches_KNC = patches_KNC + sine_positions(shape, map_BCHW.shape[1], map_BCHW.device).to(map_BCHW.dtype)
        memory_KMC = torch.cat((means_KC.unsqueeze(1), patches_KNC), dim=1)
        inside_KM = F.pad(covered_KHW.flatten(1) > 0, (1, 0), value=True)
        similarity_KK = self.similarity(vision_KE, text_KE).detach()
        size_4 = torch.tensor([shape[1], shape[0]] * 2, device=map_BCHW.device) * float(stride)
        matching = self._matching(similarity_KK, text_KTD, memory_KMC, inside_KM, concepts)
        return {
            "loss_granular_contrast": self._contrast(vision_KE, text_KE, concepts, processes),
            "loss_granular_match": _mean_over(matching, processes),
            "loss_granular_box": self._boxes(text_KTD, memory_KMC, concepts, size_4, located),
        }

    def _contrast(self, vision_KE: Tensor, text_KE: Tensor, concepts: VisualConcepts, processes: Processes) -> Tensor:
        label_K = processes.gather(concepts.label_K)
        pairs = concept_pairs(label_K, concepts.related_LL)
        similarity_KK = self.similarity(processes.gather(vision_KE), processes.gather(text_KE))
        total: Tensor = similarity_KK.sum() * 0.0
        for kind_K in (label_K == NO_CONCEPT, label_K != NO_CONCEPT):
            positive_KK, related_KK = (x[kind_K][:, kind_K] for x in (pairs.same_KK, pairs.related_KK))
            total = total + symmetric_contrast(similarity_KK[kind_K][:, kind_K], positive_KK, related_KK) / 2
        return total

    def _matching(
        self,
        similarity_KK: Tensor,
        text_KTD: Tensor,
        memory_KMC: Tensor,
        inside_KM: Tensor,
        concepts: VisualConcepts,
    ) -> Tensor:
        """Own pairs against each concept with a wrong text and each text with a wrong concept: a loss for each pair."""
        if len(similarity_KK) == 0:
            return _nothing((self.match, self.cross, self.words), memory_KMC).expand(0)
        pairs = concept_pairs(concepts.label_K, concepts.related_LL)
        allowed_KK = pairs.kind_KK & ~pairs.same_KK & ~pairs.related_KK
        own_K = torch.arange(len(similarity_KK), device=similarity_KK.device)
        wrong_text_K, has_K = hard_negatives(similarity_KK, allowed_KK)
        wrong_concept_K, _ = hard_negatives(similarity_KK.T, allowed_KK.T)
        texts = torch.cat((own_K, wrong_text_K[has_K], own_K[has_K]))
        seen = torch.cat((own_K, own_K[has_K], wrong_concept_K[has_K]))
        answers = self.match(self._read(text_KTD[texts], concepts.mask_KT[texts], memory_KMC[seen], inside_KM[seen]))
        right = torch.arange(len(texts), device=own_K.device) < len(own_K)
        losses_P: Tensor = F.cross_entropy(answers.float(), right.long(), reduction="none")
        return losses_P

    def _boxes(
        self,
        text_KTD: Tensor,
        memory_KMC: Tensor,
        concepts: VisualConcepts,
        size_4: Tensor,
        located: Tensor | None,
    ) -> Tensor:
        """Mean over the concepts to be located; sides are shares of the padded picture's ``size_4`` (w, h, w, h)."""
        chosen = concepts.locate_K
        if not chosen.any():
            return _nothing((self.box, self.cross, self.words), memory_KMC)
        # The mean of its own box is not among what is looked at: it would tell the answer.
        read = self._read(text_KTD[chosen], concepts.mask_KT[chosen], memory_KMC[chosen][:, 1:], None)
        predicted_L4 = self.box(read).float().sigmoid()
        half_L2 = predicted_L4[:, 2:] / 2
        predicted_L4 = torch.cat((predicted_L4[:, :2] - half_L2, predicted_L4[:, :2] + half_L2), dim=1)
        return box_loss(predicted_L4, concepts.boxes_xyxy_K4[chosen] / size_4, located)

    def _read(self, text_KTD: Tensor, mask_KT: Tensor, memory_KMC: Tensor, inside_KM: Tensor | None) -> Tensor:
        """[K, C]: the first token after it has looked at the patches that are inside."""
        outside = None if inside_KM is None else ~inside_KM
        read: Tensor = self.cross(
            self.words(text_KTD), memory_KMC, tgt_key_padding_mask=~mask_KT, memory_key_padding_mask=outside
        )
        return read[:, 0]


def hard_negatives(similarity_KK: Tensor, allowed_KK: Tensor) -> tuple[Tensor, Tensor]:
    """For each row a column among the allowed ones, drawn by the softmax of its similarity, and whether there is one.

    The rows without have column 0. Draws by torch's generator; where a similarity is no number, the step is lost, but
    not the run.
    """
    has_K = allowed_KK.any(dim=1)
    share_KK = similarity_KK.float().masked_fill(~allowed_KK, float("-inf"))
    share_KK = torch.where(has_K[:, None], share_KK, 0.0).softmax(dim=1).nan_to_num(nan=1.0)
    drawn_K = torch.multinomial(share_KK, 1).squeeze(1)
    return torch.where(has_K, drawn_K, 0), has_K


def box_loss(predicted_xyxy_L4: Tensor, target_xyxy_L4: Tensor, count: Tensor | None = None) -> Tensor:
    """L1 of the corners plus 1 - GIoU, mean over the boxes, or their sum divided by ``count``; 0 without any."""
    distance_L = (predicted_xyxy_L4 - target_xyxy_L4).abs().sum(dim=1)
    giou_L = box_math.generalized_iou(predicted_xyxy_L4, target_xyxy_L4)
    count = distance_L.new_tensor(float(len(distance_L))) if count is None else count
    return (distance_L + 1 - giou_L).sum() / count.clamp(min=_LEAST_COUNT)


def _mean_over(losses_P: Tensor, processes: Processes) -> Tensor:
    """This process's share of the mean over the pairs of all processes, times the number of processes: their average is
    the mean."""
    count = processes.mean(losses_P.new_tensor(float(len(losses_P))))
    return losses_P.sum() / count.clamp(min=_LEAST_COUNT)


def _nothing(modules: tuple[nn.Module, ...], read: Tensor) -> Tensor:
    """Zero, computed from all weights of ``modules``, because DDP wants a gradient for every weight."""
    return sum((p.sum() * 0.0 for module in modules for p in module.parameters()), start=read.sum() * 0.0)
