"""Text as the model wants it: prompts to WordPiece ids, character spans to token positions (GLIP section 3.1).

In: prompts as stored, in original spelling. Out: lower-cased WordPiece ids with offsets into the ORIGINAL string.
Also here: prompt length in tokens, for packing phrases into the token budget.

Shapes: B prompts, T tokens.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Encoding, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MAX_FILE_BYTES = 64 * 2**20
_MAX_ALPHABET = 500
_MAX_VOCABULARY = 1_000_000
# Few, so that a compiled model meets few shapes; dense where captions lie, since the cost of fusion goes with them.
PADDED_LENGTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)


@dataclass(frozen=True)
class TokenizedPrompts:
    """A batch of prompts, padded to the longest of them.

    ids_BT: long. attention_mask_BT: bool, true on tokens. offsets: per prompt and token, the half-open character range
    of the original string; (0, 0) for [CLS], [SEP] and padding.
    """

    ids_BT: Tensor
    attention_mask_BT: Tensor
    offsets: list[list[tuple[int, int]]]

    def token_positions(self, prompt_index: int, start: int, end: int) -> list[int]:
        """Positions of the tokens under characters [start, end) of a prompt; [] if the span has none left.

        A span that begins or ends on characters without a token (spaces, say) is tightened by up to two characters.
        """
        ranges = self.offsets[prompt_index]
        first = _first_token(ranges, (start, start + 1, start + 2))
        last = _first_token(ranges, (end - 1, end - 2, end - 3))
        return [] if first is None or last is None else list(range(first, last + 1))

    def token_map(self, prompt_index: int, spans: Iterable[tuple[int, int]]) -> Tensor:
        """[T] bool: the tokens under any of several spans of one prompt."""
        token_map_T = torch.zeros(self.ids_BT.shape[1], dtype=torch.bool)
        for start, end in spans:
            token_map_T[self.token_positions(prompt_index, start, end)] = True
        return token_map_T


def padded_length(tokens: int, lengths: Sequence[int] = PADDED_LENGTHS) -> int:
    """The next of ascending lengths; more tokens than the largest stay as they are."""
    return next((length for length in lengths if length >= tokens), tokens)


class PromptTokenizer:
    """BERT's lower-casing WordPiece with [CLS] and [SEP] around every prompt; made by load_ and train_tokenizer.

    vocabulary_size: the largest id plus one, the rows that an embedding needs. special_ids: of SPECIAL_TOKENS.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        vocabulary = tokenizer.get_vocab()
        self._tokenizer = tokenizer
        self.special_ids: dict[str, int] = {token: vocabulary[token] for token in SPECIAL_TOKENS}
        self.pad_id = self.special_ids["[PAD]"]
        self.vocabulary_size: int = max(vocabulary.values()) + 1

    def encode(self, prompts: list[str], max_tokens: int, *, in_steps: bool = False) -> TokenizedPrompts:
        """Ids of all prompts, cut to max_tokens ([CLS] and [SEP] included) and padded to the longest.

        in_steps: pad on to the next of PADDED_LENGTHS, or to max_tokens where that is less.

        Raises: ValueError for no prompts or max_tokens below 3.
        """
        if not prompts or max_tokens < 3:
            raise ValueError(f"encode: wants prompts and max_tokens >= 3, got {len(prompts)} and {max_tokens}")
        encodings = self._tokenizer.encode_batch(prompts)
        longest = max(len(encoding.ids) for encoding in encodings)
        length = min(padded_length(longest) if in_steps else longest, max_tokens)
        ids_BT = torch.full((len(prompts), length), self.pad_id, dtype=torch.long)
        attention_mask_BT = torch.zeros(len(prompts), length, dtype=torch.bool)
        offsets = []
        for row, encoding in enumerate(encodings):
            ids, ranges = _truncate(encoding, max_tokens)
            ids_BT[row, : len(ids)] = torch.tensor(ids)
            attention_mask_BT[row, : len(ids)] = True
            offsets.append(ranges + [(0, 0)] * (length - len(ids)))
        return TokenizedPrompts(ids_BT, attention_mask_BT, offsets)

    def count(self, text: str) -> int:
        """Tokens of the text as a prompt, [CLS] and [SEP] included."""
        return len(self._tokenizer.encode(text).ids)

    def to_json(self) -> str:
        """The content of tokenizer.json; load_tokenizer reads it back."""
        text: str = self._tokenizer.to_str()
        return text


