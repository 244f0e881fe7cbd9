"""Character spans and token positions, in original spelling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glip.tokens import SPECIAL_TOKENS, PromptTokenizer, load_tokenizer, train_tokenizer

TEXT = "Two CAFÉ dogs, and a woman's T-shirt 🙂 日本"


def test_offsets_point_into_the_original_string(tokenizer: PromptTokenizer) -> None:
    prompts = tokenizer.encode([TEXT], 64)
    pieces = [TEXT[start:end] for start, end in prompts.offsets[0]]
    assert "".join(pieces) == TEXT.replace(" ", "")


@pytest.mark.parametrize("phrase", ["Two", "CAFÉ dogs", "a woman's T-shirt", "日本"])
def test_the_tokens_of_a_span_cover_exactly_its_characters(tokenizer: PromptTokenizer, phrase: str) -> None:
    prompts, start = tokenizer.encode([TEXT], 64), TEXT.index(phrase)
    positions = prompts.token_positions(0, start, start + len(phrase))
    assert positions == list(range(positions[0], positions[-1] + 1))
    assert prompts.offsets[0][positions[0]][0] == start
    assert prompts.offsets[0][positions[-1]][1] == start + len(phrase)


def test_a_span_with_spaces_at_its_ends_is_tightened(tokenizer: PromptTokenizer) -> None:
    prompts = tokenizer.encode(["a  dog  and"], 64)
    assert prompts.token_positions(0, 1, 8) == prompts.token_positions(0, 3, 6) != []


def test_spans_of_nothing_have_no_tokens(tokenizer: PromptTokenizer) -> None:
    prompts = tokenizer.encode(["a dog", ""], 64)
    assert prompts.token_positions(0, 1, 1) in ([], [1])
    assert prompts.token_positions(0, 50, 60) == []
    assert prompts.token_positions(1, 0, 1) == []


def test_a_batch_is_padded_to_its_longest_prompt_only(tokenizer: PromptTokenizer) -> None:
    prompts = tokenizer.encode(["a dog", "a dog and two cats"], 64)
    assert prompts.ids_BT.shape == prompts.attention_mask_BT.shape == (2, 7)
    assert prompts.attention_mask_BT.sum(dim=1).tolist() == [4, 7]
    assert prompts.ids_BT[0, 4:].tolist() == [tokenizer.pad_id] * 3


def test_a_long_prompt_is_cut_but_keeps_its_closing_token(tokenizer: PromptTokenizer) -> None:
    text = "a dog and two cats"
    whole, cut = tokenizer.encode([text], 64), tokenizer.encode([text], 5)
    assert cut.ids_BT[0].tolist() == [*whole.ids_BT[0, :4].tolist(), whole.ids_BT[0, -1].item()]
    for gone in ("two", "cats"):
        assert cut.token_positions(0, text.index(gone), text.index(gone) + len(gone)) == []
    assert cut.token_positions(0, 0, 5) == [1, 2]


def test_prompts_are_padded_on_to_few_lengths_but_never_beyond_the_longest_that_is_read(
    tokenizer: PromptTokenizer,
) -> None:
    for text, most, length in (("a dog", 64, 8), ("a dog and two cats a", 64, 8), ("a dog and two cats", 6, 6)):
        prompts = tokenizer.encode([text], most, in_steps=True)
        assert prompts.ids_BT.shape == prompts.attention_mask_BT.shape == (1, length)
        assert len(prompts.offsets[0]) == length


@pytest.mark.parametrize(("prompts", "most"), [([], 64), (["a dog"], 2)])
def test_no_prompt_and_room_for_no_token_are_refused(tokenizer: PromptTokenizer, prompts: list[str], most: int) -> None:
    with pytest.raises(ValueError, match=f"got {len(prompts)} and {most}"):
        tokenizer.encode(prompts, most)


def test_several_spans_are_united_in_one_token_map(tokenizer: PromptTokenizer) -> None:
    token_map = tokenizer.encode(["a dog and two cats"], 64).token_map(0, [(0, 5), (14, 18)])
    assert token_map.nonzero().squeeze(1).tolist() == [1, 2, 5]


def test_as_many_tokens_are_counted_as_the_model_reads(tokenizer: PromptTokenizer) -> None:
    for text in ("a dog and two cats", ""):
        assert tokenizer.count(text) == int(tokenizer.encode([text], 64).attention_mask_BT.sum())


@settings(max_examples=60)
@given(text=st.text(max_size=40), data=st.data())
def test_no_text_and_no_span_breaks_it(tokenizer: PromptTokenizer, text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    prompts = tokenizer.encode([text], 16)
    assert all(0 <= a <= b <= len(text) for a, b in prompts.offsets[0])
    assert all(0 < p < prompts.ids_BT.shape[1] for p in prompts.token_positions(0, start, end))


def test_the_same_texts_give_the_same_vocabulary() -> None:
    texts = ["a dog and two cats", "a red café"]
    assert train_tokenizer(texts, 100).to_json() == train_tokenizer(texts, 100).to_json()


def test_a_tokenizer_survives_its_file(tokenizer: PromptTokenizer, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    again = load_tokenizer(tmp_path)
    assert again.encode([TEXT], 64).ids_BT.tolist() == tokenizer.encode([TEXT], 64).ids_BT.tolist()


def test_a_vocabulary_file_gives_berts_ids(tmp_path: Path) -> None:
    words = [*SPECIAL_TOKENS, "dog", "##s", "cafe", "日", "本", "##本", "a", "##a"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.vocabulary_size == len(words)
    for text, ids in (
        ("Dogs CAFÉ zebra", [5, 6, 7, 1]),
        ("日本", [8, 9]),  # each a word of its own
        ("do\u200bgs", [5, 6]),  # characters that nobody sees are none
        ("a" * 100, [11, *[12] * 99]),
        ("a" * 101, [1]),
    ):
        assert tokenizer.encode([text], 128).ids_BT.tolist() == [[2, *ids, 3]]


def test_embeddings_are_wanted_up_to_the_largest_id_of_a_vocabulary_with_gaps(tmp_path: Path) -> None:
    model = {"type": "WordPiece", "vocab": {**BERTS, "dog": 90}}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}), encoding="utf-8")
    assert load_tokenizer(tmp_path).vocabulary_size == 91


BERTS = {token: index for index, token in enumerate(SPECIAL_TOKENS)}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "not json"),
        ("tokenizer.json", json.dumps({"model": {"type": "BPE", "vocab": BERTS}})),
        ("tokenizer.json", json.dumps({"model": {"type": "WordPiece"}})),
        ("tokenizer.json", json.dumps({"model": {"type": "WordPiece", "vocab": dict.fromkeys(SPECIAL_TOKENS, -1)}})),
        ("tokenizer.json", "[" * 100_000),
        ("tokenizer.json", json.dumps({"model": {"type": "WordPiece", "vocab": {**BERTS, "\ud800": 9}}})),
        ("tokenizer.json", json.dumps({"model": {"type": "WordPiece", "vocab": {**BERTS, "dog": 1_000_000}}})),
        ("tokenizer.json", json.dumps({"model": {"type": "WordPiece", "vocab": {**BERTS, "dog": True}}})),
        ("vocab.txt", "dog\ncat"),
    ],
)
def test_a_file_that_is_no_tokenizer_is_refused_by_name(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=name):
        load_tokenizer(tmp_path)


def test_special_tokens_cannot_be_written_into_a_prompt(tokenizer: PromptTokenizer) -> None:
    prompts = tokenizer.encode(["a [SEP] dog [CLS]"], 64)
    special = {tokenizer.encode([""], 64).ids_BT[0, side].item() for side in (0, 1)}
    assert not special & set(prompts.ids_BT[0, 1:-1].tolist())


def test_a_missing_tokenizer_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)


@pytest.mark.data
def test_berts_own_vocabulary_tokenises_the_fixtures_prompt(data_folder: Path) -> None:
    ids = load_tokenizer(data_folder / "wordpiece").encode(["A red car next to a BLACK dog in the"], 64).ids_BT
    assert ids[0, :9].tolist() == [101, 1037, 2417, 2482, 2279, 2000, 1037, 2304, 3899]
