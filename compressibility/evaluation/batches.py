"""Images in batches: how many at once, and on which device."""

from typing import Final

import torch

GIBIBYTE: Final = 2**30

_CACHE: Final = 2**24
"""Bytes of activations that a CPU's caches are taken to hold."""


def batches(n: int, size: int) -> list[slice]:
    """The images 0, …, n − 1 in batches of ``size``, the last of what is left."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def usable_memory(device: torch.device) -> int:
    """Bytes of activations to hold at once: 2 GiB on a CPU, half of what is free on a GPU."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) // 2
    return 2 * GIBIBYTE


def batch_size(bytes_per_image: int, memory: int, device: torch.device) -> int:
    """Images for one pass that holds so many bytes for each of them."""
    fitting = memory // 2 // (4 * bytes_per_image)
    if device.type == "cpu":
        cached = max(64, min(_CACHE // bytes_per_image, 1024))
        return max(1, min(cached, fitting))
    return max(1, min(4096, fitting))
