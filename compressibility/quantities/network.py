"""What the untouched network answers: the baseline of everything else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressibility.quantities.quantity import FLOAT32, Scope, Values
from compressibility.subjects import Subject


@dataclass(frozen=True)
class Network:
    """The baseline; it has no plan."""

    table: ClassVar[str] = "network"
    revision: ClassVar[int] = 1
    stream: ClassVar[int] = 0

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """None."""
        return {}

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """The images alone."""
        return {"test_images": scope.test_images}

    def precision(self, subject: Subject, part: str) -> str:
        """Float32: the network as it is."""
        return FLOAT32

    def measure(self, subject: Subject, part: str, rng: np.random.Generator) -> Values:
        """Hash, correct images, accuracy and loss."""
        baseline = subject.evaluator.baseline
        return {
            "weights_hash": np.array(subject.weights_hash, object),
            "baseline_n_correct": np.array(baseline.n_correct),
            "baseline_accuracy": np.array(baseline.n_correct / len(subject.labels)),
            "baseline_loss": np.array(baseline.loss),
        }
