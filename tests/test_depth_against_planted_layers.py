"""Oracles: layers whose losses are set by hand, and slopes by plain NumPy."""

import numpy as np
import pytest
import xarray as xr
from scipy.interpolate import pchip_interpolate

from analyses.claims.depth import AT_EQUAL_SHAPE, DEEPER, OVER_ALL
from analyses.claims.depth_control import SPECIAL
from analyses.claims.depth_cuts import DEEPER_ALONG_OTHERS
from analyses.findings import Verdict
from analyses.verdicts import answer
from compressibility.store.cuts import MODES
from compressibility.store.reading import LayerData, NotMeasuredError
from tests.by_hand import kept_between
from tests.synthetic_dataset import DIMS, SHAPES, Effects, make
from tests.synthetic_dataset import NAMES as SHORT

IMAGES = 10_000_000
SMALL, LARGE = (8, 8, 3, 3), (16, 16, 3, 3)
LADDER = (SMALL, SMALL, SMALL, LARGE, LARGE, LARGE)
NAMES = tuple(f"conv{n}" for n in range(1, 7))


def losing(strengths, shapes, names=NAMES):
    """Networks whose layers lose strength times the squared norm loss, (seed, layer) log-odds."""
    n_seeds = len(strengths)
    dataset = make(n_seeds=n_seeds, n_images=IMAGES, names=names, shapes=shapes)
    strengths = xr.DataArray(strengths, dims=("seed", "layer"))
    lost = (strengths * dataset["norm_loss"] ** 2).transpose(*DIMS).values
    start = np.log(19.0)
    counts = np.rint(IMAGES / (1 + np.exp(np.nan_to_num(lost) - start)))
    dataset["n_correct"].values[...] = np.where(np.isfinite(lost), counts, -1)
    dataset["baseline_n_correct"].values[...] = round(IMAGES * 0.95)
    return LayerData(dataset)


def noisy(by_layer, rng=0, n_seeds=8):
    """Each network's strengths: the layers', with one part in a hundred of its own."""
    noise = np.random.default_rng(rng).normal(size=(n_seeds, len(by_layer)))
    return np.asarray(by_layer) * (1 + 0.01 * noise)


def by_label(found):
    return {f.comparison: f for f in found.findings}


def test_wider_layers_are_told_from_deeper_ones():
    """Layers lose less where the kernel is larger, and no less at greater depth."""
    found = answer(DEEPER, losing(noisy([12, 12.6, 12.3, 6, 6.4, 6.1]), LADDER))
    over_all, alike = (by_label(found)[c] for c in (OVER_ALL, AT_EQUAL_SHAPE))
    assert over_all.verdict is Verdict.SUPPORTED
    assert over_all.estimate > 0.08
    assert alike.verdict is Verdict.UNDECIDED
    assert abs(alike.estimate) < 0.2 * over_all.estimate
    assert found.verdict is Verdict.UNDECIDED
    assert "among layers of one shape" in found.told.found


def test_depth_that_holds_at_equal_shape_is_found():
    data = losing(noisy([12, 11, 10, 9, 8, 7]), LADDER)
    found = answer(DEEPER, data)
    assert found.verdict is Verdict.SUPPORTED
    first, second = (by_label(found)[c].estimate for c in (OVER_ALL, AT_EQUAL_SHAPE))
    assert second == pytest.approx(first, rel=0.05)
    assert "4 degrees of freedom" in by_label(found)[OVER_ALL].robustness.note
    assert "3 degrees of freedom" in by_label(found)[AT_EQUAL_SHAPE].robustness.note
    for f in found.findings:
        assert f.robustness.estimate == pytest.approx(f.estimate)


def test_where_no_two_layers_share_a_shape_that_is_said():
    data = losing(noisy([12, 10, 8, 6]), SHAPES, SHORT)
    found = answer(DEEPER, data)
    assert [f.comparison for f in found.findings] == [OVER_ALL]
    assert found.verdict is Verdict.SUPPORTED
    assert any("No two layers have kernels of one shape" in text for text in found.told.unseen)
    with pytest.raises(NotMeasuredError, match="no two layers"):
        DEEPER.measure(data, AT_EQUAL_SHAPE)


def slope_by_hand(depths, values):
    """The normal equation of a straight line, in plain Python."""
    x, y = sum(depths) / len(depths), sum(values) / len(values)
    across = sum((a - x) * (b - y) for a, b in zip(depths, values, strict=True))
    return across / sum((a - x) ** 2 for a in depths)


