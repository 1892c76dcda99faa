"""Oracle: the same statistic by hand, by scale and by range; and worlds whose effect turns."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from analyses.choices import SCALES
from analyses.claims.cuts import AT_EQUAL_NORM_LOSS
from analyses.claims.noise import GENTLER
from analyses.claims.two_mode_cuts import BETTER
from analyses.comparing import NORM_LOSS
from analyses.findings import Verdict
from analyses.sensitivity import as_one, sensitivities
from analyses.topics import CLAIMS
from analyses.verdicts import answer
from compressibility.store.reading import LayerData
from tests.by_hand import kept_between
from tests.synthetic_dataset import Effects, make

CHOOSING = [claim for claim in CLAIMS if claim.choices is not None]


@pytest.fixture(scope="module")
def planted():
    effects = Effects(cut={"OUT": 0.6}, depth=1.0, perturbation=2.0)
    return make(effects, np.random.default_rng(2))


def scales_by_hand(x, counts, losses, before, n):
    """Curves by name of the scale, above zero better."""
    log_odds = np.log((counts + 0.5) / (n - counts + 0.5))
    return {
        "accuracy above chance that is kept": lambda at: kept_between(at, x, counts, before, n),
        "log-odds of a correct answer": PchipInterpolator(
            x, log_odds - math.log((before + 0.5) / (n - before + 0.5))
        ),
        "test loss, less is better": PchipInterpolator(x, 0.1 - losses),
    }


@pytest.mark.parametrize("end", NORM_LOSS.reaches.values())
def test_noise_by_every_scale_up_to_every_end(planted, end):
    """At the truncations of OUT, which are fewer here than the perturbation's levels or as many."""
    (words,) = (words for words, value in NORM_LOSS.reaches.items() if value == end)
    comparison = GENTLER.comparisons[0]
    table = sensitivities(GENTLER, LayerData(planted), [comparison])[comparison]
    found = {scale.name: [] for scale in SCALES}
    for seed in planted["seed"].values:
        of_seed = {name: [] for name in found}
        for layer in planted["layer"].values:
            here = planted.sel(layer=layer, seed=seed)
            cut, before = here.sel(mode="OUT"), int(here["baseline_n_correct"])
            x, first = np.unique(cut["norm_loss"].values, return_index=True)
            levels = np.array([0, *here["norm_loss_level"].values])
            counts = np.array([before, *here["perturbed_n_correct"].values])
            losses = np.array([0.1, *here["perturbed_loss"].values])
            truncated = scales_by_hand(
                x, cut["n_correct"].values[first], cut["loss"].values[first], before, 599
            )
            noisy = scales_by_hand(levels, counts, losses, before, 599)
            high = min(end, x[-1], levels[-1])
            mine, its = x[x <= high], levels[levels <= high]
            for name, values in of_seed.items():
                knots = mine if len(mine) <= len(its) else its
                difference = PchipInterpolator(knots, truncated[name](knots) - noisy[name](knots))
                values.append(difference.integrate(0, knots[-1]) / knots[-1])
        for name, values in of_seed.items():
            found[name].append(np.mean(values))
    for scale in SCALES:
        held = table.loc[f"{scale.name} ({scale.unit})", words]
        assert held == pytest.approx(np.mean(found[scale.name])), scale.name


@pytest.mark.parametrize("claim", CHOOSING, ids=lambda claim: claim.key)
def test_the_claims_own_choice_is_its_estimate(planted, claim):
    found = answer(claim, LayerData(planted))
    tables = sensitivities(claim, LayerData(planted), [f.comparison for f in found.findings])
    for f in found.findings:
        table = tables[f.comparison]
        assert table.iloc[0, -1] == pytest.approx(f.estimate)
        assert table.columns.tolist() == list(claim.choices.reaches(f.comparison))
        assert list(claim.choices.reaches(f.comparison).values())[-1] in (0.5, 64.0, 0.75**0.5)
        assert len(table) == len(SCALES)
    assert found.sensitivity is not None
    assert len(found.sensitivity) == len(SCALES) * len(found.findings)


def test_claims_without_choices_have_no_table(planted):
    others = [claim for claim in CLAIMS if claim.choices is None]
    assert {"headline", "controls"} <= {claim.key for claim in others}
    assert answer(others[0], LayerData(planted)).sensitivity is None
    assert as_one({}) is None


def test_an_effect_that_turns_with_the_range_is_told():
    """IN loses less than OUT up to 0.25, and much more beyond."""
    ds = make(Effects(noise=0.02), np.random.default_rng(6))
    norm = ds["norm_loss"].sel(mode="IN").values
    before = ds["baseline_n_correct"].values
    less = np.where(norm < 0.25, 0.0, 0.9 * norm)
    counts = np.rint(before * (1 - less))
    there = ds["n_correct"].sel(mode="IN").values >= 0
    ds["n_correct"].loc[{"mode": "IN"}] = np.where(there, counts, -1).astype(int)
    found = answer(AT_EQUAL_NORM_LOSS, LayerData(ds))
    assert "hangs on the choice of scale or range in" in found.told.sure
    assert "OUT − IN" in found.told.sure.split("range in")[-1]
    row = found.sensitivity.loc[
        "OUT − IN: accuracy above chance that is kept (of the accuracy above chance)"
    ]
    assert row.iloc[0] < 0 < row.iloc[-1]


def test_an_effect_that_never_turns_is_told(planted):
    found = answer(replace(GENTLER, comparisons=GENTLER.comparisons[:1]), LayerData(planted))
    assert found.verdict is Verdict.SUPPORTED
    assert found.told.sure.endswith("No other scale or range that was asked turns the sign.")


def test_without_losses_their_row_is_left_out(planted):
    ds = planted.copy(deep=True)
    ds["loss"].values[...] = np.nan
    comparison = BETTER.comparisons[0]
    table = sensitivities(BETTER, LayerData(ds), [comparison])[comparison]
    assert [name.split(" (")[0] for name in table.index] == [s.name for s in SCALES[:2]]
