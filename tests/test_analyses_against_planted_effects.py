"""Oracle: datasets drawn with known effects. What is planted is found; what is absent is not."""

import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from analyses import entropies
from analyses.claims.correlation_loss import TELLS, rank_correlations
from analyses.claims.cp import AT_EQUAL_ERROR
from analyses.claims.cp import AT_EQUAL_PARAMETERS as CP_AT_EQUAL_PARAMETERS
from analyses.claims.curvature import FLATTER
from analyses.claims.cuts import (
    AT_EQUAL_NORM_LOSS,
    AT_EQUAL_NORM_LOSS_PAIRS,
    AT_EQUAL_PARAMETERS,
    compared,
)
from analyses.claims.depth import DEEPER
from analyses.claims.depth_control import SPECIAL
from analyses.claims.joint import excess, summed_change
from analyses.claims.noise import GENTLER
from analyses.claims.null import CALIBRATED
from analyses.claims.two_mode_cuts import BETTER, DOUBLE
from analyses.comparing import NORM_LOSS, curves_along
from analyses.curvatures import along, average_curvature, contrasts, random_contrasts, ranks
from analyses.figures.entropy_map import entropy_map
from analyses.findings import Comparison, Kind, Verdict
from analyses.statistics import sign_flip_test
from analyses.topics import CLAIMS
from analyses.verdicts import answer
from compressibility.store.netcdf import open_dataset, save
from compressibility.store.reading import LayerData, NotMeasuredError
from compressibility.tensors.spectra import Spectrum
from tests import synthetic_dataset
from tests.synthetic_dataset import Effects, make, unmeasured

NULL = Effects()
PLANTED = Effects(
    structure=1.0,
    cut={"OUT": 0.6},
    depth=1.0,
    perturbation=2.0,
    flatness=0.3,
    interaction=1.3,
)
REVERSED = Effects(
    structure=-1e-9,
    cut={"OUT": 1.7},
    depth=-1.0,
    perturbation=0.5,
    perturbation_depth=0.5,
    flatness=3.0,
    interaction=0.7,
)


DIMS = ("layer", "mode", "threshold", "seed")


@pytest.fixture(scope="module")
def null():
    return make(NULL, np.random.default_rng(1))


@pytest.fixture(scope="module")
def planted():
    return make(PLANTED, np.random.default_rng(2))


@pytest.fixture(scope="module")
def reversed_():
    return make(REVERSED, np.random.default_rng(3))


def answers(dataset):
    data = LayerData(dataset)
    return {claim.key: answer(claim, data) for claim in CLAIMS}


@pytest.fixture(scope="module")
def planted_answers(planted):
    return answers(planted)


@pytest.mark.parametrize(
    "key",
    [
        "cuts-norm",
        "depth",
        "depth-control",
        "controls",
        "noise",
        "null",
        "curvature",
        "joint",
    ],
)
def test_planted_effects_are_found(planted_answers, key):
    found = planted_answers[key]
    assert found.verdict is Verdict.SUPPORTED
    for f in found.findings:
        if key != "null":
            assert f.interval.low > 0
            assert f.p_adjusted <= 0.05
            assert f.estimate in f.interval
        if f.robustness is not None and key != "null":
            assert f.robustness.agrees_with(f.estimate)


@pytest.mark.parametrize(
    "key", ["cuts-norm", "depth", "depth-control", "noise", "curvature", "joint"]
)
def test_reversed_effects_contradict(reversed_, key):
    (claim,) = (claim for claim in CLAIMS if claim.key == key)
    found = answer(claim, LayerData(reversed_))
    assert found.verdict is Verdict.CONTRADICTED
    assert all(f.interval.high < 0 for f in found.findings if f.verdict is Verdict.CONTRADICTED)


