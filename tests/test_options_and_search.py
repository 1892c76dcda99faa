"""Oracles: the network that is built, the counts of the dataset, the loss by plain PyTorch."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import compressibility
from compressibility.compressing.cost import Cost, cost_of, total
from compressibility.compressing.options import held_out_losses, layers_of, unmeasured
from compressibility.compressing.realised import realised
from compressibility.compressing.search import Search, undominated
from compressibility.errors import UserError
from compressibility.evaluation import Evaluator
from compressibility.store.reading import LayerData, NotMeasuredError


def test_parameters_and_macs_of_options_are_those_of_the_network_that_is_built(learnt) -> None:
    layers = layers_of(learnt.data, learnt.subject)
    images = learnt.subject.images[:1]
    whole, checked = cost_of(learnt.subject.network, images), 0
    for layer in layers.values():
        dense = layer.options[0]
        for option in layer.options[1:]:
            network = realised(learnt.subject, {option.layer: layer.chain(option)})
            assert cost_of(network, images) == whole + option.cost - dense.cost
            assert option.cost.macs < dense.cost.macs
            assert option.cost.parameters < dense.cost.parameters
            checked += 1
    assert checked > 20


def test_the_cost_of_a_network_is_counted_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 5)
    ).eval()
    parameters = 4 * 27 + 4 + (4 + 4) + 64 * 5 + 5
    macs = 4 * 27 * 4 * 4 + 64 * 5
    assert cost_of(network, torch.zeros(2, 3, 9, 9)) == Cost(parameters, macs)
    half = Cost(10, 30) / Cost(20, 40)
    assert (half.of("parameters"), half.of("macs")) == (0.5, 0.75)
    assert total([Cost(1, 2), Cost(3, 4)]) - Cost(1, 1) == Cost(3, 5)
    assert Cost(1, 2).is_below(Cost(2, 3))
    assert not Cost(1, 3).is_below(Cost(2, 3))
    assert not Cost(2, 1).is_below(Cost(2, 3))


def test_the_loss_of_an_option_is_what_the_dataset_counted(learnt) -> None:
    data = learnt.data
    for layer in layers_of(data, learnt.subject).values():
        for option in layer.options[1:]:
            ranks = data["rank"].sel(layer=option.layer, seed=0, mode=option.cut)
            place = int(np.flatnonzero(ranks.values == option.rank)[0])
            counts = learnt.data.dataset.sel(layer=option.layer, seed=0)
            name = {"weights": "held_out_n_correct", "outputs": "whitened_held_out_n_correct"}
            lost = (
                int(counts["held_out_baseline_n_correct"])
                - int(counts[name[option.metric]].sel(mode=option.cut)[place])
            ) / int(counts["held_out_n_images"])
            assert option.loss == pytest.approx(lost)


def test_ranks_are_raised_to_a_multiple_and_never_lowered(learnt) -> None:
    plain = layers_of(learnt.data, learnt.subject)
    for name, layer in layers_of(learnt.data, learnt.subject, multiple_of=4).items():
        measured_ranks = {(o.cut, o.metric, o.rank) for o in plain[name].options}
        for option in layer.options[1:]:
            assert option.rank % 4 == 0
            raised_from = {(option.cut, option.metric, option.rank - less) for less in range(4)}
            assert raised_from & measured_ranks


def test_layers_that_are_excluded_stay_as_they_are(learnt) -> None:
    layers = layers_of(learnt.data, learnt.subject, excluded=["stage[12].*"])
    assert [len(layer.options) for layer in layers.values()][:2] == [1, 1]
    assert len(layers["stage3.conv"].options) > 1
    with pytest.raises(UserError, match=r"the pattern 'stage9\*' fits no layer: they are stage1"):
        layers_of(learnt.data, learnt.subject, excluded=["stage9*"])
    with pytest.raises(UserError, match="multiples of 0"):
        layers_of(learnt.data, learnt.subject, multiple_of=0)


def test_counts_on_other_images_are_no_loss_beside_those(learnt) -> None:
    dataset = learnt.data.dataset.copy(deep=True)
    dataset["whitened_n_held_out"][...] = 7
    losses = held_out_losses(type(learnt.data)(dataset), 0)
    np.testing.assert_array_equal(losses["outputs"], losses["weights"])


def test_layers_that_are_not_measured_stay_as_they_are(learnt) -> None:
    dataset = learnt.data.dataset.copy(deep=True)
    dataset["held_out_n_images"].loc[{"layer": "stage2.conv"}] = -1
    data = LayerData(dataset)
    assert unmeasured(data, 0) == ["stage2.conv"]
    layers, whole = layers_of(data, learnt.subject), layers_of(learnt.data, learnt.subject)
    assert [option.is_dense for option in layers["stage2.conv"].options] == [True]
    for name in ("stage1.conv", "stage3.conv"):
        assert layers[name].options == whole[name].options
    dataset["held_out_n_images"][...] = -1
    with pytest.raises(NotMeasuredError, match="held out"):
        layers_of(LayerData(dataset), learnt.subject)


def test_without_held_out_images_nothing_is_chosen(learnt) -> None:
    dataset = learnt.data.dataset.copy(deep=True)
    dataset["held_out_n_images"][...] = 0
    with pytest.raises(NotMeasuredError, match="held out"):
        held_out_losses(type(learnt.data)(dataset), 0)


def test_no_undominated_option_is_beaten_by_another(learnt) -> None:
    for layer in layers_of(learnt.data, learnt.subject).values():
        kept = undominated(layer.options, "macs")
        assert layer.options[0] in kept
        for option in set(layer.options) - set(kept):
            beaten_by = [o for o in kept if o.cost.macs <= option.cost.macs and o != option]
            assert min(o.loss for o in beaten_by) <= option.loss
        for option in kept[:-1]:
            others = [o for o in layer.options if o.cost.macs <= option.cost.macs and o != option]
            assert all(o.loss >= option.loss for o in others)


@pytest.mark.parametrize("measure", ["macs", "parameters"])
@pytest.mark.parametrize("rounds", [0, 2])
def test_a_choice_costs_no_more_than_its_limit(learnt, measure, rounds) -> None:
    images, labels = learnt.subject.held_out_images(None)
    layers = layers_of(learnt.data, learnt.subject)
    search = Search(layers, Evaluator(learnt.subject.network, images, labels), measure, rounds)
    whole = sum(layer.options[0].cost.of(measure) for layer in layers.values())
    for share in (0.9, 0.5, 0.3):
        choice = search.within(share * whole)
        assert sum(option.cost.of(measure) for option in choice.values()) <= share * whole
    assert search.within(0.99 * search.cheapest) is None


def test_a_choice_after_joint_trials_loses_no_more_than_the_sums(learnt) -> None:
    images, labels = learnt.subject.held_out_images(None)
    layers = layers_of(learnt.data, learnt.subject)
    evaluator = Evaluator(learnt.subject.network, images, labels)
    whole = sum(layer.options[0].cost.macs for layer in layers.values())

    def loss(choice) -> float:
        network = realised_without_statistics(learnt.subject.network, layers, choice)
        with torch.no_grad():
            return float(F.cross_entropy(network(images).double(), labels))

    sums = [Search(layers, evaluator, rounds=0).within(s * whole) for s in (0.7, 0.5, 0.35)]
    tried = Search(layers, evaluator, rounds=3)
    joint = [tried.within(share * whole) for share in (0.7, 0.5, 0.35)]
    losses = [(loss(one), loss(other)) for one, other in zip(joint, sums, strict=True)]
    assert sum(one for one, _ in losses) < sum(other for _, other in losses)


def realised_without_statistics(network, layers, choice) -> nn.Module:
    return compressibility.compress(
        network,
        {name: layers[name].chain(option) for name, option in choice.items() if option.cut},
    )
