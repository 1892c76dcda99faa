"""What one task measures: a group of variables, of one network or of one of its layers."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import xarray as xr
from torch import Generator, nn

from compressibility.evaluation import Evaluation, Evaluator, Truncations
from compressibility.experiments import Experiment, ExperimentError, HessianPlan
from compressibility.networks import architectures, checkpoints, devices, image_sets, training
from compressibility.networks.curvature import (
    Batches,
    hessian_trace,
    layer_curvature,
    top_eigenvalues,
)
from compressibility.networks.image_sets import ImageSet
from compressibility.networks.kernels import Kernel, find_kernels, kernel_array, weights_hash
from compressibility.store import keys, provenance
from compressibility.store.cache import Cache
from compressibility.store.layout import blank, cut_flags
from compressibility.store.migration import with_plans
from compressibility.store.schema import FLOAT32, TABLES, Flag
from compressibility.tensors.modes import as_kernel, distinct_cuts
from compressibility.tensors.perturbations import matched_perturbation, shuffled
from compressibility.tensors.schmidt import compression_ratio, decompose
from compressibility.tensors.spectra import spectrum
from compressibility.tensors.thresholds import ranks_at


class Group(Enum):
    """Variables that one task measures together: a table of the dataset."""

    NETWORK = "network"
    TRUNCATION = "truncation"
    CONTROLS = "controls"
    HESSIAN = "hessian"
    CURVATURE = "curvature"

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions along which tasks of this group are independent."""
        return TABLES[self.value].per


# A group's number is part of its content key: raise it when its values change their meaning.
_REVISION: Final = dict.fromkeys(Group, 1) | {Group.HESSIAN: 2}


@dataclass(frozen=True)
class Place:
    """Where images, checkpoints and shards lie, and which device computes."""

    cache: Cache
    images: Path
    device: str


@dataclass(frozen=True)
class Task:
    """One group of one seed; ``layer`` is empty for groups of the whole network."""

    experiment: Experiment
    seed: int
    group: Group
    layer: str = ""

    def __str__(self) -> str:
        """Such as ``seed 3 · stage2.conv · truncation``."""
        return " · ".join(filter(None, (f"seed {self.seed}", self.layer, self.group.value)))


def content_key(task: Task, weights: str, images_checksum: str) -> str:
    """SHA-256 of all that the task's values depend on: weights, images and settings."""
    experiment = task.experiment
    settings: dict[str, Any] = {
        "group": task.group.value,
        "revision": _REVISION[task.group],
        "weights": weights,
        "images": images_checksum,
        "layer": task.layer,
    }
    match task.group:
        case Group.NETWORK:
            settings["test_images"] = experiment.test_images
        case Group.TRUNCATION:
            settings["test_images"] = experiment.test_images
            settings["thresholds"] = experiment.thresholds
        case Group.CONTROLS:
            settings["test_images"] = experiment.test_images
            settings["norm_loss_levels"] = experiment.norm_loss_levels
            settings["seed"] = task.seed
        case Group.HESSIAN:
            settings["plan"] = asdict(_plan(experiment))
            settings["seed"] = task.seed
        case Group.CURVATURE:
            settings["plan"] = asdict(_plan(experiment))
            settings["thresholds"] = experiment.thresholds
            settings["seed"] = task.seed
    return keys.content_key(settings, {})


def training_json(experiment: Experiment, seed: int, images_checksum: str) -> str:
    """What a trained network comes from, as JSON."""
    settings = experiment.as_data()
    return keys.canonical_json(
        {
            "architecture": settings["architecture"],
            "recipe": settings["recipe"],
            "images": images_checksum,
            "seed": seed,
        }
    )


def train(
    experiment: Experiment,
    seed: int,
    place: Place,
    report: Callable[[training.Progress], None] = lambda _: None,
) -> None:
    """Train the network of one seed and keep its checkpoint."""
    image_set = load_images(experiment, place.images)
    network, generator = initial(experiment, seed, image_set)
    state = place.cache.shards(experiment.name) / f"training-seed-{seed}.pt"
    network = training.train(
        network,
        image_set,
        experiment.recipe,
        generator,
        device=torch.device(place.device),
        state_file=state,
        report=report,
    )
    checkpoints.save(
        training.rounded_to_float16(network),
        place.cache.checkpoint(experiment.name, seed),
        training_json(experiment, seed, image_set.checksum),
    )


