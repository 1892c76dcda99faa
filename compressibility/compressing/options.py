"""What can take a layer's place: truncations that plain layers realise, and their costs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import ceil
from typing import Final, Literal, TypeAlias

import numpy as np
import xarray as xr

from compressibility.compressing.cost import Cost
from compressibility.errors import UserError
from compressibility.networks.copies import copied
from compressibility.networks.image_sizes import ImageSizes, image_sizes
from compressibility.networks.input_covariance import patch_covariances
from compressibility.store.reading import LayerData, NotMeasuredError
from compressibility.subjects import Subject
from compressibility.tensors.arrays import Floats
from compressibility.tensors.chains import Chain
from compressibility.tensors.factors import Factors
from compressibility.tensors.schmidt import decompose
from compressibility.tensors.whitened import covariance_seen, whitened

COVARIANCE_IMAGES = 1_024
"""Of so many training images is the covariance of what a layer sees, at most."""
LARGEST_PATCH = 8_192
"""Entries of the largest patches of which a covariance is taken: it has 512 MiB."""

Metric: TypeAlias = Literal["weights", "outputs"]
METRICS: Final[tuple[Metric, ...]] = ("outputs", "weights")
"""What a truncation of a rank changes least: what the layer gives for its inputs, or its kernel.

Of two that cost and lose alike the first is tried.
"""


@dataclass(frozen=True)
class Option:
    """One layer as it is, or truncated along a cut to a rank.

    Attributes:
        layer: Module path.
        cut: Label of the cut; empty for the layer as it is.
        metric: What the truncation changes least.
        rank: Components kept; 0 for the layer as it is.
        cost: Of the kernel, or of the two small kernels that realise the truncation.
        loss: Share of the held-out images that the network loses, less those it gains, with this
            layer alone truncated.
    """

    layer: str
    cut: str
    metric: Metric
    rank: int
    cost: Cost
    loss: float

    @property
    def is_dense(self) -> bool:
        """Whether the layer stays as it is."""
        return not self.cut


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: its decompositions along the cuts that plain layers realise, and its options.

    Attributes:
        options: The first is the layer as it is.
        decompositions: By the label of the cut and the metric.
    """

    options: tuple[Option, ...]
    decompositions: Mapping[tuple[str, Metric], Factors]

    def chain(self, option: Option) -> Chain:
        """The two small kernels of an option that is not the layer as it is."""
        return self.decompositions[option.cut, option.metric].chain(option.rank)

    def kernel(self, option: Option) -> Floats:
        """The kernel that they stand for."""
        return self.decompositions[option.cut, option.metric].truncated(option.rank)


def layers_of(
    data: LayerData,
    subject: Subject,
    *,
    multiple_of: int = 1,
    excluded: Sequence[str] = (),
) -> dict[str, Layer]:
    """Every layer of a network with all that can take its place.

    A truncation is an option where two plain layers realise it with fewer parameters and with
    fewer multiply-accumulates than the layer has (never above break-even). Layers that are not
    measured, as in a measurement that was stopped or was of some layers alone, stay as they are.

    Args:
        data: The dataset that has measured the network, held-out counts included.
        subject: The network.
        multiple_of: Ranks are raised to a multiple of it.
        excluded: Patterns (``*`` and ``?``) of layers that stay as they are.

    Raises:
        UserError: A pattern fits no layer, or the multiple is below 1.
        NotMeasuredError: The dataset has no held-out counts of this network.
    """
    if multiple_of < 1:
        raise UserError(f"ranks cannot be multiples of {multiple_of}: give 1 or more")
    names = [kernel.layer for kernel in subject.layers]
    for pattern in excluded:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(
                f"the pattern {pattern!r} fits no layer: they are {', '.join(names[:10])}"
                + (" …" if len(names) > 10 else "")
            )
    losses = held_out_losses(data, subject.seed)
    sizes = image_sizes(subject.network, subject.images[:1], names)
    fixed = {name for name in names if any(fnmatchcase(name, each) for each in excluded)}
    fixed |= set(unmeasured(data, subject.seed))
    free = [name for name in names if name not in fixed]
    patches = covariances(subject, free)
    found = {}
    for kernel in subject.layers:
        name = kernel.layer
        dense = Option(name, "", "weights", 0, Cost(kernel.parameters, kernel.macs), 0.0)
        ranks = data["rank"].sel(layer=name, seed=subject.seed)
        cuts = [cut for cut in data.modes if np.isfinite(ranks.sel(mode=cut)).any()]
        decompositions = (
            decompositions_of(subject.kernel(name), cuts, patches.get(name)) if name in free else {}
        )
        options = [dense]
        for (cut, metric), decomposition in decompositions.items():
            options += _along(
                decomposition,
                metric,
                dense,
                ranks.sel(mode=cut),
                losses[metric].sel(layer=name, mode=cut),
                sizes[name],
                groups=kernel.groups,
                multiple_of=multiple_of,
            )
        found[name] = Layer(tuple(options), decompositions)
    return found


