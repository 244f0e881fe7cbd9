"""All that a step is learned from: GLIP's losses, and those that a recipe adds to them.

In: a model's answer to a batch. Out: named scalars, weighted; their sum is the loss of the step. The heads of added
objectives live in the model while it is trained, under the name ``objectives``, so that they share its optimiser, its
average and its checkpoints; a saved model is without them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from engine.mix import NameRelations
from glip.config import GLIPConfig
from glip.contrast import RegionWordContrast
from glip.granular import GranularAlignment
from glip.head import GLIPOutput, TowerFeatures
from glip.losses import Positives, find_positives, grounding_losses
from glip.masked_language import MaskedLanguageHead
from glip.model import GLIP
from glip.tokens import PromptTokenizer
from schemas.recipes import TrainRecipe
from student.data import Batch
from student.picture_words import BatchWords, PictureWords, batch_words, has_objectives, visual_concepts, word_concepts

OBJECTIVES = "objectives"
PATCH_LEVEL = 1  # stride 16, the patch size of X-VLM's towers


class Objectives(nn.Module):
    """The heads of the objectives that a recipe adds, each None where it is off."""

    def __init__(self, recipe: TrainRecipe, config: GLIPConfig, tokenizer: PromptTokenizer) -> None:
        super().__init__()
        self.recipe, self.config, self.tokenizer = recipe, config, tokenizer
        self.relations = NameRelations(recipe.synonyms)
        channels, width = config.channels, config.text_width
        self.contrast = RegionWordContrast(channels, width) if recipe.region_word_contrast else None
        self.masked = MaskedLanguageHead(width, config.vocabulary_size) if recipe.masked_language else None
        self.granular = GranularAlignment(channels, width) if recipe.granular_alignment else None

    def forward(
        self, model: GLIP, output: GLIPOutput, batch: Batch, mask_BT: Tensor, positives: Positives
    ) -> dict[str, Tensor]:
        """The losses of the objectives that are on."""
        if output.features is None or batch.words is None:
            raise ValueError("objectives need the features of the towers and the words of the pictures")
        losses = {}
        if self.masked is not None:
            told_BT = torch.stack([picture.told_T for picture in batch.words]).to(mask_BT.device)
            text_BTD = output.features.fused_text_BTD.float()
            loss = self.masked(text_BTD, told_BT, model.language_backbone.word_embeddings)
            losses["loss_masked_language"] = self.recipe.masked_language * loss
        words = batch_words(batch.words, self.relations)
        if self.contrast is not None:
            concepts = word_concepts(batch.words, words, mask_BT.device)
            loss = self.contrast(*_regions(output.features, positives), output.features.text_BTD, mask_BT, concepts)
            losses["loss_region_word"] = self.recipe.region_word_contrast * loss
        if self.granular is not None:
            parts = self._granular_losses(model, output.features, batch.words, words)
            losses |= {name: self.recipe.granular_alignment * loss for name, loss in parts.items()}
        return losses

    def _granular_losses(
        self, model: GLIP, features: TowerFeatures, pictures: list[PictureWords], words: BatchWords
    ) -> dict[str, Tensor]:
        assert self.granular is not None
        map_BCHW = features.maps[PATCH_LEVEL].float()
        concepts = visual_concepts(pictures, words, self.tokenizer, self.config.max_tokens)
        if concepts is None:
            return self.granular.nothing(map_BCHW)
        concepts = concepts.to(map_BCHW.device)
        text_KTD = model.language_backbone(concepts.ids_KT, concepts.mask_KT).float()
        losses: dict[str, Tensor] = self.granular(map_BCHW, text_KTD, concepts, self.config.strides[PATCH_LEVEL])
        return losses


def _regions(features: TowerFeatures, positives: Positives) -> tuple[Tensor, Tensor, Tensor]:
    """The features before the fusion at the positive anchors, their pictures, and the words that name them."""
    maps_BNC = torch.cat([m.flatten(2).transpose(1, 2) for m in features.maps], dim=1)
    return maps_BNC[positives.image_P, positives.anchor_P].float(), positives.image_P, positives.token_map_PT


def add_objectives(model: GLIP, recipe: TrainRecipe, tokenizer: PromptTokenizer) -> None:
    """Give the model the heads that the recipe asks for, drawn by its seed; nothing where it asks for none."""
    if has_objectives(recipe):
        device = next(model.parameters()).device
        torch.manual_seed(recipe.seed)
        model.add_module(OBJECTIVES, Objectives(recipe, model.config, tokenizer).to(device))


def training_losses(
    model: GLIP,
    output: GLIPOutput,
    batch: Batch,
    mask_BT: Tensor,
    *,
    mean_over_processes: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Tensor]:
    """GLIP's losses (SPEC section 10) and those of the model's added objectives, in fp32."""
    positives = find_positives(output, batch.targets, model.config)
    losses = grounding_losses(
        output, batch.targets, mask_BT, model.config, mean_over_processes=mean_over_processes, positives=positives
    )
    objectives = getattr(model, OBJECTIVES, None)
    return losses if objectives is None else losses | objectives(model, output, batch, mask_BT, positives)
