"""Is the loss flatter along a truncation than along the layer's average direction?

Primary statistic: the contrast (a - c) / (|a| + |c|) of the curvature c = d'Hd / d'd along the
truncation d = K_r - K with the layer's average curvature a = trace / number of weights. Averaged,
for each network, over the distinct truncations along OUT with norm loss up to 0.5, then over the
layers. It lies in [-1, 1]; positive means flatter than average; where both curvatures are positive
it is -tanh(ln(c / a) / 2), the log-ratio in bounded form. A ratio or its logarithm was not chosen
because curvature can be negative. Both curvatures scale alike with the norm of the layer's kernel,
so the contrast is the same in relative coordinates (kernel in units of its norm).

Robustness, by another method: the rank of the truncation among random directions of the layer
(share of random directions that are more curved, minus one half).
"""

from typing import Final

import numpy as np
import xarray as xr

from analyses.comparing import LARGEST_NORM_LOSS, NORM_LOSS, PRIMARY_CUT, curves_along
from analyses.findings import Claim, Comparison, Evidence, Robustness, Told
from analyses.samples import Floats, Sample, sample, tabulate
from analyses.statistics import sign_flip_test
from analyses.words import in_words, plain, sureness, undetectable
from compressibility.store.curves import Curve
from compressibility.store.reading import LayerData

_LACKING: Final = "curvature along truncations has not been measured"


def average_curvature(data: LayerData) -> xr.DataArray:
    """Mean curvature of each layer's weights, trace / number of weights, nat, (seed, layer)."""
    return (data["hessian_layer_trace"] / data["parameters"]).transpose("seed", "layer")


def truncation_curvatures(data: LayerData) -> dict[tuple[str, int], Curve]:
    """Curvature along the distinct truncations along OUT against norm loss, nat."""
    return curves_along(data, NORM_LOSS, data["directional_curvature"], PRIMARY_CUT)


def _within(curve: Curve) -> Floats:
    return curve.y[(curve.x > 0) & (curve.x <= LARGEST_NORM_LOSS)]


def contrasts(data: LayerData) -> xr.DataArray:
    """The contrast of each network and layer, (seed, layer); missing where not measured."""
    average, curves = average_curvature(data), truncation_curvatures(data)

    def cell(layer: str, seed: int) -> float:
        c, a = _within(curves[layer, seed]), float(average.sel(layer=layer, seed=seed))
        total = np.abs(a) + np.abs(c)
        if c.size == 0 or not np.isfinite(a) or np.any(total == 0):
            return float("nan")
        return float(np.mean((a - c) / total))

    return tabulate(data, cell)


def random_ranks(data: LayerData) -> xr.DataArray:
    """Share of random directions more curved than the truncation, less one half, (seed, layer)."""
    random, curves = data["random_directional_curvature"], truncation_curvatures(data)

    def cell(layer: str, seed: int) -> float:
        others = random.sel(layer=layer, seed=seed).dropna("direction").values
        c = _within(curves[layer, seed])
        if c.size == 0 or others.size == 0:
            return float("nan")
        return float(np.mean(others[:, None] > c) - 0.5)

    return tabulate(data, cell)


def median_ratios(data: LayerData) -> xr.DataArray:
    """Median curvature along truncations over the layer's average, (seed, layer)."""
    curves = truncation_curvatures(data)

    def cell(layer: str, seed: int) -> float:
        c = _within(curves[layer, seed])
        return float(np.median(c)) if c.size else float("nan")

    return tabulate(data, cell) / average_curvature(data)


def _contrast(data: LayerData, comparison: Comparison) -> Sample:
    return sample(contrasts(data), _LACKING)


def _rank_among_random(data: LayerData, comparison: Comparison, found: Sample) -> Robustness:
    ranks = sample(random_ranks(data).where(found.present))
    return Robustness(
        "share of random directions in the layer's weights that are more curved than the "
        "truncation, minus one half",
        float(ranks.values.mean()),
        "share of directions",
        sign_flip_test(ranks.values, rng=np.random.default_rng(0)),
    )


def _told(evidence: Evidence) -> Told:
    data, (found,) = evidence.data, evidence.findings
    ratios = median_ratios(data)
    steep = in_words(
        found,
        "The loss is flatter along truncations than along the layer's average direction",
        "The loss is steeper along truncations than along the layer's "
        "average direction, not flatter",
        "Whether truncations are flatter than the layer's average direction stays open",
    )
    check = found.robustness
    more = (
        ""
        if check is None
        else (
            f" {plain(100 * (0.5 + check.estimate))} % of random directions are more curved than "
            "the truncation."
        )
    )
    return Told(
        found=f"{steep}: the median curvature along OUT truncations with norm loss up to "
        f"{LARGEST_NORM_LOSS} is {plain(float(np.nanmedian(ratios)))} times the layer's "
        f"average{_beside_the_top(data, ratios)}.",
        sure=f"{sureness(evidence.findings)}{more}",
        unseen=(
            undetectable(evidence.findings),
            "Curvature is local: it describes small steps from the trained weights, while "
            "truncations are long ones; and it is taken in evaluation mode on a fixed set of "
            "training images.",
            _how_well_known(data, ratios),
            *found.caveats,
        ),
    )


def _beside_the_top(data: LayerData, ratios: xr.DataArray) -> str:
    top = data["hessian_layer_eigenvalue"]
    if not top.notnull().any():
        return ""
    share = float(np.nanmedian(ratios * average_curvature(data) / top))
    return f", and {plain(100 * share)} % of the layer's top Hessian eigenvalue"


def _how_well_known(data: LayerData, ratios: xr.DataArray) -> str:
    trace, error = data["hessian_layer_trace"], data["hessian_layer_trace_standard_error"]
    unsure, negative = int((abs(trace) < 2 * error).sum()), int((ratios < 0).sum())
    return (
        f"The average curvature is estimated from random directions; in {unsure} of "
        f"{int(trace.notnull().sum())} layers and networks it is within two standard errors of "
        "zero."
        + (
            f" In {negative} the median curvature along truncations has the other sign."
            if negative
            else ""
        )
    )


FLATTER: Final = Claim(
    key="curvature",
    title="Curvature",
    question="Is the loss flatter along a truncation than along the layer's average direction?",
    claim="The training loss curves less along truncations along OUT than along the layer's "
    "average direction.",
    null="The contrast of the two curvatures is symmetric about zero over networks.",
    statistic="(a − c)/(|a| + |c|), with c the curvature along the truncation and a the layer's "
    "mean curvature, averaged over truncations with norm loss up to 0.5 and over layers",
    unit="1",
    comparisons=(Comparison(PRIMARY_CUT),),
    needs=("truncation", "curvature"),
    lacking=_LACKING,
    measure=_contrast,
    check=_rank_among_random,
    tell=_told,
)
