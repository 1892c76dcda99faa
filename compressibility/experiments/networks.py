"""An experiment's networks: drawn and trained, or given; kept as checkpoints, made subjects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from compressibility.experiments.experiment import Experiment, ExperimentError
from compressibility.networks import architectures, checkpoints, image_sets, training
from compressibility.networks.checkpoints import CheckpointError
from compressibility.networks.image_sets import ImageSet, LabelledImages
from compressibility.networks.imported import Imported
from compressibility.networks.kernels import find_kernels, unsupported, weights_hash
from compressibility.store.cache import Cache
from compressibility.store.keys import canonical_json
from compressibility.subjects import FirstImages, Subject


@dataclass(frozen=True)
class Place:
    """Where images, checkpoints and shards lie, and which device computes."""

    cache: Cache
    images: Path
    device: str


def images(
    experiment: Experiment, directory: Path, report: Callable[[int, int], None] = lambda *_: None
) -> ImageSet:
    """The experiment's images; CIFAR is downloaded into ``directory`` where it is not there.

    Of a folder's files ``report`` is told how many are read, of how many.

    Raises:
        ImagesError: They are not there, or cannot be read as they are meant.
    """
    if isinstance(experiment.architecture, Imported):
        preprocessing = experiment.architecture.preprocessing
        return image_sets.evaluation_folder(Path(experiment.images), preprocessing, report)
    return image_sets.load(experiment.images, directory, report)


def training_json(experiment: Experiment, seed: int, images_checksum: str) -> str:
    """What a trained network comes from, as JSON; of one that was trained elsewhere, itself."""
    architecture = experiment.architecture
    if isinstance(architecture, Imported):
        return canonical_json(
            {"builder": architecture.builder, "weights": architecture.weights_sha256[seed]}
        )
    settings = experiment.as_data()
    origin = {name: settings[name] for name in ("architecture", "recipe")}
    if experiment.stream is not None:
        origin["stream"] = experiment.stream
    return canonical_json(origin | {"images": images_checksum, "seed": seed})


def initial(experiment: Experiment, seed: int, images: ImageSet) -> tuple[nn.Module, Generator]:
    """The network before training, and the generator that its training goes on with.

    Raises:
        ExperimentError: The network was trained elsewhere.
    """
    if isinstance(experiment.architecture, Imported):
        raise ExperimentError(f"{experiment.name} was trained elsewhere: its beginning is unknown")
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
        ExperimentError: The network was trained elsewhere.
        NumericalError: The training diverged, or its weights are beyond float16.
    """
    if experiment.recipe is None:
        raise ExperimentError(
            f"no weights at {place.cache.checkpoint(experiment.name, seed)}: give them again, with "
            "`compressibility measure --model … --weights …`"
        )
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


def keep(networks: Sequence[nn.Module], experiment: Experiment, place: Place) -> None:
    """Keep the checkpoints of networks that were trained elsewhere, exactly as they are.

    Raises:
        WriteError: It cannot be written.
    """
    for seed, network in zip(experiment.seeds, networks, strict=True):
        path = place.cache.checkpoint(experiment.name, seed)
        if not path.exists():
            checkpoints.save(network, path, training_json(experiment, seed, ""), dtype=None)


def trained(experiment: Experiment, seed: int, images: ImageSet, place: Place) -> nn.Module:
    """The trained network of one seed, from its checkpoint.

    Raises:
        BuilderError: It was trained elsewhere, and cannot be built.
        CheckpointError: The checkpoint is damaged, or not of this network.
    """
    elsewhere = isinstance(experiment.architecture, Imported)
    path = place.cache.checkpoint(experiment.name, seed)
    network = checkpoints.load(
        _untrained(experiment, seed, images),
        path,
        training_json(experiment, seed, images.checksum),
        "and give the weights again" if elsewhere else "to train anew",
    )
    if (
        isinstance(experiment.architecture, Imported)
        and weights_hash(network) != experiment.architecture.weights_sha256[seed]
    ):
        raise CheckpointError(
            f"{experiment.architecture.builder} builds another network than it did: with the "
            f"weights in {path} its buffers are not those that were measured; take that version"
        )
    return network


def example(experiment: Experiment, images: ImageSet) -> tuple[nn.Module, Tensor]:
    """An untrained network of the experiment, and a batch that it takes: to find its layers."""
    network = _untrained(experiment, experiment.seeds[0], images)
    return network.eval(), images.normalised(images.test.images[:1])


def _untrained(experiment: Experiment, seed: int, images: ImageSet) -> nn.Module:
    """A network of the experiment whose weights are not those that are measured."""
    if isinstance(experiment.architecture, Imported):
        return experiment.architecture.build(images.test.images.shape[1], len(images.classes))
    return initial(experiment, seed, images)[0]


def subject(experiment: Experiment, seed: int, images: ImageSet, place: Place) -> Subject:
    """The trained network of one seed, ready to be measured."""
    network = trained(experiment, seed, images, place)
    elsewhere = isinstance(experiment.architecture, Imported)
    test = images.test.first(experiment.test_images)
    inputs = images.normalised(test.images)

    def first_of(part: LabelledImages) -> FirstImages:
        def first(count: int | None) -> tuple[Tensor, Tensor]:
            chosen = part.first(count)
            return images.normalised(chosen.images), chosen.labels

        return first

    return Subject(
        network=network,
        layers=find_kernels(network, inputs[:1], kinds=experiment.kinds),
        images=inputs,
        labels=test.labels,
        left_out=unsupported(network, inputs[:1], kinds=experiment.kinds),
        seed=seed,
        initial=None if elsewhere else initial(experiment, seed, images)[0],
        training_images=first_of(images.train),
        held_out_images=first_of(images.held_out),
        stream=experiment.stream,
        device=place.device,
        precision=experiment.precision,
    )
