"""Arithmetic: what float32 means, and when two results agree."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor


@contextmanager
def ieee_float32() -> Iterator[None]:
    """Float32 arithmetic as IEEE 754 has it: no TF32, no bfloat16 inside matrix products."""
    backends: Any = torch.backends  # whose type stubs lack the precision of convolutions
    settings: tuple[Any, ...] = (
        backends.cuda.matmul,
        backends.cudnn.conv,
        backends.mkldnn.conv,
        backends.mkldnn.matmul,
    )
    before = [each.fp32_precision for each in settings]
    try:
        for each in settings:
            each.fp32_precision = "ieee"
        yield
    finally:
        for each, precision in zip(settings, before, strict=True):
            each.fp32_precision = precision


def cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor in another floating-point dtype; integers, booleans and complex numbers as is."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


TOLERANCE: Final = 2e-5
"""By how much float32 answers of one network may differ, of the greatest, if computed otherwise.

In networks of torchvision, folded and fused or not, differences up to 4e-6 were seen.
"""


_ROUNDINGS: Final = 8
"""By how much answers in a lower precision may differ, of the greatest, in units of rounding."""


def tolerance(dtypes: set[torch.dtype]) -> float:
    """By how much answers computed in some dtypes may differ, of the greatest."""
    rounding = max((torch.finfo(dtype).eps for dtype in dtypes), default=0.0)
    return max(TOLERANCE, _ROUNDINGS * rounding)


def agree(one: Tensor, other: Tensor, tolerance: float = TOLERANCE) -> bool:
    """Whether two tensors differ by at most ``tolerance`` of the larger one's greatest value."""
    if one.shape != other.shape:
        return False
    scale = float(other.abs().max()) + torch.finfo(torch.float32).tiny
    return torch.allclose(
        one.float(), other.float(), rtol=0, atol=tolerance * scale, equal_nan=True
    )
