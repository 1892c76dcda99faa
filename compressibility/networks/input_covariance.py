"""What the layers of a network see: the covariance of the patches that their kernels multiply."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from compressibility.networks.geometry import Geometry
from compressibility.networks.kernels import evaluation_mode, kernel_layer
from compressibility.networks.wrappers import uncompiled
from compressibility.tensors.arrays import Floats


def patch_covariance(
    model: nn.Module, images: Tensor, layer: str, *, batch_size: int = 64
) -> Floats:
    """The uncentred covariance of the patches of one convolution, over images, positions, groups.

    Args:
        model: In any mode; it answers in evaluation mode and is left as it is.
        images: As the network takes them, (N, ...), on its device.
        layer: Module path of a ``Conv2d``.
        batch_size: Images of one pass.

    Returns:
        float64, shape (IN / groups, KH, KW, IN / groups, KH, KW).

    Raises:
        UserError: The layer is unknown or not measurable.
    """
    convolution = kernel_layer(model, layer)
    assert isinstance(convolution, nn.Conv2d)
    size = convolution.weight[0].numel()
    total = torch.zeros(size, size, dtype=torch.float64, device=images.device)
    count = 0

    def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal count
        patches = _patches(convolution, inputs[0].detach().double())
        total.addmm_(patches, patches.T)
        count += patches.shape[1]

    handle = convolution.register_forward_pre_hook(add)
    try:
        with evaluation_mode(model), torch.no_grad(), uncompiled():
            for batch in torch.split(images, batch_size):
                model(batch)
    finally:
        handle.remove()
    shape = tuple(convolution.weight.shape[1:])
    found: Floats = (total / max(count, 1)).cpu().numpy().reshape(*shape, *shape)
    return found


def _patches(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    """What the kernel multiplies, (IN / groups · KH · KW, positions of all images and groups)."""
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
