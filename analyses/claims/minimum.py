"""Does re-training lead a truncated network back to the minimum that it came from?

Two claims. The first: no barrier lies between the trained network and itself truncated in every
layer and trained again. For each network a tenth of the barrier to another network, drawn anew,
minus the barrier to the recovered one: above zero, the second is less than a tenth of the first. A
barrier is the largest excess of the loss on the straight path over the line between its ends, with
batch-norm statistics estimated anew at every place; it cannot be negative, and so is held against
that of another network and not against zero. One comparison on the test images and one on the
training images. Robustness: statistics as stored. Where the control fails, and before another
network lies no higher barrier than between two re-trainings of one, nothing is said.

The second is an equivalence: the relative trace of the Hessian at the recovered network is that at
the network trained on for as long, within a factor of 1.25. The logarithm of their ratio, from the
same random directions.
"""

import math
from typing import Final

import numpy as np
import xarray as xr

from analyses.findings import Claim, Comparison, Evidence, Kind, Robustness, Told
from analyses.samples import Sample, of_networks
from analyses.words import in_words, plain, points, sureness, undetectable
from compressibility.store.arms import TRAINED_ON
from compressibility.store.paths import (
    AS_STORED,
    BETWEEN_RETRAININGS,
    ESTIMATED_ANEW,
    RECOVERED,
    STATES,
    THROUGH_TRUNCATED,
    TO_ANOTHER_NETWORK,
    TO_RECOVERED,
    TO_TRAINED_ON,
)
from compressibility.store.reading import LayerData, NotMeasuredError

SHARE: Final = 0.1
"""Of the barrier to another network."""
LOSSES: Final = {"on test images": "path_loss", "on training images": "path_training_loss"}
FACTOR: Final = 1.25
_LACKING: Final = "paths between networks have not been measured"


def on_path(
    data: LayerData, name: str, path: str, statistics: str = ESTIMATED_ANEW
) -> xr.DataArray:
    """A variable on one path, (path_point, seed); of networks without batch norm as they are.

    Raises:
        NotMeasuredError: The dataset has no such path.
    """
    values = data[name].sel(path=path, drop=True)
    chosen = values.sel(statistics=statistics, drop=True)
    if not chosen.notnull().any():
        chosen = values.sel(statistics=AS_STORED, drop=True)
    return chosen.transpose("path_point", "seed")


def barrier(values: xr.DataArray) -> xr.DataArray:
    """The largest excess over the line between the ends, (seed,), at least 0.

    Args:
        values: A loss or an error, (path_point, seed).

    Source: Frankle et al., Linear mode connectivity, arXiv 1912.05671.
    """
    at = values["path_point"]
    line = (1 - at) * values.sel(path_point=0.0) + at * values.sel(path_point=1.0)
    return (values - line).max("path_point", skipna=False)


def error(data: LayerData, path: str) -> xr.DataArray:
    """The share of test images that are wrong on a path, of 1, (path_point, seed)."""
    return 1 - on_path(data, "path_n_correct", path) / data.n_images


def _less(data: LayerData, comparison: Comparison, statistics: str) -> xr.DataArray:
    name = LOSSES[comparison.condition]
    own, another = (
        barrier(on_path(data, name, path, statistics))
        for path in (TO_RECOVERED, TO_ANOTHER_NETWORK)
    )
    return SHARE * another - own


def _difference(data: LayerData, comparison: Comparison) -> Sample:
    found = _less(data, comparison, ESTIMATED_ANEW)
    held = of_networks(found, _LACKING)
    if not control_works(data, comparison):
        raise NotMeasuredError(
            "the control fails: there is no barrier to another network either, so that none to the "
            "recovered one says nothing"
        )
    return held


