"""An experiment's networks: drawn, trained, kept as checkpoints, and made subjects."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from compressibility.experiments.experiment import Experiment
from compressibility.networks import architectures, checkpoints, training
from compressibility.networks.image_sets import ImageSet, LabelledImages
from compressibility.networks.kernels import find_kernels, unsupported
from compressibility.store.cache import Cache
from compressibility.store.keys import canonical_json
from compressibility.subjects import FirstImages, Subject


@dataclass(frozen=True)
class Place:
    """Where images, checkpoints and shards lie, and which device computes."""

    cache: Cache
    images: Path
    device: str


def training_json(experiment: Experiment, seed: int, images_checksum: str) -> str:
    """What a trained network comes from, as JSON."""
    settings = experiment.as_data()
    origin = {name: settings[name] for name in ("architecture", "recipe")}
    if experiment.stream is not None:
        origin["stream"] = experiment.stream
    return canonical_json(origin | {"images": images_checksum, "seed": seed})


def initial(experiment: Experiment, seed: int, images: ImageSet) -> tuple[nn.Module, Generator]:
    """The network before training, and the generator that its training goes on with."""
    generator = Generator().manual_seed(_first_number(experiment.stream, seed))
    channels = images.train.images.shape[1]
    network = architectures.initialised(
        experiment.architecture, channels, len(images.classes), generator
    )
    return network, generator


def _first_number(stream: str | None, seed: int) -> int:
    """What a seed's generator starts from: the seed itself, or a number mixed with the stream."""
    if stream is None:
        return seed
    return int.from_bytes(sha256(f"{stream} {seed}".encode()).digest()[:8], "little")


def train(
    experiment: Experiment,
    seed: int,
    images: ImageSet,
    place: Place,
    report: Callable[[training.Progress], None] = lambda _: None,
) -> None:
    """Train the network of one seed and keep its checkpoint.

    Raises:
        NumericalError: The training diverged, or its weights are beyond float16.
    """
    network, generator = initial(experiment, seed, images)
    network = training.train(
        network,
        images,
        experiment.recipe,
        generator,
        device=torch.device(place.device),
        state_file=place.cache.shards(experiment.name) / f"training-seed-{seed}.pt",
        report=report,
    )
    checkpoints.save(
        training.rounded_to_float16(network),
        place.cache.checkpoint(experiment.name, seed),
        training_json(experiment, seed, images.checksum),
    )


def trained(experiment: Experiment, seed: int, images: ImageSet, place: Place) -> nn.Module:
    """The trained network of one seed, from its checkpoint."""
    network, _ = initial(experiment, seed, images)
    return checkpoints.load(
        network,
        place.cache.checkpoint(experiment.name, seed),
        training_json(experiment, seed, images.checksum),
    )


def example(experiment: Experiment, images: ImageSet) -> tuple[nn.Module, Tensor]:
    """An untrained network of the experiment, and a batch that it takes: to find its layers."""
    network, _ = initial(experiment, experiment.seeds[0], images)
    return network.eval(), images.normalised(images.test.images[:1])


def subject(experiment: Experiment, seed: int, images: ImageSet, place: Place) -> Subject:
    """The trained network of one seed, ready to be measured."""
    network = trained(experiment, seed, images, place)
    test = images.test.first(experiment.test_images)
    inputs = images.normalised(test.images)

    def first_of(part: LabelledImages) -> FirstImages:
        def first(count: int | None) -> tuple[Tensor, Tensor]:
            chosen = part.first(count)
            return images.normalised(chosen.images), chosen.labels

        return first

    return Subject(
        network=network,
        layers=find_kernels(network, inputs[:1]),
        images=inputs,
        labels=test.labels,
        left_out=unsupported(network, inputs[:1]),
        seed=seed,
        initial=initial(experiment, seed, images)[0],
        training_images=first_of(images.train),
        held_out_images=first_of(images.held_out),
        stream=experiment.stream,
        device=place.device,
        precision=experiment.precision,
    )
