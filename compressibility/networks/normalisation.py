"""What a batch norm does to a network that is no longer trained."""

from dataclasses import dataclass

from torch import Tensor, nn


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