def test_the_control_is_the_difference_of_two_slopes():
    """Both by hand: scipy's cubics at the coarsest layer's norm losses, and the normal equation."""
    effects = Effects(depth=1.0, perturbation=1.7, perturbation_depth=0.3)
    ds = make(effects, np.random.default_rng(4), n_seeds=6, n_images=5000)
    n, depths = 5000, ds["relative_depth"].values.tolist()
    found = answer(SPECIAL, LayerData(ds)).findings[0]

    for seed, estimate in enumerate(found.per_seed):
        here = ds.sel(seed=seed, mode="OUT")
        x = [np.unique(here["norm_loss"].sel(layer=k)) for k in SHORT]
        end = min(0.5, *(v[-1] for v in x))
        knots = np.unique([*min((v[v <= end] for v in x), key=len), end])
        before, fine = int(here["baseline_n_correct"]), np.linspace(0, end, 20_001)
        truncated, perturbed = [], []
        for layer in SHORT:
            own, first = np.unique(here["norm_loss"].sel(layer=layer), return_index=True)
            counts = here["n_correct"].sel(layer=layer).values[first]
            noise = ds["perturbed_n_correct"].sel(layer=layer, seed=seed).values
            levels = [0, *ds["norm_loss_level"].values]
            for means, (a, b) in zip(
                (truncated, perturbed), ((own, counts), (levels, [before, *noise])), strict=True
            ):
                at_knots = kept_between(knots, a, b, before, n)
                means.append(pchip_interpolate(knots, at_knots, fine).mean())
        expected = slope_by_hand(depths, truncated) - slope_by_hand(depths, perturbed)
        assert estimate == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("depth", "verdict"), [(1.0, Verdict.SUPPORTED), (-1.0, Verdict.CONTRADICTED)]
)
def test_a_trend_along_every_cut_is_found(depth, verdict):
    ds = make(Effects(depth=depth), np.random.default_rng(2), names=NAMES, shapes=[LARGE] * 6)
    found = answer(DEEPER_ALONG_OTHERS, LayerData(ds))
    assert found.verdict is verdict
    assert {f.reference for f in found.findings} == set(MODES) - {"OUT"}


@pytest.mark.parametrize("cut", ["IN", "OUT,KW"])
def test_slopes_along_another_cut_are_those_of_its_own_curves(cut):
    """As above; IN of the first layer is no cut there, so three layers count."""
    shapes = [(16, 1, 3, 3), (24, 16, 3, 3), (24, 24, 3, 3), (32, 24, 3, 3)]
    ds = make(Effects(depth=1.0), np.random.default_rng(4), n_images=5000, shapes=shapes)
    found = {f.reference: f for f in answer(DEEPER_ALONG_OTHERS, LayerData(ds)).findings}[cut]
    layers = [name for name in SHORT if ds["same_as"].sel(layer=name, mode=cut) == cut]
    assert len(layers) == 3
    depths = ds["relative_depth"].sel(layer=layers).values.tolist()
    for seed, estimate in enumerate(found.per_seed):
        here = ds.sel(seed=seed, mode=cut)
        x = [np.unique(here["norm_loss"].sel(layer=k)) for k in layers]
        end = min(0.5, *(v[-1] for v in x))
        knots = np.unique([*min((v[v <= end] for v in x), key=len), end])
        before, fine = int(here["baseline_n_correct"]), np.linspace(0, end, 20_001)
        means = []
        for layer in layers:
            of_layer = here.sel(layer=layer)
            curve = of_layer["norm_loss"].values, of_layer["n_correct"].values
            at_knots = kept_between(knots, *curve, before, 5000)
            means.append(pchip_interpolate(knots, at_knots, fine).mean())
        assert estimate == pytest.approx(slope_by_hand(depths, means), rel=1e-3)


def test_layers_that_differ_at_random_are_no_effect_of_depth():
    """Networks agree on their four layers: by them alone nearly every order would be decided."""
    rng, decided, alone, draws = np.random.default_rng(0), 0, 0, 30
    data = losing(noisy([10] * 4), SHAPES, SHORT)
    for draw in range(draws):
        strengths = noisy(10 * np.exp(0.5 * rng.normal(size=4)), draw)
        lost = xr.DataArray(strengths, dims=("seed", "layer")) * data.dataset["norm_loss"] ** 2
        counts = np.rint(IMAGES / (1 + np.exp(lost.transpose(*DIMS).fillna(0) - np.log(19.0))))
        data.dataset["n_correct"].values[...] = counts.where(data.dataset["n_correct"] >= 0, -1)
        found = answer(DEEPER, LayerData(data.dataset))
        decided += found.verdict is not Verdict.UNDECIDED
        alone += found.findings[0].p_adjusted <= 0.05
    assert decided <= 6  # the 99.9 % limit at 0.05
    assert alone >= 24
