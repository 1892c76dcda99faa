"""Recomputing a random sample of a stored dataset from its networks and images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from compressibility.experiments.experiment import Experiment, ExperimentError
from compressibility.experiments.networks import Place
from compressibility.measuring.tasks import Bench
from compressibility.networks import image_sets
from compressibility.networks.arithmetic import ieee_float32
from compressibility.networks.copies import copied
from compressibility.networks.kernels import substituted
from compressibility.quantities.controls import Controls
from compressibility.quantities.quantity import generator
from compressibility.store.schema import MISSING_INTEGER, Flag
from compressibility.subjects import Subject
from compressibility.tensors.arrays import Floats
from compressibility.tensors.modes import distinct_cuts
from compressibility.tensors.perturbations import matched_perturbation, shuffled
from compressibility.tensors.schmidt import decompose
from compressibility.tensors.thresholds import rank_at

TIE: Final = 1e-3
"""Two top logits closer than this may change places between devices and libraries."""
LOSS_TOLERANCE: Final = 1e-4
NORM_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, order=True)
class Variant:
    """One stored variant of one layer: a truncation along a cut, or the matched noise.

    ``level`` is the threshold of a truncation, or the norm loss of the noise, for which ``mode``
    is empty.
    """

    seed: int
    layer: str
    mode: str
    level: float

    def __str__(self) -> str:
        """Such as ``seed 3, stage2.conv, cut OUT at threshold 0.1``."""
        what = f"cut {self.mode} at threshold" if self.mode else "noise at norm loss"
        return f"seed {self.seed}, {self.layer}, {what} {self.level:g}"


@dataclass(frozen=True)
class Recount:
    """Stored counts of right answers on some images against the recomputed ones.

    Attributes:
        difference: The greatest of the counts.
        near_ties: Images whose two top logits are closer than `TIE`, before or after.
    """

    difference: int
    near_ties: int

    @property
    def holds(self) -> bool:
        """The counts are equal but for near ties."""
        return self.difference <= self.near_ties


@dataclass(frozen=True)
class Check:
    """A stored variant against the recomputed one.

    Attributes:
        variant: Which.
        rank_difference: 0 for noise, which has no rank.
        norm_difference: Of a truncation's norm loss or of the spectrum, the greater; beside noise
            of the shuffled kernel's spectrum, which is drawn from the same random numbers.
        counts: Correct, lost and gained test images; of noise the correct ones.
        held_out: Correct held-out images; nothing differs where they were not counted.
        loss_difference: Relative; NaN where the loss is not measured in the evaluation's precision.
    """

    variant: Variant
    rank_difference: int
    norm_difference: float
    counts: Recount
    held_out: Recount
    loss_difference: float

    @property
    def count_difference(self) -> int:
        """The greatest of the images' two kinds."""
        return max(self.counts.difference, self.held_out.difference)

    @property
    def holds(self) -> bool:
        """Ranks and norms are equal, counts but for near ties, losses to 1e-4 where measured."""
        return (
            self.rank_difference == 0
            and abs(self.norm_difference) <= NORM_TOLERANCE
            and self.counts.holds
            and self.held_out.holds
            and not abs(self.loss_difference) > LOSS_TOLERANCE
        )


def verify(
    dataset: xr.Dataset,
    experiment: Experiment,
    place: Place,
    *,
    sample: int,
    rng: np.random.Generator,
    report: Callable[[int, int], None] = lambda *_: None,
) -> list[Check]:
    """Recompute ``sample`` variants, drawn from all that are measured, by whole forward passes.

    Args:
        dataset: The stored dataset.
        experiment: What it measured.
        place: Where its checkpoints and images lie, and which device computes.
        sample: How many variants; all, if there are fewer.
        rng: Draws them.
        report: Called with the number done and the number drawn.

    Raises:
        ExperimentError: Nothing is measured, the dataset holds other images, or a checkpoint is
            not there or not the network that was measured.
        ImagesError: The images are not here; none are downloaded.
    """
    every = [*_truncations(dataset), *_perturbations(dataset)]
    if not every:
        raise ExperimentError("nothing is measured yet, nothing to verify")
    bench = Bench(place)
    for seed in sorted({variant.seed for variant in every}):
        bench.require_network(experiment, seed)
    image_sets.require_present(experiment.images, place.images)
    bench.require_images(experiment, dataset.attrs["images_checksum"])
    drawn = rng.choice(len(every), min(sample, len(every)), replace=False)
    chosen = sorted(every[index] for index in drawn.tolist())
    checks = []
    recomputed: _Recomputed | None = None
    for number, variant in enumerate(chosen, start=1):
        if recomputed is None or recomputed.subject.seed != variant.seed:
            subject = bench.measured(dataset, experiment, variant.seed)
            recomputed = _Recomputed(subject, experiment)
        held_there = dataset.sel(seed=variant.seed, layer=variant.layer)
        checks.append(recomputed.check(variant, held_there))
        report(number, len(chosen))
    return checks


def _truncations(dataset: xr.Dataset) -> Iterator[Variant]:
    for seed, layer, mode in _measured(dataset, "truncation_flag", ("seed", "layer", "mode")):
        for threshold in dataset["threshold"].values.tolist():
            yield Variant(seed, layer, mode, threshold)


def _perturbations(dataset: xr.Dataset) -> Iterator[Variant]:
    for seed, layer in _measured(dataset, "controls_flag", ("seed", "layer")):
        for level in dataset["norm_loss_level"].values.tolist():
            yield Variant(seed, layer, "", level)


