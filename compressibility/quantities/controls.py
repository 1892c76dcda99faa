"""What a trained kernel is held against: its initial and shuffled weights, and random noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressibility.quantities import cuts
from compressibility.quantities.quantity import Scope, Values
from compressibility.quantities.truncations import answers
from compressibility.subjects import Subject
from compressibility.tensors.perturbations import matched_perturbation, shuffled
from compressibility.tensors.thresholds import THRESHOLDS


@dataclass(frozen=True)
class Controls:
    """Spectra of initial and shuffled weights; noise matched to each of ``norm_loss_levels``.

    ``initial`` is whether the weights before training are known.
    """

    norm_loss_levels: tuple[float, ...] = THRESHOLDS[1:]
    initial: bool = True

    table: ClassVar[str] = "controls"
    revision: ClassVar[int] = 1
    stream: ClassVar[int] = 2

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """The norm losses of the perturbation; the weights that are controls."""
        weights = ("initial", "shuffled") if self.initial else ("shuffled",)
        return {"norm_loss_level": self.norm_loss_levels, "weights": weights}

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """Images, levels and seed."""
        return {
            "test_images": scope.test_images,
            "norm_loss_levels": self.norm_loss_levels,
            "seed": scope.seed,
        }

    def precision(self, subject: Subject, layer: str) -> str:
        """The evaluator's behind the layer."""
        return subject.evaluator.precision_behind(layer)

    def measure(self, subject: Subject, layer: str, rng: np.random.Generator) -> Values:
        """First the shuffle, then one perturbation a level, are drawn from ``rng``."""
        kernel = subject.kernel(layer)
        controls = [shuffled(kernel, rng)]
        if self.initial:
            controls.insert(0, subject.initial_kernel(layer))
        perturbed = [matched_perturbation(kernel, level, rng) for level in self.norm_loss_levels]
        found = answers(subject.evaluator.kernels(layer, perturbed), len(subject.labels))
        return {
            "schmidt_value": np.stack([cuts.schmidt_values(control) for control in controls]),
            "kernel_norm": np.array([np.linalg.norm(control) for control in controls]),
            "perturbed_n_correct": found["n_correct"],
            "perturbed_loss": found["loss"],
        }
