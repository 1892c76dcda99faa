"""Recomputing a random sample of a stored dataset from its networks and images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from compressibility.evaluation.arithmetic import ieee_float32
from compressibility.experiments import Experiment, ExperimentError
from compressibility.measuring import tasks
from compressibility.measuring.tasks import Place
from compressibility.networks import image_sets
from compressibility.networks.image_sets import LabelledImages
from compressibility.networks.kernels import kernel_array, substituted, weights_hash
from compressibility.store.schema import Flag
from compressibility.tensors.modes import Cut, as_kernel
from compressibility.tensors.schmidt import decompose
from compressibility.tensors.thresholds import rank_at

TIE: Final = 1e-3
"""Two top logits closer than this may change places between devices and libraries."""
LOSS_TOLERANCE: Final = 1e-4
NORM_TOLERANCE: Final = 1e-9


@dataclass(frozen=True)
class Check:
    """One stored truncation against the recomputed one."""

    seed: int
    layer: str
    mode: str
    threshold: float
    stored_rank: int
    rank: int
    norm_loss_difference: float
    count_difference: int
    """The greatest of those of correct, lost and gained images."""
    near_ties: int
    """Images whose two top logits are closer than `TIE`, before the truncation or after it."""
    loss_difference: float
    """Relative; NaN where the loss is not measured in the precision of the evaluation."""

    @property
    def holds(self) -> bool:
        """Ranks and norms are equal, counts but for near ties, losses to 1e-4 where measured."""
        return (
            self.rank == self.stored_rank
            and abs(self.norm_loss_difference) <= NORM_TOLERANCE
            and self.count_difference <= self.near_ties
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
    """Recompute ``sample`` truncations, drawn from all that are measured, by whole forward passes.

    Args:
        dataset: The stored dataset.
        experiment: What it measured.
        place: Where its checkpoints and images lie, and which device computes.
        sample: How many truncations; all, if there are fewer.
        rng: Draws them.
        report: Called with the number done and the number drawn.

    Raises:
        ExperimentError: Nothing is measured, the dataset holds other images, or a checkpoint is
            not there or not the network that was measured.
        ImagesError: The images are not here; none are downloaded.
    """
    flags = dataset["truncation_flag"].transpose("seed", "layer", "mode").values
    measured = np.argwhere(flags == Flag.MEASURED.value)
    if not len(measured):
        raise ExperimentError("nothing is measured yet, nothing to verify")
    for seed in dataset["seed"].values[np.unique(measured[:, 0])]:
        path = place.cache.checkpoint(experiment.name, int(seed))
        if not path.exists():
            raise ExperimentError(f"no network of seed {seed} at {path}: put it there to verify it")
    image_sets.require_present(experiment.images, place.images)
    tasks.require_images(dataset, experiment, place.images)
    every = [
        (seed, layer, mode, threshold)
        for seed, layer, mode in measured.tolist()
        for threshold in range(dataset.sizes["threshold"])
    ]
    chosen = sorted(rng.choice(len(every), min(sample, len(every)), replace=False).tolist())
    checks = []
    for number, index in enumerate(chosen, start=1):
        seed, layer, mode, threshold = every[index]
        held = dataset.isel(seed=seed, layer=layer, mode=mode, threshold=threshold)
        checks.append(_check(held, experiment, place))
        report(number, len(chosen))
    return checks


def _check(held: xr.Dataset, experiment: Experiment, place: Place) -> Check:
    seed, layer = int(held["seed"]), str(held["layer"].item())
    mode, threshold = str(held["mode"].item()), float(held["threshold"])
    network = tasks.trained(experiment, seed, place)
    if weights_hash(network) != str(held["weights_hash"].item()):
        path = place.cache.checkpoint(experiment.name, seed)
        raise ExperimentError(f"{path} is not the network that was measured")
    kernel = as_kernel(kernel_array(network, layer)).astype(np.float64)
    decomposition = decompose(kernel, Cut.parse(mode))
    rank = rank_at(decomposition.spectrum, threshold)
    labels = _test_images(experiment, place).labels
    before = _unchanged_logits(experiment, seed, place)
    with substituted(network, {layer: decomposition.truncated(rank)}):
        after = _logits(network, experiment, place)
    right_before, right_after = (logits.argmax(dim=1) == labels for logits in (before, after))
    counts = {
        "n_correct": right_after,
        "n_lost": right_before & ~right_after,
        "n_gained": right_after & ~right_before,
    }
    loss, stored = float(F.cross_entropy(after, labels)), float(held["loss"])
    return Check(
        seed=seed,
        layer=layer,
        mode=mode,
        threshold=threshold,
        stored_rank=int(held["rank"]),
        rank=rank,
        norm_loss_difference=decomposition.spectrum.norm_loss(rank) - float(held["norm_loss"]),
        count_difference=max(abs(int(n.sum()) - int(held[name])) for name, n in counts.items()),
        near_ties=int((_near_tie(before) | _near_tie(after)).sum()),
        loss_difference=(loss - stored) / max(abs(stored), 1e-12),
    )


def _near_tie(logits: Tensor) -> Tensor:
    first, second = logits.topk(2, dim=1).values.unbind(dim=1)
    return first - second < TIE


@lru_cache(maxsize=1)
def _unchanged_logits(experiment: Experiment, seed: int, place: Place) -> Tensor:
    return _logits(tasks.trained(experiment, seed, place), experiment, place)


def _logits(network: nn.Module, experiment: Experiment, place: Place) -> Tensor:
    """The logits of all test images, by whole forward passes in float32; returned as float64."""
    image_set = tasks.load_images(experiment, place.images)
    inputs = image_set.normalised(_test_images(experiment, place).images)
    network.to(place.device)
    with torch.inference_mode(), ieee_float32():
        logits = [network(batch.to(place.device)).cpu() for batch in torch.split(inputs, 500)]
    network.to("cpu")
    return torch.cat(logits).double()


def _test_images(experiment: Experiment, place: Place) -> LabelledImages:
    return tasks.load_images(experiment, place.images).test.first(experiment.test_images)
