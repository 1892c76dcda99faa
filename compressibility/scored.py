"""A network of one's own under a score of one's own: any task, any metric."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr
from torch import nn

from compressibility.errors import UserError, nearest
from compressibility.files import replaced
from compressibility.measuring.progress import Report, Step, shown
from compressibility.networks.copies import copied
from compressibility.networks.kernels import (
    Example,
    Kernel,
    find_kernels,
    kernel_array,
    substituted,
    weights_hash,
)
from compressibility.networks.refusals import KINDS
from compressibility.store.cuts import MODES
from compressibility.tensors.modes import Cut, distinct_cuts
from compressibility.tensors.schmidt import SchmidtDecomposition, decompose, stored_parameters
from compressibility.tensors.thresholds import THRESHOLDS, ranks_at, require_thresholds

Score = Callable[[nn.Module], float]
"""From a network, in evaluation mode, to a number; the same number for the same network."""

_DIMS: Final = ("layer", "mode", "threshold")


class ScoreError(UserError):
    """A score that is no number, or another one when asked again; the message says what it was."""


def scores(
    network: nn.Module,
    example: Example,
    score: Score,
    *,
    kinds: Sequence[str] = tuple(KINDS),
    layers: Sequence[str] | None = None,
    cuts: Sequence[str] = MODES,
    thresholds: Sequence[float] = THRESHOLDS,
    out: Path | str | None = None,
    report: Report | None = None,
) -> xr.Dataset:
    """What a score says of a network with each layer truncated along each cut, one at a time.

    The score runs the network as it likes, whole: on any data, for any task. It is asked once for
    each distinct truncation, and twice for the network as it is, which has to score alike.

    Args:
        network: Any network; it is copied and left as it is.
        example: What it is called with once, to find its layers.
        score: Called with the network, in evaluation mode, on the device that it is on.
        kinds: Of layers, out of `compressibility.networks.refusals.KINDS`; all by default.
        layers: Which of them; all by default.
        cuts: Labels of the cuts.
        thresholds: Allowed norm losses, in [0, 1); 0 keeps full rank: the control.
        out: A netCDF file that is written after each layer; what it holds of this network is not
            asked for again.
        report: Called with every step; progress on stderr by default.

    Returns:
        ``score``, ``norm_loss``, ``compression_ratio`` (float64) and ``rank`` (int64), (layer,
        mode, threshold), NaN and -1 for a cut that a kernel does not have or that equals an earlier
        one; ``baseline_score`` (). Opens in xarray as it is.

    Raises:
        ScoreError: The score is no finite number, or changes between two calls.
        UserError: A layer, kind, cut or threshold is unknown, or ``out`` is of another network,
            grid or score.

    >>> import torch
    >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> data = torch.randn(9, 3)
    >>> found = scores(
    ...     network, data, lambda n: n(data).var().item(), thresholds=(0.0, 0.2), report=print
    ... )
    Step(done=0, total=2, in_hand=('0',), training=None, note='')
    Step(done=1, total=2, in_hand=('2',), training=None, note='')
    Step(done=2, total=2, in_hand=(), training=None, note='')
    >>> full = found["score"].sel(layer="0", mode="OUT", threshold=0)
    >>> bool(abs(full / found["baseline_score"] - 1) < 1e-5)
    True
    """
    require_thresholds(thresholds)
    copy = copied(network).eval()
    chosen = _chosen(find_kernels(copy, example, kinds=kinds), layers)
    labels = [mode for mode in MODES if mode in {Cut.parse(cut).label for cut in cuts}]
    baseline = _asked(score, copy, "the network as it is")
    if (again := _asked(score, copy, "the network as it is")) != baseline:
        raise ScoreError(
            f"the score of the network as it is changes between two calls, {baseline:g} and "
            f"{again:g}: fix its random numbers and its data"
        )
    dataset = _blank(copy, chosen, labels, thresholds, baseline)
    file = None if out is None else Path(out)
    if file is not None and file.exists():
        _take_over(file, dataset)
    with shown("scores") if report is None else nullcontext(report) as tell:
        for done, kernel in enumerate(chosen):
            tell(Step(done, len(chosen), (kernel.layer,)))
            place = dataset.sel(layer=kernel.layer)
            if bool((place["rank"] >= 0).any()):
                continue
            for mode, found in _along(copy, kernel, labels, thresholds, score):
                for name, values in found.items():
                    dataset[name].loc[{"layer": kernel.layer, "mode": mode}] = values
            if file is not None:
                with replaced(file) as aside:
                    dataset.to_netcdf(aside, engine="netcdf4")
        tell(Step(len(chosen), len(chosen), ()))
    return dataset


def _chosen(found: Sequence[Kernel], layers: Sequence[str] | None) -> tuple[Kernel, ...]:
    known = [kernel.layer for kernel in found]
    if not known:
        raise UserError("the network has no layer that can be measured")
    for layer in layers or ():
        if layer not in known:
            raise UserError(f"no measurable layer {layer!r}: {nearest(layer, known)}")
    return tuple(kernel for kernel in found if layers is None or kernel.layer in layers)


def _asked(score: Score, network: nn.Module, what: str) -> float:
    try:
        value = float(score(network))
    except (TypeError, ValueError) as error:
        raise ScoreError(f"the score of {what} is no number: {error}") from error
    if not math.isfinite(value):
        raise ScoreError(f"the score of {what} is {value}: give one that is finite")
    return value


def _along(
    network: nn.Module,
    kernel: Kernel,
    modes: Sequence[str],
    thresholds: Sequence[float],
    score: Score,
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The values of one layer along each of its cuts."""
    layer = kernel.layer
    array = kernel_array(network, layer)
    for cut in distinct_cuts(kernel.shape):
        if cut.label not in modes:
            continue
        decomposition = decompose(array, cut)
        ranks = ranks_at(decomposition.spectrum, thresholds)
        by_rank = {
            rank: _scored(network, layer, decomposition, rank, score)
            for rank in sorted(set(ranks.tolist()), reverse=True)
        }
        stored = [stored_parameters(kernel.shape, cut.label, rank) for rank in ranks.tolist()]
        yield (
            cut.label,
            {
                "score": np.array([by_rank[rank] for rank in ranks.tolist()]),
                "rank": ranks,
                "norm_loss": decomposition.spectrum.norm_losses[ranks - 1],
                "compression_ratio": kernel.parameters / np.array(stored),
            },
        )


