"""What chance does to the image tower in training: branches that are left out, and squares of the pyramid's maps."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from glip.config import GLIPConfig
from glip.vision import FeaturePyramid, Swin, SwinBlock
from glip.windows import cut_windows


def test_blocks_are_left_out_the_more_often_the_deeper_they_lie(small_config: GLIPConfig) -> None:
    swin = Swin(dataclasses.replace(small_config, swin_depths=(1, 1, 2, 1), swin_drop_path=0.4))
    rates = [block.drop_path for stage in swin.layers for block in stage.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_a_branch_is_left_out_for_whole_images_and_counts_more_for_the_others() -> None:
    torch.manual_seed(0)
    block, images = SwinBlock(8, 2, 4, 2, drop_path=0.2), torch.randn(300, 4, 4, 8)
    for parameter in block.mlp[-1].parameters():
        torch.nn.init.zeros_(parameter)  # one branch is enough
    windows = cut_windows(300, (4, 4), 4, 0, images.device)
    with torch.no_grad():
        branch, trained = block.eval()(images, windows) - images, block.train()(images, windows) - images
    stays = trained.abs().amax(dim=(1, 2, 3)) > 0
    assert 0.7 < stays.float().mean() < 0.9
    torch.testing.assert_close(trained[stays], branch[stays] / 0.8, rtol=1e-4, atol=1e-5)


def _into_the_last_convolutions(pyramid: FeaturePyramid, maps: list[Tensor]) -> dict[int, Tensor]:
    """The merged maps of stages 2, 3, 4 as their 3x3 convolutions get them."""
    seen: dict[int, Tensor] = {}
    hooks = [
        pyramid.get_submodule(f"fpn_layer{stage}").register_forward_pre_hook(
            lambda module, given, stage=stage: seen.__setitem__(stage, given[0])
        )
        for stage in (2, 3, 4)
    ]
    with torch.no_grad():
        pyramid(maps)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_squares_of_the_finer_maps_are_left_out_and_the_rest_counts_more(
    small_config: GLIPConfig, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    pyramid = FeaturePyramid(dataclasses.replace(small_config, drop_block_probability=0.3)).to(dtype)
    maps = [torch.randn(2, 16 * 2**stage, 512 >> stage, 512 >> stage, dtype=dtype) for stage in (1, 2, 3)]
    whole, seen = (_into_the_last_convolutions(pyramid.train(mode), maps) for mode in (False, True))
    assert torch.equal(seen[4], whole[4]), "the coarsest map is left whole"
    for stage in (2, 3):
        out = (seen[stage] == 0).all(dim=1, keepdim=True)
        assert torch.equal(out.expand_as(seen[stage]), (seen[stage] == 0) & out), "in all channels alike"
        factor = 1 / (1 - out.float().mean())
        expected = torch.where(out, 0.0, whole[stage].float() * factor)
        torch.testing.assert_close(seen[stage].float(), expected, rtol=0.01, atol=1e-5)
        assert torch.equal(_opened(out.float()), out.float()), "squares of three by three, or what of them lies inside"
    assert (seen[2] == 0).all(dim=1).float().mean() == pytest.approx(1 - (1 - 0.3 / 9) ** 9, abs=0.006)


def _opened(out: Tensor) -> Tensor:
    """What is left of a mask where squares of three by three are laid into it; beyond its border all is out."""
    middles = -F.max_pool2d(-F.pad(out, (1, 1, 1, 1), value=1.0), 3, stride=1)
    return F.max_pool2d(middles, 3, stride=1, padding=1)
