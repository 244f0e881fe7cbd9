"""Multi-grained alignment: contrast by kind, hard negatives, box from text, and a case that is learned."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from glip.boxes import generalized_iou
from glip.contrast import NO_CONCEPT
from glip.granular import GranularAlignment, VisualConcepts, box_loss, concept_pairs, hard_negatives
from glip.processes import Processes
from glip.region_features import coverage, region_means


def test_hard_negatives_are_drawn_by_similarity_among_the_allowed_ones() -> None:
    torch.manual_seed(0)
    similarity = torch.tensor([[9.0, 8.0, 2.0, 2.0]]).expand(4000, 4)
    allowed = torch.tensor([[False, False, True, True]]).expand(4000, 4)
    drawn, found = hard_negatives(similarity, allowed)
    assert found.all()
    assert set(drawn.tolist()) == {2, 3}
    assert 0.45 < (drawn == 2).float().mean() < 0.55
    drawn, found = hard_negatives(similarity[:2], torch.zeros(2, 4, dtype=torch.bool))
    assert not found.any()
    drawn, _ = hard_negatives(torch.tensor([[0.0, 20.0, 0.0]]), torch.tensor([[True, True, False]]))
    assert drawn.tolist() == [1]


def test_the_box_loss_is_l1_and_giou_by_hand() -> None:
    """Off by a tenth on four sides: L1 0.4, intersection 0.16 of 0.25 and 0.25, enclosing 0.36."""
    predicted, target = torch.tensor([[0.1, 0.1, 0.6, 0.6]]), torch.tensor([[0.2, 0.2, 0.7, 0.7]])
    union = 0.5 - 0.16
    giou = 0.16 / union - (0.36 - union) / 0.36
    assert box_loss(predicted, target).item() == pytest.approx(0.4 + 1 - giou, abs=1e-5)
    assert box_loss(target, target).item() == pytest.approx(0, abs=1e-5)
    assert generalized_iou(predicted, target).item() == pytest.approx(giou, abs=1e-5)
    assert box_loss(torch.zeros(0, 4), torch.zeros(0, 4)).item() == 0


def _concepts(boxes: list[list[float]], image: list[int], whole: list[bool]) -> VisualConcepts:
    count = len(boxes)
    ids = torch.arange(count).unsqueeze(1).repeat(1, 3)
    return VisualConcepts(
        image_K=torch.tensor(image),
        boxes_xyxy_K4=torch.tensor(boxes),
        ids_KT=ids,
        mask_KT=torch.ones(count, 3, dtype=torch.bool),
        label_K=torch.arange(count).masked_fill(torch.tensor(whole), NO_CONCEPT),
        related_LL=torch.zeros(count, count, dtype=torch.bool),
        locate_K=~torch.tensor(whole),
    )


BOXES = [[0.0, 0.0, 16.0, 16.0], [16.0, 8.0, 32.0, 24.0], [0.0, 0.0, 32.0, 24.0], [0.0, 0.0, 32.0, 24.0]]


def _setting() -> tuple[GranularAlignment, Tensor, Tensor, VisualConcepts]:
    torch.manual_seed(0)
    concepts = _concepts(BOXES, [0, 1, 0, 1], [False, False, True, True])
    return GranularAlignment(16, 12), torch.randn(2, 16, 3, 4), torch.randn(4, 3, 12), concepts


def test_every_weight_and_both_towers_get_a_gradient() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    map_BCHW.requires_grad_()
    text_KTD.requires_grad_()
    losses = alignment(map_BCHW, text_KTD, concepts, 8)
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(loss > 0 for loss in losses.values())
    tensors = [map_BCHW, text_KTD, *alignment.parameters()]
    assert all(one.grad is not None and bool(one.grad.isfinite().all()) for one in tensors)


def test_pictures_are_contrasted_with_captions_and_boxes_with_phrases_each_among_itself() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    mean = region_means(map_BCHW, concepts.image_K, coverage(concepts.boxes_xyxy_K4, (3, 4), 8))
    scores = alignment.similarity(alignment.vision(mean), alignment.text(text_KTD[:, 0]))
    expected = torch.zeros(())
    for kind in ([0, 1], [2, 3]):
        part = scores[kind][:, kind]
        own = torch.arange(2)
        expected = (
            expected
            + (torch.nn.functional.cross_entropy(part, own) + torch.nn.functional.cross_entropy(part.T, own)) / 2
        )
    torch.testing.assert_close(alignment(map_BCHW, text_KTD, concepts, 8)["loss_granular_contrast"], expected)


def test_kin_are_left_out_of_the_contrast() -> None:
    """The two boxes have no wrong text left, so that the pictures alone cost something."""
    alignment, map_BCHW, text_KTD, concepts = _setting()
    kin = dataclasses.replace(concepts, related_LL=~torch.eye(4, dtype=torch.bool))
    pictures = VisualConcepts(**{name: getattr(kin, name)[2:] for name in kin.__dataclass_fields__})
    found, expected = (
        alignment(map_BCHW, text, of, 8)["loss_granular_contrast"]
        for text, of in ((text_KTD, kin), (text_KTD[2:], pictures))
    )
    torch.testing.assert_close(found, expected)


def test_a_patch_that_a_box_covers_in_part_is_looked_at() -> None:
    alignment, map_BCHW, text_KTD, _ = _setting()
    seen: list[Tensor] = []
    alignment.cross.register_forward_pre_hook(
        lambda module, given, named: seen.append(named["memory_key_padding_mask"]), with_kwargs=True
    )
    alignment(map_BCHW, text_KTD[:1], _concepts([[1.0, 1.0, 3.0, 3.0]], [0], [False]), 8)
    assert (~seen[0]).nonzero().tolist() == [[0, 0], [0, 1]], "the concept's own mean, and the first patch"


def test_patches_outside_a_box_do_not_count_for_its_match() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    one = dataclasses.replace(concepts, locate_K=torch.zeros(4, dtype=torch.bool))
    lone = VisualConcepts(**{name: getattr(one, name)[:1] for name in one.__dataclass_fields__})
    before = alignment(map_BCHW, text_KTD[:1], lone, 8)["loss_granular_match"]
    changed = map_BCHW.clone()
    changed[0, :, 2] += 5  # the lowest row of patches lies under the box of no one
    assert torch.equal(before, alignment(changed, text_KTD[:1], lone, 8)["loss_granular_match"])


class _Likeness(torch.nn.Module):
    """Says how alike concepts and texts are, whatever they are."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table

    def forward(self, vision: Tensor, text: Tensor) -> Tensor:
        return self.table


