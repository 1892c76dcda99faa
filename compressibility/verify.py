"""Recomputing a random sample of a stored dataset from its networks and images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import xarray as xr
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from compressibility import tasks
from compressibility.experiments import Experiment, ExperimentError
from compressibility.networks.kernels import kernel_array, substituted, weights_hash
from compressibility.store.schema import Flag
from compressibility.tasks import Place
from compressibility.tensors.modes import Cut, as_kernel
from compressibility.tensors.truncation import decompose, rank_at

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
    stored_n_correct: int
    n_correct: int
    near_ties: int
    loss_difference: float
    """Relative."""

    @property
    def holds(self) -> bool:
        """Ranks and norms are equal, counts but for near ties, losses to 1e-4."""
        return (
            self.rank == self.stored_rank
            and abs(self.norm_loss_difference) <= NORM_TOLERANCE
            and abs(self.n_correct - self.stored_n_correct) <= self.near_ties
            and abs(self.loss_difference) <= LOSS_TOLERANCE
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
        ExperimentError: Nothing is measured, or a checkpoint is not there or not the network
            that was measured.
    """
    flags = dataset["truncation_flag"].transpose("seed", "layer", "mode").values
    measured = np.argwhere(flags == Flag.MEASURED.value)
    if not len(measured):
        raise ExperimentError(f"{experiment.name}: nothing is measured yet, nothing to verify")
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
    path = place.cache.checkpoint(experiment.name, seed)
    if not path.exists():
        raise ExperimentError(f"no network of seed {seed} at {path}: put it there to verify it")
    network = tasks.trained(experiment, seed, place)
    if weights_hash(network) != str(held["weights_hash"].item()):
        raise ExperimentError(f"{path} is not the network that was measured")
    kernel = as_kernel(kernel_array(network, layer)).astype(np.float64)
    decomposition = decompose(kernel, Cut.parse(mode))
    rank = rank_at(decomposition.spectrum, threshold)
    image_set = tasks.load_images(experiment, place.images)
    test = image_set.test.first(experiment.test_images)
    network.to(place.device)
    with substituted(network, {layer: decomposition.truncated(rank)}), torch.inference_mode():
        batches = torch.split(image_set.normalised(test.images), 500)
        logits = torch.cat([network(batch.to(place.device)).cpu() for batch in batches]).double()
    network.to("cpu")
    top = logits.topk(2, dim=1).values
    loss, stored = float(F.cross_entropy(logits, test.labels)), float(held["loss"])
    return Check(
        seed=seed,
        layer=layer,
        mode=mode,
        threshold=threshold,
        stored_rank=int(held["rank"]),
        rank=rank,
        norm_loss_difference=decomposition.spectrum.norm_loss(rank) - float(held["norm_loss"]),
        stored_n_correct=int(held["n_correct"]),
        n_correct=int((logits.argmax(dim=1) == test.labels).sum()),
        near_ties=int((top[:, 0] - top[:, 1] < TIE).sum()),
        loss_difference=(loss - stored) / max(abs(stored), 1e-12),
    )
