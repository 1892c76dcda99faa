"""Curvature of the training loss over all measured kernels at once."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from compressibility.networks.curvature import (
    curvatures_along,
    largest_eigenvalues,
    random_directions,
    trace_estimate,
)
from compressibility.networks.landscape import TrainingLoss
from compressibility.quantities.quantity import FLOAT32, Scope, Values
from compressibility.subjects import Subject


@dataclass(frozen=True)
class Hessian:
    """Top eigenvalues and trace on the first training images.

    ``images`` are the first training images, ``eigenvalues`` the number of top eigenvalues of the
    whole network, ``directions`` the random directions that a trace is estimated from.
    """

    images: int
    eigenvalues: int
    directions: int

    table: ClassVar[str] = "hessian"
    revision: ClassVar[int] = 2
    stream: ClassVar[int] = 3

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """The number of each eigenvalue."""
        return {"eigenvalue_index": range(1, 1 + self.eigenvalues)}

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """Plan and seed."""
        return {"plan": asdict(self), "seed": scope.seed}

    def precision(self, subject: Subject, part: str) -> str:
        """Float32: of every product with the Hessian."""
        return FLOAT32

    def measure(self, subject: Subject, part: str, rng: np.random.Generator) -> Values:
        """First Lanczos' start, then the directions of the trace, are drawn from ``rng``."""
        layers = [kernel.layer for kernel in subject.layers]
        loss = TrainingLoss(subject.network, subject.training_batches(self.images))
        hessian = loss.hessian(layers)
        top = largest_eigenvalues(hessian, self.eigenvalues, rng)
        drawn = random_directions(self.directions, hessian.shape[0], rng)
        along = curvatures_along(hessian, drawn, at_once=hessian.at_once)
        trace = trace_estimate(along, hessian.shape[0])
        return {
            "hessian_eigenvalue": top.eigenvalues,
            "hessian_eigenvalue_residual": top.residuals,
            "hessian_trace": np.array(trace.value),
            "hessian_trace_standard_error": np.array(trace.standard_error),
        }