def _questions(table: Tensor, labels: list[int], related: Tensor) -> tuple[list[tuple[int, int]], dict[str, Tensor]]:
    """(text, concept) of the pairs that the matching looks at, in their order, where ``table`` says what is alike; and
    what is masked in each. Text i has i + 1 tokens and padding, concept i the patches of column i."""
    torch.manual_seed(0)
    count = len(labels)
    boxes = [[4.0 * i, 0.0, 4.0 * i + 4, 24.0] for i in range(count)]
    concepts = dataclasses.replace(
        _concepts(boxes, [0] * count, [False] * count),
        label_K=torch.tensor(labels),
        related_LL=related,
        mask_KT=torch.arange(count) <= torch.arange(count)[:, None],
    )
    alignment, text_KTD = GranularAlignment(16, 12), torch.randn(count, count, 12)
    alignment.similarity = _Likeness(table)
    seen: list[tuple[Tensor, Tensor, dict[str, Tensor]]] = []
    alignment.cross.register_forward_pre_hook(
        lambda module, given, named: seen.append((given[0][:, 0], given[1][:, 0], named)), with_kwargs=True
    )
    alignment(torch.randn(1, 16, 3, 8), text_KTD, concepts, 4)
    texts, means, masked = seen[0]
    known_texts, known_means = alignment.words(text_KTD)[:, 0], means[:count]
    pairs = [
        (int((known_texts - text).norm(dim=1).argmin()), int((known_means - mean).norm(dim=1).argmin()))
        for text, mean in zip(texts, means, strict=True)
    ]
    return pairs, masked


def test_own_pairs_are_told_from_the_most_alike_wrong_text_and_from_the_most_alike_wrong_concept() -> None:
    """Concept i is most like text i + 1, so text i is most like concept i - 1."""
    table = 90 * torch.eye(4).roll(1, dims=1)
    found, masked = _questions(table, [0, 1, 2, 3], torch.zeros(4, 4, dtype=torch.bool))
    own, wrong_texts, wrong_concepts = found[:4], found[4:8], found[8:]
    assert own == [(i, i) for i in range(4)]
    assert wrong_texts == [((i + 1) % 4, i) for i in range(4)]
    assert wrong_concepts == [(i, (i - 1) % 4) for i in range(4)]
    for number, (text, concept) in enumerate(found):
        assert masked["tgt_key_padding_mask"][number].tolist() == [place > text for place in range(4)]
        mean, *patches = (~masked["memory_key_padding_mask"][number]).tolist()
        assert mean, "the concept itself is always looked at"
        assert patches == [column == concept for column in range(8)] * 3


def test_no_pair_is_wrong_that_may_be_right_and_no_picture_is_told_from_a_box() -> None:
    """The most alike are one label (0 and 1), kin (2 with them), and a picture and a box (3 and all); 4 is another
    picture."""
    table = torch.full((6, 6), 50.0)
    table[[0, 1, 2, 5], 5] = table[5, [0, 1, 2]] = table[3, 4] = table[4, 3] = 0.0
    related = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    found, _ = _questions(table, [0, 0, 1, NO_CONCEPT, NO_CONCEPT, 2], related)
    wrong = {pair for pair in found if pair[0] != pair[1]}
    assert wrong <= {(3, 4), (4, 3), *((i, 5) for i in range(3)), *((5, i) for i in range(3))}
    assert len(found) == 18


