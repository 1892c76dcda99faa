"""A smaller network: its layers truncated, and realised as chains of small layers."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from compressibility.errors import UserError
from compressibility.networks.copies import copied
from compressibility.networks.factorized import factorize
from compressibility.networks.kernels import find_kernels, kernel_array, kernel_layer
from compressibility.networks.plainness import method_set_on
from compressibility.networks.refusals import KINDS
from compressibility.networks.wrappers import unwrapped
from compressibility.tensors.chains import Chain
from compressibility.tensors.modes import Cut
from compressibility.tensors.schmidt import decompose
from compressibility.tensors.thresholds import rank_at


def truncations(
    network: nn.Module,
    example: Tensor,
    *,
    norm_loss: float,
    cut: Cut | str = "OUT",
    kinds: Sequence[str] = tuple(KINDS),
) -> dict[str, Chain]:
    """Every kernel of a network truncated along one cut, to one allowed norm loss.

    A layer that the truncation would not make smaller is left out, and so stays as it is.

    Args:
        network: Any network that takes one tensor.
        example: A batch that it takes.
        norm_loss: Allowed norm loss, in [0, 1).
        cut: The cut.
        kinds: Of layers, out of ``KINDS``; all by default.

    Returns:
        Layer to chain of small kernels: a variant that an evaluator answers for, and what
        `compress` realises.

    Raises:
        ValueError: The norm loss is outside [0, 1), or there is no such cut.
    """
    found = {}
    for kernel in find_kernels(network, example, kinds=kinds):
        decomposition = decompose(kernel_array(network, kernel.layer), cut)
        chain = decomposition.chain(rank_at(decomposition.spectrum, norm_loss))
        if chain.parameters < kernel.parameters:
            found[kernel.layer] = chain
    return found


def compress(network: nn.Module, chains: Mapping[str, Chain]) -> nn.Module:
    """A copy of a network in which chains of small layers take the place of some layers.

    Args:
        network: It is left as it is.
        chains: Module path to the chain that takes the layer's place.

    Raises:
        UserError: A layer is unknown, or lies in a module with a method set on it.
        ValueError: Its chain cannot be realised.

    >>> import torch
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3)).eval()
    >>> example = torch.zeros(1, 8, 8, 8)
    >>> small = compress(network, truncations(network, example, norm_loss=0.3))
    >>> count = lambda network: sum(p.numel() for p in network.parameters())
    >>> count(small) < count(network)
    True
    """
    smaller = copied(unwrapped(network))
    for layer, chain in chains.items():
        _require_replaceable(smaller, layer)
        smaller.set_submodule(layer, factorize(kernel_layer(smaller, layer), chain))
    return smaller


def _require_replaceable(network: nn.Module, layer: str) -> None:
    """Refuse a layer in a module whose own function may call the original layer instead."""
    parts = layer.split(".")
    for around in (".".join(parts[:end]) for end in range(len(parts))):
        if (method := method_set_on(network.get_submodule(around))) is not None:
            name = f"module {around!r}" if around else "the network"
            raise UserError(
                f"layer {layer!r} cannot be replaced: {name}, in which it lies, has a {method} set "
                "on it, which may hold on to the layer: define it in a class instead"
            )
