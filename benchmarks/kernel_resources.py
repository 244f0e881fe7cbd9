"""What the Triton kernels of the deformable convolution take of a GPU, without one: registers, spills, shared memory.

    python benchmarks/kernel_resources.py                      # for an H100 or H200
    python benchmarks/kernel_resources.py --capability 80 --channels 64 256

Compiles every kernel as it is launched (glip/deform_conv_triton.py), through the assembler that comes with triton. A
program of a kernel has four warps; Hopper has 255 registers for a thread, and 227 KiB of shared memory for a block.
Bytes that are spilled are registers' contents in slow memory: there should be none.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KERNELS = ("columns_kernel", "gradients_kernel")
TYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float64": "fp64"}
AS_THE_OFFSETS = ("buffer", "grad_map", "grad_buffer")
AS_THE_MAP = ("map_pointer", "columns", "grad_columns")


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources of a compiled kernel: registers of a thread, bytes that it spills, shared memory of a block in
    bytes."""

    registers: int
    spilled: int
    shared: int


def source(name: str, map_type: str, stride: int, channels: int) -> Any:
    """The kernel for a map of this type, specialised as in a launch with aligned tensors."""
    from triton.compiler import ASTSource

    from glip import deform_conv_kernels
    from glip.deform_conv_triton import block_sizes

    kernel = getattr(deform_conv_kernels, name)
    wide = "fp64" if map_type == "fp64" else "fp32"
    types = dict.fromkeys(AS_THE_OFFSETS, f"*{wide}") | dict.fromkeys(AS_THE_MAP, f"*{map_type}")
    constants: dict[str, int] = {"channels": channels, **block_sizes(channels)}
    if stride == 1:  # Triton makes it a constant by itself
        constants["stride"] = 1
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in kernel.arg_names}
    aligned = {(at,): [["tt.divisibility", 16]] for at, name in enumerate(kernel.arg_names) if name in types}
    return ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)


def resources(form: tuple[str, str, int, int], capability: int) -> Resources:
    """The resources that the assembler reports for a kernel. RuntimeError where it refuses the kernel."""
    import triton
    from triton.backends.compiler import GPUTarget

    compiled = triton.compile(source(*form), target=GPUTarget("cuda", capability, 32))
    assembler = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    architecture = f"sm_{capability}" + ("a" if capability == 90 else "")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.ptx")
        file.write_text(compiled.asm["ptx"])
        command = [str(assembler), "-v", f"-arch={architecture}", str(file), "-o", str(file.with_suffix(".cubin"))]
        told = subprocess.run(command, capture_output=True, text=True)
    found = [re.search(pattern, told.stderr) for pattern in (r"Used (\d+) registers", r"(\d+) bytes spill stores")]
    if told.returncode or None in found:
        raise RuntimeError(f"{form} for {architecture}: {told.stderr}")
    registers, spilled = (int(one[1]) for one in found if one)
    return Resources(registers, spilled, compiled.metadata.shared)


def all_forms(options: argparse.Namespace) -> Iterator[tuple[str, str, int, int]]:
    """All combinations of kernel, type of the map (Triton's name), stride and channels."""
    for channels in options.channels:
        for map_type in options.types:
            for stride in (1, 2):
                for name in KERNELS:
                    yield name, TYPES[map_type], stride, channels


def main() -> int:
    options = _options()
    os.environ["TRITON_INTERPRET"] = "0"  # compiled; read when triton is first imported
    print(f"compute capability {options.capability}")
    print("| kernel | map | stride | channels | registers | bytes spilled | shared memory |\n" + "| --- " * 7 + "|")
    spilled = 0
    for form in all_forms(options):
        found = resources(form, options.capability)
        cells = (*form, found.registers, found.spilled, found.shared)
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
        spilled += found.spilled
    return 1 if spilled else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, default=90, help="of the GPU: 90 is Hopper's, 80 the A100's")
    parser.add_argument("--channels", type=int, nargs="+", default=[256])
    parser.add_argument("--types", nargs="+", choices=TYPES, default=["bfloat16", "float32"])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
