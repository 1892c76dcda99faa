"""Networks that answer otherwise when they are asked again: by construction."""

import random
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from compressibility.errors import UserError
from compressibility.networks.repeatability import require_repeatable


class Layer(nn.Module):
    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer
        self.calls = 0
        self.generator = np.random.default_rng(0)
        self.register_buffer("average", torch.zeros(()))

    def forward(self, images):
        self.calls += 1
        return self.answer(self, images.flatten(1))


def averaging(layer, values):
    layer.average.lerp_(values.mean(), 0.01)
    return values - layer.average


CHANCE = {
    "always-on dropout": lambda layer, x: functional.dropout(x, 0.5, training=True),
    "rare noise": lambda layer, x: x * (torch.rand(len(x), 1) < 1e-9),
}
STATE = {
    "every second answer": lambda layer, x: x * (1 + layer.calls % 2),
    "every third answer": lambda layer, x: x * (1 + (layer.calls % 3 == 0)),
    "numpy": lambda layer, x: x + np.random.normal(),  # noqa: NPY002
    "random": lambda layer, x: x + random.random(),
    "a generator of its own": lambda layer, x: x + layer.generator.standard_normal(),
    "a running average": averaging,
}
SOUND = {
    "a sum": lambda layer, x: x.sum(1),
    "a count that nothing asks": lambda layer, x: x,
    "dropout in evaluation mode": lambda layer, x: functional.dropout(x, training=layer.training),
}
IMAGES = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CHANCE)
def test_chance_is_refused(name):
    with pytest.raises(UserError, match=r"draws random numbers .* in evaluation mode"):
        require_repeatable(Layer(CHANCE[name]).eval(), IMAGES)


@pytest.mark.parametrize("name", STATE)
def test_an_answer_that_depends_on_those_before_is_refused(name):
    with pytest.raises(UserError, match="otherwise from run to run"):
        require_repeatable(Layer(STATE[name]).eval(), IMAGES)


@pytest.mark.parametrize("name", SOUND)
def test_the_answers_of_a_sound_network_are_given_and_chance_is_left_as_it_was(name):
    network = Layer(SOUND[name]).eval()
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    drawn = [(torch.rand(()).item(), random.random(), np.random.random()) for _ in range(2)]  # noqa: NPY002
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    again = [(torch.rand(()).item(), random.random(), np.random.random())]  # noqa: NPY002
    assert torch.equal(require_repeatable(network, IMAGES), network(IMAGES))
    again.append((torch.rand(()).item(), random.random(), np.random.random()))  # noqa: NPY002
    assert again == drawn


def test_random_numbers_that_another_thread_draws_are_not_the_networks():
    def answer(layer, x):
        thread = threading.Thread(target=lambda: (random.random(), np.random.normal()))  # noqa: NPY002
        thread.start()
        thread.join()
        return x

    assert require_repeatable(Layer(answer).eval(), IMAGES).shape == (3, 32)