def _predicted(alignment: GranularAlignment, map_BCHW: Tensor, text: Tensor, concepts: VisualConcepts) -> Tensor:
    """What the head of boxes answers: middles and sizes, before the sigmoid."""
    seen: list[Tensor] = []
    hook = alignment.box.register_forward_hook(lambda module, given, answer: seen.append(answer.detach()))
    alignment(map_BCHW, text, concepts, 8)
    hook.remove()
    return seen[0]


def test_a_box_is_found_without_looking_at_it_but_with_where_things_are() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    before = _predicted(alignment, map_BCHW, text_KTD, concepts)
    moved = dataclasses.replace(concepts, boxes_xyxy_K4=concepts.boxes_xyxy_K4.roll(1, dims=0))
    assert torch.equal(before, _predicted(alignment, map_BCHW, text_KTD, moved)), "its own mean would tell the answer"
    mirrored = _predicted(alignment, map_BCHW.flip(3), text_KTD, concepts)
    assert (before - mirrored).abs().max() > 1e-3


def test_boxes_are_shares_of_the_width_and_height_of_the_map() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    middle, size = _predicted(alignment, map_BCHW, text_KTD, concepts).sigmoid().split(2, dim=1)
    corners = torch.cat((middle - size / 2, middle + size / 2), dim=1)
    target = torch.tensor(BOXES[:2]) / torch.tensor([32.0, 24.0, 32.0, 24.0])
    losses = alignment(map_BCHW, text_KTD, concepts, 8)
    torch.testing.assert_close(losses["loss_granular_box"], box_loss(corners, target))


def test_padding_of_a_text_counts_for_nothing() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    padded = dataclasses.replace(concepts, mask_KT=torch.tensor([[True, True, False]] * 4))
    changed = text_KTD.clone()
    changed[:, 2] += 5
    found = []
    for text in (text_KTD, changed):
        torch.manual_seed(0)
        found.append(alignment(map_BCHW, text, padded, 8))
    torch.testing.assert_close(found[0], found[1])


def test_concepts_of_one_label_or_of_related_ones_are_no_negatives_of_each_other() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    related = torch.zeros(2, 2, dtype=torch.bool)
    apart = concept_pairs(concepts.label_K, related)
    assert torch.equal(apart.same_KK, torch.eye(4, dtype=torch.bool))
    alike = dataclasses.replace(concepts, label_K=torch.tensor([0, 0, NO_CONCEPT, NO_CONCEPT]))
    pairs = concept_pairs(alike.label_K, related)
    assert pairs.same_KK[0, 1]
    assert not pairs.same_KK[2, 3], "two pictures are not one because neither has a label"
    assert not hard_negatives(torch.zeros(4, 4), pairs.kind_KK & ~pairs.same_KK)[1][:2].any()
    assert alignment(map_BCHW, text_KTD, alike, 8)["loss_granular_match"].isfinite()
    kin = concept_pairs(concepts.label_K, ~torch.eye(2, dtype=torch.bool))
    assert kin.related_KK.int().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0] * 4, [0] * 4]


def test_pictures_without_a_box_are_each_their_own() -> None:
    pairs = concept_pairs(torch.full((2,), NO_CONCEPT), torch.zeros(0, 0, dtype=torch.bool))
    assert pairs.kind_KK.all()
    assert torch.equal(pairs.same_KK, torch.eye(2, dtype=torch.bool))
    assert not pairs.related_KK.any()


class _OneOfTwo(Processes):
    """The first of two processes, of which the other has nothing."""

    size = 2

    def mean(self, value: Tensor) -> Tensor:
        return value.detach() / 2


def test_matching_is_the_mean_over_the_pairs_of_all_processes() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    found = []
    for processes in (Processes(), _OneOfTwo()):
        torch.manual_seed(0)
        losses = alignment(map_BCHW, text_KTD, concepts, 8, processes=processes)
        found.append(losses["loss_granular_match"] / processes.size)
    torch.testing.assert_close(found[1], found[0])


def test_nothing_to_align_gives_zeros_with_gradients() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    map_BCHW.requires_grad_()
    rows = {name: getattr(concepts, name)[:0] for name in concepts.__dataclass_fields__}
    losses = alignment(map_BCHW, text_KTD[:0], VisualConcepts(**rows), 8)
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(loss.item() == 0 for loss in losses.values())
    assert all(tensor.grad is not None and not tensor.grad.any() for tensor in [map_BCHW, *alignment.parameters()])


def test_a_similarity_that_is_no_number_does_not_end_the_run() -> None:
    drawn, found = hard_negatives(torch.full((2, 2), float("nan")), ~torch.eye(2, dtype=torch.bool))
    assert found.all()
    assert set(drawn.tolist()) <= {0, 1}


def test_a_batch_is_learned_by_heart() -> None:
    alignment, map_BCHW, text_KTD, concepts = _setting()
    optimizer = torch.optim.Adam(alignment.parameters(), lr=0.01)
    history = []
    for _ in range(80):
        optimizer.zero_grad()
        losses = alignment(map_BCHW, text_KTD, concepts, 8)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    assert all(history[-1][name] < 0.3 * history[0][name] for name in history[0])