def measure(task: Task, place: Place, key: str) -> xr.Dataset:
    """The shard of a task: a dataset of its seed and layer with the group's variables."""
    experiment = task.experiment
    network = trained(experiment, task.seed, place)
    shard = template(experiment, (task.seed,), place)
    if task.layer:
        shard = shard.sel(layer=[task.layer])
    match task.group:
        case Group.NETWORK:
            _fill_network(shard, task, place, network)
        case Group.TRUNCATION:
            _fill_truncation(shard, task, place, network)
        case Group.CONTROLS:
            _fill_controls(shard, task, place, network)
        case Group.HESSIAN:
            _fill_hessian(shard, task, place, network)
        case Group.CURVATURE:
            _fill_curvature(shard, task, place, network)
    shard[f"{task.group.value}_key"][:] = key
    shard[f"{task.group.value}_device"][:] = provenance.device_name(
        devices.kind(place.device), devices.accelerator(place.device)
    )
    shard[f"{task.group.value}_precision"][:] = _precision(task, place)
    shard[f"{task.group.value}_commit"][:] = provenance.here()
    shard[f"{task.group.value}_versions"][:] = keys.canonical_json(provenance.library_versions())
    return shard


def require_images(dataset: xr.Dataset, experiment: Experiment, directory: Path) -> None:
    """Refuse other images than those that a dataset was measured on.

    Raises:
        ExperimentError: The experiment's images are others.
    """
    held, here = dataset.attrs["images_checksum"], load_images(experiment, directory).checksum
    if here != held:
        apart = (
            "give the folder another name, which the dataset then has too"
            if Path(experiment.images).is_dir()
            else "measure these in another cache, with COMPRESSIBILITY_CACHE"
        )
        raise ExperimentError(
            f"{experiment.name} was measured on other images than those of {experiment.images} "
            f"here (SHA-256 {held[:12]}… and {here[:12]}…): put those back, or {apart}"
        )


@lru_cache(maxsize=1)
def load_images(experiment: Experiment, directory: Path) -> ImageSet:
    """The experiment's images; CIFAR is downloaded where it is not there."""
    return image_sets.load(experiment.images, directory)


def initial(experiment: Experiment, seed: int, image_set: ImageSet) -> tuple[nn.Module, Generator]:
    """The network before training, and the generator that its training goes on with."""
    generator = Generator().manual_seed(seed)
    channels = image_set.train.images.shape[1]
    network = architectures.initialised(
        experiment.architecture, channels, len(image_set.classes), generator
    )
    return network, generator


@lru_cache(maxsize=1)
def trained(experiment: Experiment, seed: int, place: Place) -> nn.Module:
    """The trained network of one seed, from its checkpoint."""
    image_set = load_images(experiment, place.images)
    network, _ = initial(experiment, seed, image_set)
    return checkpoints.load(
        network,
        place.cache.checkpoint(experiment.name, seed),
        training_json(experiment, seed, image_set.checksum),
    )


@lru_cache(maxsize=1)
def find_layers(experiment: Experiment, directory: Path) -> tuple[Kernel, ...]:
    """The convolutions of the experiment's network, in forward order."""
    image_set = load_images(experiment, directory)
    network, _ = initial(experiment, 0, image_set)
    return find_kernels(network, image_set.normalised(image_set.test.images[:1]))


def grid(experiment: Experiment) -> dict[str, Sequence[float]]:
    """The coordinates that the experiment chooses, by dimension."""
    plan = experiment.hessian
    chosen: dict[str, Sequence[float]] = {
        "threshold": experiment.thresholds,
        "norm_loss_level": experiment.norm_loss_levels,
    }
    if plan is not None:
        chosen["direction"] = range(1, 1 + plan.directions)
        chosen["eigenvalue_index"] = range(1, 1 + plan.eigenvalues)
    return chosen


def template(experiment: Experiment, seeds: tuple[int, ...], place: Place) -> xr.Dataset:
    """The experiment's dataset of these seeds, with nothing measured yet."""
    image_set = load_images(experiment, place.images)
    layers = find_layers(experiment, place.images)
    unplanned = () if experiment.hessian else (Group.HESSIAN, Group.CURVATURE)
    dataset = blank(
        layers,
        seeds=seeds,
        coordinates=grid(experiment),
        tables=[group.value for group in Group if group not in unplanned],
        attributes=provenance.attributes(
            title=experiment.title,
            experiment=with_plans(experiment.as_data()) | {"images": experiment.images},
            images_checksum=image_set.checksum,
            event=f"measure {experiment.name}",
        ),
    )
    dataset["n_images"][...] = len(image_set.test.first(experiment.test_images))
    return dataset


