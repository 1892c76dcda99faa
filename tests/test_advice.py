"""Oracles: the network that is built, and plain PyTorch on either half of the held-out images."""

import json

import pytest
import torch

from compressibility.compressing.advice import Adviser, Budget, BudgetError, Candidate
from compressibility.compressing.cost import Cost, cost_of
from compressibility.compressing.judgement import Judgement
from compressibility.compressing.options import layers_of
from compressibility.compressing.realised import realised
from compressibility.compressing.recipe import read_recipe, recipe_of
from compressibility.errors import UserError


@pytest.fixture(scope="module")
def adviser(learnt) -> Adviser:
    return Adviser(learnt.data, learnt.subject)


@pytest.fixture(scope="module")
def advice(adviser):
    return adviser.advise(Budget(share=0.6))


def test_advice_keeps_what_it_was_asked_for(advice) -> None:
    assert (advice.chosen.cost / advice.dense.cost).macs <= 0.6
    shares = [(each.cost / advice.dense.cost).macs for each in advice.front]
    assert shares == sorted(shares, reverse=True)
    assert advice.chosen in advice.front


def test_the_whole_networks_cost_is_that_of_the_network_that_is_built(adviser, learnt) -> None:
    for candidate in (adviser.dense, adviser.within(0.5)):
        chains = {
            name: adviser.layers[name].chain(option)
            for name, option in candidate.choice.items()
            if option.cut
        }
        network = realised(learnt.subject, chains)
        assert candidate.cost == cost_of(network, learnt.subject.images[:1])


def test_chosen_and_judged_are_on_the_two_halves_of_the_held_out_images(advice, learnt) -> None:
    images, labels = learnt.subject.held_out_images(None)
    half = len(labels) // 2
    layers = layers_of(learnt.data, learnt.subject)
    chains = {o.layer: layers[o.layer].chain(o) for o in advice.chosen.truncated}
    network = realised(learnt.subject, chains)
    for judged, part in (
        (advice.chosen.on_choosing, slice(None, half)),
        (advice.chosen.on_judging, slice(half, None)),
    ):
        with torch.no_grad():
            before, after = (
                each(images[part]).argmax(1) == labels[part]
                for each in (learnt.subject.network, network)
            )
        assert judged.n_images == len(labels[part])
        assert judged.n_correct == int(after.sum())
        assert judged.n_lost == int((before & ~after).sum())
        assert judged.n_gained == int((after & ~before).sum())


def test_the_largest_drop_is_kept_where_it_was_chosen(adviser) -> None:
    strict, loose = (adviser.advise(Budget(max_drop=drop)) for drop in (2.0, 10.0))
    assert strict.chosen.on_choosing.points_lost <= 2
    assert loose.chosen.on_choosing.points_lost <= 10
    assert loose.chosen.cost.macs < strict.chosen.cost.macs < strict.dense.cost.macs


def test_a_budget_that_cannot_be_met_is_refused_with_the_best_that_can(adviser) -> None:
    with pytest.raises(BudgetError, match=r"keeps as little as 0.1% .*: the least is \d"):
        adviser.advise(Budget(share=0.001))


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        (lambda share: 0.0 if share >= 0.62 else 5.0, (0.62, 0.62 + 0.05 / 8)),
        (lambda share: 5.0 if 0.78 < share < 0.82 or share < 0.5 else 0.0, (0.5, 0.5 + 0.05 / 8)),
        (lambda share: 0.0 if share > 0.97 else 5.0, (0.97, 0.98)),
    ],
    ids=["a step", "a step behind a bump", "at once"],
)
def test_the_cheapest_network_within_a_drop_is_found_to_a_halved_step(
    adviser, monkeypatch, lost, expected
) -> None:
    def within(share: float) -> Candidate:
        whole = adviser.dense.cost
        cost = Cost(share * whole.parameters, share * whole.macs)
        judged = Judgement(1_000, 0, round(10 * lost(share)), 0)
        return Candidate(adviser.dense.choice, cost, judged, judged)

    monkeypatch.setattr(adviser, "within", within)
    best, tried = adviser.losing_at_most(1.0)
    assert best in tried
    first, second = (each.cost.macs / adviser.dense.cost.macs for each in tried[:2])
    assert (first, second) == pytest.approx((0.95, 0.9))
    assert expected[0] <= (best.cost / adviser.dense.cost).macs <= expected[1] + 1e-9


def test_where_no_layer_may_be_truncated_a_drop_cannot_be_met(learnt) -> None:
    alone = Adviser(learnt.data, learnt.subject, excluded=["*"])
    with pytest.raises(BudgetError, match=r"loses at most 1 points: .* 100%"):
        alone.advise(Budget(max_drop=1.0))
    with pytest.raises(BudgetError, match=r"the least is 100.0%"):
        alone.advise(Budget(share=0.5))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"measure": "time", "share": 0.5}, "unknown measure 'time': choose from macs, parameters"),
        ({}, "give one of them"),
        ({"share": 0.5, "max_drop": 1.0}, "give one of them"),
        ({"share": 0.0}, "more than 0"),
        ({"share": 1.5}, "at most 1"),
        ({"max_drop": -1.0}, "-1 points"),
        ({"max_drop": float("nan")}, "nan points"),
    ],
)
def test_budgets_that_ask_for_nothing_are_refused(settings, told) -> None:
    with pytest.raises(UserError, match=told):
        Budget(**settings)


def test_a_recipe_is_read_as_it_was_saved_and_an_edited_one_predicts_nothing(
    advice, learnt, tmp_path
) -> None:

    path = tmp_path / "recipe.json"
    recipe = recipe_of(
        advice, experiment="small", seed=0, weights_hash=learnt.subject.weights_hash,
        images_checksum=learnt.images_checksum, n_test=100,
    )  # fmt: skip
    recipe.save(path)
    assert read_recipe(path) == recipe
    assert recipe.prediction is not None
    data = json.loads(path.read_text())
    data["layers"].pop(next(iter(data["layers"])))
    path.write_text(json.dumps(data))
    edited = read_recipe(path)
    assert edited.prediction is None
    assert edited.front == ()
    assert edited.budget == "edited by hand"
