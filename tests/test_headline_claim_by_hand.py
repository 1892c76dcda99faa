"""Oracle: the claim's definition in loops, with scipy's cubics and its tests of two proportions.

And planted worlds: cuts that are best on held-out images, on test images, or nowhere.
"""

from collections import Counter

import numpy as np
import pytest
import scipy.interpolate
import scipy.stats
import xarray as xr

from analyses.best_cuts import NO_CUT, best, first_reaching, interpolated, surely_lost
from analyses.claims.headline import BEST_CUT, NORM_LOSSES, OFTEN, OFTEN_ALONG_OUT, best_of
from analyses.findings import Verdict
from analyses.samples import over_own_layers
from analyses.verdicts import answer
from compressibility.store.reading import LayerData, NotMeasuredError, read
from tests.synthetic_dataset import Effects, make, unmeasured


@pytest.fixture(scope="module")
def mixed():
    """OUT and OUT,KH are gentle in different layers; the held-out images have their own chance."""
    ds = make(Effects(strength=9.0, cut={"IN": 3.0}, noise=0.6), np.random.default_rng(11))
    rng = np.random.default_rng(12)
    counts = ds["held_out_n_correct"].values
    shaken = np.clip(counts + rng.integers(-15, 16, counts.shape), 0, 400)
    ds["held_out_n_correct"].values[...] = np.where(counts < 0, -1, shaken)
    return ds


def at(x, norm_loss, y):
    """y where the norm loss is x; None where the truncations do not reach it."""
    there = np.isfinite(norm_loss) & np.isfinite(y)
    knots, first = np.unique(norm_loss[there], return_index=True)
    if len(knots) < 2 or knots[-1] < x:
        return None
    return float(scipy.interpolate.pchip_interpolate(knots, y[there][first], x))


def by_hand(ds, layer, seed, x):
    """The cut with the most held-out images right, and the change of test accuracy along it."""
    here = ds.sel(layer=layer, seed=seed)
    found = []
    for mode in here["mode"].values.tolist():
        of_cut = here.sel(mode=mode)
        if of_cut["same_as"] != mode:
            continue
        norm = of_cut["norm_loss"].values
        held_out, tested = (
            (of_cut[name].values - int(of_cut[base])) / int(of_cut[images])
            for name, base, images in (
                ("held_out_n_correct", "held_out_baseline_n_correct", "held_out_n_images"),
                ("n_correct", "baseline_n_correct", "n_images"),
            )
        )
        if (chosen_by := at(x, norm, held_out)) is not None:
            found.append((chosen_by, mode, at(x, norm, tested)))
    return max(found, key=lambda f: f[0])[1:] if found else (NO_CUT, None)


def test_shares_are_counted_layer_by_layer(mixed):
    found = answer(OFTEN, LayerData(mixed))
    chosen = Counter()
    for x, f in zip(NORM_LOSSES, found.findings, strict=True):
        for seed, share in zip(mixed["seed"].values, f.per_seed, strict=True):
            cuts = [by_hand(mixed, layer, seed, x) for layer in mixed["layer"].values]
            asked = [change for _, change in cuts if change is not None]
            chosen.update(cut for cut, _ in cuts)
            assert share + 0.5 == pytest.approx(np.mean([c >= -0.05 for c in asked]))
    assert len(chosen) > 4


def test_the_cut_is_chosen_on_the_held_out_images_alone(mixed):
    cuts = best_of(LayerData(mixed), [0.3], LayerData(mixed).accuracy_change).cut
    for layer in mixed["layer"].values:
        for seed in mixed["seed"].values:
            held = cuts.sel(layer=layer, seed=seed, norm_loss=0.3).item()
            assert held == by_hand(mixed, layer, seed, 0.3)[0]
    other = mixed.copy(deep=True)
    other["n_correct"].values[...] = np.where(other["n_correct"] < 0, -1, 7)
    again = best_of(LayerData(other), [0.3], LayerData(other).accuracy_change)
    xr.testing.assert_equal(again.cut, cuts)
    assert (again.change < -0.05).all()


def test_choosing_on_the_test_images_would_find_more_layers(mixed):
    """The best of seven is lucky where it is chosen: here every cut loses 5 points, and chance."""
    ds, rng = mixed.copy(deep=True), np.random.default_rng(3)
    counts, base = ds["n_correct"].values, ds["baseline_n_correct"].values
    chance = rng.normal(0, 12, counts.shape).astype(int)
    ds["n_correct"].values[...] = np.where(counts < 0, -1, base - 30 + chance)
    data = LayerData(ds)
    tested = interpolated(data, data.accuracy_change, [0.3])
    honest = best_of(data, [0.3], data.accuracy_change).change
    lucky = best(tested, tested).change
    assert float((lucky >= -0.05).mean()) > float((honest >= -0.05).mean()) + 0.2


