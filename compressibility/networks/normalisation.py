"""What a batch norm does to a network that is no longer trained."""

from dataclasses import dataclass

from torch import Tensor, nn

from compressibility.networks.plainness import is_plain


@dataclass(frozen=True, eq=False)
class AffineMap:
    """x ↦ (x − centre) · scale + offset, for each channel; all float64, shape (channels,).

    Attributes:
        centre: The running mean.
        scale: The weight over the running standard deviation.
        offset: The bias; none where the batch norm has none.
    """

    centre: Tensor
    scale: Tensor
    offset: Tensor | None

    @property
    def shift(self) -> Tensor:
        """Of x ↦ scale · x + shift, the same map."""
        shift = -self.centre * self.scale
        return shift if self.offset is None else shift + self.offset

    def behind(self, bias: Tensor | None) -> Tensor:
        """The bias of a convolution that has this map behind it, float64.

        Its kernel is then multiplied by `scale` along OUT.
        """
        bias = ((0.0 if bias is None else bias.double()) - self.centre) * self.scale
        return bias if self.offset is None else bias + self.offset


def affine_map(norm: nn.modules.batchnorm._BatchNorm) -> AffineMap | None:
    """What a batch norm computes in evaluation mode; None if it keeps no running statistics.

    Examples:
        >>> norm = nn.BatchNorm2d(2, eps=0.0)
        >>> _ = norm.running_var.copy_(norm.running_var.new_tensor([4.0, 0.25]))
        >>> affine_map(norm).scale.tolist()
        [0.5, 2.0]
    """
    if norm.running_mean is None or norm.running_var is None:
        return None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    offset = None if norm.bias is None else norm.bias.detach().double()
    return AffineMap(norm.running_mean.double(), scale, offset)


def written_out(network: nn.Module) -> nn.Module:
    """Put the affine maps that they are in the place of the batch norms of a network; return it.

    Only of those that are plain, in evaluation mode, and not the network itself. Those without
    running statistics stay.
    """
    for path, module in list(network.named_modules(remove_duplicate=False)):
        if path and not module.training and is_plain(module, nn.modules.batchnorm._BatchNorm):
            assert isinstance(module, nn.modules.batchnorm._BatchNorm)
            if (affine := affine_map(module)) is not None:
                network.set_submodule(path, _Affine(affine))
    return network


class _Affine(nn.Module):
    """scale · x + shift, for each channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, affine: AffineMap) -> None:
        super().__init__()
        self.register_buffer("scale", affine.scale)
        self.register_buffer("shift", affine.shift)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.ndim - 2)
        return x * self.scale.reshape(shape) + self.shift.reshape(shape)
