"""Curvature of the training loss over one layer's kernel: along truncations, and on average."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressibility.networks.curvature import (
    curvatures_along,
    largest_eigenvalues,
    random_directions,
    trace_estimate,
)
from compressibility.networks.landscape import TrainingLoss
from compressibility.quantities import cuts
from compressibility.quantities.quantity import FLOAT32, Scope, Values
from compressibility.store.layout import cut_flags
from compressibility.store.schema import Flag
from compressibility.subjects import Subject
from compressibility.tensors.modes import distinct_cuts
from compressibility.tensors.schmidt import decompose
from compressibility.tensors.thresholds import THRESHOLDS, ranks_at


@dataclass(frozen=True)
class Curvature:
    """Along every truncation to ``thresholds``, along random ``directions``, and at the top.

    ``images`` are the first training images; ``eigenvalues`` is that of the network's Hessian.
    """

    images: int
    eigenvalues: int
    directions: int
    thresholds: tuple[float, ...] = THRESHOLDS

    table: ClassVar[str] = "curvature"
    revision: ClassVar[int] = 1
    stream: ClassVar[int] = 4

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """The thresholds, and the number of each random direction."""
        return {"threshold": self.thresholds, "direction": range(1, 1 + self.directions)}

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """Plan, thresholds and seed."""
        plan = {name: getattr(self, name) for name in ("images", "eigenvalues", "directions")}
        return {"plan": plan, "thresholds": self.thresholds, "seed": scope.seed}

    def precision(self, subject: Subject, layer: str) -> str:
        """Float32: of every product with the Hessian."""
        return FLOAT32

    def measure(self, subject: Subject, layer: str, rng: np.random.Generator) -> Values:
        """First the random directions, then Lanczos' start, are drawn from ``rng``."""
        kernel = subject.kernel(layer)
        decompositions = [decompose(kernel, cut) for cut in distinct_cuts(kernel.shape)]
        ranks = {
            each.cut.label: ranks_at(each.spectrum, self.thresholds) for each in decompositions
        }
        truncations = [
            (each.cut.label, int(rank), each.truncated(int(rank)) - kernel)
            for each in decompositions
            for rank in np.unique(ranks[each.cut.label])
            if rank < len(each.spectrum)
        ]
        directions = np.array([direction for *_, direction in truncations])
        loss = TrainingLoss(subject.network, subject.training_batches(self.images))
        hessian = loss.hessian([layer])
        drawn = random_directions(self.directions, kernel.size, rng)
        directional, random = (
            curvatures_along(hessian, each, at_once=hessian.at_once)
            for each in (directions.reshape(-1, *kernel.shape), drawn)
        )
        top = largest_eigenvalues(hessian, 1, rng)
        trace = trace_estimate(random, kernel.size)
        along = {
            (mode, rank): value
            for (mode, rank, _), value in zip(truncations, directional, strict=True)
        }
        curvatures = {
            mode: np.array([along.get((mode, int(rank)), np.nan) for rank in column])
            for mode, column in ranks.items()
        }
        flags = np.repeat(cut_flags(kernel.shape)[:, None], len(self.thresholds), axis=1)
        values = cuts.along_modes(curvatures, np.nan, np.float64)
        nowhere = np.isnan(values) & (flags == Flag.MEASURED.value)
        return {
            "directional_curvature": values,
            "directional_curvature_flag": np.where(nowhere, Flag.NO_DIRECTION.value, flags),
            "random_directional_curvature": random,
            "hessian_layer_eigenvalue": np.array(top.eigenvalues[0]),
            "hessian_layer_trace": np.array(trace.value),
            "hessian_layer_trace_standard_error": np.array(trace.standard_error),
        }
