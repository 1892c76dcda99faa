"""Oracle: datasets drawn with known effects. What is planted is found; what is absent is not."""

import math
from dataclasses import replace

import numpy as np
import pytest

from analyses import (
    controls,
    correlation_loss,
    curvature,
    cuts,
    depth,
    noise,
    spectra,
    two_mode_cuts,
)
from analyses.curves import NotMeasuredError, Sweep
from analyses.findings import Verdict, findings
from analyses.report import ANALYSES
from compressibility.store.schema import Flag
from compressibility.tensors.spectra import Spectrum
from tests.synthetic_dataset import Effects, answer, make

NULL = Effects()
PLANTED = Effects(
    structure=1.0,
    cut={"OUT": 0.6},
    depth=1.0,
    perturbation=2.0,
    flatness=0.3,
)
REVERSED = Effects(
    structure=-1e-9,
    cut={"OUT": 1.7},
    depth=-1.0,
    perturbation=0.5,
    perturbation_depth=0.5,
    flatness=3.0,
)


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
    return {a.claim.key: a for analysis in ANALYSES for a in analysis.analyse(dataset)}


@pytest.fixture(scope="module")
def planted_answers(planted):
    return answers(planted)


@pytest.mark.parametrize(
    "key", ["cuts-norm", "depth", "depth-control", "controls", "noise", "null", "curvature"]
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


@pytest.mark.parametrize("key", ["cuts-norm", "depth", "depth-control", "noise", "curvature"])
def test_reversed_effects_contradict(reversed_, key):
    found = answers(reversed_)[key]
    assert found.verdict is Verdict.CONTRADICTED
    assert all(f.interval.high < 0 for f in found.findings if f.verdict is Verdict.CONTRADICTED)


def test_an_effect_against_one_cut_only_is_found_there_only():
    dataset = make(Effects(cut={"IN": 0.5, "KH": 2.0}), np.random.default_rng(5))
    found = {f.comparison: f.verdict for f in cuts.analyse(dataset)[0].findings}
    assert found["OUT − IN"] is Verdict.CONTRADICTED
    assert found["OUT − KH"] is Verdict.SUPPORTED
    assert cuts.analyse(dataset)[0].verdict is Verdict.CONTRADICTED


def test_cuts_can_lose_at_equal_norm_and_win_at_equal_parameters(null):
    """With equal curves against norm loss, the cut with the cheaper layers wins on parameters."""
    by_norm, by_parameters = (
        {f.comparison: f.estimate for f in a.findings} for a in cuts.analyse(null)
    )
    assert abs(by_norm["OUT − KH"]) < 0.1
    assert by_parameters["OUT − KH"] > 0.2


def test_absent_effects_are_found_one_time_in_twenty(null):
    """Every confirmatory test, over 60 redrawn datasets without any effect."""
    rng = np.random.default_rng(0)
    p_values = {}
    for _ in range(60):
        answer(null, NULL, rng)
        sweep = Sweep(null)
        for other in ("IN", "KH", "OUT,KW"):
            table = cuts.compared(
                sweep,
                other,
                cuts.AT_EQUAL_NORM_LOSS,
                cuts._difference(cuts.AT_EQUAL_NORM_LOSS),
                sweep.logit_change,
            )
            _note(p_values, f"cut {other}", cuts.AT_EQUAL_NORM_LOSS, sweep, table)
        changes = depth.mean_changes(sweep)
        perturbed = depth.mean_changes(sweep, perturbed=True)
        slopes = (changes - perturbed) * (sweep.relative_depth - sweep.relative_depth.mean())
        _note(p_values, "depth, against noise", depth.SPECIAL, sweep, slopes)
        table = noise.truncation_minus_noise(
            sweep, sweep.logit_change, sweep.perturbed_logit_change
        )
        _note(p_values, "noise", noise.GENTLER, sweep, table)
        _note(p_values, "curvature", curvature.FLATTER, sweep, curvature.contrasts(sweep))
    answer(null, NULL, np.random.default_rng(1))
    for name, p in p_values.items():
        rejected = np.mean(np.array(p) <= 0.05)
        assert rejected <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60), (name, rejected)
        assert np.median(p) > 0.25, (name, np.median(p))


