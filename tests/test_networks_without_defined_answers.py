"""Networks whose answers are not defined are refused, with the reason."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from compressibility.errors import UserError
from compressibility.evaluation import Evaluator, plain_evaluation
from compressibility.networks.kernels import kernel_array
from compressibility.networks.landscape import TrainingLoss
from tests.kernels_by_hand import Network, Other, drawn, images_of

UNDEFINED = {
    "always-on dropout": (lambda n, v: n.head(functional.dropout(v).mean((2, 3))), "random"),
    "a batch mean": (lambda n, v: n.head((v - v.mean(0)).amax((2, 3))), "other images of its b"),
    "softmax over the batch": (lambda n, v: n.head(v.mean((2, 3))).softmax(0), "other images of"),
    "the first image": (lambda n, v: n.head(v.mean((2, 3)) + v[:1].mean()), "other images of its"),
    "the number of images": (lambda n, v: n.head(v.mean((2, 3))) / len(v), "other images of its b"),
    "a list of answers": (lambda n, v: [n.head(v.mean((2, 3)))], "it must return logits"),
}


@pytest.mark.parametrize("name", UNDEFINED)
@pytest.mark.parametrize("way", ["engine", "plain"])
def test_answers_that_are_not_defined_are_refused(name: str, way: str) -> None:
    end, reason = UNDEFINED[name]
    network, images = drawn(Other(end)), images_of()
    labels = torch.zeros(len(images), dtype=torch.int64)
    variant = {"tail": kernel_array(network, "tail")}
    ways = {
        "engine": lambda: Evaluator(network, images, labels),
        "plain": lambda: plain_evaluation(network, images, labels, variant),
    }
    with pytest.raises(UserError, match=reason):
        ways[way]()


def test_images_that_the_network_does_not_take_are_refused_in_a_line() -> None:
    with pytest.raises(
        UserError, match=r"does not take a batch of shape \(16, 4, 8, 8\)"
    ) as caught:
        Evaluator(drawn(Network()), images_of((4, 8, 8)), torch.zeros(90, dtype=torch.int64))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hooked", [False, True], ids=["engine", "whole passes"])
def test_chance_that_another_kernel_lets_loose_is_refused(hooked: bool) -> None:
    """The random slopes are those of negative values, which the network itself has not."""
    network = drawn(Other(lambda n, v: n.head(functional.rrelu(v.mean((2, 3)) - 1, training=True))))
    if hooked:
        network.tail.register_forward_hook(lambda module, given, output: 1 * output)
    labels = torch.zeros(90, dtype=torch.int64)
    network.tail.bias.data.fill_(50)
    evaluator = Evaluator(network, images_of(), labels)
    with pytest.raises(UserError, match="draws random numbers"):
        evaluator.kernels("tail", [np.full((8, 8, 3, 3), -1e3)])


def test_a_network_that_is_not_initialised_is_refused() -> None:
    network, labels = nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), torch.zeros(90).long()
    with pytest.raises(UserError, match=r"1\.weight is uninitialised: run the network once"):
        Evaluator(network, images_of(), labels)
    with pytest.raises(UserError, match=r"1\.weight is uninitialised: run the network once"):
        TrainingLoss(network, [(images_of(), labels)])