def _scored(
    network: nn.Module, layer: str, decomposition: SchmidtDecomposition, rank: int, score: Score
) -> float:
    what = f"the network with {layer} truncated along {decomposition.cut.label} to rank {rank}"
    with substituted(network, {layer: decomposition.truncated(rank)}):
        return _asked(score, network, what)


def _blank(
    network: nn.Module,
    kernels: Sequence[Kernel],
    modes: Sequence[str],
    thresholds: Sequence[float],
    baseline: float,
) -> xr.Dataset:
    shape = (len(kernels), len(modes), len(thresholds))
    return xr.Dataset(
        {
            "score": (_DIMS, np.full(shape, np.nan), {"long_name": "score"}),
            "rank": (_DIMS, np.full(shape, -1, np.int64), {"units": "1"}),
            "norm_loss": (_DIMS, np.full(shape, np.nan), {"units": "1"}),
            "compression_ratio": (_DIMS, np.full(shape, np.nan), {"units": "1"}),
            "baseline_score": ((), baseline, {"long_name": "score of the network as it is"}),
        },
        {
            "layer": [kernel.layer for kernel in kernels],
            "mode": list(modes),
            "threshold": list(thresholds),
        },
        {"weights_hash": weights_hash(network)},
    )


def _take_over(file: Path, dataset: xr.Dataset) -> None:
    """Put what a file holds of the same network, grid and score into a blank dataset.

    Raises:
        UserError: The file is of another network, grid or score, or no such file.
    """
    try:
        with xr.open_dataset(file, engine="netcdf4") as opened:
            held = opened.load()
        same = {
            "network": held.attrs.get("weights_hash") == dataset.attrs["weights_hash"],
            "grid": all(
                held[name].values.tolist() == dataset[name].values.tolist()
                for name in ("mode", "threshold")
            ),
            "score": float(held["baseline_score"]) == float(dataset["baseline_score"]),
        }
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{file} holds no scores ({error}): choose another file") from error
    if others := [what for what, is_same in same.items() if not is_same]:
        raise UserError(
            f"{file} holds the scores of another {' and '.join(others)}: choose another file, or "
            "move it away"
        )
    for layer in [each for each in held["layer"].values.tolist() if each in dataset["layer"]]:
        for name in ("score", "rank", "norm_loss", "compression_ratio"):
            dataset[name].loc[{"layer": layer}] = held[name].sel(layer=layer)
