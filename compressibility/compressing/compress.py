"""The network of a recipe: built, trained on if asked for, compared, and written to a folder."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import Generator, nn

from compressibility.compressing import card, figure, folder
from compressibility.compressing.comparison import Comparison, compared
from compressibility.compressing.measured import Measured
from compressibility.compressing.options import covariances, decompositions_of
from compressibility.compressing.realised import Judge, realised
from compressibility.compressing.recipe import CompressionRecipe, RecipeError, Truncated
from compressibility.errors import UserError, nearest
from compressibility.files import write_whole
from compressibility.networks.copies import copied
from compressibility.networks.training import Progress, Recipe, train
from compressibility.store.keys import content_key
from compressibility.tensors.arrays import Floats
from compressibility.tensors.chains import Chain
from compressibility.tensors.modes import Cut

FINE_TUNING_RATE: Final = 0.2
"""Share of the experiment's peak learning rate that fine-tuning peaks at."""


@dataclass(frozen=True)
class Compressed:
    """A compressed network and what was measured of it.

    Attributes:
        network: On the CPU, in evaluation mode.
        comparison: Dense against compressed.
        not_written: What the folder lacks, by name, and why.
    """

    network: nn.Module
    comparison: Comparison
    not_written: dict[str, str]


def chains_of(recipe: CompressionRecipe, measured: Measured) -> dict[str, Chain]:
    """The small kernels that a recipe puts in the place of layers.

    Raises:
        RecipeError: The recipe is of another network or of other images, or a layer or rank of it
            is not there.
    """
    subject = measured.subject
    for what, told, here in (
        ("network", recipe.weights_hash, subject.weights_hash),
        ("images", recipe.images_checksum, measured.images_checksum),
    ):
        if told != here:
            raise RecipeError(
                f"the recipe is of other {what} (SHA-256 {told[:12]}…, here {here[:12]}…): of "
                f"{recipe.experiment}, seed {recipe.seed}; ask `compressibility advise` for one of "
                "this dataset"
            )
    known = [kernel.layer for kernel in subject.layers]
    for layer in recipe.layers:
        if layer not in known:
            raise RecipeError(f"the recipe truncates {layer!r}: {nearest(layer, known)}")
    of_outputs = [layer for layer, each in recipe.layers.items() if each.metric == "outputs"]
    patches = covariances(subject, of_outputs) if of_outputs else {}
    return {
        layer: _chain(layer, each, subject.kernel(layer), patches.get(layer))
        for layer, each in recipe.layers.items()
    }


def _chain(layer: str, each: Truncated, kernel: Floats, patches: Floats | None) -> Chain:
    cut = Cut.parse(each.cut).label
    decompositions = decompositions_of(kernel, (cut,), patches)
    if not decompositions:
        raise RecipeError(
            f"cut {each.cut} of {layer}: two plain layers do not realise it; choose another"
        )
    if (cut, each.metric) not in decompositions:
        raise RecipeError(
            f"{layer} is truncated in the metric of its {each.metric}, for which training images "
            "are needed: there are none"
        )
    decomposition = decompositions[cut, each.metric]
    if each.rank > decomposition.size:
        raise RecipeError(
            f"rank {each.rank} exceeds the {decomposition.size} Schmidt values of cut {each.cut} "
            f"of {layer}"
        )
    return decomposition.chain(each.rank)


def fine_tuning(measured: Measured, epochs: int) -> Recipe | None:
    """How a compressed network is trained on: as the experiment's, but milder; None without epochs.

    Raises:
        UserError: The epochs are negative, or the network was trained elsewhere.
    """
    if epochs < 0:
        raise UserError(f"{epochs} epochs of fine-tuning: give 0 or more")
    if not epochs:
        return None
    recipe = measured.experiment.recipe
    if recipe is None:
        raise UserError(
            f"--epochs {epochs}: {measured.experiment.name} was trained elsewhere, by a recipe "
            "that is not known here; leave --epochs out, train what `compressibility.load` gives, "
            "as you trained the network"
        )
    rate = FINE_TUNING_RATE * recipe.peak_learning_rate
    return replace(recipe, epochs=epochs, peak_learning_rate=rate)


def compress(
    measured: Measured,
    recipe: CompressionRecipe,
    out: Path,
    *,
    epochs: int = 0,
    batch: int = 1,
    state_folder: Path,
    report: Callable[[str, Progress | None], None] = lambda *_: None,
) -> Compressed:
    """Build the network of a recipe, compare it with the dense one, and write it to a folder.

    The test images are asked once, at the end.

    Args:
        measured: The network.
        recipe: What is truncated.
        out: The folder, which must not be there, or be empty.
        epochs: Of fine-tuning; its state is kept after each, and it goes on from there.
        batch: Images of the batch that is timed.
        state_folder: Where that state is kept.
        report: Called with what is begun, and with every epoch.

    Raises:
        RecipeError: The recipe does not fit.
        NumericalError: Fine-tuning diverges.
        WriteError: The folder cannot be written.
    """
    subject, images = measured.subject, measured.images
    tuning = fine_tuning(measured, epochs)
    with folder.written(out) as aside:
        report("building the network", None)
        network = realised(subject, chains_of(recipe, measured))
        if tuning is not None:
            content = {"recipe": recipe.json(), "epochs": epochs}
            network = train(
                network,
                images,
                tuning,
                Generator().manual_seed(subject.seed),
                device=torch.device(subject.device),
                state_file=state_folder / f"fine-tuning-{content_key(content, {})[:16]}.pt",
                report=lambda progress: report("fine-tuning", progress),
            )
        network = network.to(subject.device).eval()
        report("asking the test images", None)
        judge = Judge(subject, subject.images, subject.labels)
        judgements = judge.dense, judge.judge(network)
        report("timing", None)
        dense = copied(subject.network).to(subject.device).eval()
        batch_of_images = subject.images[:batch].to(subject.device)
        comparison = compared((dense, network), judgements, batch_of_images)
        report("exporting", None)
        network = network.cpu()
        not_written = folder.save(
            network, aside, lambda sha: _config(measured, recipe, sha), subject.images[:2].clone()
        )
        recipe.save(aside / "recipe.json")
        path = aside / "front.svg"
        if not figure.drawn(recipe.front, path, measure=recipe.measure, comparison=comparison):
            not_written[path.name] = "matplotlib is not installed"
        text = card.text(measured, recipe, comparison, tuning, not_written)
        write_whole(aside / "README.md", text.encode())
    return Compressed(network, comparison, not_written)


def _config(measured: Measured, recipe: CompressionRecipe, sha256: str) -> folder.Config:
    images = measured.images
    mean, deviation = (tuple(moment.flatten().tolist()) for moment in images.moments)
    channels, height, width = images.test.images.shape[1:]
    return folder.Config(
        architecture=measured.experiment.architecture,
        classes=images.classes,
        input=folder.Input((channels, height, width), mean, deviation, images.maximum),
        layers=recipe.layers,
        weights_sha256=sha256,
    )