def _note(p_values, name, claim, sweep, table):
    from analyses.curves import sample

    (found,) = findings(claim, {name: sample(sweep, table)})
    p_values.setdefault(name, []).append(found.p)


def test_untrained_structure_is_not_found_in_random_kernels(null):
    found = answers(null)
    assert found["controls"].verdict is Verdict.UNDECIDED
    assert found["null"].verdict is Verdict.SUPPORTED
    _, significant = controls.entropy_map(Sweep(null))
    assert significant.sum() <= 1


def test_the_map_marks_planted_structure(planted):
    mean, significant = controls.entropy_map(Sweep(planted))
    exists = Sweep(planted).distinct
    assert np.isnan(mean[~exists]).all()
    assert not significant[~exists].any()
    assert significant[exists].mean() > 0.6
    assert (mean[significant] > 0).all()


def test_equal_cuts_are_never_compared(planted):
    sweep = Sweep(planted)
    assert not sweep.distinct[0, sweep.mode_index("OUT,KH")]
    table = cuts.compared(
        sweep, "OUT,KH", cuts.AT_EQUAL_NORM_LOSS, lambda a, b: 1.0, sweep.logit_change
    )
    assert np.isnan(table[:, 0]).all()
    assert (table[:, 1:] == 1).all()


def test_a_network_of_pointwise_kernels_has_no_cuts_to_compare():
    dataset = make(n_seeds=6, names=("a", "b", "c"), shapes=((8, 4, 1, 1),) * 3)
    found = answers(dataset)
    assert "no layer has both" in found["cuts-norm"].found
    assert found["two-mode"].findings == ()
    assert found["depth"].findings


@pytest.mark.parametrize("n_seeds", [1, 2, 3, 5])
def test_below_six_networks_nothing_is_decided(n_seeds):
    dataset = make(PLANTED, np.random.default_rng(2), n_seeds=n_seeds)
    for found in answers(dataset).values():
        assert found.verdict is Verdict.UNDECIDED
        assert found.n_seeds == n_seeds
        assert "undecided whatever" in found.sure
        for f in found.findings:
            equality = "one-sided" in f.test
            assert equality == math.isnan(f.minimal_detectable_effect)
            assert equality or f.minimal_detectable_effect == math.inf
            assert equality != ("two-sided" in found.sure)
            assert f.interval.kind.endswith("t-interval" if n_seeds > 1 else "one network")
            assert math.isfinite(f.interval.low) == (n_seeds > 1)


def test_entropies_are_those_of_the_spectra(planted):
    values = spectra.schmidt_values(Sweep(planted))
    entropy, ranks = spectra.normalised_entropy(values), spectra.ranks_at(values, 0.3)
    for index in [(0, 0, 0, 0), (1, 2, 4, 3), (2, 3, 6, 7)]:
        here = values[index]
        spectrum = Spectrum(here[np.isfinite(here)])
        assert entropy[index] == pytest.approx(spectrum.entropy / np.log(len(spectrum)))
        assert ranks[index] == np.flatnonzero(spectrum.norm_losses <= 0.3 + 1e-12)[0] + 1
    assert np.isnan(entropy[0, 0, 1, 0])  # a trivial cut has no entropy


def test_entropies_do_not_depend_on_the_scale():
    values = np.random.default_rng(0).uniform(size=(3, 5))
    values[:, 4] = np.nan
    expected = spectra.normalised_entropy(values)
    for scale in (1e-200, 1e200):
        np.testing.assert_allclose(spectra.normalised_entropy(scale * values), expected)
    assert spectra.normalised_entropy(np.array([[3.0, 0, 0]])) == 0
    assert spectra.normalised_entropy(np.array([[3.0, 3, 3]])) == pytest.approx(1)


def test_the_contrast_is_the_bounded_log_ratio(planted):
    found = curvature.analyse(planted)[0].findings[0]
    assert found.estimate == pytest.approx(math.tanh(-math.log(0.3) / 2), abs=0.02)


def test_negative_curvature_is_flatter_and_still_counted(planted):
    dataset = planted.copy(deep=True)
    dataset["directional_curvature"] = -dataset["directional_curvature"]
    found = curvature.analyse(dataset)[0].findings[0]
    assert found.estimate == pytest.approx(1)
    assert found.verdict is Verdict.SUPPORTED