@lru_cache(maxsize=1)
def _evaluator(experiment: Experiment, seed: int, place: Place) -> Evaluator:
    image_set = load_images(experiment, place.images)
    test = image_set.test.first(experiment.test_images)
    return Evaluator(
        trained(experiment, seed, place),
        image_set.normalised(test.images),
        test.labels,
        device=torch.device(place.device),
        precision=experiment.precision,
    )


def _precision(task: Task, place: Place) -> str:
    """The arithmetic in which the task's evaluations ran."""
    if task.group not in (Group.TRUNCATION, Group.CONTROLS):
        return FLOAT32
    return _evaluator(task.experiment, task.seed, place).precision_behind(task.layer)


def _plan(experiment: Experiment) -> HessianPlan:
    if experiment.hessian is None:
        raise ValueError(f"{experiment.name} plans no Hessian")
    return experiment.hessian


def _generator(task: Task) -> np.random.Generator:
    """A generator of the task's own, the same in every run."""
    return np.random.default_rng(
        [task.seed, list(Group).index(task.group), *task.layer.encode("utf-8")]
    )


def _fill_network(shard: xr.Dataset, task: Task, place: Place, network: nn.Module) -> None:
    baseline = _evaluator(task.experiment, task.seed, place).baseline
    shard["weights_hash"][:] = weights_hash(network)
    shard["baseline_n_correct"][:] = baseline.n_correct
    shard["baseline_accuracy"][:] = baseline.n_correct / int(shard["n_images"])
    shard["baseline_loss"][:] = baseline.loss
    shard["network_flag"][:] = Flag.MEASURED.value


def _fill_truncation(shard: xr.Dataset, task: Task, place: Place, network: nn.Module) -> None:
    kernel = as_kernel(kernel_array(network, task.layer)).astype(np.float64)
    evaluator = _evaluator(task.experiment, task.seed, place)
    shard["truncation_flag"][:] = cut_flags(kernel.shape)[None, :, None]
    shard["kernel_norm"].loc[{"weights": "trained"}] = np.linalg.norm(kernel)
    decompositions = [decompose(kernel, cut) for cut in distinct_cuts(kernel.shape)]
    truncations = [
        Truncations(each, ranks_at(each.spectrum, task.experiment.thresholds).tolist())
        for each in decompositions
    ]
    evaluations = evaluator.variants(task.layer, truncations)
    for truncation, answers in zip(truncations, evaluations, strict=True):
        cut, values = truncation.decomposition.cut, truncation.decomposition.spectrum
        _place_schmidt_values(shard, "trained", cut.label, values.schmidt_values)
        columns = _truncated_columns(kernel, truncation) | _columns(answers)
        columns["accuracy"] = [n / int(shard["n_images"]) for n in columns["n_correct"]]
        for name, column in columns.items():
            shard[name].loc[{"mode": cut.label}] = np.asarray(column).reshape(1, -1, 1)


def _truncated_columns(kernel: np.ndarray, truncation: Truncations) -> dict[str, list[float]]:
    """What is known of each truncation without evaluating it."""
    decomposition, ranks = truncation.decomposition, truncation.ranks
    values, norm = decomposition.spectrum, float(np.linalg.norm(kernel))
    errors = {
        rank: float(np.linalg.norm(kernel - decomposition.truncated(rank))) / (norm or 1.0)
        for rank in set(ranks)
    }
    return {
        "rank": list(ranks),
        "norm_loss": [values.norm_loss(rank) for rank in ranks],
        "relative_error": [errors[rank] for rank in ranks],
        "correlation_loss": [values.correlation_loss(rank) for rank in ranks],
        "compression_ratio": [
            compression_ratio(kernel.shape, decomposition.cut, rank) for rank in ranks
        ],
    }


