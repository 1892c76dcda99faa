"""Does a network truncated in every layer recover, and does that say anything of its minimum?

Two claims. The first is a non-inferiority: for each network the test accuracy of the truncated one
after E epochs of re-training, minus that of the same network trained on for as many epochs, with
the same recipe on the same images in the same order, plus the margin of one point; above zero it
has recovered. One comparison a cut, at the largest threshold that is measured. E is the smallest
number of epochs after which the mean over networks on held-out images lies within the margin, and
the last epoch where none does: the test images have no say in it. Robustness: signs alone.

A network whose re-training diverges answers at chance from then on: it is counted, and dropped
would flatter the rest. Where the one that it is held against diverges there is nothing to compare,
and the network is left out and named.

The second, exploratory, asks whether recovery means anything. If kernels of noise, or a network
drawn anew, are as good after as many epochs, then to recover says nothing of the minimum. For each
network the test accuracy of the truncated one minus that of such a control, averaged over the
epochs, at the first cut and the largest threshold. Robustness: at the last epoch alone.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import xarray as xr
from scipy.stats import binomtest

from analyses.findings import Claim, Comparison, Evidence, Finding, Robustness, Rule, Told, Verdict
from analyses.samples import Sample, of_networks
from analyses.words import and_others, plain, points, sureness, undetectable
from compressibility.store.arms import FRESH, PERTURBED, RESET, TRAINED_ON, TRUNCATED
from compressibility.store.reading import LayerData, NotMeasuredError
from compressibility.store.schema import Flag

MARGIN: Final = 0.01
SMALLER: Final = 0.005
"""A margin that is told beside, in points of 1."""
CUTS: Final = ("OUT", "OUT,KW")
CONTROLS: Final = {
    RESET: "the same network with its kernels reset",
    FRESH: "a network drawn anew",
    PERTURBED: "noise of the same norm loss in place of the truncation",
}
_LACKING: Final = "re-trained networks have not been measured"


def of_arm(data: LayerData, name: str, arm: str, mode: str) -> xr.DataArray:
    """A variable of the re-trainings of one arm, for one cut and the largest threshold.

    Raises:
        NotMeasuredError: The dataset does not have this arm or this cut.
    """
    values = data[name]
    if arm not in values["arm"]:
        raise NotMeasuredError(f"this dataset has no re-training of the arm {arm}")
    if "recovery_mode" not in values.dims:
        return values.sel(arm=arm, drop=True)
    if mode not in values["recovery_mode"]:
        raise NotMeasuredError(f"this dataset has no re-training after truncations along {mode}")
    largest = float(values["recovery_threshold"].max())
    return values.sel(arm=arm, recovery_mode=mode, recovery_threshold=largest, drop=True)


def diverged(data: LayerData, arm: str, mode: str) -> xr.DataArray:
    """Whether a re-training has diverged by each epoch, (epoch, seed)."""
    flags = of_arm(data, "recovery_flag", arm, mode).transpose("epoch", "seed")
    return flags == Flag.DIVERGED.value


def accuracy(data: LayerData, arm: str, mode: str) -> xr.DataArray:
    """Test accuracy after each epoch, of 1, (epoch, seed); chance once it has diverged.

    Raises:
        NotMeasuredError: The dataset does not have this arm or this cut.
    """
    measured = of_arm(data, "recovery_accuracy", arm, mode).transpose("epoch", "seed")
    return measured.where(~diverged(data, arm, mode), 1 / data.n_classes)


def held_out_accuracy(data: LayerData, arm: str, mode: str) -> xr.DataArray:
    """The same on the held-out images; missing where there are none."""
    images = of_arm(data, "recovery_n_held_out", arm, mode)
    counts = of_arm(data, "recovery_held_out_n_correct", arm, mode).transpose("epoch", "seed")
    share = counts / images.where(images > 0)
    return share.where(~diverged(data, arm, mode) | (images == 0), 1 / data.n_classes)


def epochs_to_recover(data: LayerData, mode: str, margin: float = MARGIN) -> int | None:
    """The smallest number of epochs after which held-out accuracy lies within the margin.

    The mean over networks, against the network trained on; None where it never does, or nothing is
    held out.
    """
    mean = _difference(data, held_out_accuracy, TRUNCATED, TRAINED_ON, mode).mean("seed").round(12)
    within = mean["epoch"].where((mean >= -margin) & (mean["epoch"] > 0), drop=True)
    return int(within.min()) if within.size else None


def _chosen(data: LayerData, mode: str) -> int:
    last = int(data["recovery_accuracy"]["epoch"].max())
    return epochs_to_recover(data, mode) or last


def behind(data: LayerData, mode: str, epoch: int) -> xr.DataArray:
    """Accuracy of the truncated network less that of the one trained on, of 1, (seed,)."""
    return _difference(data, accuracy, TRUNCATED, TRAINED_ON, mode).sel(epoch=epoch)


def _difference(
    data: LayerData,
    accuracy_of: Callable[[LayerData, str, str], xr.DataArray],
    arm: str,
    other: str,
    mode: str,
) -> xr.DataArray:
    """Accuracy in one arm less that in another, missing where the other has diverged."""
    against = accuracy_of(data, other, mode).where(~diverged(data, other, mode))
    return accuracy_of(data, arm, mode) - against


def _recovered(data: LayerData, comparison: Comparison) -> Sample:
    mode = comparison.reference
    return of_networks(behind(data, mode, _chosen(data, mode)) + MARGIN, _LACKING)


def _by_signs(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    values = found.values[found.values != 0]
    above = int((values > 0).sum())
    p = float(binomtest(above, len(values)).pvalue) if len(values) else 1.0
    return Robustness(
        "sign test of the median", float(np.median(found.values)), "of the test images", p
    )


def _diverged(data: LayerData, arm: str, other: str, mode: str) -> tuple[str, ...]:
    """How many re-trainings have diverged by the last epoch, by arm, and what that means."""
    said = []
    for each, means in ((arm, "and answer at chance"), (other, "which leaves nothing to compare")):
        lost = int(diverged(data, each, mode).isel(epoch=-1).sum())
        if lost:
            said.append(f"{lost} of the networks diverged in the arm {each}, {means}")
    return tuple(said)


def _limits(data: LayerData, comparison: Comparison, found: Sample) -> tuple[str, ...]:
    return _diverged(data, TRUNCATED, TRAINED_ON, comparison.reference)


def _told(evidence: Evidence) -> Told:
    data, found = evidence.data, evidence.findings
    few = not all(f.is_decidable for f in found)
    start = "By the estimates from few networks alone, after" if few else "After"
    said = "; ".join(_along(data, f) for f in found)
    return Told(
        found=f"{start} re-training every layer at once, truncated to norm loss "
        f"{_threshold(data):g}: {said}. {_statistics_alone(data, found[0].reference)} "
        f"{_returned(data, found[0].reference)}",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            f"The margin is {100 * MARGIN:g} point of accuracy, and is in the statistic: zero is "
            "a network that much below. The recipe was fixed beforehand and is the same for both.",
            _worst(data, found),
            *dict.fromkeys(text for f in found for text in f.caveats),
        ),
    )


def _threshold(data: LayerData) -> float:
    return float(data["recovery_accuracy"]["recovery_threshold"].max())


def _along(data: LayerData, found: Finding) -> str:
    mode = found.reference
    chosen = epochs_to_recover(data, mode)
    at = chosen or _chosen(data, mode)
    lower = float(behind(data, mode, at).mean())
    smaller = epochs_to_recover(data, mode, SMALLER)
    first = float(behind(data, mode, 0).mean())
    when = f"after {_epochs(at)}, the first within the margin on held-out images,"
    if chosen is None:
        when = f"after {_epochs(at)}, though at no epoch within the margin on held-out images,"
    within = f"within {100 * SMALLER:g} point first after {_epochs(smaller)}" if smaller else (
        f"never within {100 * SMALLER:g} point"
    )  # fmt: skip
    return (
        f"along {mode} {when} the accuracy is {points(lower)} from that of the network trained on "
        f"(right after the truncation {points(first)}; {within} on held-out images)"
    )


def _epochs(n: int) -> str:
    return f"{n} epoch{'s' * (n != 1)}"


def _statistics_alone(data: LayerData, mode: str) -> str:
    """What share of the accuracy lost comes back with batch-norm statistics alone."""
    counts = of_arm(data, "recovery_re_estimated_n_correct", TRUNCATED, mode).sel(epoch=0)
    again = counts / data.n_images
    if not again.notnull().any():
        return "The network has no batch norm whose statistics could be estimated anew."
    before = accuracy(data, TRUNCATED, mode).sel(epoch=0)
    lost = (data.baseline_accuracy - before).mean()
    share = float((again - before).mean() / lost) if float(lost) else 0.0
    return (
        f"Batch-norm statistics estimated anew, without a step of training, alone bring back "
        f"{plain(100 * share)} % of what the truncation along {mode} takes."
    )


def _returned(data: LayerData, mode: str) -> str:
    """How much of the discarded Schmidt values is there again at the last epoch."""
    beyond = of_arm(data, "recovery_norm_loss", TRUNCATED, mode).isel(epoch=-1)
    distance = of_arm(data, "recovery_distance", TRUNCATED, mode).isel(epoch=-1).mean("seed")
    taken = of_arm(data, "recovery_norm_loss", TRAINED_ON, mode).isel(epoch=0)
    most, least = str(distance.idxmax("layer").item()), str(distance.idxmin("layer").item())
    return (
        f"Beyond the kept rank there is then {plain(100 * float(beyond.mean()))} % of the norm "
        f"(before the truncation {plain(100 * float(taken.mean()))} %): what was discarded "
        f"{'returns' if float(beyond.mean()) > float(taken.mean()) / 2 else 'does not return'}. "
        f"Relative to its start {most} moves most ({plain(float(distance.max()))}) and {least} "
        f"least ({plain(float(distance.min()))})."
    )


def _worst(data: LayerData, found: Sequence[Finding]) -> str:
    lowest = min(found, key=lambda f: min(f.per_seed))
    value = min(lowest.per_seed) - MARGIN
    return f"The worst network is {points(value)} away, along {lowest.reference}."


def _more(data: LayerData, comparison: Comparison) -> Sample:
    return of_networks(_over_epochs(data, comparison).mean("epoch", skipna=False), _LACKING)


def _over_epochs(data: LayerData, comparison: Comparison) -> xr.DataArray:
    """Truncated minus control, (epoch, seed), from the first epoch on."""
    difference = _difference(data, accuracy, comparison.reference, comparison.other, CUTS[0])
    return difference.where(difference["epoch"] > 0, drop=True)


def _at_the_end(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    last = _over_epochs(data, comparison).isel(epoch=-1).sel(seed=list(found.seeds)).values
    return Robustness.by_sign_flips(
        "at the last epoch alone",
        last,
        "of the test images",
    )


def _controls_limits(data: LayerData, comparison: Comparison, found: Sample) -> tuple[str, ...]:
    return _diverged(data, comparison.reference, comparison.other, CUTS[0])


def _controls_told(evidence: Evidence) -> Told:
    data, found = evidence.data, evidence.findings
    few = not all(f.is_decidable for f in found)
    start = "By the estimates from few networks alone, over" if few else "Over"
    said = [
        f"{what} than {and_others([CONTROLS[f.other] for f in chosen])}"
        for what, verdict in (
            ("more accurate", Verdict.SUPPORTED),
            ("less accurate", Verdict.CONTRADICTED),
            ("not to be told in accuracy", Verdict.UNDECIDED),
        )
        if (chosen := [f for f in found if f.leaning is verdict])
    ]
    numbers = "; ".join(
        f"{points(f.estimate)} against {CONTROLS[f.other]} ({points(_last(data, f))} at the end)"
        for f in found
    )
    return Told(
        found=f"{start} the epochs of re-training the network truncated along {CUTS[0]} is "
        f"{', '.join(said)}: {numbers}.",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            "Where a control is as good, to recover says nothing of the minimum that the truncated "
            "network is in: the same training takes any network there.",
            *dict.fromkeys(text for f in found for text in f.caveats),
        ),
    )


def _last(data: LayerData, found: Finding) -> float:
    return float(_over_epochs(data, found.comparison).isel(epoch=-1).mean())


RECOVERS: Final = Claim(
    key="recovery",
    title="Recovery",
    question="Does a network truncated in every layer recover within a few epochs?",
    claim="Truncated in every layer at once, a network is after a few epochs of re-training no "
    "more than one point of accuracy below itself trained on for as long, along either cut.",
    null="The difference, plus the margin, is symmetric about zero over networks.",
    statistic="test accuracy of the truncated and re-trained network minus that of the same "
    "network trained on for as many epochs, chosen on held-out images, plus one point",
    unit="of the test images",
    comparisons=tuple(Comparison(cut) for cut in CUTS),
    needs=("recovery",),
    lacking=_LACKING,
    measure=_recovered,
    check=_by_signs,
    tell=_told,
    limits=_limits,
    rule=Rule.EVERY_MEASURED,
)
MORE_THAN_CONTROLS: Final = Claim(
    key="recovery-controls",
    title="Recovery against controls",
    question="Does a truncated network recover better than one that knows nothing?",
    claim="While it is re-trained, a truncated network is more accurate than the same network with "
    "its kernels reset, than one drawn anew, and than one perturbed by noise of that size.",
    null="The difference is symmetric about zero over networks.",
    statistic="test accuracy of the network truncated along OUT minus that of the control, "
    "averaged over the epochs of the same re-training",
    unit="of the test images",
    comparisons=tuple(Comparison(TRUNCATED, arm) for arm in CONTROLS),
    needs=("recovery",),
    lacking=_LACKING,
    measure=_more,
    check=_at_the_end,
    tell=_controls_told,
    limits=_controls_limits,
    rule=Rule.EVERY_MEASURED,
    exploratory=True,
)
