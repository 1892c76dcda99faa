"""Oracle: datasets drawn with known effects, from which something was taken away."""

import math
from functools import partial

import numpy as np
import pytest

from analyses.claims.cuts import (
    AT_EQUAL_NORM_LOSS,
    compared,
)
from analyses.comparing import NORM_LOSS, curves_along
from analyses.findings import Comparison, Kind, Verdict
from analyses.topics import CLAIMS
from analyses.verdicts import answer
from compressibility.store.netcdf import open_dataset, save
from compressibility.store.reading import LayerData, NotMeasuredError
from tests.answered import answers
from tests.synthetic_dataset import PLANTED, make, unmeasured


def test_equal_cuts_are_never_compared(planted):
    data = LayerData(planted)
    assert not data.distinct.sel(layer="conv1", mode="OUT,KH")
    comparison = Comparison("OUT", "OUT,KH")
    along = partial(curves_along, data, NORM_LOSS, data.accuracy_change)
    table = compared(data, along, comparison, lambda a, b: 1.0)
    assert table.sel(layer="conv1").isnull().all()
    assert (table.drop_sel(layer="conv1") == 1).all()


def test_a_network_of_pointwise_kernels_has_no_cuts_to_compare():
    dataset = make(n_seeds=6, names=("a", "b", "c"), shapes=((8, 4, 1, 1),) * 3)
    found = answers(dataset)
    assert "no layer has both" in found["cuts-norm"].told.found
    assert found["two-mode"].findings == ()
    assert found["depth"].findings


@pytest.mark.parametrize("n_seeds", [1, 2, 3, 5])
def test_below_six_networks_nothing_is_decided_but_equivalence_by_five(n_seeds):
    dataset = make(PLANTED, np.random.default_rng(2), n_seeds=n_seeds)
    for found in answers(dataset).values():
        equality = found.claim.kind is Kind.EQUIVALENCE
        decided_by_five = equality and n_seeds == 5
        expected = Verdict.SUPPORTED if decided_by_five else Verdict.UNDECIDED
        assert found.verdict is expected
        assert found.n_seeds == n_seeds
        assert ("undecided whatever" in found.told.sure) != decided_by_five
        for f in found.findings:
            assert equality == ("one-sided" in f.test)
            assert math.isnan(f.half_width) if equality else f.half_width == math.inf
            assert decided_by_five or equality != ("two-sided" in found.told.sure)
            assert f.interval.kind.endswith("t-interval" if n_seeds > 1 else "one network")
            assert math.isfinite(f.interval.low) == (n_seeds > 1)
            assert all(math.isnan(layer.p_adjusted) for layer in f.layers)
            assert all(math.isfinite(layer.estimate) for layer in f.layers)


@pytest.mark.parametrize(
    ("group", "unanswered"),
    [
        ("network", {"cuts-norm", "depth", "noise", "two-mode", "correlation"}),
        (
            "truncation",
            {
                "cuts-norm",
                "depth",
                "controls",
                "noise",
                "curvature",
                "two-mode",
                "joint",
            },
        ),
        ("controls", {"controls", "null", "noise", "depth-control"}),
        ("curvature", {"curvature"}),
        ("joint", {"joint"}),
        ("formats", {"formats", "formats-error"}),
        ("whitened", {"whitened", "whitened-proxy"}),
        ("recovery", {"recovery", "recovery-controls"}),
        ("minimum", {"minimum", "minimum-curvature"}),
        ("hessian", set()),
    ],
)
def test_what_is_not_measured_is_said_and_the_rest_answered(planted, group, unanswered):
    found = answers(unmeasured(planted, group))
    for key in unanswered:
        assert found[key].verdict is Verdict.UNDECIDED
        assert found[key].findings == ()
        assert found[key].told.found.startswith("Nothing can be said from this dataset: ")
    if group in (
        "controls",
        "curvature",
        "formats",
        "hessian",
        "joint",
        "recovery",
        "minimum",
        "whitened",
    ):
        assert found["cuts-norm"].findings


def test_a_missing_layer_of_one_network_costs_that_network_only(planted):
    dataset = planted.copy(deep=True)
    dataset["n_correct"].values[2, :, :, 5] = -1
    found = answer(AT_EQUAL_NORM_LOSS, LayerData(dataset))
    assert found.n_seeds == 7
    assert any("seed 5" in text for text in found.told.unseen)


@pytest.mark.parametrize(
    ("weights", "measured"),
    [
        (["trained", "shuffled"], {"shuffled"}),
        (["trained", "initial"], {"initial"}),
        (["initial", "shuffled"], set()),
        (["trained"], set()),
    ],
)
def test_weights_are_told_apart_by_name_where_some_are_missing(
    planted, planted_answers, weights, measured, tmp_path
):
    save(planted.sel(weights=weights), tmp_path / "part.nc")
    data = LayerData(open_dataset(tmp_path / "part.nc"))
    claims = {claim.key: claim for claim in CLAIMS}
    found = answer(claims["controls"], data)
    whole = {f.reference: f for f in planted_answers["controls"].findings}
    assert {f.reference for f in found.findings} == measured
    for f in found.findings:
        assert f.per_seed == whole[f.reference].per_seed
        assert f.robustness == whole[f.reference].robustness
    assert found.verdict is Verdict.UNDECIDED  # of two planned comparisons one is missing
    null = answer(claims["null"], data)
    assert bool(null.findings) == ("initial" in weights)


def test_a_variable_of_another_dataset_version_is_missed_politely(planted):
    dataset = planted.drop_vars(["perturbed_n_correct", "directional_curvature"])
    found = answers(dataset)
    assert "no variable perturbed_n_correct" in found["noise"].told.found
    assert "no variable directional_curvature" in found["curvature"].told.found
    assert found["cuts-norm"].verdict is Verdict.SUPPORTED
    with pytest.raises(NotMeasuredError, match="no variable x"):
        _ = LayerData(dataset)["x"]
