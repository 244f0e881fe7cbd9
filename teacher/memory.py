"""Telling "no memory left" from every other error: on a CPU it has no class of its own.

In: an exception. Out: whether less work at once could have done it.
"""

from __future__ import annotations

import torch

# How PyTorch words it where it raises a plain RuntimeError: its CPU allocator, the C++ library below it, oneDNN (which
# cannot make an operator without its scratch memory), cuBLAS, cuDNN, and CUDA where the allocator was not asked.
_WORDS = (
    "defaultcpuallocator",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "could not create a primitive",
    "could not create a memory",
    "out of memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out, on a CPU or on a GPU; also where that is the cause of it, or what was
    being handled when it came: a CUDA graph whose capture ran out of memory ends with an error of its own."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    if isinstance(error, RuntimeError) and any(words in text for words in _WORDS):
        return True
    before = error.__cause__ if error.__suppress_context__ else error.__context__
    return before is not None and is_out_of_memory(before)
