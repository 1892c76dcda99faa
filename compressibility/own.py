"""A network of one's own on images of one's own: its spectra, and its measurement."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from hashlib import sha256

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from compressibility.errors import UserError, nearest
from compressibility.evaluation import Evaluator, Precision
from compressibility.measuring.progress import Report, Step, shown
from compressibility.measuring.tasks import content_key, measured
from compressibility.networks.devices import resolve
from compressibility.networks.kernels import Kernel, find_kernels, kernel_array, unsupported
from compressibility.networks.refusals import KINDS
from compressibility.quantities import cuts
from compressibility.quantities.controls import Controls
from compressibility.quantities.network import Network
from compressibility.quantities.quantity import Quantity, Scope, coordinates, divided_along
from compressibility.quantities.truncations import Truncation
from compressibility.store import layout
from compressibility.store.cuts import MODES
from compressibility.store.provenance import attributes, history_line
from compressibility.subjects import Subject
from compressibility.tensors.spectra import Spectrum
from compressibility.tensors.thresholds import THRESHOLDS


def spectra(
    network: nn.Module, example: Tensor, *, kinds: Sequence[str] = tuple(KINDS)
) -> xr.Dataset:
    """The Schmidt values of every kernel of a network along every cut.

    Args:
        network: Any network that takes one tensor.
        example: A batch that it takes.
        kinds: Of layers, out of `compressibility.networks.refusals.KINDS`; all by default.

    Returns:
        ``schmidt_value`` (layer, mode, schmidt_index), NaN beyond the last and for cuts that a
        kernel does not have; ``entropy``, in nats, and ``stable_rank`` (layer, mode).

    >>> import torch
    >>> network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3))
    >>> found = spectra(network, torch.zeros(1, 3, 8, 8))
    >>> bool(found["entropy"].sel(layer="2", mode="OUT") < np.log(32))
    True
    """
    layers = [kernel.layer for kernel in _kernels(network, example, kinds)]
    tables = [
        cuts.schmidt_values(kernel_array(network, layer).astype(np.float64)) for layer in layers
    ]
    values = np.full((len(layers), len(MODES), max(t.shape[1] for t in tables)), np.nan)
    entropy, stable_rank = (np.full(values.shape[:2], np.nan) for _ in range(2))
    for number, table in enumerate(tables):
        values[number, :, : table.shape[1]] = table
        for mode, column in enumerate(table):
            if (present := column[np.isfinite(column)]).size:
                spectrum = Spectrum(present)
                entropy[number, mode] = spectrum.entropy
                stable_rank[number, mode] = spectrum.stable_rank
    return xr.Dataset(
        {
            "schmidt_value": (("layer", "mode", "schmidt_index"), values),
            "entropy": (("layer", "mode"), entropy, {"units": "nat"}),
            "stable_rank": (("layer", "mode"), stable_rank, {"units": "1"}),
        },
        {"layer": layers, "mode": list(MODES), "schmidt_index": np.arange(values.shape[2]) + 1},
    )


def measure(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    name: str = "own",
    kinds: Sequence[str] = tuple(KINDS),
    layers: Sequence[str] | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision = "float32",
    report: Report | None = None,
) -> xr.Dataset:
    """Truncate every layer of a network along every cut; count the images that it still gets.

    Beside the truncations stand the spectra of the shuffled weights and the matched random
    perturbation. The dataset is that of the named experiments, of one network.

    Args:
        network: It is copied and left as it is.
        images: As the network takes them, float32, shape (N, C, H, W).
        labels: Their classes, int64, shape (N,).
        name: What the dataset tells of the network; not empty.
        kinds: Of layers, as for `spectra`.
        layers: Which of them; all by default.
        thresholds: Allowed norm losses, ascending, from 0.
        seed: Number of the network among its like, and of its random numbers.
        device: Which device computes.
        precision: The arithmetic behind a replaced layer.
        report: Called with every step; progress on stderr by default.

    Returns:
        A layer dataset, which `compressibility.store.save` keeps. Its history tells which layers
        were measured by whole forward passes, and why.

    Raises:
        UserError: A layer is unknown, or the images, labels or network cannot be evaluated.
    """
    _require_grid(thresholds)
    if not name:
        raise UserError("the dataset needs a name: give one that tells of the network")
    device = resolve(device)
    Evaluator(network, images, labels, device=device, precision=precision)  # refuses bad input
    found = _kernels(network, images[:1], kinds)
    chosen = _chosen(found, layers)
    unasked = [kernel.layer for kernel in found if kernel not in chosen]
    subject = Subject(
        network=network,
        layers=chosen,
        left_out=unsupported(network, images[:1], kinds=kinds)
        | dict.fromkeys(unasked, "it was not asked for"),
        images=images,
        labels=labels,
        seed=seed,
        device=device,
        precision=precision,
    )
    levels = tuple(level for level in thresholds if level > 0)
    quantities = (
        Network(),
        Truncation(tuple(thresholds)),
        Controls(levels, initial=False),
    )
    digest = sha256()
    for tensor in (images, labels):
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy().tobytes())
    dataset = layout.blank(
        chosen,
        seeds=(seed,),
        coordinates=coordinates(quantities),
        tables=[quantity.table for quantity in quantities],
        attributes=attributes(
            title=name,
            experiment={
                "name": name,
                "images": "own",
                "seeds": [seed],
                "plans": {plan.table: asdict(plan) for plan in quantities[1:]},
            },
            images_checksum=digest.hexdigest(),
            left_out=subject.left_out,
            n_classes=max(2, len(set(labels.tolist()))),
            event=f"measure {name} from Python",
        ),
    )
    dataset["n_images"][...] = len(labels)
    scope = Scope(seed)
    tasks: list[tuple[Quantity, str]] = [
        (quantity, layer)
        for quantity in quantities
        for layer in ([k.layer for k in chosen] if divided_along(quantity) else [""])
    ]
    with shown(name) if report is None else nullcontext(report) as tell:
        for done, (quantity, layer) in enumerate(tasks):
            tell(Step(done, len(tasks), (f"{layer} · {quantity.table}".strip(" ·"),)))
            key = content_key(
                quantity,
                scope,
                layer,
                weights=subject.weights_hash,
                images_checksum=digest.hexdigest(),
            )
            shard, _ = measured(quantity, subject, scope, layer, key=key)
            layout.merge(dataset, shard)
        tell(Step(len(tasks), len(tasks), ()))
    told = [history_line(note) for note in subject.evaluator.notes.values()]
    dataset.attrs["history"] = "\n".join([dataset.attrs["history"], *told])
    return dataset


def _require_grid(thresholds: Sequence[float]) -> None:
    grid = list(thresholds)
    if not grid or grid[0] != 0 or grid != sorted(set(grid)) or grid[-1] >= 1:
        raise UserError(
            f"thresholds {grid} are no grid of allowed norm losses: give ascending ones from 0, "
            "which is the control, to below 1"
        )


def _kernels(network: nn.Module, example: Tensor, kinds: Sequence[str]) -> tuple[Kernel, ...]:
    """Every measurable kernel of some kinds; at least one."""
    for what, given, wanted in (
        ("network", network, nn.Module),
        ("example", example, Tensor),
    ):
        if not isinstance(given, wanted):
            raise UserError(
                f"the {what} is of type {type(given).__name__}: give a {wanted.__name__}"
            )
    found = find_kernels(network, example, kinds=kinds)
    if not found:
        raise UserError(f"the network has no {' or '.join(kinds)} that can be measured")
    return found


def _chosen(found: Sequence[Kernel], layers: Sequence[str] | None) -> tuple[Kernel, ...]:
    if layers is None:
        return tuple(found)
    if isinstance(layers, str) or not layers:
        raise UserError(f"layers {layers!r} are no list of layers: give at least one, in a list")
    known = [kernel.layer for kernel in found]
    for layer in layers:
        if layer not in known:
            raise UserError(f"no measurable layer {layer!r}: {nearest(layer, known)}")
    return tuple(kernel for kernel in found if kernel.layer in layers)
