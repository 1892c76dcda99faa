"""How large the images are that the layers of a network take and give."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from compressibility.networks.kernels import evaluation_mode, kernel_layer
from compressibility.networks.watching import watched
from compressibility.networks.wrappers import uncompiled


@dataclass(frozen=True)
class ImageSizes:
    """Height and width of what one call of a layer takes, and of what it gives."""

    inputs: tuple[int, int]
    outputs: tuple[int, int]


def image_sizes(
    model: nn.Module, example: Tensor, layers: Iterable[str]
) -> dict[str, tuple[ImageSizes, ...]]:
    """The sizes in each call of some layers, in one forward pass.

    Args:
        model: Any network that takes one tensor.
        example: A batch that it takes, (N, ...).
        layers: Module paths of ``Conv2d`` and ``Linear`` layers. The vectors that a linear layer
            takes for one image make an image one pixel high.

    Raises:
        UserError: A layer is unknown or not measurable.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 4, 3))
    >>> image_sizes(network, torch.zeros(1, 3, 9, 9), ["1"])
    {'1': (ImageSizes(inputs=(4, 4), outputs=(2, 2)),)}
    """
    found: dict[str, list[ImageSizes]] = {layer: [] for layer in layers}

    def note(layer: str, given: tuple[Any, ...], output: Tensor) -> None:
        if isinstance(modules[layer], nn.Linear):
            vectors = (1, output[..., 0].numel() // len(example))
            found[layer].append(ImageSizes(vectors, vectors))
        else:
            found[layer].append(ImageSizes(_size(given[0]), _size(output)))

    modules = {layer: kernel_layer(model, layer) for layer in found}
    with watched(modules, note), evaluation_mode(model), torch.no_grad(), uncompiled():
        model(example)
    return {layer: tuple(calls) for layer, calls in found.items()}


def _size(images: Tensor) -> tuple[int, int]:
    height, width = images.shape[-2:]
    return height, width
