"""Oracles: curves whose means and crossings are known by hand."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy.interpolate import PchipInterpolator

from analyses.claims.cuts import AT_EQUAL_NORM_LOSS
from analyses.comparing import (
    NORM_LOSS,
    common_support,
    curves_along,
    later,
    mean_curve,
    mean_difference,
    reach,
)
from analyses.findings import Comparison
from analyses.samples import sample, tabulate
from compressibility.store.cubics import Cubic
from compressibility.store.curves import Curve, crossing, curves
from compressibility.store.reading import LayerData, NotMeasuredError, read
from tests.synthetic_dataset import make


def curve(x, y):
    return Curve.of(np.array(x, float), np.array(y, float))


def test_a_curve_is_sorted_distinct_and_without_gaps():
    found = curve([0.3, 0, 0.3, 0.1, np.nan], [3, 0, 3, np.nan, 9])
    np.testing.assert_array_equal(found.x, [0, 0.3])
    np.testing.assert_array_equal(found.at(np.array([0.1, 0.3, 0.4])), [1, 3, np.nan])


def test_a_curve_keeps_the_shape_of_its_points():
    """Through all points, monotone between them, and nearer to a parabola than its chords are."""
    x = np.array([0, 0.1, 0.3, 0.4, 0.8])
    bent, grid = curve(x, -(x**2)), np.linspace(0, 0.8, 81)
    np.testing.assert_allclose(bent.at(x), -(x**2), atol=1e-15)
    assert (np.diff(bent.at(grid)) < 0).all()
    chords = np.interp(grid, x, -(x**2))
    assert abs(bent.at(grid) + grid**2).max() < 0.5 * abs(chords + grid**2).max()
    step = curve([0, 1, 2, 3], [0, 0, -1, -1]).at(np.linspace(0, 3, 61))
    assert step.min() == -1
    assert step.max() == 0


@pytest.mark.parametrize("n", [2, 3, 4, 20])
@pytest.mark.parametrize("levels", [2, 3, 1_000_000])
def test_cubics_are_scipys(n, levels):
    """Oracle: SciPy's interpolator, at few levels with plateaus, turns and steps at the ends."""
    rng = np.random.default_rng(n)
    for _ in range(50):
        x, y = np.sort(rng.uniform(size=n)), rng.integers(levels, size=n) / levels
        ours, scipys = Cubic.through(x, y), PchipInterpolator(x, y, extrapolate=False)
        at = np.concatenate([x, rng.uniform(-0.1, 1.1, 50)])
        np.testing.assert_allclose(ours(at), scipys(at), rtol=1e-12, atol=1e-12)
        for end in (x[0], rng.uniform(x[0], x[-1]), x[-1]):
            assert ours.integral(end) == pytest.approx(scipys.integrate(x[0], end), abs=1e-12)


def test_the_mean_is_the_area_over_the_width():
    found = curve([0, 0.1, 0.3, 0.4, 0.8], [0, -1, -1, -3, -4])
    fine = np.linspace(0, 0.8, 100_001)
    assert found.mean() == pytest.approx(np.trapezoid(found.at(fine), fine) / 0.8, abs=1e-8)
    assert curve([0, 2], [0, 3]).mean() == pytest.approx(1.5)
    assert curve([0.4], [7]).mean() == 7
    assert math.isnan(Curve(np.array([0, 1, 2.0]), np.array([0, np.nan, 1])).mean())
    assert math.isnan(curve([], []).mean())
    upto = fine[fine <= 0.25]
    assert found.mean(0.25) == pytest.approx(np.trapezoid(found.at(upto), upto) / 0.25, abs=1e-6)
    assert found.mean(0.9) == found.mean()
    assert math.isnan(found.mean(0.09))
    assert curve([0.4], [7]).mean(0.4) == 7
    assert math.isnan(curve([0.4], [7]).mean(0.3))


def test_a_curve_of_one_point_is_known_there_alone():
    np.testing.assert_array_equal(curve([0.4], [7]).at(np.array([0.3, 0.4])), [np.nan, 7])
    np.testing.assert_array_equal(curve([], []).at(np.array([0.3])), [np.nan])


def test_a_constant_difference_is_found_whatever_the_grids():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = (np.sort(np.append(rng.uniform(0, 1, n), [0.0, 0.3])) for n in (12, 5))
        assert mean_difference(curve(a, 3 * a + 0.5), curve(b, 3 * b)) == pytest.approx(0.5)


