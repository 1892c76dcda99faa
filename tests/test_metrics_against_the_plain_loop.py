"""Metrics other than the classification: through the engine, the plain loop, and by hand."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compressibility.errors import UserError
from compressibility.evaluation import Evaluator, plain_evaluation
from compressibility.networks.kernels import kernel_array, substituted
from compressibility.tensors.modes import Cut
from compressibility.tensors.schmidt import decompose
from tests.awkward_networks import layers_of, network_of, random_images, random_labels


class AmongTheFirst:
    """Images whose label is among the classes of the largest logits; its place among all."""

    def __init__(self, n: int) -> None:
        self.n = n

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        if outputs.shape[1] < self.n:
            raise UserError(f"the network has {outputs.shape[1]} classes, fewer than {self.n}")

    def counted(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        return {"among the first": self._places(outputs, targets) < self.n}

    def averaged(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        return {"place": self._places(outputs, targets).float()}

    def _places(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs > outputs.gather(1, targets[:, None])).sum(dim=1)


class SquaredError:
    """Of a network that answers with numbers; it counts nothing."""

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        if outputs.shape[1:] != targets.shape[1:]:
            raise UserError(f"{tuple(targets.shape)} targets for {tuple(outputs.shape)} outputs")

    def counted(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        return {}

    def averaged(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        return {"squared error": (outputs - targets).square().mean(dim=1)}


@pytest.mark.parametrize("name", ["residual", "branches on values"])
def test_places_of_the_right_class(name: str) -> None:
    images, labels, metric = random_images(), random_labels(), AmongTheFirst(3)
    network = network_of(name)
    evaluator = Evaluator(network, images, labels, metric=metric, batch_size=5)
    with torch.no_grad():
        own = network.eval()(images).argsort(dim=1, descending=True)[:, :3]
    right = (own == labels[:, None]).any(dim=1)
    assert evaluator.baseline.evaluation.counts["among the first"].n == int(right.sum())
    for layer in layers_of(network)[:3]:
        decomposition = decompose(kernel_array(network, layer), Cut.parse("IN"))
        (single,) = evaluator.truncations(layer, decomposition, [1])
        (joint,) = evaluator.joint([{layer: decomposition.chain(1)}])
        truncated = {layer: decomposition.truncated(1)}
        plain = plain_evaluation(network, images, labels, truncated, metric=metric)
        with torch.no_grad(), substituted(network, truncated):
            logits = network(images)
        places = (logits.argsort(dim=1, descending=True) == labels[:, None]).int().argmax(dim=1)
        count = plain.counts["among the first"]
        assert count.n == int((places < 3).sum())
        assert count.n_lost == int((right & (places >= 3)).sum())
        assert count.n_gained == int((~right & (places < 3)).sum())
        assert plain.means["place"] == pytest.approx(float(places.float().mean()))
        assert single.counts == joint.counts == plain.counts
        assert single.means == pytest.approx(plain.means)
        assert joint.means == pytest.approx(plain.means)


def test_the_squared_error_of_a_regression_of_vectors() -> None:
    """Two linear layers, whose every kernel gives an error that NumPy computes."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    inputs, targets = torch.randn(90, 6), torch.randn(90, 2)
    evaluator = Evaluator(network, inputs, targets, metric=SquaredError(), batch_size=40)
    first, second = (kernel_array(network, layer) for layer in ("0", "2"))
    chain = decompose(first, Cut.parse("OUT")).chain(2)
    weights = chain.kernel()[:, :, 0, 0], 0.5 * second[:, :, 0, 0]
    biases = [network[number].bias.detach().numpy() for number in (0, 2)]
    hidden = np.tanh(inputs.numpy() @ weights[0].T + biases[0])
    errors = (hidden @ weights[1].T + biases[1] - targets.numpy()) ** 2
    variant = {"0": chain, "2": 0.5 * second}
    (found,) = evaluator.joint([variant])
    assert not evaluator.notes
    assert found.means["squared error"] == pytest.approx(errors.mean(), rel=1e-5)
    plain = plain_evaluation(network, inputs, targets, variant, metric=SquaredError())
    assert plain.means == pytest.approx(found.means)
    assert found.counts == plain.counts == {}


def test_without_margins_lower_precision_is_left_out_with_a_note() -> None:
    network = network_of("vanilla")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(100, 3, 8, 8, generator=generator)
    labels = torch.randint(0, 6, (100,), generator=generator)
    evaluator = Evaluator(network, images, labels, metric=AmongTheFirst(2), precision="bfloat16")
    kernel = 0.5 * kernel_array(network, "3")
    (found,) = evaluator.kernels("3", [kernel])
    assert found == evaluator.joint([{"3": kernel}])[0]
    assert evaluator.precision_behind("3") == "float32"
    assert found.means["place"] > 0
    assert evaluator.notes == {
        "3": "3 is measured in float32: AmongTheFirst does not tell which answers are in doubt"
    }


def test_what_a_metric_does_not_give_is_said() -> None:
    network = network_of("vanilla")
    evaluator = Evaluator(network, random_images(), random_labels(), metric=AmongTheFirst(2))
    evaluation = evaluator.baseline.evaluation
    with pytest.raises(AttributeError, match="counts 'among the first', not 'correct'"):
        evaluation.n_correct  # noqa: B018
    with pytest.raises(AttributeError, match="averages 'place', not 'loss'"):
        evaluation.loss  # noqa: B018


def test_a_metric_refuses_what_it_cannot_compare() -> None:
    network = network_of("vanilla")
    for make in (Evaluator, lambda *data, metric: plain_evaluation(*data, {}, metric=metric)):
        with pytest.raises(UserError, match="6 classes, fewer than 9"):
            make(network, random_images(), random_labels(), metric=AmongTheFirst(9))
