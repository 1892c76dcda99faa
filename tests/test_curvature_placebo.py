"""Oracle: exchangeability. A random direction in the truncation's place is found as rarely as said.

Its rank among the others is uniform whatever the curvatures are, so that the analysis, run whole on
such placebos, may call neither verdict more often than one time in forty.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom

from analyses.claims.curvature import FLATTER
from analyses.curvatures import contrasts
from analyses.findings import Comparison, Verdict
from analyses.samples import sample
from analyses.verdicts import answer
from compressibility.store.reading import LayerData
from tests.synthetic_dataset import make

DIGITS = Path(__file__).parent / "data" / "digits-curvature.nc"
"""Curvature along 32 random directions of every layer of eight networks on the digits."""
DIMS = ("layer", "direction", "seed")
ALONG_OUT = replace(FLATTER, comparisons=(Comparison("OUT"),), tell=lambda evidence: None)
BY_CONTRAST = replace(ALONG_OUT, measure=lambda data, _: sample(contrasts(data, "OUT")))


@pytest.fixture(scope="module")
def blank():
    """What the claim reads of eight networks of four layers, without random directions."""
    read = ("norm_loss", "directional_curvature", "same_as", "truncation_key", "curvature_key")
    return make(n_seeds=8).drop_dims("direction")[list(read)]


def with_placebo(blank, random, chosen):
    """Random directions in the place of truncations, and gone from the others.

    ``random`` is (layer, direction, seed), ``chosen`` (layer, threshold, seed) the place of the
    direction that a truncation takes.
    """
    dataset = blank.copy()
    taken = xr.DataArray(
        np.take_along_axis(random, chosen, axis=1), dims=("layer", "threshold", "seed")
    )
    is_taken = (chosen[:, :, None] == np.arange(random.shape[1])[:, None]).any(axis=1)
    others = xr.DataArray(np.where(is_taken, np.nan, random), dims=DIMS)
    measured = blank["directional_curvature"].notnull()
    dataset["directional_curvature"] = taken.where(measured).transpose(*measured.dims)
    dataset["random_directional_curvature"] = others
    dataset["hessian_layer_trace"] = others.mean("direction") * blank["parameters"]
    return LayerData(dataset)


def placebos(law, kind):
    """Curvatures and the places of the directions that truncations take, 64 times.

    Of one direction for all truncations of a layer each has its turn, twice, in every network.
    """
    rng = np.random.default_rng(11)
    with xr.open_dataset(DIGITS, engine="scipy") as stored:
        random = stored["random_directional_curvature"].transpose(*DIMS).values
    for turn in range(64):
        if turn % 32 == 0:
            order = rng.permuted(np.broadcast_to(np.arange(32)[:, None], random.shape), axis=1)
        if law != "digits":
            random = rng.chisquare(law, size=random.shape) * 10.0 ** rng.normal(size=(4, 1, 1))
        turned = np.roll(order, turn, axis=1)[:, :14]
        yield random, turned if kind == "each its own" else np.repeat(turned[:, :1], 14, axis=1)


def verdicts(claim, blank, law, kind):
    every = [answer(claim, with_placebo(blank, *p)) for p in placebos(law, kind)]
    assert all(found.findings for found in every)
    told = [found.verdict for found in every]
    return [told.count(verdict) for verdict in (Verdict.SUPPORTED, Verdict.CONTRADICTED)]


LAWS = ("digits", 4, 8)
"""Stored curvatures; chi-square, whose spread is 0.71 and 0.5 of its mean."""
MOST = binom.ppf(0.999, 64, 0.025)
"""Of 64 draws, wrong verdicts of one kind that one time in forty can lead to."""


EVERY = [(law, kind) for law in LAWS for kind in ("one for all", "each its own")]


@pytest.mark.parametrize(("law", "kind"), EVERY)
def test_random_directions_are_neither_flat_nor_steep(blank, law, kind):
    assert max(verdicts(ALONG_OUT, blank, law, kind)) <= MOST


@pytest.mark.parametrize("law", LAWS)
def test_by_the_contrast_alone_random_directions_would_be_flat(blank, law):
    """Why it is an effect size only: it is concave in the curvature, which is skewed."""
    supported, contradicted = verdicts(BY_CONTRAST, blank, law, "each its own")
    assert supported > 3 * MOST
    assert contradicted == 0


@pytest.mark.parametrize(("law", "kind"), EVERY)
def test_the_check_is_zero_on_average(blank, law, kind):
    (first, *_), p = ALONG_OUT.comparisons, []
    for placebo in placebos(law, kind):
        data = with_placebo(blank, *placebo)
        p.append(ALONG_OUT.check(data, first, ALONG_OUT.measure(data, first)).p)
    assert np.sum(np.array(p) <= 0.05) <= binom.ppf(0.999, 64, 0.05)
