"""How much memory a network's answers take on their way."""

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_activations(network: nn.Module, batch: Tensor) -> int:
    """The most bytes of tensors that one forward pass has made and not yet let go, at any moment.

    Weights, the batch itself, and what an operation takes for its own use do not count.

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


class _Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages that operations make, until they are let go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.peak = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = {_storage(each)._cdata for each in tree_leaves((args, kwargs)) if _is_tensor(each)}
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if _is_tensor(each):
                storage = _storage(each)
                if storage._cdata not in self._known | given:
                    self._known.add(storage._cdata)
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._let_go, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return made

    def _let_go(self, number: int, size: int) -> None:
        self._known.discard(number)
        self.now -= size


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _storage(tensor: Tensor) -> torch.UntypedStorage:
    return tensor.untyped_storage()
