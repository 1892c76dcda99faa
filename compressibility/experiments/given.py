"""Networks of one's own as an experiment: trained elsewhere, measured on a folder of images."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from compressibility.errors import ForeignError, foreign
from compressibility.experiments.experiment import Experiment, ExperimentError, folder_of
from compressibility.networks.given_weights import given, read_weights
from compressibility.networks.image_sets import ImageSet, Preprocessing
from compressibility.networks.imported import Imported, built_by
from compressibility.networks.kernels import evaluation_mode, weights_hash
from compressibility.networks.refusals import KINDS
from compressibility.quantities.controls import Controls
from compressibility.quantities.held_out import HeldOut
from compressibility.quantities.joint import Joint
from compressibility.quantities.quantity import Quantity
from compressibility.quantities.truncations import Truncation
from compressibility.store.keys import content_key

PLANS: Final[tuple[Quantity, ...]] = (Truncation(), HeldOut(), Controls(initial=False), Joint())
"""What needs neither the network before training nor its training images."""


def own_network(
    builder: str, weights: Sequence[Path], images: Path, preprocessing: Preprocessing
) -> tuple[Experiment, tuple[nn.Module, ...]]:
    """The experiment of networks that were trained elsewhere, and the networks.

    It is named for the folder, the function and the content: other networks have another name.

    Args:
        builder: ``module:function`` of a function without arguments that returns the network.
        weights: Of each network, in the order of the seeds, a file of safetensors or a state dict
            saved by ``torch.save``.
        images: A folder with a sub-folder for each class.
        preprocessing: How images are brought to the networks.

    Raises:
        BuilderError: The function builds no network.
        ExperimentError: There is no such folder, it is named like an image set, or two files hold
            one network.
        WeightsError: The weights cannot be read or do not fit.
    """
    folder = folder_of(images)
    networks = tuple(given(built_by(builder), read_weights(file), file) for file in weights)
    hashes = tuple(map(weights_hash, networks))
    for number, sha256 in enumerate(hashes):
        if (first := hashes.index(sha256)) < number:
            raise ExperimentError(
                f"{weights[first]} and {weights[number]} hold one network, which would count "
                "twice: give each network once"
            )
    architecture = Imported(builder, hashes, preprocessing)
    content = content_key({"builder": builder, "weights": architecture.weights_sha256}, {})
    function = re.sub(r"\W", "_", builder.partition(":")[2])
    name = f"{folder.name}-{function}-{content[:8]}"
    experiment = Experiment(
        name=name,
        title=f"{builder} with {', '.join(file.name for file in weights)} on {folder.name}",
        images=str(folder),
        architecture=architecture,
        recipe=None,
        seeds=tuple(range(len(networks))),
        plans=PLANS,
        kinds=tuple(KINDS),
        stream=name,
    )
    return experiment, networks


def require_takes(network: nn.Module, images: ImageSet) -> str:
    """Refuse a network that does not take the images, or tells fewer classes than they have.

    Returns:
        What is to be told of the classes; empty where the network tells just as many.

    Raises:
        ExperimentError: With what it takes or tells.
    """
    batch = images.normalised(images.test.images[:2])
    taken = f"images of shape {tuple(batch.shape[1:])}"
    try:
        with foreign(), evaluation_mode(network), torch.no_grad():
            outputs = network(batch)
    except ForeignError as error:
        raise ExperimentError(
            f"the network does not take {taken}: {error}; --size gives another one"
        ) from error
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != len(batch):
        told = (
            f"of shape {tuple(outputs.shape)}"
            if isinstance(outputs, Tensor)
            else f"of type {type(outputs).__name__}"
        )
        raise ExperimentError(
            f"the network answers {len(batch)} {taken} {told}: it has to give a tensor (images, "
            "classes)"
        )
    n_outputs, n_classes = outputs.shape[1], len(images.classes)
    if n_outputs < n_classes:
        raise ExperimentError(
            f"the network tells {n_outputs} classes, and {images.name} has {n_classes}: give the "
            "images of its classes"
        )
    if n_outputs > n_classes:
        return (
            f"the network tells {n_outputs} classes: those of the {n_classes} folders, sorted, are "
            f"taken to be its first {n_classes}"
        )
    return ""
