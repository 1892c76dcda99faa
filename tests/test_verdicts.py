"""Oracles: the rules, enumerated by hand; planted effects of opposite sign; the binomial law."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom

from analyses.claims.noise import GENTLER
from analyses.claims.null import CALIBRATED, MARGIN
from analyses.findings import Comparison, LayerFinding, Robustness, Rule, Told, Verdict
from analyses.report.summary import Cell
from analyses.samples import sample
from analyses.statistics import sign_flip_interval, sign_flip_test, step_down
from analyses.verdicts import answer, by_layer, decided, depends, findings
from compressibility.store.reading import LayerData
from tests.synthetic_dataset import Effects, make

YES, NO, OPEN, BOTH = (
    Verdict.SUPPORTED,
    Verdict.CONTRADICTED,
    Verdict.UNDECIDED,
    Verdict.DEPENDS,
)
DATA = LayerData(xr.Dataset())


def tabled(values):
    """A sample of numbers (networks, layers)."""
    dims = {"seed": range(len(values)), "layer": [f"conv{i + 1}" for i in range(len(values[0]))]}
    return sample(xr.DataArray(np.array(values), dims, tuple(dims)))


def found_in(*tables, claim=GENTLER, rule=None):
    """Findings of a claim whose comparisons have these numbers (networks, layers)."""
    comparisons = tuple(Comparison(f"cut {i}") for i in range(len(tables)))
    claim = replace(claim, comparisons=comparisons, rule=rule or claim.rule)
    samples = dict(zip(comparisons, map(tabled, tables), strict=True))
    return claim, findings(claim, samples, {}, {})


def opposite(rng, n_seeds=8):
    """Effects of +1 in two layers and of -1 in the two others, their mean being zero."""
    return rng.normal(scale=0.2, size=(n_seeds, 4)) + np.array([1.0, -1.0, 1.0, -1.0])


def test_effects_of_opposite_sign_depend_on_the_layer_and_are_named():
    rng = np.random.default_rng(0)
    table = opposite(rng)
    table -= table.mean(axis=1, keepdims=True)
    claim, (found,) = found_in(table)
    assert found.estimate == pytest.approx(0, abs=1e-12)
    assert found.verdict is decided([found], claim) is BOTH
    assert found.layers_that_are(YES) == ("conv1", "conv3")
    assert found.layers_that_are(NO) == ("conv2", "conv4")
    for layer, column in zip(found.layers, table.T, strict=True):
        assert layer.estimate == pytest.approx(column.mean())
        assert layer.p == pytest.approx(sign_flip_test(column)) == 2.0**-7
        assert layer.p_adjusted == 2.0**-7
        assert layer.low < layer.estimate < layer.high
        assert layer.low * layer.high > 0


def test_a_planted_crossover_is_told_in_words():
    """Noise costs twice as much as truncations in two layers, and half as much in two."""
    cost = np.array([0.4, 1.9, 0.4, 1.9])[:, None, None]
    dataset = make(Effects(perturbation=cost, strength=6.0), np.random.default_rng(0))
    found = answer(GENTLER, LayerData(dataset))
    assert found.verdict is BOTH
    along = {f.reference: f for f in found.findings}["OUT"]
    assert along.layers_that_are(YES) == ("conv2", "conv4")
    assert along.layers_that_are(NO) == ("conv1", "conv3")
    words = "long OUT less in conv2 and conv4 and more in conv1 and conv3"
    assert words in found.told.found
    assert Cell("synthetic", found).verdict == "depends on the layer"


@pytest.mark.parametrize(
    ("effect", "kind"), [(0.0, "none"), (0.3, "one sign"), (3.0, "one sign"), (0.3, "one layer")]
)
def test_without_opposite_effects_layers_seldom_seem_opposite(effect, kind):
    """At most one time in forty where layers that have an effect have one of one sign."""
    rng, draws, wrong = np.random.default_rng(0), 500, 0
    for _ in range(draws):
        table = rng.normal(size=(8, 4)) + rng.normal(size=(8, 1))
        table[:, : 1 if kind == "one layer" else 2] += effect
        wrong += found_in(table)[1][0].verdict is BOTH
    assert wrong <= binom.ppf(0.999, draws, 0.025)


def test_layers_of_all_comparisons_are_one_family():
    """Oracle: step-down max-t of all columns beside each other."""
    rng = np.random.default_rng(1)
    tables = [rng.normal(0.8, 1, (8, 3)), rng.normal(-0.8, 1, (8, 4))]
    _, found = found_in(*tables)
    expected = [f.p_adjusted for f in step_down(np.hstack(tables))]
    assert [layer.p_adjusted for f in found for layer in f.layers] == pytest.approx(expected)


def test_only_means_over_layers_are_told_by_layer():
    whole = tabled(opposite(np.random.default_rng(0)))
    comparison = Comparison("a")
    assert len(by_layer({comparison: whole})[comparison]) == 4
    assert by_layer({comparison: whole.with_values(whole.values)}) == {}
    assert by_layer({comparison: tabled([[1.0]] * 8)}) == {}


def test_two_layers_have_to_be_decided_to_depend():
    def layers(*verdicts):
        return [LayerFinding("a", 1.0, 0.0, 2.0, 0.1, 0.1, v) for v in verdicts]

    assert depends(layers(YES, OPEN, NO))
    for verdicts in ((YES, YES), (NO, OPEN), (OPEN, OPEN), (YES,), ()):
        assert not depends(layers(*verdicts))


class Judged:
    """As much of a finding as the rules read: verdict, estimate and unadjusted p."""

    n_seeds = 8

    def __init__(self, verdict, estimate, p):
        self.verdict, self.estimate, self.p = verdict, estimate, p


JUDGED = {
    "+": Judged(YES, 1.0, 0.01),
    "(+)": Judged(OPEN, 1.0, 0.04),
    "0": Judged(OPEN, 1.0, 0.3),
    "(-)": Judged(OPEN, -1.0, 0.04),
    "-": Judged(NO, -1.0, 0.01),
    "d": Judged(BOTH, -1.0, 0.01),
}
"""In brackets: below 0.05 alone, and above it once it is adjusted."""


@pytest.mark.parametrize(
    ("kinds", "every", "measured", "alike"),
    [
        ("+ +", YES, YES, YES),
        ("+ (+)", YES, YES, YES),
        ("(+) (+)", YES, YES, YES),
        ("+ -", NO, NO, OPEN),
        ("+ (-)", OPEN, OPEN, OPEN),
        ("(-) (-)", OPEN, OPEN, NO),
        ("- (-)", NO, NO, NO),
        ("- -", NO, NO, NO),
        ("+ 0", OPEN, OPEN, OPEN),
        ("0 0", OPEN, OPEN, OPEN),
        ("+", OPEN, YES, YES),
        ("-", NO, NO, NO),
        ("+ d", BOTH, BOTH, BOTH),
        ("0 d", BOTH, BOTH, BOTH),
        ("- d", NO, NO, BOTH),
    ],
)
def test_a_claim_is_decided_by_its_rule(kinds, every, measured, alike):
    """What is claimed of every comparison needs no correction (Berger), what breaks it does."""
    found = [JUDGED[kind] for kind in kinds.split()]
    two = (Comparison("a", "b"), Comparison("a", "c"))
    claims = (replace(GENTLER, comparisons=two, rule=rule) for rule in Rule)
    assert tuple(decided(found, claim) for claim in claims) == (every, measured, alike)


def test_what_is_claimed_of_all_is_decided_without_correction():
    """Three comparisons, each below 0.05 alone and none so once it is adjusted."""
    ((tables, p),) = itertools.islice(
        (
            (columns, p)
            for columns in np.random.default_rng(0).normal(0.75, 1, size=(3000, 3, 8, 1))
            if max(p := [sign_flip_test(c[:, 0]) for c in columns]) <= 0.05
            and min(f.p_adjusted for f in step_down(columns[..., 0].T)) > 0.05
        ),
        1,
    )
    claim, found = found_in(*tables)
    assert [f.p for f in found] == pytest.approx(p)
    assert {f.verdict for f in found} == {OPEN}
    assert decided(found, claim) is YES
    claim, found = found_in(*-tables)
    assert decided(found, claim) is OPEN


@pytest.mark.parametrize("n", [6, 8])
def test_an_equivalence_beyond_its_margin_shows_the_p_of_lying_outside(n):
    """Oracle: the interval of the same test lies outside just where that p is at most 0.05."""
    rng, verdicts = np.random.default_rng(0), set()
    for centre in np.linspace(-2.5, 2.5, 41) * MARGIN:
        values = rng.normal(centre, 0.6 * MARGIN, n)
        claim, (found,) = found_in(values[:, None], claim=CALIBRATED)
        interval = sign_flip_interval(values)
        outside = interval.low > MARGIN or interval.high < -MARGIN
        assert (found.verdict is NO) == outside
        assert (found.verdict is OPEN) == (found.p_adjusted > 0.05)
        if abs(values.mean()) > MARGIN:
            near = math.copysign(MARGIN, values.mean())
            assert found.p == found.p_adjusted == pytest.approx(sign_flip_test(values, near))
        verdicts.add(decided([found], claim))
    assert verdicts == {YES, NO, OPEN}


def test_equivalence_is_claimed_from_five_networks_and_broken_from_six():
    near, far = (np.full((6, 1), x) for x in (0.1 * MARGIN, 9 * MARGIN))
    for n, inside, outside in ((4, OPEN, OPEN), (5, YES, OPEN), (6, YES, NO)):
        assert found_in(near[:n], claim=CALIBRATED)[1][0].verdict is inside
        assert found_in(far[:n], claim=CALIBRATED)[1][0].verdict is outside
    (found,) = found_in(near[:5], claim=CALIBRATED)[1]
    assert found.p == 2.0**-5


def test_with_too_few_networks_the_estimate_says_which_way():
    for claim, value, leaning in (
        (GENTLER, 2.0, YES),
        (GENTLER, -2.0, NO),
        (GENTLER, 0.0, OPEN),
        (CALIBRATED, -0.5 * MARGIN, YES),
        (CALIBRATED, 2 * MARGIN, NO),
    ):
        (found,) = found_in([[value]], claim=claim)[1]
        assert (found.verdict, found.leaning) == (OPEN, leaning)


@pytest.mark.parametrize(
    ("check", "estimate", "agrees"),
    [(1.0, 2.0, True), (-1.0, 2.0, False), (0.0, 2.0, None), (math.nan, 2.0, None)],
)
def test_a_check_of_exactly_zero_cannot_tell(check, estimate, agrees):
    assert Robustness("order", check, "1", 1.0).agrees_with(estimate) is agrees


@pytest.mark.parametrize(
    ("n_seeds", "planned", "interim"), [(6, 8, True), (8, 8, False), (8, None, False), (3, 6, True)]
)
def test_a_verdict_is_interim_until_the_planned_networks_are_there(n_seeds, planned, interim):
    dataset = make(Effects(perturbation=2.0), np.random.default_rng(0), n_seeds=n_seeds)
    if planned is not None:
        experiment = json.loads(dataset.attrs["experiment"]) | {"seeds": list(range(planned))}
        dataset.attrs["experiment"] = json.dumps(experiment)
    found = answer(GENTLER, LayerData(dataset))
    assert found.interim is Cell("synthetic", found).interim is interim
    told = f"Interim: {n_seeds} of {planned} planned networks."
    assert (told in found.told.sure) is interim
    assert found.verdict is (YES if n_seeds >= 6 else OPEN)


def test_a_network_that_is_not_measured_wholly_is_still_to_come():
    dataset = make(Effects(perturbation=2.0), np.random.default_rng(0))
    experiment = json.loads(dataset.attrs["experiment"]) | {"seeds": list(range(8))}
    dataset.attrs["experiment"] = json.dumps(experiment)
    dataset["perturbed_n_correct"].values[2, :, 5] = -1
    found = answer(GENTLER, LayerData(dataset))
    assert found.interim
    assert "7 of 8 planned networks" in found.told.sure


def test_an_experiment_that_says_nothing_of_its_networks_is_not_interim():
    claim = replace(GENTLER, measure=lambda *_: tabled(np.ones((7, 1))), check=lambda *_: None)
    claim = replace(claim, needs=(), limits=lambda *_: (), tell=lambda _: Told("", "", ()))
    for experiment in ("", "{", "[]", '{"seeds": 3}', '{"name": "a"}'):
        data = LayerData(xr.Dataset(attrs={"experiment": experiment}))
        assert not answer(claim, data).interim
    assert not answer(claim, DATA).interim