@pytest.mark.parametrize(
    ("cp", "verdict"), [(0.01, Verdict.SUPPORTED), (60.0, Verdict.CONTRADICTED)]
)
def test_cp_that_loses_little_or_much_is_told(cp, verdict):
    """At ratios where cuts lose much, and where they lose little."""
    ds = make(Effects(cp=cp, strength=20 if cp < 1 else 4), np.random.default_rng(8), n_images=5000)
    found = answer(CP_AT_EQUAL_PARAMETERS, LayerData(ds))
    assert found.verdict is verdict


@pytest.mark.parametrize(("cp", "sign"), [(0.3, 1), (1.0, 0), (3.0, -1)])
def test_cp_that_loses_as_much_as_a_truncation_of_its_error_is_told_from_more(cp, sign):
    """Oracle: what is planted is by the relative error, with every cut alike."""
    ds = make(Effects(cp=cp, noise=0.02), np.random.default_rng(8), n_images=10_000)
    found = answer(AT_EQUAL_ERROR, LayerData(ds))
    for f in found.findings:
        assert f.estimate == pytest.approx(0, abs=0.003) if sign == 0 else f.estimate * sign > 0.006
    if sign:
        assert found.verdict is (Verdict.SUPPORTED if sign > 0 else Verdict.CONTRADICTED)


def by_other(found):
    return {f.other: f for f in found.findings}


def test_an_effect_against_one_cut_only_is_found_there_only():
    dataset = make(Effects(cut={"IN": 0.5, "KH": 2.0}), np.random.default_rng(5))
    found = answer(AT_EQUAL_NORM_LOSS, LayerData(dataset))
    assert by_other(found)["IN"].verdict is Verdict.CONTRADICTED
    assert by_other(found)["KH"].verdict is Verdict.SUPPORTED
    assert found.verdict is Verdict.CONTRADICTED


def test_cuts_can_lose_at_equal_norm_and_win_at_equal_parameters(null):
    """With equal curves against norm loss, the cut with the cheaper layers wins on parameters."""
    by_norm, by_parameters = (
        by_other(answer(claim, LayerData(null)))
        for claim in (AT_EQUAL_NORM_LOSS, AT_EQUAL_PARAMETERS)
    )
    assert abs(by_norm["KH"].estimate) < 0.01
    assert by_parameters["KH"].estimate > 0.03


def redrawn(dataset, effects, times):
    """As many networks again, on the same kernels, whose answers are drawn anew."""
    n = dataset.sizes["seed"]
    many = dataset.drop_vars(["schmidt_value", "kernel_norm"]).isel(seed=np.tile(range(n), times))
    many = many.assign_coords(seed=range(n * times))
    return LayerData(
        synthetic_dataset.answer(many.copy(deep=True), effects, np.random.default_rng(0))
    )


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_absent_effects_are_found_one_time_in_twenty(noise):
    """Every confirmatory claim's own statistic, in 200 groups of eight networks without effects.

    Quiet networks too, which show the least bias; the bound is passed by one right test in 1,000.
    """
    times, quiet = 200, replace(NULL, noise=noise)
    data = redrawn(make(quiet, np.random.default_rng(1), n_images=10_000), quiet, times)
    tried = [(AT_EQUAL_NORM_LOSS, comparison) for comparison in AT_EQUAL_NORM_LOSS.comparisons]
    tried += [(claim, claim.comparisons[0]) for claim in (DEEPER, SPECIAL, GENTLER, FLATTER)]
    for claim, comparison in tried:
        values = claim.measure(data, comparison).values.reshape(times, 8)
        p = np.array([sign_flip_test(group) for group in values])
        found = int((p <= 0.05).sum())
        assert found <= scipy.stats.binom.ppf(0.999, times, 0.05), (claim.key, comparison, found)
        assert np.median(p) > 0.25, (claim.key, comparison)


def test_untrained_structure_is_not_found_in_random_kernels(null):
    found = answers(null)
    assert found["controls"].verdict is Verdict.UNDECIDED
    assert found["null"].verdict is Verdict.SUPPORTED
    _, significant = entropy_map(LayerData(null))
    assert significant.sum() <= 1


