"""Oracle: ranks, contrasts and averages of curvatures that are set by hand."""

import math

import numpy as np
import pytest

from analyses.claims.curvature import FLATTER
from analyses.curvatures import along, average_curvature, contrasts, random_contrasts, ranks
from analyses.findings import Verdict
from analyses.verdicts import answer
from compressibility.store.reading import LayerData


def curved(dataset, value):
    """The dataset with one curvature along every truncation, 8 being above the layer's average."""
    changed = dataset.copy(deep=True)
    random = 1.0 + np.arange(16)[None, :, None]
    changed["random_directional_curvature"].values[...] = random
    changed["hessian_layer_trace"].values[...] = 8.5 * changed["parameters"].values[:, None]
    along = changed["directional_curvature"]
    changed["directional_curvature"] = along.where(along.isnull(), value)
    return LayerData(changed)


@pytest.mark.parametrize(
    ("value", "above"), [(0.5, 16), (4.5, 12), (4.0, 12.5), (16.0, 0.5), (20.0, 0), (-3.0, 16)]
)
def test_the_rank_counts_random_directions_above_and_half_of_those_equal(null, value, above):
    found = {f.reference: f for f in answer(FLATTER, curved(null, value)).findings}
    assert found["OUT"].per_seed == pytest.approx([above / 16 - 0.5] * 8)
    assert found["OUT,KW"].estimate == pytest.approx(above / 16 - 0.5)


def test_the_contrast_is_the_bounded_log_ratio(null):
    data = curved(null, 0.3 * 8.5)
    np.testing.assert_allclose(along(data, "OUT") / average_curvature(data), 0.3)
    np.testing.assert_allclose(contrasts(data, "OUT"), math.tanh(-math.log(0.3) / 2))
    one_out = [(136 - c) / 15 for c in range(1, 17)]
    expected = np.mean([math.tanh(math.log(a / c) / 2) for c, a in enumerate(one_out, 1)])
    np.testing.assert_allclose(random_contrasts(data), expected)


def test_only_small_truncations_that_every_network_has_are_ranked(planted):
    """Beyond a norm loss of 0.1 the curvature may be anything; without any the layer drops out."""
    expected = ranks(LayerData(planted), "OUT")
    dataset = planted.copy(deep=True)
    large = dataset["norm_loss"] > 0.1
    dataset["directional_curvature"] = dataset["directional_curvature"].where(~large, 1e9)
    np.testing.assert_array_equal(ranks(LayerData(dataset), "OUT"), expected)
    small = (dataset["norm_loss"] > 0) & (dataset["norm_loss"] <= 0.1)
    gone = small & (dataset["layer"] == "conv2") & (dataset["seed"] == 3)
    dataset["directional_curvature"] = dataset["directional_curvature"].where(~gone)
    found = ranks(LayerData(dataset), "OUT")
    assert found.sel(layer="conv2").isnull().all()
    np.testing.assert_array_equal(found.drop_sel(layer="conv2"), expected.drop_sel(layer="conv2"))
    assert answer(FLATTER, LayerData(dataset)).n_seeds == 8


def test_ranks_are_averaged_over_norm_loss(null):
    """By the trapezoidal rule, of ranks that fall from one truncation to the next."""
    dataset = null.copy(deep=True)
    dataset["directional_curvature"] = dataset["norm_loss"].where(
        dataset["directional_curvature"].notnull()
    )
    levels = np.linspace(0.005, 0.105, 16)
    dataset["random_directional_curvature"].values[...] = levels[:, None]
    found = ranks(LayerData(dataset), "OUT").sel(layer="conv4", seed=2)
    x = np.unique(dataset["norm_loss"].sel(layer="conv4", mode="OUT", seed=2))
    x = x[(x > 0) & (x <= 0.1)]
    y = [np.mean(levels > value) - 0.5 for value in x]
    assert float(found) == pytest.approx(np.trapezoid(y, x) / (x[-1] - x[0]))
    assert x.size > 2


def test_negative_curvature_is_flatter_and_still_counted(planted):
    dataset = planted.copy(deep=True)
    dataset["directional_curvature"] = -dataset["directional_curvature"]
    found = answer(FLATTER, LayerData(dataset))
    assert all(f.estimate == pytest.approx(0.5) for f in found.findings)
    assert found.verdict is Verdict.SUPPORTED
    np.testing.assert_allclose(contrasts(LayerData(dataset), "OUT"), 1)


def test_curvature_does_not_depend_on_units(planted):
    expected = answer(FLATTER, LayerData(planted)).findings
    dataset = planted.copy(deep=True)
    for name in ("directional_curvature", "hessian_layer_trace", "random_directional_curvature"):
        dataset[name] = 1e6 * dataset[name]
    for found, before in zip(answer(FLATTER, LayerData(dataset)).findings, expected, strict=True):
        assert found.per_seed == before.per_seed
        assert found.robustness.estimate == pytest.approx(before.robustness.estimate)