def _measured(dataset: xr.Dataset, flag: str, dims: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """The labels along ``dims`` of all that a flag calls measured; none without the flag."""
    if flag in dataset:
        labels = [dataset[dim].values.tolist() for dim in dims]
        flags = dataset[flag].transpose(*dims).values
        for index in np.argwhere(flags == Flag.MEASURED.value).tolist():
            yield tuple(axis[i] for axis, i in zip(labels, index, strict=True))


class _Recomputed:
    """One network on its test images, by whole forward passes in float32."""

    def __init__(self, subject: Subject, experiment: Experiment) -> None:
        self.subject = subject
        self._experiment = experiment
        self._network = copied(subject.network).to(subject.device)
        self._before = self._logits(subject.images)

    def check(self, variant: Variant, held: xr.Dataset) -> Check:
        """The variant recomputed, against what is held of its layer and seed."""
        if variant.mode:
            return self._truncation(variant, held)
        return self._perturbation(variant, held)

    def _truncation(self, variant: Variant, held: xr.Dataset) -> Check:
        held = held.sel(mode=variant.mode, threshold=variant.level)
        decomposition = decompose(self.subject.kernel(variant.layer), variant.mode)
        rank = rank_at(decomposition.spectrum, variant.level)
        norm_loss = decomposition.spectrum.norm_loss(rank) - float(held["norm_loss"])
        stored = held["schmidt_value"].sel(weights="trained").values
        spectrum = _spectral_difference(stored, decomposition.schmidt_values)
        return self._compared(
            variant,
            decomposition.truncated(rank),
            counts={name: int(held[name]) for name in ("n_correct", "n_lost", "n_gained")},
            loss=float(held["loss"]),
            rank_difference=rank - int(held["rank"]),
            norm_difference=max(abs(norm_loss), spectrum),
            held_out=_held_out(held),
        )

    def _perturbation(self, variant: Variant, held: xr.Dataset) -> Check:
        levels = tuple(held["norm_loss_level"].values.tolist())
        scope = self._experiment.scope(self.subject.seed)
        rng = generator(Controls(levels), scope, variant.layer)
        kernel = self.subject.kernel(variant.layer)
        mixed = shuffled(kernel, rng)
        drawn = {level: matched_perturbation(kernel, level, rng) for level in levels}
        cut = distinct_cuts(kernel.shape)[0]
        stored = held["schmidt_value"].sel(weights="shuffled", mode=cut.label).values
        spectrum = _spectral_difference(stored, decompose(mixed, cut).schmidt_values)
        held = held.sel(norm_loss_level=variant.level)
        return self._compared(
            variant,
            drawn[variant.level],
            counts={"n_correct": int(held["perturbed_n_correct"])},
            loss=float(held["perturbed_loss"]),
            norm_difference=spectrum,
        )

    def _compared(
        self,
        variant: Variant,
        kernel: Floats,
        *,
        counts: dict[str, int],
        loss: float,
        rank_difference: int = 0,
        norm_difference: float,
        held_out: tuple[int, int] = (0, 0),
    ) -> Check:
        n_held_out, n_right = held_out
        with substituted(self._network, {variant.layer: kernel}):
            after = self._logits(self.subject.images)
            held_out_recount = self._on_held_out(n_held_out, n_right)
        labels = self.subject.labels
        right_before, right_after = (
            logits.argmax(dim=1) == labels for logits in (self._before, after)
        )
        found = {
            "n_correct": right_after,
            "n_lost": right_before & ~right_after,
            "n_gained": right_after & ~right_before,
        }
        return Check(
            variant=variant,
            rank_difference=rank_difference,
            norm_difference=norm_difference,
            counts=Recount(
                max(abs(int(found[name].sum()) - n) for name, n in counts.items()),
                int((_near_tie(self._before) | _near_tie(after)).sum()),
            ),
            held_out=held_out_recount,
            loss_difference=(float(F.cross_entropy(after, labels)) - loss) / max(abs(loss), 1e-12),
        )

    def _on_held_out(self, n_images: int, n_right: int) -> Recount:
        if not n_images:
            return Recount(0, 0)
        if self.subject.held_out_images is None:
            raise ExperimentError(
                "the dataset counts held-out images, and the images hold out none"
            )
        images, labels = self.subject.held_out_images(n_images)
        logits = self._logits(images)
        right = int((logits.argmax(dim=1) == labels).sum())
        return Recount(abs(right - n_right), int(_near_tie(logits).sum()))

    def _logits(self, images: Tensor) -> Tensor:
        device = self.subject.device
        with torch.inference_mode(), ieee_float32():
            batches = torch.split(images, 500)
            return torch.cat([self._network(batch.to(device)).cpu() for batch in batches]).double()


def _held_out(held: xr.Dataset) -> tuple[int, int]:
    """Held-out images of a stored truncation, and how many of them are right; none uncounted."""
    if "held_out_n_correct" not in held or int(held["held_out_n_correct"]) == MISSING_INTEGER:
        return 0, 0
    return int(held["held_out_n_images"]), int(held["held_out_n_correct"])


def _spectral_difference(stored: Floats, found: Floats) -> float:
    """The greatest difference of two spectra over the largest Schmidt value."""
    return float(np.abs(stored[: len(found)] - found).max() / (found[0] or 1.0))


def _near_tie(logits: Tensor) -> Tensor:
    first, second = logits.topk(2, dim=1).values.unbind(dim=1)
    return first - second < TIE
