"""Whether the derivatives of a network, as autograd has them, are those of what it computes.

Weights may be hidden from autograd (``no_grad``, ``detach``, rounding), and gradients may be
changed on their way (a ``backward`` of one's own, a hook). So first and second derivatives along
random directions are held against central differences, for each layer.

Differentiated is not the training loss, which is flat where a network is certain, but the
cross-entropy of r + s (f(w) − f(w₀)), with f the logits, w₀ the weights as they are, r random, and
s such that the argument changes as much as the weights do. Derivatives of f that are right for one
smooth function of the logits are right for every other.

A difference over ±h, of weights of size 1, has an error of h² from higher derivatives, of ε/h from
rounding, and one from the kinks of ReLUs and max pooling that lie within ±h. Of N units about h N
have one there, each with a part N^(−1/2) of the slope, of either sign: an error of h^(1/2) in a
first derivative. In a second one each counts 1/h more, so that h must be below 1/N. Float64 allows
h = 1e-9, with an error of 1e-6 from rounding.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.nn.attention import SDPBackend, sdpa_kernel

from compressibility.errors import ForeignError, UserError, foreign
from compressibility.networks.arithmetic import ieee_float32
from compressibility.networks.frozen import Frozen
from compressibility.networks.kernels import evaluation_mode, kernel_layer
from compressibility.networks.wrappers import uncompiled

with warnings.catch_warnings():
    # curvlinops imports, and the first forward-mode derivative loads, what calls torch.jit.script
    warnings.filterwarnings("ignore", message=".*torch.jit", category=Warning)
    from curvlinops import HessianLinearOperator

    torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.ones(()),))

Batches: TypeAlias = Sequence[tuple[Tensor, Tensor]]
"""Images (N, C, H, W), as the network takes them, and labels (N,) int64; read in this order."""


@dataclass(frozen=True)
class _Steps:
    """Step lengths, relative to the size of the weights, and the relative difference allowed."""

    first: tuple[float, ...]
    second: tuple[float, ...]
    tolerance: float


_STEPS: Final = {
    torch.float64: _Steps((1e-6, 1e-8, 1e-9), (1e-6, 1e-8, 1e-9, 1e-10), 1e-3),
    torch.float32: _Steps((1e-2, 1e-3, 1e-1), (1e-2, 1e-3, 1e-1), 5e-2),
}
_ROUNDINGS: Final = 32
"""Errors of the loss and of its slopes, in units of the rounding of the logits."""


def hessian_operator(
    network: nn.Module, weights: Sequence[Tensor], batches: Batches
) -> HessianLinearOperator:
    """What multiplies with the Hessian of the mean cross-entropy; so in `twice_differentiable`.

    Args:
        network: From images to logits.
        weights: Parameters of it.
        batches: Fixed images.
    """
    return HessianLinearOperator(
        network,
        nn.CrossEntropyLoss(),
        [weight for weight in weights if isinstance(weight, nn.Parameter)],
        batches,
        num_data=sum(len(labels) for _, labels in batches),
        check_deterministic=False,  # the check would draw from the global generator
    )


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Run networks by what has second derivatives, as they are written.

    Attention is written out, and nothing is compiled.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with (
            sdpa_kernel(SDPBackend.MATH),
            uncompiled(),
            ieee_float32(),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def require_differentiable(network: Frozen, layers: Sequence[str], images: Tensor) -> None:
    """Refuse layers over which autograd's derivatives of a network are not its own.

    They are taken in float64, if the network then answers alike; else in its own dtype.

    Args:
        network: It stays as it is.
        layers: Module paths in ``network.network``.
        images: A few, (N, ...).

    Raises:
        UserError: A derivative does not exist, or is not how the loss or its slope changes.
    """
    network = network.in_dtype(torch.float64, images) or network
    slopes = _Slopes(network, layers, images)
    steps = _STEPS.get(network.dtype, _STEPS[torch.float32])
    try:
        with foreign(UserError):
            slopes.require_first(steps)
            slopes.require_continuous()
            slopes.require_second(steps)
    except ForeignError as error:
        raise UserError(
            f"{_named(layers)}: the loss cannot be differentiated twice ({error}): let the "
            "network compute with what autograd can differentiate twice, in any number at once"
        ) from error


class _Slopes:
    """A loss and its derivatives along one direction for each layer."""

    def __init__(self, network: Frozen, layers: Sequence[str], images: Tensor) -> None:
        self._layers = layers
        self._dtype = network.dtype
        modules = [kernel_layer(network.network, layer) for layer in layers]
        self._weights = [module.weight for module in modules]
        self._origins = [weight.detach().clone() for weight in self._weights]
        generator = torch.Generator().manual_seed(0)
        self._directions = [_direction(weight, generator) for weight in self._weights]
        answers = network.answers(images)
        self._loss = _Undecided(network, answers, generator)
        self._images = images
        self._labels = torch.arange(len(images), device=images.device) % answers.shape[1]
        self._noise = 0.0

    def require_first(self, steps: _Steps) -> None:
        """Hold the slope along each layer's direction against differences of the loss."""
        self._scale()
        slopes, value = self._slopes()
        if abs(value - self._value()) > self._noise:
            raise UserError(
                "the network answers otherwise while autograd differentiates it: let it answer "
                "alike with gradients and without (torch.is_grad_enabled, requires_grad)"
            )
        for number, layer in enumerate(self._layers):
            pairs = []
            for step in steps.first:
                ahead, back = (self._value_at({number: sign * step}) for sign in (1, -1))
                pairs.append((slopes[number], (ahead - back) / (2 * step)))
                if self._agree(*pairs[-1], step, steps.tolerance):
                    break
            else:
                found, true = pairs[-1]
                raise UserError(
                    f"layer {layer!r}: along a random direction the loss changes by {true:.3g}, "
                    f"but by {found:.3g} according to autograd: something hides weights from it "
                    "or changes gradients (no_grad, detach, .data, rounding, a hook, a backward "
                    "of its own): take it out to measure curvature"
                )

    def require_continuous(self, step: float = 1e-2) -> None:
        """Refuse layers over which the loss has no slope, and yet changes: by jumps."""
        slopes, value = self._slopes()
        for number, layer in enumerate(self._layers):
            if slopes[number] == 0 and any(
                abs(self._value_at({number: sign * step}) - value) > self._noise for sign in (1, -1)
            ):
                raise UserError(
                    f"layer {layer!r}: the loss has no slope along a random direction, but changes "
                    "farther off: it jumps (rounding, sign, argmax), and curvature tells nothing "
                    "of it: put something smooth there"
                )

    def require_second(self, steps: _Steps) -> None:
        """Hold what the Hessian makes of all directions together against differences of slopes."""
        found = self._bends()
        everywhere = range(len(self._layers))
        pending = dict.fromkeys(everywhere, 0.0)
        for step in steps.second:
            ahead, back = (
                self._slopes_at(dict.fromkeys(everywhere, sign * step)) for sign in (1, -1)
            )
            true = [(a - b) / (2 * step) for a, b in zip(ahead, back, strict=True)]
            pending = {
                number: true[number]
                for number in pending
                if not self._agree(found[number], true[number], step, steps.tolerance)
            }
        for number, difference in pending.items():
            raise UserError(
                f"layer {self._layers[number]!r}: along a random direction the slope of the loss "
                f"changes by {difference:.3g}, but by {found[number]:.3g} according to autograd in "
                f"{self._dtype}: a backward of its own is not differentiable (once_differentiable, "
                "no_grad in it), or the network computes in a lower precision (autocast): take it "
                "out to measure curvature"
            )

    def _scale(self, step: float = 1e-2) -> None:
        """Let the loss change as the weights do."""
        with self._displaced(dict.fromkeys(range(len(self._layers)), step)):
            change = float(self._logits().square().mean().sqrt()) / step
        self._loss.scale = 1 / change if change > 0 else 1.0
        size = 1 + self._loss.scale * float(self._loss.answers.abs().max())
        self._noise = _ROUNDINGS * torch.finfo(self._dtype).eps * size

    def _agree(self, found: float, true: float, step: float, tolerance: float) -> bool:
        return abs(found - true) <= tolerance * max(abs(found), abs(true)) + self._noise / step

    @contextmanager
    def _displaced(self, steps: Mapping[int, float]) -> Iterator[None]:
        """Move some layers along their directions, in place: whatever else holds them moves too."""
        try:
            with torch.no_grad():
                for number, step in steps.items():
                    self._weights[number].add_(step * self._directions[number])
            yield
        finally:
            with torch.no_grad():
                for number in steps:
                    self._weights[number].copy_(self._origins[number])

    def _logits(self) -> Tensor:
        with evaluation_mode(self._loss), torch.no_grad(), uncompiled(), ieee_float32():
            change: Tensor = self._loss(self._images) - self._loss.start
        return change

    def _value(self) -> float:
        logits = self._logits() + self._loss.start
        return float(nn.functional.cross_entropy(logits, self._labels))

    def _value_at(self, steps: Mapping[int, float]) -> float:
        with self._displaced(steps):
            return self._value()

    def _slopes(self) -> tuple[list[float], float]:
        """The slope along each direction, and the loss, as autograd has them."""
        names = {id(weight): name for name, weight in self._loss.named_parameters()}
        weights = {names[id(weight)]: weight for weight in self._weights}

        def loss(weights: dict[str, Tensor]) -> Tensor:
            logits = functional_call(self._loss, weights, (self._images,))
            return nn.functional.cross_entropy(logits, self._labels)

        with evaluation_mode(self._loss), twice_differentiable():
            gradients, value = grad_and_value(loss)(weights)
        along = zip(gradients.values(), self._directions, strict=True)
        return [float((each * direction).sum()) for each, direction in along], float(value)

    def _slopes_at(self, steps: Mapping[int, float]) -> list[float]:
        with self._displaced(steps):
            return self._slopes()[0]

    def _bends(self) -> list[float]:
        batches = [(self._images, self._labels)]
        operator = hessian_operator(self._loss, self._weights, batches)
        with evaluation_mode(self._loss), twice_differentiable():
            products = operator @ self._directions
        along = zip(products, self._directions, strict=True)
        return [float((each * direction).sum()) for each, direction in along]


class _Undecided(nn.Module):
    """start + scale · (logits − logits as they are)."""

    def __init__(self, network: Frozen, answers: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        self.network = network
        self.answers = answers
        self.start = torch.randn(answers.shape, generator=generator).to(answers)
        self.scale = 1.0
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.start + self.scale * (self.network(images) - self.answers)
        return logits


def _direction(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Random, with entries as large as those of a weight; of one of zeros, as at its start."""
    size = float(weight.square().mean().sqrt()) or weight[0].numel() ** -0.5
    return size * torch.randn(weight.shape, generator=generator).to(weight)


def _named(layers: Sequence[str]) -> str:
    return f"layer {layers[0]!r}" + f" and {len(layers) - 1} more" * (len(layers) > 1)