def _fill_controls(shard: xr.Dataset, task: Task, place: Place, network: nn.Module) -> None:
    image_set = load_images(task.experiment, place.images)
    untrained, _ = initial(task.experiment, task.seed, image_set)
    kernel = as_kernel(kernel_array(network, task.layer)).astype(np.float64)
    generator = _generator(task)
    controls = {
        "initial": as_kernel(kernel_array(untrained, task.layer)).astype(np.float64),
        "shuffled": shuffled(kernel, generator),
    }
    for weights, control in controls.items():
        shard["kernel_norm"].loc[{"weights": weights}] = np.linalg.norm(control)
        for cut in distinct_cuts(kernel.shape):
            _place_schmidt_values(shard, weights, cut.label, spectrum(control, cut).schmidt_values)
    perturbed = [
        matched_perturbation(kernel, level, generator) for level in task.experiment.norm_loss_levels
    ]
    columns = _columns(_evaluator(task.experiment, task.seed, place).kernels(task.layer, perturbed))
    shard["perturbed_n_correct"][0, :, 0] = columns["n_correct"]
    shard["perturbed_loss"][0, :, 0] = columns["loss"]
    shard["controls_flag"][:] = Flag.MEASURED.value


def _fill_hessian(shard: xr.Dataset, task: Task, place: Place, network: nn.Module) -> None:
    plan, generator = _plan(task.experiment), _generator(task)
    batches = _training_batches(task, place)
    layers = [str(layer) for layer in shard["layer"].values]
    top = top_eigenvalues(network, layers, batches, plan.eigenvalues, generator)
    trace = hessian_trace(network, layers, batches, plan.directions, generator)
    shard["hessian_eigenvalue"][:, 0] = top.eigenvalues
    shard["hessian_eigenvalue_residual"][:, 0] = top.residuals
    shard["hessian_trace"][:] = trace.value
    shard["hessian_trace_standard_error"][:] = trace.standard_error
    shard["hessian_flag"][:] = Flag.MEASURED.value


def _fill_curvature(shard: xr.Dataset, task: Task, place: Place, network: nn.Module) -> None:
    plan = _plan(task.experiment)
    kernel = as_kernel(kernel_array(network, task.layer)).astype(np.float64)
    truncations = []
    for cut in distinct_cuts(kernel.shape):
        decomposition = decompose(kernel, cut)
        ranks = ranks_at(decomposition.spectrum, task.experiment.thresholds)
        truncations += [
            (cut.label, rank, decomposition.truncated(rank) - kernel)
            for rank in np.unique(ranks[ranks < len(decomposition.spectrum)])
        ]
    directions = np.array([direction for *_, direction in truncations])
    curvature = layer_curvature(
        network,
        task.layer,
        _training_batches(task, place),
        directions.reshape(-1, *kernel.shape),
        plan.directions,
        _generator(task),
    )
    along = shard["directional_curvature"]
    flags = shard["directional_curvature_flag"]
    along_rank = {
        (mode, rank): value
        for (mode, rank, _), value in zip(truncations, curvature.directional, strict=True)
    }
    flags[:] = cut_flags(kernel.shape)[None, :, None, None]
    for cut in distinct_cuts(kernel.shape):
        ranks = ranks_at(spectrum(kernel, cut), task.experiment.thresholds)
        values = np.array([along_rank.get((cut.label, rank), np.nan) for rank in ranks])
        along.loc[{"mode": cut.label}] = values.reshape(1, -1, 1)
        nowhere = np.where(np.isnan(values), Flag.NO_DIRECTION.value, Flag.MEASURED.value)
        flags.loc[{"mode": cut.label}] = nowhere.reshape(1, -1, 1)
    shard["random_directional_curvature"][0, :, 0] = curvature.random
    shard["hessian_layer_eigenvalue"][:] = curvature.eigenvalue
    shard["hessian_layer_trace"][:] = curvature.trace.value
    shard["hessian_layer_trace_standard_error"][:] = curvature.trace.standard_error
    shard["curvature_flag"][:] = Flag.MEASURED.value


def _training_batches(task: Task, place: Place) -> Batches:
    """The first training images of the experiment's plan, as one batch."""
    image_set = load_images(task.experiment, place.images)
    first = image_set.train.first(_plan(task.experiment).images)
    return [(image_set.normalised(first.images), first.labels)]


def _columns(evaluations: list[Evaluation]) -> dict[str, list[float]]:
    names = ("n_correct", "n_lost", "n_gained", "loss")
    return {name: [getattr(e, name) for e in evaluations] for name in names}


def _place_schmidt_values(
    shard: xr.Dataset, weights: str, mode: str, schmidt_values: np.ndarray
) -> None:
    where = shard["schmidt_value"].loc[{"weights": weights, "mode": mode}]
    where[0, 0, : len(schmidt_values)] = schmidt_values