def test_curvature_does_not_depend_on_units(planted):
    expected = curvature.contrasts(Sweep(planted))
    dataset = planted.copy(deep=True)
    for name in ("directional_curvature", "hessian_layer_trace"):
        dataset[name] = 1e6 * dataset[name]
    np.testing.assert_allclose(curvature.contrasts(Sweep(dataset)), expected)


def test_correlation_loss_that_rules_is_recognised():
    dataset = make(Effects(structure=1.0), np.random.default_rng(7))
    lost = 3 * dataset["correlation_loss"].values
    n = 599
    counts = np.rint(n / (1 + np.exp(-(3.5 - lost))))
    dataset["n_correct"].values[...] = np.where(np.isfinite(lost), counts, -1)
    dataset["loss"].values[...] = 0.1 + lost
    found = correlation_loss.analyse(dataset)[0]
    assert found.verdict is Verdict.SUPPORTED
    assert found.claim.exploratory


def test_two_mode_cuts_that_are_better_are_recognised():
    effects = Effects(cut=dict.fromkeys(two_mode_cuts.DOUBLE, 0.5))
    found = two_mode_cuts.analyse(make(effects, np.random.default_rng(8)))[0]
    assert found.findings[0].verdict is Verdict.SUPPORTED


def unmeasured(dataset, group):
    """The dataset with one group of variables taken away again."""
    lost = dataset.copy(deep=True)
    from compressibility.store.schema import VARIABLES

    for variable in VARIABLES:
        if variable.group is not None and variable.group.value == group:
            lost[variable.name].values[...] = variable.missing
    for name in (f"{group}_flag", "directional_curvature_flag" if group == "curvature" else ""):
        if name in lost:
            lost[name].values[...] = Flag.NOT_MEASURED.value
    if group == "truncation":
        lost["schmidt_value"].values[0] = np.nan
    if group == "controls":
        lost["schmidt_value"].values[1:] = np.nan
    return lost


@pytest.mark.parametrize(
    ("group", "unanswered"),
    [
        ("network", {"cuts-norm", "depth", "noise", "two-mode", "correlation"}),
        ("truncation", {"cuts-norm", "depth", "controls", "noise", "curvature", "two-mode"}),
        ("controls", {"controls", "null", "noise", "depth-control"}),
        ("curvature", {"curvature"}),
        ("hessian", set()),
    ],
)
def test_what_is_not_measured_is_said_and_the_rest_answered(planted, group, unanswered):
    found = answers(unmeasured(planted, group))
    for key in unanswered:
        assert found[key].verdict is Verdict.UNDECIDED
        assert found[key].findings == ()
        assert found[key].found.startswith("Nothing can be said from this dataset: ")
    if group in ("controls", "curvature", "hessian"):
        assert found["cuts-norm"].findings


def test_a_missing_layer_of_one_network_costs_that_network_only(planted):
    dataset = planted.copy(deep=True)
    dataset["n_correct"].values[2, :, :, 5] = -1
    found = cuts.analyse(dataset)[0]
    assert found.n_seeds == 7
    assert any("seed 5" in text for text in found.unseen)


def test_a_variable_of_another_dataset_version_is_missed_politely(planted):
    dataset = planted.drop_vars(["perturbed_n_correct", "directional_curvature"])
    found = answers(dataset)
    assert "no variable perturbed_n_correct" in found["noise"].found
    assert "no variable directional_curvature" in found["curvature"].found
    assert found["cuts-norm"].verdict is Verdict.SUPPORTED
    with pytest.raises(NotMeasuredError, match="no variable x"):
        Sweep(dataset).values("x", "layer")


def test_the_effect_of_the_planted_factor_is_estimated_without_bias():
    """The log-odds difference of two cuts with loss c v² is (c' - c) times the mean of v²."""
    effects = replace(NULL, cut={"OUT,KW": 1.5}, noise=0.01)
    dataset = make(effects, np.random.default_rng(9), n_images=1_000_000)
    found = {f.comparison: f for f in cuts.analyse(dataset)[0].findings}["OUT − OUT,KW"]
    expected = 12 * 0.5 * 0.5**2 / 3
    assert found.estimate == pytest.approx(expected, rel=0.1)