@pytest.mark.parametrize(
    ("experiment", "shared"),
    [
        ({"architecture": {"kind": "VanillaCNN"}}, True),
        ({"architecture": {"kind": "VanillaCNN"}, "stream": "a"}, False),
        ({"name": "of one's own"}, False),
    ],
)
def test_initial_kernels_that_datasets_share_are_told_of(null, experiment, shared):
    """Where the experiment has no stream, and an architecture that another can have."""
    found = answer(CALIBRATED, LayerData(null.assign_attrs(experiment=json.dumps(experiment))))
    assert any("same initial kernel" in text for text in found.told.unseen) == shared
    assert any("same initial kernel" in text for text in found.findings[0].caveats) == shared


def test_the_map_marks_planted_structure(planted):
    mean, significant = entropy_map(LayerData(planted))
    exists = LayerData(planted).distinct
    assert mean.where(~exists).isnull().all()
    assert not (significant & ~exists).any()
    assert (significant.sum() / exists.sum()) > 0.6
    assert (mean.where(significant, 1) > 0).all()


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


def test_entropies_are_those_of_the_spectra(planted):
    data = LayerData(planted)
    for weights, layer, mode, seed in [
        ("trained", "conv1", "OUT", 0),
        ("initial", "conv3", "OUT,IN", 3),
        ("shuffled", "conv4", "OUT,KW", 7),
    ]:
        where = {"layer": layer, "mode": mode, "seed": seed}
        here = planted["schmidt_value"].sel(weights=weights, **where).values
        spectrum = Spectrum(here[np.isfinite(here)])
        entropy = entropies.entropies(data, weights).sel(where)
        assert float(entropy) == pytest.approx(spectrum.entropy / np.log(len(spectrum)))
        rank = np.flatnonzero(spectrum.norm_losses <= 0.3 + 1e-12)[0] + 1
        assert float(entropies.log2_ranks(data, weights, 0.3).sel(where)) == np.log2(rank)
    trivial = entropies.entropies(data, "trained").sel(layer="conv1", mode="IN")
    assert trivial.isnull().all()


def test_entropies_do_not_depend_on_the_scale():
    values = np.random.default_rng(0).uniform(size=(3, 5))
    values[:, 4] = np.nan
    expected = entropies.normalised_entropy(values)
    for scale in (1e-200, 1e200):
        np.testing.assert_allclose(entropies.normalised_entropy(scale * values), expected)
    assert entropies.normalised_entropy(np.array([[3.0, 0, 0]])) == 0
    assert entropies.normalised_entropy(np.array([[3.0, 3, 3]])) == pytest.approx(1)


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


COSTS = {"OUT": 0.5, "IN": 0.25, "KH": 1.0, "KW": 7.0, "OUT,IN": 7.0, "OUT,KH": 7.0, "OUT,KW": 0.1}


@pytest.mark.parametrize(
    ("mode", "first", "every"), [("OUT", 0.5, 2.0), ("IN", 0.0, 0.75), ("OUT,KW", 1.0, 1.3)]
)
def test_the_sum_takes_a_cut_that_equals_this_one_and_passes_over_a_trivial_one(mode, first, every):
    """Each layer alone costs what its cut does; conv1 has no IN, and its OUT,KW is KH.

    All at once cost ten times the threshold, of which nine are up to 0.5, and four up to 0.1.
    """
    dataset = make(n_seeds=2)
    cost = xr.DataArray(list(COSTS.values()), {"mode": list(COSTS)}, "mode")
    dataset["loss"][...] = (0.1 + cost).where(dataset["loss"].notnull()).transpose(*DIMS)
    dataset["joint_loss"][...] = 0.1 + 10 * dataset["threshold"].values[:, None]
    data = LayerData(dataset)
    np.testing.assert_allclose(summed_change(data, "all", mode), every)
    np.testing.assert_allclose(summed_change(data, "first 1/4", mode), first, atol=1e-15)
    np.testing.assert_allclose(excess(data, mode), 17.3 / 9 - every)
    np.testing.assert_allclose(excess(data, mode, 0.1), 1.8 / 4 - every)
    dataset["loss"].loc[{"layer": "conv3", "threshold": 0.3, "seed": 1}] = np.nan
    np.testing.assert_array_equal(excess(data, mode).isnull(), [False, True])
    assert excess(data, mode, 0.2).notnull().all()


