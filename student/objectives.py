"""All losses of a step: GLIP's own, and those of the objectives that a recipe adds.

In: a model's output for a batch. Out: named scalars, weighted; their sum is the loss of the step. The heads of added
objectives are a submodule ``objectives`` of the model while it is trained, so that they share its optimiser, its
average and its checkpoints; a saved model is without them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.mix import NameRelations
from glip.config import GLIPConfig
from glip.contrast import RegionWordContrast
from glip.granular import GranularAlignment
from glip.head import GLIPOutput, TowerFeatures
from glip.losses import Positives, grounding_losses
from glip.masked_language import MaskedLanguageHead
from glip.model import GLIP
from glip.processes import Processes
from glip.tokens import PromptTokenizer
from schemas.recipes import TrainRecipe
from student.parts import Part
from student.picture_words import BatchWords, batch_words, has_objectives, visual_concepts, word_concepts

OBJECTIVES = "objectives"
PATCH_LEVEL = 1  # stride 16, the patch size of X-VLM's towers


class Objectives(nn.Module):
    """The heads of the objectives that a recipe adds, each None where it is off."""

    def __init__(self, recipe: TrainRecipe, config: GLIPConfig, tokenizer: PromptTokenizer) -> None:
        super().__init__()
        self.recipe, self.config, self.tokenizer = recipe, config, tokenizer
        self.relations = NameRelations(recipe.synonyms)
        self.contrast, self.masked, self.granular = objective_heads(recipe, config)

    def forward(
        self, model: GLIP, output: GLIPOutput, part: Part, mask_BT: Tensor, processes: Processes
    ) -> dict[str, Tensor]:
        """The losses of the objectives that are on. The loss of the step is their sum over its parts, averaged over the
        processes."""
        if output.features is None or part.batch.words is None:
            raise ValueError("objectives need the features of the towers and the words of the pictures")
        recipe, features, pictures, losses = self.recipe, output.features, part.batch.words, {}
        if self.masked is not None:
            told_BT = torch.stack([picture.told_T for picture in pictures]).to(mask_BT.device)
            embeddings_VD = model.language_backbone.word_embeddings
            loss = self.masked(features.fused_text_BTD.float(), told_BT, embeddings_VD, part.counts.masked)
            losses["loss_masked_language"] = recipe.masked_language * loss
        if self.contrast is None and self.granular is None:
            return losses
        words = batch_words(pictures, self.relations, processes)
        if self.contrast is not None:
            concepts = word_concepts(pictures, words, mask_BT.device)
            regions = _regions(features, part.positives)
            loss = self.contrast(*regions, features.text_BTD, mask_BT, concepts, processes)
            losses["loss_region_word"] = recipe.region_word_contrast * loss / part.counts.parts
        if self.granular is not None:
            found = self._granular_losses(model, features, part, words, processes)
            losses |= {name: recipe.granular_alignment * loss for name, loss in found.items()}
        return losses

    def _granular_losses(
        self, model: GLIP, features: TowerFeatures, part: Part, words: BatchWords, processes: Processes
    ) -> dict[str, Tensor]:
        assert self.granular is not None
        assert part.batch.words is not None
        map_BCHW = features.maps[PATCH_LEVEL].float()
        concepts = visual_concepts(part.batch.words, words, self.tokenizer, self.config.max_tokens)
        concepts = concepts.to(map_BCHW.device)
        # In the precision of the towers. Also called without a concept: with FSDP all workers must call it together.
        is_bf16 = features.maps[PATCH_LEVEL].dtype == torch.bfloat16
        with torch.autocast(map_BCHW.device.type, torch.bfloat16, enabled=is_bf16):
            text_KTD = model.language_backbone(concepts.ids_KT, concepts.mask_KT)
        text_KTD = text_KTD.float()[: len(concepts.image_K)]
        stride, located = self.config.strides[PATCH_LEVEL], part.counts.located
        losses: dict[str, Tensor] = self.granular(
            map_BCHW, text_KTD, concepts, stride, processes=processes, located=located
        )
        box_loss = losses.pop("loss_granular_box")  # divided already by the boxes to locate in all parts
        return {name: loss / part.counts.parts for name, loss in losses.items()} | {"loss_granular_box": box_loss}


def objective_heads(
    recipe: TrainRecipe, config: GLIPConfig
) -> tuple[RegionWordContrast | None, MaskedLanguageHead | None, GranularAlignment | None]:
    """The heads of the objectives, each None where it is off."""
    channels, width = config.channels, config.text_width
    return (
        RegionWordContrast(channels, width) if recipe.region_word_contrast else None,
        MaskedLanguageHead(width, config.vocabulary_size) if recipe.masked_language else None,
        GranularAlignment(channels, width) if recipe.granular_alignment else None,
    )


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
    model: GLIP, output: GLIPOutput, part: Part, mask_BT: Tensor, processes: Processes
) -> dict[str, Tensor]:
    """GLIP's losses (SPEC section 10) and those of the model's added objectives, in fp32."""
    losses = grounding_losses(
        output,
        part.batch.targets,
        mask_BT,
        model.config,
        positives=part.positives,
        normalisers=part.counts.grounding,
    )
    objectives = getattr(model, OBJECTIVES, None)
    return losses if objectives is None else losses | objectives(model, output, part, mask_BT, processes)
