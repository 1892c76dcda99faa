"""Does truncating all layers at once cost the sum of what truncating each alone costs?

Exploratory, beside the paper's questions. Statistic: for each network the change of test loss with
all measured layers truncated along OUT to one threshold, minus the sum over layers of the changes
with that layer alone truncated so, in nats, averaged over the measured thresholds above 0 and up to
0.5. A ratio was not chosen because a change of loss can be zero or negative.

Robustness: thresholds up to 0.1 alone. Large truncations bring the network close to chance, where
losses no longer tell one harm from two.
"""

from contextlib import suppress
from typing import Final

import xarray as xr

from analyses.comparing import LARGEST_NORM_LOSS, PRIMARY_CUT
from analyses.findings import Claim, Comparison, Evidence, Robustness, Told
from analyses.samples import Sample, of_networks
from analyses.words import in_words, number, plain, sureness, undetectable
from compressibility.store.layer_sets import ALL, members
from compressibility.store.reading import LayerData, NotMeasuredError
from compressibility.tensors.modes import TRIVIAL, same_as

SMALL: Final = 0.1
"""Up to this threshold truncations are small, and what they cost may add up."""
_LACKING: Final = "the loss of truncating several layers at once has not been measured"


def of_set(data: LayerData, name: str, layer_set: str, mode: str) -> xr.DataArray:
    """A variable of joint truncations, of one set along one cut, (threshold, seed).

    Raises:
        NotMeasuredError: The dataset does not have joint truncations along this cut.
    """
    values = data[name]
    if mode not in values["joint_mode"]:
        raise NotMeasuredError(f"this dataset has no joint truncations along {mode}")
    return values.sel(layer_set=layer_set, joint_mode=mode, drop=True)


def joint_change(data: LayerData, layer_set: str, mode: str) -> xr.DataArray:
    """Change of test loss with a set truncated, nat, (threshold, seed).

    Raises:
        NotMeasuredError: The dataset does not have joint truncations along this cut.
    """
    change = of_set(data, "joint_loss", layer_set, mode) - data["baseline_loss"]
    return change.transpose("threshold", "seed")


def summed_change(data: LayerData, layer_set: str, mode: str) -> xr.DataArray:
    """Sum of the changes of test loss with each layer of a set alone truncated, (threshold, seed).

    In nats. In a layer where the cut equals another one it is that one's change; where it is
    trivial nothing changes. Missing where a layer's is.

    Raises:
        NotMeasuredError: The dataset does not have this cut, or not all of the set's layers.
    """
    layers = members(layer_set, data.layers)
    at_once = data["joint_n_layers"].sel(layer_set=layer_set)
    if (at_once > len(layers)).any():
        raise NotMeasuredError(
            f"{int(at_once.max())} layers were truncated at once, and {len(layers)} are here"
        )
    total = xr.zeros_like(data["threshold"] * data["baseline_loss"])
    for layer in layers:
        if same_as(data.shape(layer), mode) != TRIVIAL:
            alone = data.along(layer, mode)["loss"].reset_coords(drop=True)
            total = total + (alone - data["baseline_loss"])
    return total.transpose("threshold", "seed")


def excess(data: LayerData, mode: str, highest: float = LARGEST_NORM_LOSS) -> xr.DataArray:
    """Change of all layers at once minus the sum of the single ones, nat, (seed,).

    The mean over the thresholds above 0 and up to the highest; missing where one of them is.
    """
    return _mean(joint_change(data, ALL, mode) - summed_change(data, ALL, mode), highest)


def _mean(values: xr.DataArray, highest: float) -> xr.DataArray:
    """Mean over the thresholds above 0 and up to the highest."""
    thresholds = values["threshold"]
    chosen = values.where((thresholds > 0) & (thresholds <= highest), drop=True)
    if not chosen.sizes["threshold"]:
        raise NotMeasuredError(f"there is no threshold above 0 and up to {highest:g}")
    return chosen.mean("threshold", skipna=False)


def _difference(data: LayerData, comparison: Comparison) -> Sample:
    found = excess(data, comparison.reference)
    return of_networks(found, _LACKING)


def _of_small_ones(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    values = excess(data, comparison.reference, SMALL).sel(seed=list(found.seeds)).values
    return Robustness.by_sign_flips(
        f"thresholds up to {SMALL:g} alone, where no answer is near chance",
        values,
        "nat",
    )


def _told(evidence: Evidence) -> Told:
    data, (found,) = evidence.data, evidence.findings
    result = in_words(
        found,
        "Truncating all layers at once costs more loss than the layers cost one by one",
        "Truncating all layers at once costs less loss than the layers cost one by one",
        "Whether all layers at once cost more or less loss than the layers one by one stays open",
    )
    large, small = (_both(data, highest) for highest in (LARGEST_NORM_LOSS, SMALL))
    return Told(
        found=f"{result}: along {PRIMARY_CUT}, averaged over thresholds up to "
        f"{LARGEST_NORM_LOSS:g}, {large}; over thresholds up to {SMALL:g}, {small}.",
        sure=sureness(evidence.findings),
        unseen=(
            undetectable(evidence.findings),
            "The thresholds are averaged as they lie on their grid. The loss has no ceiling, and "
            "the largest truncations weigh most.",
            *_other_cuts(data),
            *found.caveats,
        ),
    )


def _both(data: LayerData, highest: float) -> str:
    """The mean over networks of the loss of all layers at once, and of the sum, in words."""
    try:
        joint, summed = (
            float(_mean(change(data, ALL, PRIMARY_CUT), highest).mean())
            for change in (joint_change, summed_change)
        )
    except NotMeasuredError:
        return "nothing is measured"
    return f"{plain(joint)} nat at once against {plain(summed)} nat one by one"


def _other_cuts(data: LayerData) -> tuple[str, ...]:
    modes = [str(mode) for mode in data["joint_loss"]["joint_mode"].values if mode != PRIMARY_CUT]
    told = []
    for mode in modes:
        with suppress(NotMeasuredError):
            told.append(f"{number(float(excess(data, mode).mean()))} nat along {mode}")
    return (f"Not tested, the difference is {' and '.join(told)}.",) if told else ()


ABOVE_THE_SUM: Final = Claim(
    key="joint",
    title="Joint against the sum",
    question="Is the loss of truncating all layers at once the sum of the single losses?",
    claim="Truncating all layers at once along OUT costs more test loss than the sum of what "
    "truncating each of them alone costs.",
    null="The difference is symmetric about zero over networks.",
    statistic="change of test loss with all layers truncated minus the sum of the changes with one "
    "layer truncated, along OUT at equal thresholds, averaged over thresholds above 0 and up to "
    "0.5",
    unit="nat",
    comparisons=(Comparison(PRIMARY_CUT),),
    needs=("truncation", "joint"),
    lacking=_LACKING,
    measure=_difference,
    check=_of_small_ones,
    tell=_told,
    exploratory=True,
)
