"""What the layers of a network see: the covariance of the patches that their kernels multiply."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from compressibility.networks.geometry import Geometry
from compressibility.networks.kernels import evaluation_mode, kernel_layer
from compressibility.networks.watching import watched
from compressibility.networks.wrappers import uncompiled
from compressibility.tensors.arrays import Floats


def patch_covariances(
    model: nn.Module, images: Tensor, layers: Iterable[str], *, batch_size: int = 64
) -> dict[str, Floats]:
    """The uncentred covariances of the patches of some layers, in one pass over images.

    Each is over images, positions, groups, and the layer's calls; what a linear layer sees are the
    vectors that it takes.

    Args:
        model: In any mode; it answers in evaluation mode and is left as it is.
        images: As the network takes them, (N, ...), on its device.
        layers: Module paths of ``Conv2d`` and ``Linear`` layers.
        batch_size: Images of one pass.

    Returns:
        By layer, float64, shape (IN / groups, KH, KW, IN / groups, KH, KW), with KH = KW = 1 for a
        linear layer; not a number where the layer was never called.

    Raises:
        UserError: A layer is unknown or not measurable.
    """
    modules = {layer: kernel_layer(model, layer) for layer in layers}
    totals, counts = {}, dict.fromkeys(modules, 0)
    for layer, module in modules.items():
        size = module.weight[0].numel()
        totals[layer] = torch.zeros(size, size, dtype=torch.float64, device=images.device)

    def add(layer: str, given: tuple[Any, ...], _: Tensor) -> None:
        patches = _patches(modules[layer], given[0].double())
        totals[layer].addmm_(patches, patches.T)
        counts[layer] += patches.shape[1]

    with watched(modules, add), evaluation_mode(model), torch.no_grad(), uncompiled():
        for batch in torch.split(images, batch_size):
            model(batch)
    return {
        layer: (totals[layer] / (counts[layer] or float("nan")))
        .reshape(_window(module) * 2)
        .cpu()
        .numpy()
        for layer, module in modules.items()
    }


def _window(layer: nn.Conv2d | nn.Linear) -> tuple[int, int, int]:
    """(IN / groups, KH, KW)."""
    in_, *window = layer.weight.shape[1:]
    height, width = window or (1, 1)
    return in_, height, width


def _patches(layer: nn.Conv2d | nn.Linear, inputs: Tensor) -> Tensor:
    """What the kernel multiplies, (IN / groups · KH · KW, positions of all images and groups)."""
    if isinstance(layer, nn.Linear):
        return inputs.reshape(-1, layer.in_features).T
    geometry = Geometry.of(layer)
    padding = (*geometry.horizontal, *geometry.vertical)
    mode = "constant" if geometry.padding_mode == "zeros" else geometry.padding_mode
    padded = F.pad(inputs, padding, mode=mode)
    columns = F.unfold(
        padded, layer.weight.shape[2:], dilation=geometry.dilation, stride=geometry.stride
    )
    size = layer.weight[0].numel()
    by_group = columns.reshape(len(columns), geometry.groups, size, -1)
    return by_group.permute(2, 0, 1, 3).reshape(size, -1)
