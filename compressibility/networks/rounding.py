"""How much of a network's answers is rounding: the dtypes it computes in, and their effect."""

import re
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Generator, Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from compressibility.networks.arithmetic import ieee_float32, tolerance
from compressibility.networks.wrappers import uncompiled

_DRAWS: Final = 3
_SAFETY: Final = 8
"""By how much answers may differ, in units of what another rounding of every result changes."""
_SUMS: Final = re.compile(
    r"conv|linear|matmul|mm$|mv$|dot|einsum|attention|lstm|gru|rnn|embedding_bag|norm"
    r"|sum|mean|var|std|prod|softmax|(?<!max_)pool|interpolate"
)
"""Operations whose terms may be summed in several orders."""


class FloatingDtypes(TorchFunctionMode):
    """The floating-point dtypes of all that is computed while the context lasts."""

    def __init__(self) -> None:
        """See nothing yet."""
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Compute, and take note."""
        result = func(*args, **kwargs or {})
        self.dtypes |= {
            value.dtype
            for value in tree_leaves(result)
            if isinstance(value, Tensor) and value.is_floating_point()
        }
        return result


def dtypes_of(network: nn.Module, images: Tensor) -> set[torch.dtype]:
    """The floating-point dtypes that a network computes in, as it is."""
    seen = FloatingDtypes()
    with seen:
        network(images.clone())
    return seen.dtypes


class SummedOtherwise(TorchFunctionMode):
    """Stochastic arithmetic: the last bits of every sum are random while the context lasts.

    What an operation that sums gives is changed by up to one unit in the last place, as another
    order of the terms may change it. Other operations are exact, or round the same every time.

    The source is D. S. Parker, Monte Carlo Arithmetic, UCLA CSD-970002 (1997).
    """

    def __init__(self, seed: int) -> None:
        """Draw from a source of its own."""
        super().__init__()
        self._seed = seed
        self._generators: dict[torch.device, Generator] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Compute, and change the last bits."""
        result = func(*args, **kwargs or {})
        if _SUMS.search(getattr(func, "__name__", "").strip("_")) is None:
            return result
        return tree_map_only(Tensor, self._rounded, result)

    def _rounded(self, value: Tensor) -> Tensor:
        if not value.is_floating_point():
            return value
        if value.device not in self._generators:
            self._generators[value.device] = Generator(value.device).manual_seed(self._seed)
        noise = torch.empty_like(value).uniform_(-1, 1, generator=self._generators[value.device])
        return value.addcmul(value, noise, value=torch.finfo(value.dtype).eps)


def tolerance_of(network: nn.Module, images: Tensor) -> float:
    """By how much answers of a network may differ, of the greatest, if they are computed otherwise.

    It is what the dtypes allow, or more where the network enlarges rounding (a norm of a few
    values that hardly differ).

    Args:
        network: In evaluation mode; it may keep what it keeps while it answers.
        images: What it takes, shape (N, ...).
    """
    with torch.no_grad(), uncompiled(), ieee_float32():
        return max(tolerance(dtypes_of(network, images)), enlarged_rounding(network, images))


def enlarged_rounding(network: nn.Module, images: Tensor) -> float:
    """What is to be allowed for other orders of sums, of the greatest answer; see above."""
    with torch.no_grad(), uncompiled(), ieee_float32():
        own, allowed = network(images.clone()), 0.0
        for seed in range(_DRAWS):
            with SummedOtherwise(seed):
                other = network(images.clone())
            if isinstance(own, Tensor) and isinstance(other, Tensor) and own.shape == other.shape:
                allowed = max(allowed, _SAFETY * _apart(own, other))
    return allowed


def _apart(one: Tensor, other: Tensor) -> float:
    """By how much two tensors differ, of the greatest value; where one is NaN, they do not."""
    scale = one.float().abs().nan_to_num().max() + torch.finfo(torch.float32).tiny
    return float((one.float() - other.float()).abs().nan_to_num().max() / scale)
