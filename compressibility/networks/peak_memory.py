"""How much memory a network's answers take on their way."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


def peak_activations(network: nn.Module, batch: Tensor) -> int:
    """The most bytes of tensors that one forward pass has made and not yet let go, at any moment.

    Weights, the batch itself, and what a function of PyTorch takes for its own use do not count.

    Args:
        network: In evaluation mode, on the device of the batch.
        batch: As it takes it, (N, ...).

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    >>> peak_activations(network, torch.zeros(1, 1, 8, 8))  # two images of 2 channels, 4 bytes each
    1024
    """
    counted = _Counted()
    with torch.no_grad(), counted:
        network(batch)
    return counted.peak


class _Counted(TorchFunctionMode):
    """Counts the storages that PyTorch's functions make, until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.peak = 0, 0
        self._known: set[int] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = {each.data_ptr() for each in _storages((args, kwargs))}
        made = func(*args, **(kwargs or {}))
        for storage in _storages(made):
            place, size = storage.data_ptr(), storage.nbytes()
            if size and place not in self._known | given:
                self._known.add(place)
                self.now += size
                weakref.finalize(storage, self._let_go, place, size)
        self.peak = max(self.peak, self.now)
        return made

    def _let_go(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.now -= size


def _storages(values: object) -> list[torch.UntypedStorage]:
    """Those of all tensors in nested values."""
    return [each.untyped_storage() for each in tree_leaves(values) if isinstance(each, Tensor)]