SHIPPED = ("cifar10-vanilla", "cifar100-vanilla")


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request):
    return read(request.param)


@pytest.mark.parametrize(
    ("law", "bound"),
    [
        (lambda v: -12 * v**2, 1e-3),
        (lambda v: -30 * v**3, 2e-3),
        (lambda v: -8 * v**1.5, 4e-4),
        (lambda v: np.exp(-12 * v**2), 4e-4),
    ],
    ids=["square", "cube", "power 3/2", "bell"],
)
def test_one_smooth_curve_on_the_grids_of_real_cuts_is_no_difference(shipped, law, bound):
    """On the norm losses that the shipped networks' cuts achieve: OUT's many against few."""
    of = {
        mode: curves_along(shipped, NORM_LOSS, law(shipped["norm_loss"]), mode)
        for mode in shipped.modes
    }
    out = of.pop("OUT")
    for mode, other in of.items():
        differences = [mean_difference(out[cell], other[cell]) for cell in out if len(other[cell])]
        assert len(differences) >= 24
        assert abs(np.nanmean(differences)) < bound, mode


def test_the_difference_is_antisymmetric():
    rng = np.random.default_rng(0)
    a, b = (np.sort(rng.uniform(0, 0.6, n)) for n in (9, 4))
    first, second = curve(a, rng.normal(size=9)), curve(b, rng.normal(size=4))
    assert mean_difference(first, second) == pytest.approx(-mean_difference(second, first))


def test_only_the_common_support_counts():
    long, short = curve([0, 0.2, 0.5], [0, 0, -100]), curve([0, 0.1, 0.2], [1, 1, 1])
    assert mean_difference(long, short) == pytest.approx(-1)
    assert common_support([long, short], 0, 1) == (0, 0.2)
    assert common_support([long, curve([0.6, 0.7], [0, 0])], 0, 1) is None
    assert common_support([curve([], [])], 0, 1) is None


def test_without_a_truncation_in_common_there_is_no_difference_to_speak_of():
    other = curve([0, 0.1, 0.3], [0, -1, -3])
    assert math.isnan(mean_difference(curve([0, 0.8], [0, -3]), other))
    assert math.isnan(mean_difference(curve([0], [0]), other))
    assert mean_difference(curve([0, 0.1], [0, -3]), other) == pytest.approx(-1)
    assert math.isnan(mean_difference(curve([], []), other))


def test_an_average_reaches_to_the_last_point_of_the_coarser_curve():
    fine, coarse = curve([0, 0.1, 0.2, 0.3, 0.45], range(5)), curve([0, 0.15, 0.35, 0.6], range(4))
    assert reach(fine, coarse) == reach(coarse, fine) == 0.35
    assert reach(fine, coarse, 0, 0.3) == 0.15
    assert reach(curve([0, 0.1, 0.2], [0] * 3), coarse) == 0.15
    assert math.isnan(reach(fine, curve([0, 0.8], [0, 0])))
    assert math.isnan(reach(fine, curve([], [])))
    assert reach(fine, fine) == 0.45
    assert mean_difference(fine, fine) == 0


@pytest.mark.parametrize("mode", ["IN", "KH", "OUT,IN", "OUT,KW"])
def test_each_comparison_says_how_far_its_averages_go(shipped, mode):
    """From the norm losses of the two cuts, by plain NumPy."""
    ds, ends = shipped.dataset, []
    for layer in shipped.layers:
        last = []
        for seed in shipped.seeds:
            x, y = (
                np.unique(ds["norm_loss"].sel(layer=layer, mode=m, seed=seed))
                for m in ("OUT", mode)
            )
            end = min(0.5, x[-1], y[-1])
            last.append(min((v[v <= end] for v in (x, y)), key=len)[-1])
        ends.append(np.mean(last))
    comparison = Comparison("OUT", mode)
    found = AT_EQUAL_NORM_LOSS.measure(shipped, comparison)
    (told,) = AT_EQUAL_NORM_LOSS.limits(shipped, comparison, found)
    said = [
        float(word) for word in told.removesuffix(", by layer").split(" up to ")[1].split(" to ")
    ]
    assert said == pytest.approx([min(ends), max(ends)], abs=0.005)