def _as_stored(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    values = _less(data, comparison, AS_STORED).sel(seed=list(found.seeds)).values
    return Robustness.by_sign_flips(
        "batch-norm statistics as stored, on the line like the weights",
        values,
        "nat",
    )


def control_works(data: LayerData, comparison: Comparison) -> bool:
    """Whether another network lies beyond a barrier higher than that between re-trainings."""
    name = LOSSES[comparison.condition]
    floor, ceiling = (
        float(barrier(on_path(data, name, path)).mean())
        for path in (BETWEEN_RETRAININGS, TO_ANOTHER_NETWORK)
    )
    return ceiling > floor


def _told(evidence: Evidence) -> Told:
    data, (found, *_) = evidence.data, evidence.findings
    result = in_words(
        found,
        "A truncated network is trained back into the minimum that it came from",
        "A truncated network is trained into another minimum than the one that it came from",
        "Whether a truncated network is trained back into its minimum stays open",
    )
    heights = {path: barrier(on_path(data, "path_loss", path)).mean() for path in _TOLD}
    said = ", ".join(f"{plain(float(heights[path]))} nat {words}" for path, words in _TOLD.items())
    errors = {
        path: barrier(error(data, path)).mean() for path in (TO_RECOVERED, TO_ANOTHER_NETWORK)
    }
    through = float(barrier(on_path(data, "path_loss", THROUGH_TRUNCATED)).mean())
    return Told(
        found=f"{result}: the barrier of the test loss on the straight path is {said}; of the "
        f"error {points(float(errors[TO_RECOVERED]))} to the recovered and "
        f"{points(float(errors[TO_ANOTHER_NETWORK]))} to another network. By way of the truncated "
        f"network it is {plain(through)} nat.",
        sure=sureness(evidence.findings),
        unseen=(
            undetectable(evidence.findings),
            "Straight paths alone: a curved one may be lower. A tenth of the barrier to another "
            "network is a margin fixed beforehand, and is in the statistic.",
            *dict.fromkeys(f"{t[0].upper()}{t[1:]}." for f in evidence.findings for t in f.caveats),
        ),
    )


_TOLD: Final = {
    TO_RECOVERED: "to the recovered network",
    TO_TRAINED_ON: "to the one trained on",
    BETWEEN_RETRAININGS: "between two re-trainings of one network",
    TO_ANOTHER_NETWORK: "to another network",
}


def log_ratio(data: LayerData) -> xr.DataArray:
    """Logarithm of the relative trace at the recovered over that at the trained on, (seed,).

    Missing where one of them is not positive.
    """
    one, other = (
        data["state_relative_trace"].sel(state=state, drop=True)
        for state in (RECOVERED, TRAINED_ON)
    )
    ratio = (one / other).where((one > 0) & (other > 0))
    return ratio.copy(data=np.log(ratio.values))


def _log_ratio(data: LayerData, comparison: Comparison) -> Sample:
    found = log_ratio(data)
    if not found.notnull().any():
        raise NotMeasuredError("no trace of a Hessian is positive at both networks")
    return of_networks(found, _LACKING)


def _curvature_told(evidence: Evidence) -> Told:
    data, (found,) = evidence.data, evidence.findings
    result = in_words(
        found,
        "The minimum that the truncated network is trained into is as sharp as that of the network "
        "trained on",
        "The minimum that the truncated network is trained into is not as sharp as that of the "
        "network trained on",
        "Whether the minimum that the truncated network is trained into is as sharp as that of the "
        "network trained on stays open",
    )
    return Told(
        found=f"{result}: its relative trace is {plain(math.exp(found.estimate))} times that of "
        f"the network trained on (geometric mean). {_states(data)}",
        sure=sureness(evidence.findings),
        unseen=(
            "A factor within the margin; curvature along single directions. The truncated network "
            "is no minimum: its curvature is told, and not tested.",
            *dict.fromkeys(f"{t[0].upper()}{t[1:]}." for t in found.caveats),
        ),
    )


def _states(data: LayerData) -> str:
    """The loss, its slope and its curvature at each state, means over networks."""

    def mean(name: str, state: str) -> str:
        return plain(float(data[f"state_{name}"].sel(state=state).mean()))

    parts = [
        f"{state}: training loss {mean('training_loss', state)} nat, gradient "
        f"{mean('gradient_norm', state)}, top eigenvalue {mean('eigenvalue', state)}, relative "
        f"trace {mean('relative_trace', state)}, logits {mean('logit_norm', state)}"
        for state in STATES
    ]
    return f"Means over networks: {'; '.join(parts)}."


SAME_MINIMUM: Final = Claim(
    key="minimum",
    title="The same minimum",
    question="Is a truncated network trained back into the minimum that it came from?",
    claim="Between the trained network and itself, truncated in every layer along OUT and trained "
    "again, lies less than a tenth of the barrier to another network.",
    null="A tenth of the barrier to another network, minus the barrier to the recovered one, is "
    "symmetric about zero over networks.",
    statistic="a tenth of the loss barrier on the straight path to another network minus the "
    "barrier to the recovered network, batch-norm statistics estimated anew",
    unit="nat",
    comparisons=tuple(Comparison(TO_RECOVERED, condition=where) for where in LOSSES),
    needs=("minimum",),
    lacking=_LACKING,
    measure=_difference,
    check=_as_stored,
    tell=_told,
)
AS_SHARP: Final = Claim(
    key="minimum-curvature",
    title="As sharp a minimum",
    question="Is the minimum after truncation and re-training as sharp as without truncation?",
    claim="The relative trace of the Hessian at the recovered network is that at the network "
    "trained on for as long, within a factor of 1.25.",
    null="The ratio is beyond a factor of 1.25.",
    statistic="logarithm of the relative Hessian trace at the recovered network over that at the "
    "network trained on, from the same random directions",
    unit="(logarithm)",
    comparisons=(Comparison(RECOVERED, TRAINED_ON),),
    needs=("minimum",),
    lacking=_LACKING,
    measure=_log_ratio,
    check=lambda *_: None,
    tell=_curvature_told,
    kind=Kind.EQUIVALENCE,
    margin=math.log(FACTOR),
)
