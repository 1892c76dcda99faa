"""The training loss of a network as a function of its kernels: its value and its curvature.

The loss is the mean cross-entropy (nats) over a fixed list of batches. The network is copied and
put into evaluation mode first; batch norm is then an affine map, and is replaced by it. Products
with the Hessian go through one adapter to curvlinops.
"""

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from compressibility.errors import NumericalError, UserError
from compressibility.networks.kernels import kernel_layer, substituted
from compressibility.networks.normalisation import AffineMap, affine_map
from compressibility.tensors.arrays import Floating, Floats

with warnings.catch_warnings():
    # curvlinops imports, and the first forward-mode derivative loads, what calls torch.jit.script
    warnings.filterwarnings("ignore", message=".*torch.jit", category=Warning)
    from curvlinops import HessianLinearOperator

    torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.ones(()),))

Batches: TypeAlias = Sequence[tuple[Tensor, Tensor]]
"""Images (N, C, H, W), as the network takes them, and labels (N,) int64; read in this order."""

MEMORY: Final = 2**27
"""Bytes of activations at once: those of one batch, from the layer on, times the directions that
are multiplied together."""


class TrainingLoss:
    """The mean cross-entropy of a network over fixed batches, as a function of its kernels.

    It holds a copy of the network, made once; the network itself is not touched.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        *,
        dtype: torch.dtype = torch.float32,
        memory: int = MEMORY,
    ) -> None:
        """Copy the network and place the batches beside it.

        Args:
            model: The network.
            batches: Fixed training images.
            dtype: Precision of the loss and of the products with its Hessian.
            memory: Bytes of activations at once; it bounds the directions multiplied together.

        Raises:
            UserError: There is no image, labels are not int64, or a normalisation has no running
                statistics.
        """
        if not sum(len(labels) for _, labels in batches):
            raise UserError(f"{len(batches)} batches without an image: give at least one image")
        for _, labels in batches:
            if labels.dtype != torch.int64:
                raise UserError(f"labels are {labels.dtype}: convert them to torch.int64")
        self._network = _frozen_copy(model, dtype)
        like = next(self._network.parameters(), torch.empty(0, dtype=dtype))
        self._batches = [(images.to(like), labels.to(like.device)) for images, labels in batches]
        self._memory = memory

    @property
    def n_images(self) -> int:
        """Images of all batches."""
        return sum(len(labels) for _, labels in self._batches)

    def value(self, kernels: Mapping[str, Floating] | None = None) -> float:
        """The loss in nats, with some kernels replaced.

        Args:
            kernels: Layer to kernel, (OUT, IN, KH, KW).

        Raises:
            UserError: As for :func:`compressibility.networks.kernels.substituted`.
        """
        with substituted(self._network, kernels or {}), torch.no_grad():
            losses = [
                nn.functional.cross_entropy(self._network(images), labels, reduction="none")
                for images, labels in self._batches
            ]
        return float(torch.cat(losses).double().mean())

    def hessian(self, layers: Sequence[str]) -> "Hessian":
        """The Hessian over the kernels of some layers, jointly, in the order given.

        Args:
            layers: Module paths, at least one.

        Raises:
            UserError: A layer is unknown or not measurable, or there is none.
            TypeError: A string is given in place of a list of them.
        """
        if isinstance(layers, str):
            raise TypeError(f"layers are {layers!r}, a string: give a list, [{layers!r}]")
        if not layers:
            raise UserError("a Hessian over no layer: give at least one")
        weights = [kernel_layer(self._network, layer).weight for layer in layers]
        operator = HessianLinearOperator(
            self._network,
            nn.CrossEntropyLoss(),
            weights,
            self._batches,
            num_data=self.n_images,
            check_deterministic=False,  # the check would draw from the global generator
        )
        largest = max((images for images, _ in self._batches), key=len)
        activations = _activations(self._network, weights, largest)
        return Hessian(tuple(layers), operator, max(1, self._memory // activations))


@dataclass(frozen=True, eq=False)
class Hessian:
    """The Hessian of a training loss over some kernels, as what multiplies vectors.

    Attributes:
        layers: The layers, whose kernels follow one another in a vector.
        operator: What curvlinops 3.0 multiplies with.
        at_once: Directions that may be multiplied together.
    """

    layers: tuple[str, ...]
    operator: HessianLinearOperator
    at_once: int

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(D, D), with D the entries of the kernels."""
        rows, columns = self.operator.shape
        return int(rows), int(columns)

    def __str__(self) -> str:
        """What it is, and over which layers."""
        shown = ", ".join(self.layers[:3]) + ", …" * (len(self.layers) > 3)
        return f"the Hessian over {shown} ({self.shape[0]} weights)"

    def __matmul__(self, columns: Floats) -> Floats:
        """The product with (D,) or (D, P), float64.

        Raises:
            NumericalError: It holds NaN or infinity.
        """
        matrix = torch.from_numpy(columns).to(self.operator.device, self.operator.dtype)
        parts = torch.split(matrix, self.at_once, dim=1) if matrix.ndim > 1 else (matrix,)
        with sdpa_kernel(SDPBackend.MATH):  # the only attention with second derivatives
            product = torch.cat([self.operator @ part for part in parts], dim=-1)
        if not torch.isfinite(product).all():
            raise NumericalError(
                f"a product with {self} holds NaN or infinity in {self.operator.dtype}: its loss "
                "or a derivative overflows"
            )
        result: Floats = product.double().cpu().numpy()
        return result


class _Affine(nn.Module):
    """What a batch norm computes in evaluation mode: scale · x + shift, for each channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, affine: AffineMap) -> None:
        super().__init__()
        self.register_buffer("scale", affine.scale)
        self.register_buffer("shift", affine.shift)

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.ndim - 2)
        return x * self.scale.reshape(shape) + self.shift.reshape(shape)


def _frozen_copy(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy in evaluation mode, its batch norms replaced by the affine maps that they are."""
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    for path, module in list(frozen.named_modules(remove_duplicate=False)):
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            continue
        affine = affine_map(module)
        if affine is None:
            raise UserError(
                f"layer {path!r} keeps no running statistics, so that its output depends on the "
                "batch: curvature needs track_running_stats=True"
            )
        if type(module).forward is nn.modules.batchnorm._BatchNorm.forward and path:
            frozen.set_submodule(path, _Affine(affine))
    return frozen.to(dtype)


def _activations(model: nn.Module, weights: Sequence[Tensor], images: Tensor) -> int:
    """Bytes that the modules put out on ``images``, from the first that holds a weight on."""
    bytes_out: list[int] = []

    def count(module: nn.Module, _: Any, output: Any) -> None:
        own = any(
            parameter is weight for parameter in module.parameters(False) for weight in weights
        )
        if (bytes_out or own) and isinstance(output, Tensor):
            bytes_out.append(output.nbytes)

    leaves = [module for module in model.modules() if not any(module.children())]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return max(1, sum(bytes_out))