def test_the_first_crossing_is_interpolated_and_bracketed():
    found = crossing(curve([0, 0.1, 0.3, 0.5], [0, -0.02, -0.08, 0]), 0.05)
    assert found.value == pytest.approx(0.2)
    assert (found.last_good, found.first_bad) == (0.1, 0.3)
    assert not found.censored


def test_a_curve_that_ends_before_it_crosses_is_censored():
    found = crossing(curve([0, 0.4], [0, -0.03]), 0.05)
    assert found.censored
    assert found.value == 0.4


def test_an_order_is_claimed_only_where_it_is_sure():
    early = crossing(curve([0, 0.1, 0.2], [0, 0, -1]), 0.05)
    late = crossing(curve([0, 0.3, 0.4], [0, 0, -1]), 0.05)
    overlapping = crossing(curve([0, 0.15, 0.35], [0, 0, -1]), 0.05)
    censored_late = crossing(curve([0, 0.25], [0, 0]), 0.05)
    censored_early = crossing(curve([0, 0.05], [0, 0]), 0.05)
    assert later(late, early) == 1
    assert later(early, late) == -1
    assert later(early, overlapping) == 0
    assert later(overlapping, early) == 0
    assert later(censored_late, early) == 1
    assert later(censored_early, early) == 0
    assert later(censored_early, censored_late) == 0
    assert math.isnan(later(early, crossing(curve([], []), 0.05)))


def test_curves_are_found_by_their_labels():
    x = xr.DataArray([[0.0, 0.2], [0.1, np.nan]], {"seed": [3, 5], "t": [0, 1]}, ("seed", "t"))
    y = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], {"t": [0, 1], "seed": [3, 5]}, ("t", "seed"))
    found = curves(x, y, along="t", by=("seed",))
    np.testing.assert_array_equal([found[(3,)].x, found[(3,)].y], [[0, 0.2], [1, 3]])
    np.testing.assert_array_equal([found[(5,)].x, found[(5,)].y], [[0.1], [2]])
    with pytest.raises(ValueError, match="exact"):
        curves(x.assign_coords(t=[0, 2]), y, along="t", by=("seed",))


def test_curves_are_averaged_where_all_of_them_run():
    found = mean_curve([curve([0, 0.4], [0, 4]), curve([0.1, 0.4, 0.9], [1, 4, 9])], 0, 1, points=4)
    np.testing.assert_allclose(found.x, [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(found.y, [[1, 2, 3, 4]] * 2)
    assert mean_curve([curve([0, 0.1], [0, 0]), curve([0.2, 0.3], [0, 0])], 0, 1) is None
    assert mean_curve([curve([], [])], 0, 1) is None


def table(values):
    seeds, layers = range(len(values)), [f"conv{n}" for n in range(1, len(values[0]) + 1)]
    return xr.DataArray(values, {"seed": list(seeds), "layer": layers}, ("seed", "layer"))


def test_networks_are_compared_over_the_same_layers():
    values = np.arange(16.0).reshape(4, 4)
    values[:, 1] = np.nan
    values[2, 3] = np.nan
    for given in (table(values), table(values).T):
        found = sample(given)
        assert found.seeds == (0, 1, 3)
        assert found.layers == ("conv1", "conv3", "conv4")
        np.testing.assert_allclose(found.values, values[[0, 1, 3]][:, [0, 2, 3]].mean(axis=1))
        assert "seed 2" in found.left_out[0]
        assert found.present.sum() == 11


def test_a_layer_that_few_networks_have_is_left_out_instead():
    values = np.ones((4, 4))
    values[1:, 3] = np.nan
    found = sample(table(values))
    assert found.seeds == (0, 1, 2, 3)
    assert found.layers == ("conv1", "conv2", "conv3")
    assert "conv4" in found.left_out[0]


def test_an_empty_table_says_so():
    with pytest.raises(NotMeasuredError, match="no network"):
        sample(table(np.full((4, 4), np.nan)))
    with pytest.raises(NotMeasuredError, match="no kernel of that kind"):
        sample(table(np.full((4, 4), np.nan)), "no kernel of that kind")


def test_a_table_is_filled_by_labels():
    data = LayerData(make(n_seeds=2))
    found = tabulate(data, lambda layer, seed: int(layer[-1]) + 10 * seed)
    assert found.dims == ("seed", "layer")
    assert float(found.sel(seed=1, layer="conv3")) == 13
