"""What passes through some layers while a network answers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from torch import Tensor, nn

Note: TypeAlias = Callable[[str, tuple[Any, ...], Tensor], None]
"""Called with a layer's name, what it was given, and what it gave."""


@contextmanager
def watched(layers: Mapping[str, nn.Module], note: Note) -> Iterator[None]:
    """Take note of every call of some layers while the context lasts, before other hooks do.

    >>> import torch
    >>> layer = nn.Linear(2, 3)
    >>> with watched({"head": layer}, lambda name, given, found: print(name, *found.shape)):
    ...     _ = layer(torch.zeros(4, 2))
    head 4 3
    """

    def hook(layer: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        return lambda _, given, found: note(layer, given, found)

    handles = [
        module.register_forward_hook(hook(layer), prepend=True) for layer, module in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