def test_the_sum_over_a_part_of_the_layers_is_not_taken_for_that_over_all():
    data = LayerData(make(n_seeds=2).isel(layer=[0, 2]))
    with pytest.raises(NotMeasuredError, match="4 layers were truncated at once, and 2 are here"):
        summed_change(data, "all", "OUT")
    with pytest.raises(NotMeasuredError, match="no joint truncations along KH"):
        excess(data, "KH")


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


def ruled_by(lost):
    """A dataset whose truncations lose so many log-odds, and in proportion test loss."""
    dataset = make(Effects(structure=1.0), np.random.default_rng(7), n_images=1_000_000)
    lost = lost(dataset).transpose(*DIMS).values
    counts = np.rint(1_000_000 / (1 + np.exp(-(3.5 - lost))))
    dataset["n_correct"].values[...] = np.where(np.isfinite(lost), counts, -1)
    dataset["loss"].values[...] = 0.1 + lost
    return LayerData(dataset)


FACTORS = xr.DataArray([8.0, 4.0, 2.0, 1.0], dims="layer")


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("correlation_loss", Verdict.SUPPORTED), ("norm_loss", Verdict.CONTRADICTED)],
)
def test_the_loss_that_rules_within_layers_is_recognised(name, verdict):
    """Whatever the layers' factors: where one loss rules, its rank correlation is 1."""
    data = ruled_by(lambda dataset: FACTORS * dataset[name])
    found = answer(TELLS, data)
    assert found.verdict is verdict
    assert found.claim.exploratory
    table = rank_correlations(data, -data.logit_change)
    np.testing.assert_allclose(table.sel(loss=name.replace("_", " ")), 1, rtol=1e-4)
    pooled = rank_correlations(data, -data.logit_change, pooled=True)
    assert (pooled.sel(loss=name.replace("_", " ")) < 0.999).all()


def test_rank_correlations_are_spearmans_of_the_distinct_truncations(planted):
    data = LayerData(planted)
    found = rank_correlations(data, -data.logit_change)
    assert found.dims == ("loss", "seed", "layer")
    pooled = {"norm loss": [], "correlation loss": [], "lost": []}
    for layer in data.layers:
        values = {"norm loss": [], "correlation loss": [], "lost": []}
        for mode in data.modes:
            here = planted.sel(layer=layer, mode=mode, seed=4)
            _, first = np.unique(here["rank"], return_index=True)
            for t in first:
                if 0 < here["norm_loss"][t] <= 0.5:
                    values["norm loss"].append(float(here["norm_loss"][t]))
                    values["correlation loss"].append(float(here["correlation_loss"][t]))
                    change = data.logit_change.sel(layer=layer, mode=mode, seed=4)
                    values["lost"].append(-float(change[t]))
        for loss in ("norm loss", "correlation loss"):
            expected = scipy.stats.spearmanr(values[loss], values["lost"]).statistic
            assert float(found.sel(layer=layer, seed=4, loss=loss)) == pytest.approx(expected)
        for name, numbers in values.items():
            pooled[name] += numbers
    expected = scipy.stats.spearmanr(pooled["norm loss"], pooled["lost"]).statistic
    together = rank_correlations(data, -data.logit_change, pooled=True)
    assert float(together.sel(layer="all", seed=4, loss="norm loss")) == pytest.approx(expected)