def covariances(subject: Subject, layers: Iterable[str]) -> dict[str, Floats]:
    """The `patch_covariances` of some layers, over the first `COVARIANCE_IMAGES` training images.

    None without training images, and none of a layer whose patches are above `LARGEST_PATCH`.
    """
    if subject.training_images is None:
        return {}
    images, _ = subject.training_images(COVARIANCE_IMAGES)
    network = copied(subject.network).to(subject.device)
    patches = {kernel.layer: kernel.parameters // kernel.shape[0] for kernel in subject.layers}
    small = [layer for layer in layers if patches[layer] <= LARGEST_PATCH]
    return patch_covariances(network, images.to(subject.device), small)


def decompositions_of(
    kernel: Floats, cuts: Iterable[str], patches: Floats | None
) -> dict[tuple[str, Metric], Factors]:
    """A kernel along those of some cuts that two plain layers realise, in each metric.

    Args:
        kernel: Shape (out, in, kh, kw).
        cuts: Their labels.
        patches: What the layer sees, shape (in, kh, kw, in, kh, kw); None for the metric of the
            weights alone.
    """
    plain = {cut: decompose(kernel, cut) for cut in cuts}
    plain = {cut: each for cut, each in plain.items() if all(n == 1 for n in each.chain(1).repeats)}
    found: dict[tuple[str, Metric], Factors] = {(cut, "weights"): plain[cut] for cut in plain}
    if patches is not None:
        for cut, each in plain.items():
            found[cut, "outputs"] = whitened(each, covariance_seen(patches, each.cut))
    return found


def unmeasured(data: LayerData, seed: int) -> list[str]:
    """The layers of a network of which there are no counts on held-out images."""
    missing = ~(data["held_out_n_images"].sel(seed=seed) > 0)
    return [str(layer) for layer in missing["layer"].values[missing.values]]


def held_out_losses(data: LayerData, seed: int) -> dict[Metric, xr.DataArray]:
    """Share of the held-out images lost, less those gained, (layer, mode, threshold), by metric.

    What was not measured in the metric of the outputs, on as many images, is taken to be as in
    that of the weights.

    Raises:
        NotMeasuredError: The dataset has no held-out counts of this network.
    """
    if not data.has_table("held_out") or len(unmeasured(data, seed)) == len(data.layers):
        raise NotMeasuredError(
            f"nothing is known of seed {seed} on images held out of training, and ranks cannot be "
            "chosen on the test images without spoiling them: measure the experiment again with "
            "held-out images (`compressibility measure`)"
        )
    plain = -data.held_out_accuracy_change.sel(seed=seed)
    if not data.has_table("whitened"):
        return {"weights": plain, "outputs": plain}
    images, right, found = (
        data[name].sel(seed=seed)
        for name in (
            "held_out_n_images",
            "held_out_baseline_n_correct",
            "whitened_held_out_n_correct",
        )
    )
    alike = data["whitened_n_held_out"].sel(seed=seed) == images
    outputs = ((right - found) / images).where(alike)
    return {"weights": plain, "outputs": outputs.fillna(plain)}


def _along(
    decomposition: Factors,
    metric: Metric,
    dense: Option,
    ranks: xr.DataArray,
    losses: xr.DataArray,
    sizes: Sequence[ImageSizes],
    *,
    groups: int,
    multiple_of: int,
) -> list[Option]:
    """The options along one cut below break-even, by descending rank, each rank once.

    A rank that is raised has the loss of the highest measured rank that is raised to it.
    """
    found: dict[int, Option] = {}
    for rank, loss in sorted(
        zip(ranks.values.tolist(), losses.values.tolist(), strict=True), reverse=True
    ):
        raised = multiple_of * ceil(rank / multiple_of)
        if raised <= decomposition.size and raised not in found:
            chain = decomposition.chain(raised)
            macs = sum(chain.macs(s.outputs, inputs=s.inputs, groups=groups) for s in sizes)
            cut = decomposition.cut.label
            cost = Cost(chain.parameters, macs)
            found[raised] = Option(dense.layer, cut, metric, raised, cost, loss)
    return [option for option in found.values() if option.cost.is_below(dense.cost)]
