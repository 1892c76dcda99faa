"""What can take a layer's place: truncations that plain layers realise, and their costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import ceil

import numpy as np
import xarray as xr

from compressibility.errors import UserError
from compressibility.networks.image_sizes import ImageSizes, image_sizes
from compressibility.store.reading import LayerData, NotMeasuredError
from compressibility.subjects import Subject
from compressibility.tensors.chains import Chain
from compressibility.tensors.schmidt import SchmidtDecomposition, decompose


@dataclass(frozen=True)
class Option:
    """One layer as it is, or truncated along a cut to a rank.

    Attributes:
        layer: Module path.
        cut: Label of the cut; empty for the layer as it is.
        rank: Schmidt values kept; 0 for the layer as it is.
        parameters: Entries of the kernel, or of the two small kernels that realise it.
        macs: Multiply-accumulates of those for one image.
        loss: Share of the held-out images that the network loses, less those it gains, with this
            layer alone truncated.
    """

    layer: str
    cut: str
    rank: int
    parameters: int
    macs: int
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
        decompositions: By the label of the cut.
    """

    options: tuple[Option, ...]
    decompositions: Mapping[str, SchmidtDecomposition]

    def chain(self, option: Option) -> Chain:
        """The two small kernels of an option that is not the layer as it is."""
        return self.decompositions[option.cut].chain(option.rank)


def layers_of(
    data: LayerData,
    subject: Subject,
    *,
    multiple_of: int = 1,
    excluded: Sequence[str] = (),
) -> dict[str, Layer]:
    """Every measured layer of a network with all that can take its place.

    A truncation is an option where two plain layers realise it with fewer parameters and with
    fewer multiply-accumulates than the layer has (never above break-even).

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
    found = {}
    for kernel in subject.layers:
        dense = Option(kernel.layer, "", 0, kernel.parameters, kernel.macs, 0.0)
        if any(fnmatchcase(kernel.layer, pattern) for pattern in excluded):
            found[kernel.layer] = Layer((dense,), {})
            continue
        of_layer = losses.sel(layer=kernel.layer)
        ranks = data["rank"].sel(layer=kernel.layer, seed=subject.seed)
        decompositions, options = {}, [dense]
        for cut in data.modes:
            if not np.isfinite(ranks.sel(mode=cut)).any():
                continue
            decomposition = decompose(subject.kernel(kernel.layer), cut)
            if any(repeats > 1 for repeats in decomposition.chain(1).repeats):
                continue
            decompositions[cut] = decomposition
            options += [
                option
                for option in _along(
                    decomposition,
                    kernel.layer,
                    ranks.sel(mode=cut),
                    of_layer.sel(mode=cut),
                    sizes[kernel.layer],
                    groups=kernel.groups,
                    multiple_of=multiple_of,
                )
                if option.parameters < dense.parameters and option.macs < dense.macs
            ]
        found[kernel.layer] = Layer(tuple(options), decompositions)
    return found


def held_out_losses(data: LayerData, seed: int) -> xr.DataArray:
    """Share of the held-out images lost, less those gained, (layer, mode, threshold).

    Raises:
        NotMeasuredError: The dataset has no held-out counts of this network.
    """
    if not data.has_table("held_out") or not (data["held_out_n_images"].sel(seed=seed) > 0).all():
        raise NotMeasuredError(
            f"nothing is known of seed {seed} on images held out of training, and ranks cannot be "
            "chosen on the test images without spoiling them: measure the experiment again with "
            "held-out images (`compressibility measure`)"
        )
    return -data.held_out_accuracy_change.sel(seed=seed)


def _along(
    decomposition: SchmidtDecomposition,
    layer: str,
    ranks: xr.DataArray,
    losses: xr.DataArray,
    sizes: Sequence[ImageSizes],
    *,
    groups: int,
    multiple_of: int,
) -> list[Option]:
    """The options along one cut, by descending rank, each rank once.

    A rank that is raised has the loss of the highest measured rank that is raised to it.
    """
    highest = len(decomposition.spectrum)
    found: dict[int, Option] = {}
    for rank, loss in sorted(
        zip(ranks.values.tolist(), losses.values.tolist(), strict=True), reverse=True
    ):
        raised = multiple_of * ceil(rank / multiple_of)
        if raised <= highest and raised not in found:
            chain = decomposition.chain(raised)
            macs = sum(chain.macs(s.outputs, inputs=s.inputs, groups=groups) for s in sizes)
            cut = decomposition.cut.label
            found[raised] = Option(layer, cut, raised, chain.parameters, macs, loss)
    return list(found.values())
