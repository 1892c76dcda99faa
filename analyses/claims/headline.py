"""Can kernels lose up to half of their norm without a significant loss of accuracy?

Primary statistic: for each network the share of its layers whose test accuracy falls by no more
than the allowance when the layer is truncated to a norm loss, less one half: above zero, more
layers can be truncated so far than cannot. Five comparisons, at the norm losses 0.1 to 0.5;
supported where each is above zero. Each layer along its best cut, chosen at that norm loss on
held-out images; and, as a claim of its own, along OUT, which needs no choice. Accuracies lie
between those of the neighbouring truncations. A layer counts where a cut reaches the norm loss.

Robustness: nothing is interpolated (the first truncation that loses as much of the norm, or more),
and the accuracy lost counts at the far end of its one-sided 95 % interval over images.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
import xarray as xr

from analyses.best_cuts import (
    NO_CUT,
    Best,
    along,
    best,
    first_reaching,
    interpolated,
    surely_lost,
)
from analyses.comparing import PRIMARY_CUT
from analyses.findings import Claim, Comparison, Evidence, Finding, Robustness, Told, Verdict
from analyses.once import once
from analyses.samples import Sample, over_own_layers
from analyses.statistics import MINIMUM_SEEDS
from analyses.words import and_others, plain, sureness, undetectable
from compressibility.store.reading import LayerData

NORM_LOSSES: Final = (0.1, 0.2, 0.3, 0.4, 0.5)
_AT: Final = {f"at norm loss {x:g}": x for x in NORM_LOSSES}
MARGINS: Final = (1, 2, 5)
"""Allowances in points of accuracy: who allows more finds more layers that can be truncated."""
HALF: Final = 0.5
BEST_CUT: Final = "best cut"
_LACKING: Final = "truncations and their counts on held-out images are not both measured"
_LACKING_OUT: Final = "truncations along OUT are not measured"

At = Callable[[LayerData, xr.DataArray, Sequence[float]], xr.DataArray]


def best_of(
    data: LayerData, norm_losses: Sequence[float], changes: xr.DataArray, at: At = interpolated
) -> Best:
    """Each layer's best cut at each norm loss, and its change on the test images.

    Raises:
        NotMeasuredError: The dataset has no counts on held-out images.
    """
    return best(
        at(data, changes, norm_losses), at(data, data.held_out_accuracy_change, norm_losses)
    )


def changes_of(
    cut: str,
    data: LayerData,
    norm_losses: Sequence[float],
    changes: xr.DataArray,
    at: At = interpolated,
) -> xr.DataArray:
    """Change of accuracy along the best cut or a given one, (seed, layer, norm_loss).

    Raises:
        NotMeasuredError: The dataset lacks the cut, or counts on held-out images.
    """
    if cut == BEST_CUT:
        return best_of(data, norm_losses, changes, at).change
    return along(at(data, changes, norm_losses), cut)


def within(changes: xr.DataArray, allowance: float) -> xr.DataArray:
    """1 where no more than the allowance is lost, 0 where more is, missing where it is unknown."""
    return (changes >= -allowance).astype(np.float64).where(changes.notnull())


def _best(data: LayerData) -> Best:
    return once(data, "best cut", lambda: best_of(data, NORM_LOSSES, data.accuracy_change))


def _tested(data: LayerData, cut: str) -> xr.DataArray:
    """Changes of accuracy at all of `NORM_LOSSES`, (seed, layer, norm_loss)."""
    if cut == BEST_CUT:
        return _best(data).change
    return changes_of(cut, data, NORM_LOSSES, data.accuracy_change)


def _surely_tested(data: LayerData, cut: str) -> xr.DataArray:
    """The same, not interpolated and at the far end of its interval."""
    return once(
        data,
        ("surely lost", cut),
        lambda: changes_of(cut, data, NORM_LOSSES, surely_lost(data), first_reaching),
    )


def _shares(data: LayerData, comparison: Comparison, changes: xr.DataArray) -> Sample:
    there = changes.sel(norm_loss=_AT[comparison.condition], drop=True)
    return over_own_layers(
        within(there, data.allowance) - HALF, f"no layer is measured {comparison.condition}"
    )


def _share(data: LayerData, comparison: Comparison) -> Sample:
    return _shares(data, comparison, _tested(data, comparison.reference))


def _surely(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    shares = _shares(data, comparison, _surely_tested(data, comparison.reference))
    return Robustness.by_sign_flips(
        "the first truncation that loses as much of the norm or more, and the loss of accuracy at "
        "the far end of its one-sided 95 % interval over images",
        shares.values,
        "share of layers above one half",
    )


def _limits(data: LayerData, comparison: Comparison, found: Sample) -> tuple[str, ...]:
    there = found.present.any("seed")
    absent = there["layer"].values[~there.values].tolist()
    if not absent:
        return ()
    return (
        f"{comparison.condition} {len(absent)} of {len(data.layers)} layers do not count: no cut "
        "reaches it, or nothing is measured",
    )


def _told(cut: str, evidence: Evidence) -> Told:
    data, found = evidence.data, evidence.findings
    points = f"{100 * data.allowance:g} point{'s' if data.allowance > 0.01 else ''}"
    shares = "; ".join(f"{_percent(f)} % of the layers {f.comparison.condition}" for f in found)
    few = not all(f.is_decidable for f in found)
    networks = "this one network" if found[0].n_seeds == 1 else "these few networks"
    start = f"By the estimates from {networks} alone" if few else "Truncated one at a time"
    how = "along its best cut, chosen on held-out images" if cut == BEST_CUT else "along OUT"
    return Told(
        found=f"{start}, each {how}, with no more than {points} of accuracy lost: {shares}"
        f". {_by_margin(cut, data)}",
        sure=sureness(found),
        unseen=(
            undetectable(found),
            _halves(found),
            *((_choices(data),) if cut == BEST_CUT else ()),
            "One layer at a time: what several layers lose at once is another claim. A layer "
            "counts as one, whether it has few parameters or many.",
            *dict.fromkeys(text for f in found for text in f.caveats),
        ),
    )


def _percent(found: Finding) -> str:
    return f"{100 * (found.estimate + HALF):.0f}"


def _by_margin(cut: str, data: LayerData) -> str:
    at = NORM_LOSSES[-1]
    changes = _tested(data, cut).sel(norm_loss=at, drop=True)
    shares = [float(within(changes, m / 100).mean("layer").mean()) for m in MARGINS]
    parts = [f"{100 * s:.0f} % with {m}" for s, m in zip(shares, MARGINS, strict=True)]
    return f"At norm loss {at:g} by the points allowed: {', '.join(parts)}."


def _halves(found: tuple[Finding, ...]) -> str:
    """Which norm losses decide, so that a reader need not read five numbers."""
    if min(f.n_seeds for f in found) < MINIMUM_SEEDS:
        return "Which layers these are hangs on the network as well: one more could differ."
    halves = {Verdict.SUPPORTED: "more than half", Verdict.CONTRADICTED: "less than half"}
    said = [
        f"{half} of the layers at norm loss {and_others(at)}"
        for verdict, half in halves.items()
        if (at := [f"{_AT[f.comparison.condition]:g}" for f in found if f.verdict is verdict])
    ]
    return f"Decided: {'; '.join(said)}." if said else "Decided: at no norm loss."


def _choices(data: LayerData) -> str:
    chosen = _best(data).cut.sel(norm_loss=NORM_LOSSES[-1]).values.ravel().tolist()
    counts = Counter(cut for cut in chosen if cut != NO_CUT)
    total = sum(counts.values())
    parts = [f"{cut} {plain(100 * n / total)} %" for cut, n in counts.most_common()]
    images = int(data["held_out_n_images"].max())
    return (
        f"The choice is made on {images:,} held-out images, and is subject to their chance. Chosen "
        f"at norm loss {NORM_LOSSES[-1]:g}: {', '.join(parts) or 'none reaches it'}."
    )


def _claim(cut: str, *, key: str, title: str, along_words: str, needs: tuple[str, ...]) -> Claim:
    return Claim(
        key=key,
        title=title,
        question="Can most layers lose up to half of their norm without a significant loss of "
        f"accuracy, {along_words}?",
        claim=f"Most layers, truncated {along_words}, lose up to half of their norm within the "
        "allowance of accuracy.",
        null="The share of layers within the allowance, less one half, is symmetric about zero "
        "over networks.",
        statistic="share of layers that lose no more than the allowance of test accuracy (1 point; "
        "5 points on fewer than 2,000 test images), less one half, at norm losses 0.1 to 0.5",
        unit="share of layers above one half",
        comparisons=tuple(Comparison(cut, condition=at) for at in _AT),
        needs=needs,
        lacking=_LACKING if cut == BEST_CUT else _LACKING_OUT,
        measure=_share,
        check=_surely,
        tell=partial(_told, cut),
        limits=_limits,
    )


OFTEN: Final = _claim(
    BEST_CUT,
    key="headline",
    title="Half of the norm",
    along_words="each along its best cut",
    needs=("truncation", "held_out"),
)
OFTEN_ALONG_OUT: Final = _claim(
    PRIMARY_CUT,
    key="headline-out",
    title="Half of the norm, along OUT",
    along_words="along OUT",
    needs=("truncation",),
)
