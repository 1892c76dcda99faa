"""The law: each curvature is that of the plain loss, or is refused.

The plain loss is the user's own network, built once more and converted to float64, its weights
moved by hand. Its second differences are the truth where they have converged; where autograd, asked
about the plain network, has the same, a refusal is wrong. No code is shared with the package.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from compressibility.errors import NumericalError, UserError
from compressibility.networks.curvature import curvatures_along
from compressibility.networks.kernels import find_kernels
from compressibility.networks.landscape import TrainingLoss
from compressibility.networks.wrappers import unwrapped
from property_tests.evaluation_law import KINDS, BrokenError, undefined
from property_tests.networks import Description, DrawnNetwork, built

STEPS = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)
"""Of the layer's norm."""
CONVERGED = 1e-3
"""By how much two differences one after the other may differ, of the greater or of the loss."""
LIMITS = ("setup_context", "forward AD", "in-place operation", "fails in torch.float64")
"""Words of PyTorch's own limits: functional derivatives of what writes into weights, of hooks on
gradients, of few operations forward; and of layers that no conversion to float64 finds."""


@dataclass(frozen=True)
class Curvature:
    """What became of a layer's curvature: ``equal``, ``refused``, ``unknown``, and in what words.

    It is unknown where the plain loss's differences do not converge.
    """

    way: str
    reason: str = ""


def curvature_outcome(described: Description) -> Curvature:
    """Hold the curvature of one layer of a drawn network against the plain loss.

    Raises:
        BrokenError: It is wrong, or refused although autograd has it right.
    """
    with built(described) as drawn:
        layer, direction = _drawn(drawn)
        if layer is None:
            return Curvature("unknown", "no layer is measurable")
        told, found = "", float("nan")
        try:
            loss = TrainingLoss(drawn.network, [(drawn.images, drawn.labels)], dtype=torch.float64)
            [found] = curvatures_along(loss.hessian([layer]), direction.reshape(1, -1))
        except (UserError, NumericalError) as error:
            told = str(error)
        if "\n" in told:
            raise BrokenError(f"lines: refused in several lines: {told}")
        if drawn.words and told:
            return Curvature("refused", told)
        if drawn.words and (how := undefined(drawn)):
            raise BrokenError(f"unrefused: the network answers otherwise {how}")
    with built(described) as drawn:
        plain = PlainLoss(drawn, layer, direction)
        true = plain.by_differences()
        if true is None:
            return Curvature("refused" if told else "unknown", told)
        if not told:
            if not _alike(found, true):
                raise BrokenError(f"wrong: {layer}: {found:.6g}, by differences {true:.6g}")
            return Curvature("equal")
        if drawn.allowed or any(word in told for word in LIMITS):
            return Curvature("refused", told)
        own = plain.by_autograd()
        if own is not None and _alike(own, true) and plain.is_smooth():
            raise BrokenError(f"refused: {layer}: {true:.6g} by differences and autograd: {told}")
        return Curvature("refused", told)


def _drawn(drawn: DrawnNetwork) -> tuple[str | None, np.ndarray]:
    """A measurable layer, and a direction in units of its norm."""
    rng = np.random.default_rng(drawn.description.seed)
    network = unwrapped(drawn.network)
    try:
        kernels = find_kernels(drawn.network, drawn.images[:2].clone(), kinds=KINDS)
    except UserError:
        kernels = []
    names = [k.layer for k in kernels if network.get_submodule(k.layer) not in drawn.refused]
    if not names:
        return None, np.zeros(0)
    layer = names[rng.integers(len(names))]
    weight = network.get_submodule(layer).weight
    assert isinstance(weight, Tensor)
    direction = rng.standard_normal(tuple(weight.shape))
    return layer, direction * float(weight.detach().norm()) / np.linalg.norm(direction)


class PlainLoss:
    """The cross-entropy of the user's network in float64, along a direction of one weight."""

    def __init__(self, drawn: DrawnNetwork, layer: str, direction: np.ndarray) -> None:
        self._network = drawn.network.double().eval()
        for hidden in (vars(module).get("layers") for module in self._network.modules()):
            for each in hidden if isinstance(hidden, list) else ():
                each.double()
        self._images, self._labels = drawn.images.double(), drawn.labels
        weight = unwrapped(self._network).get_submodule(layer).weight
        assert isinstance(weight, nn.Parameter)
        self._weight, self._own = weight, weight.detach().clone()
        self._direction = torch.from_numpy(direction)
        self._squared = float(self._direction.square().sum())

    def at(self, step: float) -> float:
        with torch.no_grad():
            self._weight.copy_(self._own + step * self._direction)
            loss = float(self._loss())
            self._weight.copy_(self._own)
        return loss

    def by_differences(self) -> float | None:
        """The curvature along the direction; None where the plain loss fails or has none."""
        try:
            here = self.at(0)
            found = [(self.at(h) - 2 * here + self.at(-h)) / h**2 for h in STEPS]
        except RuntimeError:
            return None
        scale = max(1.0, abs(here))
        for one, other in pairwise(found):
            if abs(one - other) <= CONVERGED * max(abs(other), 1e-2 * scale):
                return other / self._squared
        return None

    def by_autograd(self) -> float | None:
        """The same from two derivatives of the plain network; None where there are none."""
        self._weight.requires_grad_()
        try:
            [slope] = torch.autograd.grad(self._loss(), self._weight, create_graph=True)
            along = (slope * self._direction).sum()
            [bend] = torch.autograd.grad(along, self._weight)
        except RuntimeError:
            return None
        return float((bend * self._direction).sum()) / self._squared

    def is_smooth(self) -> bool:
        """Whether the loss, at larger steps too, is what two derivatives make of it."""
        here, wide = self.at(0), 1e-2
        second = self.by_differences()
        assert second is not None
        return (
            abs((self.at(wide) - 2 * here + self.at(-wide)) / wide**2 / self._squared - second)
            <= 0.3 * abs(second) + 0.1 / self._squared
        )

    def _loss(self) -> Tensor:
        answers = self._network(self._images.clone())
        return nn.functional.cross_entropy(answers.double(), self._labels)


def _alike(found: float, true: float) -> bool:
    return abs(found - true) <= 1e-2 * abs(true) + 1e-4
