"""The jobs of a measurement, a network trained or one quantity of it measured, and their bench."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr

from compressibility.errors import NumericalError
from compressibility.experiments import networks
from compressibility.experiments.experiment import Experiment, ExperimentError
from compressibility.experiments.networks import Place
from compressibility.networks import devices
from compressibility.networks.architectures import Architecture
from compressibility.networks.image_sets import ImageSet
from compressibility.networks.training import Progress
from compressibility.quantities.network import Network
from compressibility.quantities.quantity import (
    FLOAT32,
    Quantity,
    Scope,
    Values,
    divided_along,
    generator,
)
from compressibility.store import keys, layout, netcdf, provenance
from compressibility.store.provenance import TaskProvenance
from compressibility.subjects import Subject


@dataclass(frozen=True)
class Training:
    """The training of one seed's network."""

    experiment: Experiment
    seed: int

    def __str__(self) -> str:
        """Such as ``seed 3 · training``."""
        return f"seed {self.seed} · training"


@dataclass(frozen=True)
class Task:
    """One quantity of one seed.

    ``part`` is the layer, or the label along another dimension, of a quantity that is measured
    part by part; it is empty for one that is measured whole.
    """

    experiment: Experiment
    seed: int
    quantity: Quantity
    part: str = ""

    def __str__(self) -> str:
        """Such as ``seed 3 · stage2.conv · truncation``."""
        return " · ".join(filter(None, (f"seed {self.seed}", self.part, self.quantity.table)))


def content_key(
    quantity: Quantity, scope: Scope, part: str, *, weights: str, images_checksum: str
) -> str:
    """SHA-256 of all that a task's values depend on: weights, images and settings."""
    settings = {
        "group": quantity.table,
        "revision": quantity.revision,
        "weights": weights,
        "images": images_checksum,
        divided_along(quantity) or "layer": part,
        **quantity.settings(scope),
    }
    if scope.stream is not None:
        settings["stream"] = scope.stream
    return keys.content_key(settings, {})


class Bench:
    """The image set and the subject in hand: one of each, for as long as they are asked for."""

    def __init__(self, place: Place) -> None:
        """Nothing is in hand yet."""
        self.place = place
        self._images: tuple[tuple[str, Architecture], ImageSet] | None = None
        self._subject: tuple[Experiment, int, Subject] | None = None

    def images(
        self, experiment: Experiment, report: Callable[[int, int], None] = lambda *_: None
    ) -> ImageSet:
        """The experiment's images; CIFAR is downloaded where it is not there.

        Of a folder's files ``report`` is told how many are read, of how many.
        """
        asked = experiment.images, experiment.architecture
        if self._images is None or self._images[0] != asked:
            self._images = asked, networks.images(experiment, self.place.images, report)
        return self._images[1]

    def subject(self, experiment: Experiment, seed: int) -> Subject:
        """The trained network of one seed, from its checkpoint."""
        if self._subject is None or self._subject[:2] != (experiment, seed):
            self._subject = None
            found = networks.subject(experiment, seed, self.images(experiment), self.place)
            self._subject = (experiment, seed, found)
        return self._subject[2]

    def require_network(self, experiment: Experiment, seed: int) -> Path:
        """The checkpoint of one seed.

        Raises:
            ExperimentError: It is not there.
        """
        path = self.place.cache.checkpoint(experiment.name, seed)
        if not path.exists():
            raise ExperimentError(f"no network of seed {seed} at {path}: put it there")
        return path

    def measured(self, dataset: xr.Dataset, experiment: Experiment, seed: int) -> Subject:
        """The network of one seed that a dataset has measured.

        Raises:
            ExperimentError: The checkpoint is not there, or is of another network.
        """
        path = self.require_network(experiment, seed)
        subject = self.subject(experiment, seed)
        if subject.weights_hash != str(dataset["weights_hash"].sel(seed=seed).item()):
            raise ExperimentError(
                f"{path} is not the network that was measured: put that one there"
            )
        return subject

    def require_images(self, experiment: Experiment, checksum: str) -> None:
        """Refuse other images than those that a dataset was measured on.

        Raises:
            ExperimentError: The experiment's images are others.
        """
        here = self.images(experiment).checksum
        if here != checksum:
            apart = (
                "give the folder another name, which the dataset then has too"
                if experiment.images != experiment.images_name
                else "measure these in another cache, with COMPRESSIBILITY_CACHE"
            )
            raise ExperimentError(
                f"{experiment.name} was measured on other images than those of "
                f"{experiment.images} here (SHA-256 {checksum[:12]}… and {here[:12]}…): put those "
                f"back, or {apart}"
            )

    def perform(
        self,
        job: Training | Task,
        key: str,
        report: Callable[[Progress], None] = lambda _: None,
    ) -> str:
        """Do one job and keep what comes of it: a checkpoint, or the shard of content ``key``.

        Returns:
            Why it failed for a numerical reason; empty where it did not. A task that failed is
            kept as such.
        """
        if isinstance(job, Training):
            return self._train(job, report)
        subject = self.subject(job.experiment, job.seed)
        scope = job.experiment.scope(job.seed)
        shard, failure = measured(job.quantity, subject, scope, job.part, key=key)
        path = self.place.cache.shards(job.experiment.name) / f"{key}.nc"
        netcdf.save_shard(shard, path)
        return failure

    def _train(self, job: Training, report: Callable[[Progress], None]) -> str:
        image_set = self.images(job.experiment)
        try:
            networks.train(job.experiment, job.seed, image_set, self.place, report)
        except NumericalError as error:
            return str(error)
        return ""

    def failed_training(self, job: Training, failure: str) -> tuple[Task, str, xr.Dataset]:
        """A training that diverged, as the failed baseline of its seed: task, key and shard."""
        images = self.images(job.experiment)
        origin = networks.training_json(job.experiment, job.seed, images.checksum)
        key = keys.content_key({"training": origin}, {})
        network = Network()
        shard = layout.shard(
            network.table,
            {"seed": job.seed},
            {},
            coordinates={},
            provenance=here(self.place.device, key=key, precision=FLOAT32, failure=failure),
        )
        return Task(job.experiment, job.seed, network), key, shard


def measured(
    quantity: Quantity, subject: Subject, scope: Scope, part: str, *, key: str
) -> tuple[xr.Dataset, str]:
    """The shard of a task, and why it failed for a numerical reason; empty where it did not."""
    values: Values = {}
    failure = ""
    try:
        values = quantity.measure(subject, part, generator(quantity, scope, part))
    except (NumericalError, np.linalg.LinAlgError) as error:
        failure = str(error) or type(error).__name__
    shard = layout.shard(
        quantity.table,
        {"seed": scope.seed} | ({along: part} if (along := divided_along(quantity)) else {}),
        values,
        coordinates={"layer": [kernel.layer for kernel in subject.layers]}
        | dict(quantity.coordinates()),
        provenance=here(
            subject.device,
            key=key,
            precision=quantity.precision(subject, part),
            failure=failure,
        ),
    )
    return shard, failure


def here(device: str, *, key: str, precision: str, failure: str = "") -> TaskProvenance:
    """Where the values of a task come from that is done here and now."""
    name = provenance.device_name(devices.kind(device), devices.accelerator(device))
    return TaskProvenance.here(key, name, precision, failure=failure)


def perform(job: Training | Task, place: Place, key: str) -> str:
    """`Bench.perform` in another process, which keeps one bench for all its jobs."""
    return _bench(place).perform(job, key)


@lru_cache(maxsize=1)
def _bench(place: Place) -> Bench:
    return Bench(place)
