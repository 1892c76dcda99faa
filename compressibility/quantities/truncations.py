"""Every cut of a trained kernel truncated to every threshold: spectra, norms, answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressibility.evaluation import Evaluation, Truncations
from compressibility.quantities import cuts
from compressibility.quantities.quantity import Scope, Values
from compressibility.store.layout import cut_flags
from compressibility.store.view import MISSING_INTEGER
from compressibility.subjects import Subject
from compressibility.tensors.arrays import Floats
from compressibility.tensors.modes import distinct_cuts
from compressibility.tensors.schmidt import (
    SchmidtDecomposition,
    compression_ratio,
    decompose,
)
from compressibility.tensors.thresholds import THRESHOLDS, ranks_at


@dataclass(frozen=True)
class Truncation:
    """One layer truncated along one cut, for every cut and each of ``thresholds``."""

    thresholds: tuple[float, ...] = THRESHOLDS

    table: ClassVar[str] = "truncation"
    revision: ClassVar[int] = 1
    stream: ClassVar[int] = 1

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """The thresholds; the trained weights."""
        return {"threshold": self.thresholds, "weights": ("trained",)}

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """Images and thresholds."""
        return {"test_images": scope.test_images, "thresholds": self.thresholds}

    def precision(self, subject: Subject, layer: str) -> str:
        """The evaluator's behind the layer."""
        return subject.evaluator.precision_behind(layer)

    def measure(self, subject: Subject, layer: str, rng: np.random.Generator) -> Values:
        """Spectra of the trained kernel, and rank, norms and answers of its truncations."""
        kernel = subject.kernel(layer)
        decompositions = [decompose(kernel, cut) for cut in distinct_cuts(kernel.shape)]
        truncations = [
            Truncations(each, ranks_at(each.spectrum, self.thresholds).tolist())
            for each in decompositions
        ]
        evaluations = subject.evaluator.variants(layer, truncations)
        by_mode = {
            each.cut.label: _columns(kernel, each, truncated.ranks)
            | answers(found, len(subject.labels))
            for each, truncated, found in zip(decompositions, truncations, evaluations, strict=True)
        }
        counts = ("rank", "n_correct", "n_lost", "n_gained")
        names = next(iter(by_mode.values()))
        spectra = {each.cut.label: each.schmidt_values for each in decompositions}
        return {
            "schmidt_value": cuts.along_modes(spectra, np.nan, np.float64)[None],
            "kernel_norm": np.array([np.linalg.norm(kernel)]),
            "truncation_flag": cut_flags(kernel.shape),
            **{
                name: cuts.along_modes(
                    {mode: columns[name] for mode, columns in by_mode.items()},
                    *((MISSING_INTEGER, np.int64) if name in counts else (np.nan, np.float64)),
                )
                for name in names
            },
        }


def answers(evaluations: Sequence[Evaluation], n_images: int) -> dict[str, Floats]:
    """Counts, accuracy and loss of some evaluations, a column each."""
    columns = {
        name: np.array([getattr(each, name) for each in evaluations])
        for name in ("n_correct", "n_lost", "n_gained", "loss")
    }
    return columns | {"accuracy": columns["n_correct"] / n_images}


def _columns(
    kernel: Floats, decomposition: SchmidtDecomposition, ranks: Sequence[int]
) -> dict[str, Floats]:
    """What is known of each truncation without evaluating it."""
    values, norm = decomposition.spectrum, float(np.linalg.norm(kernel))
    errors = {
        rank: float(np.linalg.norm(kernel - decomposition.truncated(rank))) / (norm or 1.0)
        for rank in set(ranks)
    }
    cut, shape = decomposition.cut, decomposition.shape
    return {
        "rank": np.array(ranks),
        "norm_loss": np.array([values.norm_loss(rank) for rank in ranks]),
        "relative_error": np.array([errors[rank] for rank in ranks]),
        "correlation_loss": np.array([values.correlation_loss(rank) for rank in ranks]),
        "compression_ratio": np.array([compression_ratio(shape, cut, rank) for rank in ranks]),
    }