def test_a_layer_with_one_cut_tells_nothing_of_the_two_losses(planted):
    """Along one cut both order the truncations alike."""
    dataset = planted.copy(deep=True)
    gone = (dataset["layer"] == "conv3") & (dataset["mode"] != "OUT")
    dataset["n_correct"] = dataset["n_correct"].where(~gone, -1).transpose(*DIMS)
    found = answer(TELLS, LayerData(dataset))
    whole = TELLS.measure(LayerData(planted), TELLS.comparisons[0]).table
    expected = whole.drop_sel(layer="conv3").mean("layer").values
    assert found.findings[0].per_seed == pytest.approx(expected)


def test_two_mode_cuts_that_are_better_are_recognised():
    effects = Effects(cut=dict.fromkeys(DOUBLE, 0.5))
    found = answer(BETTER, LayerData(make(effects, np.random.default_rng(8))))
    assert found.findings[0].verdict is Verdict.SUPPORTED


@pytest.mark.parametrize(
    ("group", "unanswered"),
    [
        ("network", {"cuts-norm", "depth", "noise", "two-mode", "correlation"}),
        (
            "truncation",
            {"cuts-norm", "depth", "controls", "noise", "curvature", "two-mode", "joint"},
        ),
        ("controls", {"controls", "null", "noise", "depth-control"}),
        ("curvature", {"curvature"}),
        ("joint", {"joint"}),
        ("hessian", set()),
    ],
)
def test_what_is_not_measured_is_said_and_the_rest_answered(planted, group, unanswered):
    found = answers(unmeasured(planted, group))
    for key in unanswered:
        assert found[key].verdict is Verdict.UNDECIDED
        assert found[key].findings == ()
        assert found[key].told.found.startswith("Nothing can be said from this dataset: ")
    if group in ("controls", "curvature", "hessian", "joint"):
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


def test_keys_of_claims_and_their_comparisons_are_unique():
    assert len({claim.key for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert len({c.label for c in claim.comparisons}) == len(claim.comparisons)
        assert (claim.kind is Kind.EQUIVALENCE) == (claim.margin > 0)


def test_a_variable_of_another_dataset_version_is_missed_politely(planted):
    dataset = planted.drop_vars(["perturbed_n_correct", "directional_curvature"])
    found = answers(dataset)
    assert "no variable perturbed_n_correct" in found["noise"].told.found
    assert "no variable directional_curvature" in found["curvature"].told.found
    assert found["cuts-norm"].verdict is Verdict.SUPPORTED
    with pytest.raises(NotMeasuredError, match="no variable x"):
        _ = LayerData(dataset)["x"]


def test_the_effect_of_the_planted_factor_is_estimated_without_bias():
    """Of networks that answer right with the odds exp(b - c v²), by their mean over v."""
    effects = replace(NULL, cut={"OUT,KW": 1.5}, noise=0.01)
    dataset = make(effects, np.random.default_rng(9), n_images=1_000_000)
    found = by_other(answer(AT_EQUAL_NORM_LOSS_PAIRS, LayerData(dataset)))["OUT,KW"]

    def kept(right, c, v):
        after = 1 / (1 + (1 / right - 1) * np.exp(c * v**2))
        return (after - 0.1) / (right - 0.1)

    for seed, estimate in enumerate(found.per_seed):
        here, expected = dataset.sel(seed=seed), []
        right = float(here["baseline_accuracy"])
        for layer in ("conv2", "conv3", "conv4"):
            reached = [
                sorted(
                    {x for x in here["norm_loss"].sel(layer=layer, mode=mode).values if x <= 0.5}
                )
                for mode in ("OUT", "OUT,KW")
            ]
            v = np.linspace(0, min(reached, key=len)[-1], 10_001)
            expected.append((kept(right, 12, v) - kept(right, 18, v)).mean())
        assert estimate == pytest.approx(np.mean(expected), rel=0.05)
