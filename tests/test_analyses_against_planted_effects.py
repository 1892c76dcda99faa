"""Oracle: datasets drawn with known effects. What is planted is found; what is absent is not."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from analyses.claims.curvature import FLATTER
from analyses.claims.cuts import (
    AT_EQUAL_NORM_LOSS,
    AT_EQUAL_NORM_LOSS_PAIRS,
    AT_EQUAL_PARAMETERS,
)
from analyses.claims.depth import DEEPER
from analyses.claims.depth_control import SPECIAL
from analyses.claims.noise import GENTLER
from analyses.claims.null import CALIBRATED
from analyses.claims.two_mode_cuts import BETTER, DOUBLE
from analyses.figures.entropy_map import entropy_map
from analyses.findings import Kind, Verdict
from analyses.statistics import sign_flip_test
from analyses.topics import CLAIMS
from analyses.verdicts import answer
from compressibility.store.reading import LayerData
from tests import synthetic_answers
from tests.answered import answers
from tests.synthetic_dataset import NULL, REVERSED, Effects, make


@pytest.fixture(scope="module")
def reversed_():
    return make(REVERSED, np.random.default_rng(3))


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
        "recovery",
        "recovery-controls",
        "minimum",
        "minimum-curvature",
    ],
)
def test_planted_effects_are_found(planted_answers, key):
    found = planted_answers[key]
    assert found.verdict is Verdict.SUPPORTED
    for f in found.findings:
        if f.claim.kind is not Kind.EQUIVALENCE:
            assert f.interval.low > 0
            assert f.p_adjusted <= 0.05
            assert f.estimate in f.interval
        if f.robustness is not None and key != "null":
            assert f.robustness.agrees_with(f.estimate)


@pytest.mark.parametrize(
    "key",
    [
        "cuts-norm",
        "depth",
        "depth-control",
        "noise",
        "curvature",
        "joint",
        "recovery",
        "recovery-controls",
        "minimum",
        "minimum-curvature",
    ],
)
def test_reversed_effects_contradict(reversed_, key):
    (claim,) = (claim for claim in CLAIMS if claim.key == key)
    found = answer(claim, LayerData(reversed_))
    assert found.verdict is Verdict.CONTRADICTED
    assert all(f.interval.high < 0 for f in found.findings if f.verdict is Verdict.CONTRADICTED)


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
        synthetic_answers.answer(many.copy(deep=True), effects, np.random.default_rng(0))
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


def test_two_mode_cuts_that_are_better_are_recognised():
    effects = Effects(cut=dict.fromkeys(DOUBLE, 0.5))
    found = answer(BETTER, LayerData(make(effects, np.random.default_rng(8))))
    assert found.findings[0].verdict is Verdict.SUPPORTED


def test_keys_of_claims_and_their_comparisons_are_unique():
    assert len({claim.key for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert len({c.label for c in claim.comparisons}) == len(claim.comparisons)
        assert (claim.kind is Kind.EQUIVALENCE) == (claim.margin > 0)


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
