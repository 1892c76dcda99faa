"""Truncations answered on held-out images: what choices among them are made on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressibility.errors import UserError
from compressibility.evaluation import Truncations
from compressibility.quantities import cuts
from compressibility.quantities.quantity import FLOAT32, Scope, Values
from compressibility.store.layout import cut_flags
from compressibility.store.view import MISSING_INTEGER
from compressibility.subjects import Subject
from compressibility.tensors.modes import distinct_cuts
from compressibility.tensors.schmidt import decompose
from compressibility.tensors.thresholds import THRESHOLDS, ranks_at


@dataclass(frozen=True)
class HeldOut:
    """One layer truncated as for the test images, answered on the first held-out ``images``.

    Raises:
        UserError: No image is asked for.
    """

    thresholds: tuple[float, ...] = THRESHOLDS
    images: int | None = None

    table: ClassVar[str] = "held_out"
    revision: ClassVar[int] = 1
    stream: ClassVar[int] = 6

    def __post_init__(self) -> None:
        """Refuse a number of images that chooses nothing."""
        if self.images is not None and self.images < 1:
            raise UserError(f"{self.images} held-out images choose nothing: give one or more")

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """The thresholds."""
        return {"threshold": self.thresholds}

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """Images and thresholds."""
        return {"held_out_images": self.images, "thresholds": self.thresholds}

    def precision(self, subject: Subject, layer: str) -> str:
        """The evaluator's behind the layer."""
        evaluator = subject.on_held_out(self.images)
        return FLOAT32 if evaluator is None else evaluator.precision_behind(layer)

    def measure(self, subject: Subject, layer: str, rng: np.random.Generator) -> Values:
        """Right answers of the network and of its truncations; none of no images."""
        kernel = subject.kernel(layer)
        evaluator = subject.on_held_out(self.images)
        truncations = [
            Truncations(each, ranks_at(each.spectrum, self.thresholds).tolist())
            for each in (decompose(kernel, cut) for cut in distinct_cuts(kernel.shape))
        ]
        if evaluator is None:
            n_images, untruncated = 0, 0
            correct = [np.zeros(len(self.thresholds), np.int64) for _ in truncations]
        else:
            n_images, untruncated = evaluator.n_images, evaluator.baseline.n_correct
            found = evaluator.variants(layer, truncations)
            correct = [np.array([each.n_correct for each in of_cut]) for of_cut in found]
        by_mode = {
            each.decomposition.cut.label: counts
            for each, counts in zip(truncations, correct, strict=True)
        }
        return {
            "held_out_n_images": np.array(n_images),
            "held_out_baseline_n_correct": np.array(untruncated),
            "held_out_n_correct": cuts.along_modes(by_mode, MISSING_INTEGER, np.int64),
            "held_out_cut_flag": cut_flags(kernel.shape),
        }
