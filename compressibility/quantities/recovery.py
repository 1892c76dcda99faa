"""Every layer truncated at once and the network trained again, beside its controls."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from compressibility.errors import UserError, nearest
from compressibility.networks.training import ConstantRate
from compressibility.quantities.quantity import FLOAT32, Scope, Values, generator
from compressibility.quantities.retrainings import (
    Epoch,
    Retrainings,
    Truncated,
    changed,
    distance,
    n_held_out,
    truncations_of,
    unchanged_by_a_cut,
)
from compressibility.store.arms import ARMS, WITHOUT_A_CUT
from compressibility.store.cuts import MODES, n_schmidt_values
from compressibility.store.schema import Flag
from compressibility.store.view import MISSING_INTEGER
from compressibility.subjects import Subject
from compressibility.tensors.modes import Cut
from compressibility.tensors.schmidt import decompose
from compressibility.tensors.spectra import Spectrum
from compressibility.tensors.thresholds import require_thresholds


@dataclass(frozen=True)
class Recovery:
    """All layers truncated along each of ``cuts`` to each of ``thresholds``, and trained again.

    ``recipe`` is that of the re-training, the same for every one of ``arms``;
    ``statistics_images`` of the first training images estimate batch-norm statistics.

    Raises:
        UserError: There is no cut, threshold, arm or epoch; a label names no cut or arm, a
            threshold lies outside [0, 1), or there are fewer images than one batch for the
            statistics.
    """

    recipe: ConstantRate
    cuts: tuple[str, ...] = ("OUT", "OUT,KW")
    thresholds: tuple[float, ...] = (0.3, 0.5)
    arms: tuple[str, ...] = ARMS
    statistics_images: int = 2_048

    table: ClassVar[str] = "recovery"
    revision: ClassVar[int] = 1
    stream: ClassVar[int] = 9

    def __post_init__(self) -> None:
        """Refuse what re-trains nothing; bring cuts, thresholds and arms into order, each once."""
        if not (self.cuts and self.thresholds and self.arms) or self.recipe.epochs < 1:
            raise UserError(
                "a re-training needs a cut, a threshold, an arm and an epoch: give each"
            )
        require_thresholds(self.thresholds)
        for arm in self.arms:
            if arm not in ARMS:
                raise UserError(f"unknown arm {arm!r}: {nearest(arm, ARMS)}")
        if self.statistics_images < self.recipe.batch_size:
            raise UserError(
                f"{self.statistics_images} images for the batch-norm statistics do not fill one "
                f"batch of {self.recipe.batch_size}: give more"
            )
        labels = {Cut.parse(cut).label for cut in self.cuts}
        object.__setattr__(self, "cuts", tuple(mode for mode in MODES if mode in labels))
        object.__setattr__(self, "thresholds", tuple(sorted(set(self.thresholds))))
        object.__setattr__(self, "arms", tuple(arm for arm in ARMS if arm in self.arms))

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """Arms, cuts, thresholds and epochs, from 0."""
        return {
            "arm": self.arms,
            "recovery_mode": self.cuts,
            "recovery_threshold": self.thresholds,
            "epoch": range(self.recipe.epochs + 1),
        }

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """Images, plan but for the other arms, and seed."""
        plan = asdict(self)
        del plan["arms"]
        return {"test_images": scope.test_images, "plan": plan, "seed": scope.seed}

    def precision(self, subject: Subject, arm: str) -> str:
        """Float32: of every answer."""
        return FLOAT32

    def measure(self, subject: Subject, arm: str, rng: np.random.Generator) -> Values:
        """Perturbations and redrawn weights come from ``rng``.

        The order and augmentation of the images are the seed's, whatever the arm.

        Raises:
            ValueError: The training images, or the network before training, are not known.
        """
        run = self.retrainings(subject)
        chosen = [
            truncations_of(subject, cut, threshold)
            for cut, threshold in product(self.cuts, self.thresholds)
        ]
        if arm in WITHOUT_A_CUT:
            once = run.epochs(unchanged_by_a_cut(arm, subject, rng))
            by_truncations = [once] * len(chosen)
        else:
            by_truncations = [
                run.epochs(changed(arm, subject, truncations, rng), truncations)
                for truncations in chosen
            ]
        return self._laid_out(subject, chosen, by_truncations)

    def retrainings(self, subject: Subject) -> Retrainings:
        """Those of one subject, of which each takes the same images in the same order.

        Raises:
            ValueError: The training images are not known.
        """
        return Retrainings(
            subject,
            self.recipe,
            statistics_images=self.statistics_images,
            order=self.order(subject),
        )

    def order(self, subject: Subject) -> int:
        """Seed of the order and augmentation of one subject's images, whatever the arm."""
        scope = Scope(subject.seed, stream=subject.stream)
        return int(generator(self, scope, "").integers(2**63))

    def _laid_out(
        self,
        subject: Subject,
        chosen: Sequence[Mapping[str, Truncated]],
        by_truncations: Sequence[Sequence[Epoch]],
    ) -> Values:
        """Everything along (cut, threshold, epoch, …); missing from a divergence on."""
        trained = {kernel.layer: subject.kernel(kernel.layer) for kernel in subject.layers}
        grid = (len(self.cuts) * len(self.thresholds), self.recipe.epochs + 1)
        longest = int(n_schmidt_values([kernel.shape for kernel in subject.layers]).max())
        found: dict[str, NDArray[Any]] = {
            **{name: np.full(grid, MISSING_INTEGER, np.int64) for name in _COUNTS},
            **{name: np.full(grid, np.nan) for name in ("loss", "re_estimated_loss")},
            **{name: np.full((*grid, len(trained)), np.nan) for name in _OF_LAYERS},
            "schmidt_value": np.full((*grid, len(trained), longest), np.nan),
            "flag": np.full(grid, Flag.DIVERGED.value),
            "statistics_flag": np.full(grid, Flag.DIVERGED.value),
        }
        for place, (truncations, epochs) in enumerate(zip(chosen, by_truncations, strict=True)):
            for epoch, each in enumerate(epochs):
                for name, value in each.answers.items():
                    found[name][place, epoch] = value
                for number, layer in enumerate(trained):
                    at = (place, epoch, number)
                    kernel, start = each.kernels[layer], epochs[0].kernels[layer]
                    found["distance"][at] = distance(kernel, start)
                    found["distance_to_trained"][at] = distance(kernel, trained[layer])
                    found["norm_loss"][at] = 0.0
                    if truncated := truncations.get(layer):
                        values = decompose(kernel, truncated.cut).schmidt_values
                        found["norm_loss"][at] = Spectrum(values).norm_loss(truncated.rank)
                        found["schmidt_value"][at][: len(values)] = values
        found["accuracy"] = np.where(
            found["n_correct"] == MISSING_INTEGER, np.nan, found["n_correct"] / len(subject.labels)
        )
        shape = (len(self.cuts), len(self.thresholds))
        return {
            f"recovery_{name}": values.reshape(*shape, *values.shape[1:])
            for name, values in found.items()
        } | {"recovery_n_held_out": np.array(n_held_out(subject))}


_COUNTS: Final = (
    "n_correct",
    "n_lost",
    "n_gained",
    "held_out_n_correct",
    "re_estimated_n_correct",
)
_OF_LAYERS: Final = ("norm_loss", "distance", "distance_to_trained")
