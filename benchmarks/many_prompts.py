"""What it saves that a picture goes through the image tower once for all its prompts, in one run.

    OMP_NUM_THREADS=1 python benchmarks/many_prompts.py --threads 1
    OMP_NUM_THREADS=2 python benchmarks/many_prompts.py --size tiny --image 800x1216 --prompts 4 --tokens 128

A class list, or a caption beyond the model's tokens, asks one picture several prompts. Sides: the picture once, as the
teacher runs it, and the picture repeated for each prompt. They take turns; the weights are those of the parity
fixtures. The text tower, whose work is the same, has been through before either. Prints seconds a prompt (medians),
their ratio, and the largest difference of a logit.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import torch
from component_timing import clocked
from parity_rules import rule_model
from speed_workload import Workload
from teacher_speed import SIZES, parse_size

from glip.head import GLIPOutput


@torch.inference_mode()
def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    model = rule_model(SIZES[options.size]())
    inputs = Workload(model.config, options.image, options.prompts, options.tokens, torch.device("cpu")).inputs()
    images, words = inputs.images_B3HW[:1], (inputs.token_ids_BT, inputs.attention_mask_BT)
    text = model.language_backbone(*words)
    of_one = torch.zeros(options.prompts, dtype=torch.long)
    sides: dict[str, Callable[[], GLIPOutput]] = {
        "repeated": partial(model, images.expand(options.prompts, -1, -1, -1), *words, text),
        "once": partial(model, images, *words, text, of_one),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    answers: dict[str, GLIPOutput] = {}
    for repeat in range(options.repeats + 1):  # the first warms up
        for name, side in sides.items():
            answers[name], taken = clocked(side)
            if repeat:
                seconds[name].append(taken / options.prompts)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    apart = [(a - b).abs().max() for a, b in zip(answers["once"].logits, answers["repeated"].logits, strict=True)]
    size = " x ".join(map(str, options.image))
    print(f"{options.size}, {size}, {options.prompts} prompts of {options.tokens} tokens")
    print(f"repeated {medians['repeated']:.3f} s a prompt, once {medians['once']:.3f} s")
    print(f"{medians['repeated'] / medians['once']:.2f} times as fast, logits differ by {max(apart):.1e} at most")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="nano")
    parser.add_argument("--image", type=parse_size, default=(160, 256), help="HxW, multiples of 32")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=96, help="of each prompt")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
