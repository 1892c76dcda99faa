"""Truncations in the metric of what a layer sees: errors of weights and of outputs, answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from compressibility.errors import UserError
from compressibility.evaluation import Evaluation, Truncations
from compressibility.networks.copies import copied
from compressibility.networks.input_covariance import patch_covariances
from compressibility.quantities import cuts
from compressibility.quantities.quantity import Scope, Values
from compressibility.quantities.truncations import answers
from compressibility.store.layout import cut_flags
from compressibility.store.schema import Flag
from compressibility.store.view import MISSING_INTEGER
from compressibility.subjects import Subject
from compressibility.tensors.arrays import Floats
from compressibility.tensors.factors import Factors
from compressibility.tensors.modes import distinct_cuts
from compressibility.tensors.schmidt import decompose
from compressibility.tensors.thresholds import THRESHOLDS, ranks_at, require_thresholds
from compressibility.tensors.whitened import covariance_seen, output_errors, whitened


@dataclass(frozen=True)
class WhitenedTruncation:
    """One layer truncated for its outputs, at the ranks of the plain truncations.

    The first ``images`` training images give the covariance of what the layer sees; the first
    ``held_out_images``, or all, are those that choices are made on.

    Raises:
        UserError: There is no image for the covariance, or a threshold is outside [0, 1).
    """

    thresholds: tuple[float, ...] = THRESHOLDS
    images: int = 1_024
    held_out_images: int | None = None

    table: ClassVar[str] = "whitened"
    revision: ClassVar[int] = 1
    stream: ClassVar[int] = 11

    def __post_init__(self) -> None:
        """Refuse what has no metric."""
        require_thresholds(self.thresholds)
        if self.images < 1:
            raise UserError(f"{self.images} images have no covariance: give one or more")

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """The thresholds."""
        return {"threshold": self.thresholds}

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """Images of all kinds, and thresholds."""
        return {
            "test_images": scope.test_images,
            "thresholds": self.thresholds,
            "covariance_images": self.images,
            "held_out_images": self.held_out_images,
        }

    def precision(self, subject: Subject, layer: str) -> str:
        """The evaluator's behind the layer."""
        return subject.evaluator.precision_behind(layer)

    def measure(self, subject: Subject, layer: str, rng: np.random.Generator) -> Values:
        """Errors and answers by cut.

        Raises:
            ValueError: The training images are not known.
        """
        kernel = subject.kernel(layer)
        [(images, _)] = subject.training_batches(self.images)
        network = copied(subject.network).to(subject.device).eval()
        [patches] = patch_covariances(network, images.to(subject.device), [layer]).values()
        truncations, errors = [], []
        for cut in distinct_cuts(kernel.shape):
            plain = decompose(kernel, cut)
            seen = whitened(plain, covariance_seen(patches, cut))
            ranks = ranks_at(plain.spectrum, self.thresholds).tolist()
            truncations.append(Truncations(seen, ranks))
            errors.append(_errors(kernel, plain, seen, ranks, patches))
        found = subject.evaluator.variants(layer, truncations)
        held_out, n_held_out = self._on_held_out(subject, layer, truncations)
        by_mode = {
            each.decomposition.cut.label: known
            | {f"whitened_{k}": v for k, v in answers(of_cut, len(subject.labels)).items()}
            | {"whitened_held_out_n_correct": counts}
            for each, known, of_cut, counts in zip(
                truncations, errors, found, held_out, strict=True
            )
        }
        names = next(iter(by_mode.values())) if by_mode else {}
        return {
            "whitened_flag": np.array(Flag.MEASURED.value),
            "whitened_cut_flag": cut_flags(kernel.shape),
            "whitened_n_held_out": np.array(n_held_out),
            **{
                name: cuts.along_modes(
                    {mode: columns[name] for mode, columns in by_mode.items()},
                    *((MISSING_INTEGER, np.int64) if "_n_" in name else (np.nan, np.float64)),
                )
                for name in names
            },
        }

    def _on_held_out(
        self, subject: Subject, layer: str, truncations: Sequence[Truncations]
    ) -> tuple[list[NDArray[Any]], int]:
        """Right answers to the held-out images, by cut, and how many images those are."""
        evaluator = subject.on_held_out(self.held_out_images)
        if evaluator is None:
            return [np.zeros(len(self.thresholds), np.int64) for _ in truncations], 0
        found: list[list[Evaluation]] = evaluator.variants(layer, truncations)
        counts = [np.array([each.n_correct for each in of_cut]) for of_cut in found]
        return counts, evaluator.n_images


def _errors(
    kernel: Floats, plain: Factors, seen: Factors, ranks: Sequence[int], patches: Floats
) -> dict[str, Floats]:
    """Relative errors of weights and outputs, a column each, along the ranks."""
    norm = float(np.linalg.norm(kernel)) or 1.0
    distinct = sorted(set(ranks))
    for_outputs, for_weights = (
        [each.truncated(rank) for rank in distinct] for each in (seen, plain)
    )
    columns = {
        "whitened_relative_error": [np.linalg.norm(kernel - k) / norm for k in for_outputs],
        "whitened_output_error": output_errors(kernel, for_outputs, patches),
        "output_error": output_errors(kernel, for_weights, patches),
    }
    places = np.searchsorted(distinct, ranks)
    return {name: np.asarray(values)[places] for name, values in columns.items()}
