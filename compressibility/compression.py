"""A smaller network: its layers truncated, and realised as chains of small layers."""

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from compressibility.networks.factorized import factorize
from compressibility.networks.kernels import find_kernels, kernel_array, kernel_layer
from compressibility.tensors.chains import Chain
from compressibility.tensors.modes import Cut
from compressibility.tensors.schmidt import decompose
from compressibility.tensors.thresholds import rank_at


def truncations(
    network: nn.Module, example: Tensor, *, norm_loss: float, cut: Cut | str = "OUT"
) -> dict[str, Chain]:
    """Every convolution of a network truncated along one cut, to one allowed norm loss.

    A layer that the truncation would not make smaller is left out, and so stays as it is.

    Args:
        network: Any network that takes one tensor.
        example: A batch that it takes.
        norm_loss: Allowed norm loss, in [0, 1).
        cut: The cut.

    Returns:
        Layer to chain of small kernels: a variant that an evaluator answers for, and what
        `compress` realises.

    Raises:
        ValueError: The norm loss is outside [0, 1), or there is no such cut.
    """
    found = {}
    for kernel in find_kernels(network, example):
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
        UserError: A layer is unknown.
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
    smaller = copy.deepcopy(network)
    for layer, chain in chains.items():
        smaller.set_submodule(layer, factorize(kernel_layer(smaller, layer), chain))
    return smaller