def load_tokenizer(path: Path | str) -> PromptTokenizer:
    """Read a tokenizer.json, a BERT vocab.txt, or a folder that holds one of them.

    Raises: FileNotFoundError, or ValueError for a file that is no BERT WordPiece tokenizer.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in ("tokenizer.json", "vocab.txt") if (path / name).is_file()]
        if not found:
            raise FileNotFoundError(f"{path}: no tokenizer.json or vocab.txt in this folder")
        path = found[0]
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such tokenizer file")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise ValueError(f"{path}: larger than {_MAX_FILE_BYTES >> 20} MiB, this is not a tokenizer")
    text = path.read_text(encoding="utf-8")
    return _from_vocabulary(text, path) if path.suffix == ".txt" else _from_json(text, path)


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> PromptTokenizer:
    """Learn a WordPiece vocabulary of at most vocabulary_size entries; the same texts give the same vocabulary."""
    texts = list(texts)
    tokenizer = _bert_tokenizer({token: index for index, token in enumerate(SPECIAL_TOKENS)})
    # The trainer numbers word-inner characters in the order of a hash map, and breaks ties between merges by these
    # numbers. Giving it the characters in a fixed order, as "special", makes the vocabulary a function of the texts.
    characters = Counter(character for text in texts for character in tokenizer.normalizer.normalize_str(text))
    frequent = sorted(character for character, _ in characters.most_common(_MAX_ALPHABET) if not character.isspace())
    alphabet = [*frequent, *(f"##{character}" for character in frequent)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[*SPECIAL_TOKENS, *alphabet],
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PromptTokenizer(_bert_tokenizer(tokenizer.get_vocab()))


def _from_json(text: str, path: Path) -> PromptTokenizer:
    # Only the vocabulary is taken: all else is BERT's by definition, and then a file cannot bring rules of its own.
    try:
        model = json.loads(text)["model"]
        kind, vocabulary = model["type"], model["vocab"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a tokenizer.json of the tokenizers library ({error!r})") from error
    if kind != "WordPiece" or not isinstance(vocabulary, dict):
        raise ValueError(f"{path}: a {kind!r} tokenizer; GLIP needs BERT's WordPiece")
    return PromptTokenizer(_bert_tokenizer(_checked(vocabulary, path)))


def _from_vocabulary(text: str, path: Path) -> PromptTokenizer:
    vocabulary = {token: index for index, token in enumerate(text.splitlines())}
    return PromptTokenizer(_bert_tokenizer(_checked(vocabulary, path)))


def _checked(vocabulary: dict[str, int], path: Path) -> dict[str, int]:
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing:
        raise ValueError(f"{path}: not a BERT vocabulary, {missing} are missing")
    if "".join(vocabulary).encode("utf-8", "replace").decode() != "".join(vocabulary):
        raise ValueError(f"{path}: not a BERT vocabulary, a token is not UTF-8")
    if not all(type(index) is int and 0 <= index < _MAX_VOCABULARY for index in vocabulary.values()):
        raise ValueError(f"{path}: token ids must be whole numbers within 0..{_MAX_VOCABULARY}")
    return vocabulary


def _bert_tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    )
    return tokenizer


def _truncate(encoding: Encoding, max_tokens: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids and offsets, cut in the middle so that the closing [SEP] stays."""
    ids, ranges = list(encoding.ids), list(encoding.offsets)
    if len(ids) <= max_tokens:
        return ids, ranges
    return [*ids[: max_tokens - 1], ids[-1]], [*ranges[: max_tokens - 1], ranges[-1]]


def _first_token(ranges: list[tuple[int, int]], characters: tuple[int, ...]) -> int | None:
    """The token under the first of these characters that has one."""
    for character in characters:
        for position, (start, end) in enumerate(ranges):
            if start <= character < end:
                return position
    return None
