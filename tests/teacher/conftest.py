"""Small checkpoints of the Hugging Face teachers with random weights, in the layout of the hub; nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture(scope="module")
def grounder(random_checkpoint: Path) -> Any:
    """GLIP of random weights, opened on the CPU."""
    from schemas.recipes import TeacherRecipe
    from teacher.grounder import open_grounder

    return open_grounder(TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu"))


WORDS = "a brown dog and two cats on the red sofa man with skateboard beside car flowers in field of green ##s ##er"


def save_grounding_dino(folder: Path, kind: str = "grounding-dino") -> Path:
    """A Grounding DINO (or MM-Grounding-DINO) of a few thousand parameters."""
    import transformers

    prefix = {"grounding-dino": "GroundingDino", "mm-grounding-dino": "MMGroundingDino"}[kind]
    vocabulary = _bert_vocabulary()
    model = _randomised(f"{prefix}ForObjectDetection", _grounding_dino_config(prefix, len(vocabulary)), 0.15)
    if kind == "mm-grounding-dino":
        for head in model.class_embed:
            torch.nn.init.constant_(head.bias, 0.0)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    ids = {word: number for number, word in enumerate(vocabulary)}
    transformers.BertTokenizerFast(vocab=ids).save_pretrained(folder)
    preprocessor = {
        "image_processor_type": "GroundingDinoImageProcessor",
        "size": {"shortest_edge": 64, "longest_edge": 96},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "rescale_factor": 1 / 255,
        "resample": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def _bert_vocabulary() -> list[str]:
    """Words, and letters for all others, with [CLS], [SEP], "." and "?" at the ids that the model's code expects."""
    vocabulary = ["[PAD]", *(f"[unused{number}]" for number in range(1, 1100))]
    for number, word in {100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}.items():
        vocabulary[number] = word
    letters = [*"abcdefghijklmnopqrstuvwxyz,-'0123456789"]
    pieces = list(dict.fromkeys([*letters, *(f"##{letter}" for letter in letters), *WORDS.split()]))
    vocabulary[200 : 200 + len(pieces)] = pieces
    return vocabulary


def _grounding_dino_config(prefix: str, words: int) -> Any:
    import transformers

    swin = transformers.SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_indices=[2, 3, 4],
        out_features=["stage2", "stage3", "stage4"],
    )
    bert = transformers.BertConfig(
        vocab_size=words,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    return getattr(transformers, f"{prefix}Config")(
        backbone_config=swin,
        text_config=bert,
        d_model=32,
        num_queries=20,
        encoder_layers=1,
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        max_text_len=48,
    )


def _randomised(model_type: str, config: Any, std: float) -> Any:
    """The model with weights large enough that pictures and words make a difference; the same ones every time."""
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, model_type)(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=std) if parameter.dim() > 1 else None
    return model


def save_owlv2(folder: Path) -> Path:
    """An OWLv2 of a few thousand parameters with a byte-level CLIP vocabulary without merges: a token a letter."""
    import transformers
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    tokens = ["!", *(one for one in letters if one != "!"), *(f"{one}</w>" for one in letters)]
    merges = [("d", "o"), ("do", "g</w>"), ("c", "a"), ("ca", "t"), ("cat", "s</w>"), ("t", "w"), ("tw", "o</w>")]
    tokens += ["".join(pair) for pair in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = transformers.CLIPTokenizerFast(vocab=vocabulary, merges=merges, pad_token="!")
    text = transformers.Owlv2TextConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=len(tokens) - 2,
        eos_token_id=len(tokens) - 1,
    )
    vision = transformers.Owlv2VisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=64, patch_size=16
    )
    config = transformers.Owlv2Config(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
    _randomised("Owlv2ForObjectDetection", config, 0.3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    preprocessor = {
        "image_processor_type": "Owlv2ImageProcessor",
        "size": {"height": 64, "width": 64},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "rescale_factor": 1 / 255,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


SAVERS = {
    "grounding-dino": save_grounding_dino,
    "mm-grounding-dino": lambda folder: save_grounding_dino(folder, "mm-grounding-dino"),
    "owlv2": save_owlv2,
}


@pytest.fixture(scope="session")
def hub_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint folder for each grounder that is opened through transformers."""
    return {kind: save(tmp_path_factory.mktemp("hub") / kind) for kind, save in SAVERS.items()}
