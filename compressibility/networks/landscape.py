"""The training loss of a network as a function of its kernels: its value and its curvature.

The loss is the mean cross-entropy (nats) over a fixed list of batches. The network is copied first,
into :class:`compressibility.networks.frozen.Frozen`. Products with the Hessian go through one
adapter to curvlinops.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor, nn

from compressibility.errors import NumericalError, UserError
from compressibility.networks.arithmetic import cast
from compressibility.networks.differentiability import (
    Batches,
    hessian_operator,
    require_differentiable,
    twice_differentiable,
)
from compressibility.networks.frozen import Frozen, frozen
from compressibility.networks.kernels import evaluation_mode, kernel_layer, substituted
from compressibility.tensors.arrays import Floating, Floats

MEMORY: Final = 2**27
"""Bytes of activations at once: those of one batch, from the layer on, times the directions that
are multiplied together."""

_IMAGES: Final = 8
"""Images on which the copy of a network is held against the network, and its derivatives against
differences."""


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
            UserError: There is no image, labels are not int64 or not the number of a class, or the
                network cannot be frozen (:func:`compressibility.networks.frozen.frozen`).
            NumericalError: The network answers with NaN or infinity.
        """
        if not sum(len(labels) for _, labels in batches):
            raise UserError(f"{len(batches)} batches without an image: give at least one image")
        for _, labels in batches:
            if labels.dtype != torch.int64:
                raise UserError(f"labels are {labels.dtype}: convert them to torch.int64")
        self._network = frozen(model, dtype, _few(batches))
        like = next(self._network.parameters(), torch.empty(0, dtype=dtype))
        self._batches = [
            (cast(images, dtype).to(like.device), labels.to(like.device))
            for images, labels in batches
        ]
        self._few = _few(self._batches)
        _require_classes(self._batches, self._network.answers(self._few).shape[1])
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
            UserError: As for :func:`compressibility.networks.kernels.substituted`; or a layer's
                kernel acts otherwise in a copy of the network than in the network itself.
        """
        self._require_alike(list(kernels or {}))
        with substituted(self._network.network, kernels or {}):
            losses = [
                nn.functional.cross_entropy(self._network.answers(images), labels, reduction="none")
                for images, labels in self._batches
            ]
        return float(torch.cat(losses).double().mean())

    def hessian(self, layers: Sequence[str]) -> "Hessian":
        """The Hessian over the kernels of some layers, jointly, in the order given.

        Args:
            layers: Module paths, at least one.

        Raises:
            UserError: A layer is unknown or not measurable, or there is none; its kernel acts
                otherwise in a copy of the network; or the derivatives of the loss, as autograd
                has them, are not how the loss changes.
            TypeError: A string is given in place of a list of them.
        """
        if isinstance(layers, str):
            raise TypeError(f"layers are {layers!r}, a string: give a list, [{layers!r}]")
        if not layers:
            raise UserError("a Hessian over no layer: give at least one")
        weights = [kernel_layer(self._network.network, layer).weight for layer in layers]
        self._require_alike(layers)
        require_differentiable(self._network, layers, self._few)
        operator = hessian_operator(self._network, weights, self._batches)
        largest = max((images for images, _ in self._batches), key=len)
        activations = _activations(self._network, weights, largest)
        at_once = max(1, self._memory // activations)
        return Hessian(tuple(layers), self._network, operator, at_once)

    def _require_alike(self, layers: Sequence[str]) -> None:
        for layer in layers:
            if layer in self._network.unlike:
                raise UserError(
                    f"layer {layer!r}: a kernel replaced in a copy of the network does not act as "
                    "in the network itself: something (a hook, a function set on a module) holds "
                    "on to the original; let it take the module that it is called with"
                )


@dataclass(frozen=True, eq=False)
class Hessian:
    """The Hessian of a training loss over some kernels, as what multiplies vectors.

    Attributes:
        layers: The layers, whose kernels follow one another in a vector.
        network: What the loss is of.
        operator: What curvlinops 3.0 multiplies with.
        at_once: Directions that may be multiplied together.
    """

    layers: tuple[str, ...]
    network: Frozen
    operator: Any
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
        with evaluation_mode(self.network), twice_differentiable():
            product = torch.cat([self.operator @ part for part in parts], dim=-1)
        if not torch.isfinite(product).all():
            raise NumericalError(
                f"a product with {self} holds NaN or infinity in {self.operator.dtype}: its loss "
                "or a derivative overflows"
            )
        result: Floats = product.double().cpu().numpy()
        return result


def _few(batches: Batches) -> Tensor:
    """Images from all over the batches."""
    images = [image for some, _ in batches for image in some]
    chosen = torch.linspace(0, len(images) - 1, min(_IMAGES, len(images))).round().int().tolist()
    return torch.stack([images[number] for number in chosen])


def _require_classes(batches: Batches, classes: int) -> None:
    for _, labels in batches:
        if len(outside := labels[(labels < 0) | (labels >= classes)]):
            raise UserError(
                f"label {int(outside[0])} is no class of the network, which has {classes}: number "
                f"them 0 to {classes - 1}"
            )


def _activations(model: Frozen, weights: Sequence[Tensor], images: Tensor) -> int:
    """Bytes that the modules put out on ``images``, from the first that holds a weight on."""
    bytes_out: list[int] = []

    def count(module: nn.Module, _: Any, output: Any) -> None:
        own = any(
            parameter is weight for parameter in module.parameters(False) for weight in weights
        )
        if (bytes_out or own) and isinstance(output, Tensor):
            bytes_out.append(output.nbytes)

    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        return sys.maxsize  # nobody can look into a script
    leaves = [module for module in model.modules() if not any(module.children())]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        model.answers(images)
    finally:
        for handle in handles:
            handle.remove()
    return max(1, sum(bytes_out))