@pytest.mark.parametrize("claim", [OFTEN, OFTEN_ALONG_OUT])
def test_gentle_and_harsh_truncations_are_decided(claim):
    for strength, verdict in ((0.5, Verdict.SUPPORTED), (60.0, Verdict.CONTRADICTED)):
        ds = make(Effects(strength=strength), np.random.default_rng(4))
        found = answer(claim, LayerData(ds))
        assert found.verdict is verdict
        assert {f.verdict for f in found.findings if f.comparison.condition.endswith("0.5")} == {
            verdict
        }


def test_along_out_needs_no_held_out_images_and_the_best_cut_does():
    ds = unmeasured(make(Effects(strength=0.5), np.random.default_rng(4)), "held_out")
    data = LayerData(ds)
    assert answer(OFTEN_ALONG_OUT, data).verdict is Verdict.SUPPORTED
    assert not answer(OFTEN, data).findings
    none = ds.copy(deep=True)
    none["held_out_n_images"].values[...] = 0
    with np.errstate(all="raise"):
        assert not answer(OFTEN, LayerData(none)).findings


def test_layers_that_no_cut_truncates_so_far_do_not_count():
    ds = make(Effects(strength=0.5), np.random.default_rng(4))
    of_first = ds["norm_loss"].values[0]
    of_first *= 0.35 / np.nanmax(of_first)
    found = answer(OFTEN, LayerData(ds)).findings
    assert [bool(f.caveats) for f in found] == [False, False, False, True, True]
    assert "1 of 4 layers do not count" in found[-1].caveats[0]
    assert all(f.estimate == 0.5 for f in found)


def test_the_surely_lost_share_covers_as_often_as_it_says():
    """Oracle: images drawn anew 4,000 times; the lower end lies above the truth in 5 % of them."""
    rng, n, lost, gained = np.random.default_rng(0), 2000, 0.03, 0.01
    drawn = rng.multinomial(n, [lost, gained, 1 - lost - gained], size=4000)
    data = Paired(n, drawn[:, 0], drawn[:, 1])
    above = (surely_lost(data) > gained - lost).mean()
    assert scipy.stats.binomtest(int(above * 4000), 4000, 0.05).pvalue > 0.001


class Paired:
    """Answers of one truncation, over and over."""

    def __init__(self, n_images, lost, gained):
        self.n_images = n_images
        self.values = {"n_lost": lost, "n_gained": gained}

    def __getitem__(self, name):
        return xr.DataArray(self.values[name].astype(float), dims="again")


def test_the_first_that_reaches_it_is_not_interpolated(mixed):
    data = LayerData(mixed)
    found = first_reaching(data, data.accuracy_change, [0.25])
    for mode in data.modes:
        for layer in data.layers:
            for seed in data.seeds:
                here = mixed.sel(layer=layer, mode=mode, seed=seed)
                value = found.sel(mode=mode, layer=layer, seed=seed).item()
                reached = [
                    (norm, int(right))
                    for norm, right in here[["norm_loss", "n_correct"]].to_array().T.values
                    if norm >= 0.25
                ]
                if here["same_as"] != mode or not reached:
                    assert np.isnan(value)
                    continue
                right = min(reached, key=lambda r: r[0])[1]
                assert value == pytest.approx((right - int(here["baseline_n_correct"])) / 599)


def test_networks_without_any_layer_are_left_out_and_named():
    table = xr.DataArray(
        [[1.0, np.nan], [np.nan, np.nan], [0.0, 1.0]],
        {"seed": [0, 1, 2], "layer": ["a", "b"]},
        ("seed", "layer"),
    )
    found = over_own_layers(table, "nothing")
    assert found.values.tolist() == [1.0, 0.5]
    assert found.seeds == (0, 2)
    assert found.left_out == ("networks not measured: seed 1",)
    with pytest.raises(NotMeasuredError, match="nothing"):
        over_own_layers(table[1:2], "nothing")


def test_the_shipped_vanilla_networks_hold_no_layer_at_half_of_their_norm():
    """By plain counting in the stored file: the nearest truncations on either side lose more."""
    ds = read("cifar10-vanilla").dataset
    fallen = (ds["n_correct"] - ds["baseline_n_correct"]) / int(ds["n_images"])
    near = (ds["norm_loss"] > 0.4) & (ds["norm_loss"] < 0.6)
    assert near.any("threshold").any("mode").all()
    assert not (fallen.where(near) >= -0.01).any()
    found = answer(OFTEN, read("cifar10-vanilla")).findings[-1]
    assert found.reference == BEST_CUT
    assert found.estimate == -0.5
