"""By how much answers may differ if computed otherwise, against the same network in float64."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compressibility.evaluation import Evaluator
from compressibility.networks.arithmetic import TOLERANCE
from compressibility.networks.rounding import tolerance_of


class NormOfAlmostEqualValues(nn.Module):
    """A layer norm of values 1 + spread · z: it enlarges their rounding by 1 / spread."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6, eps=0)
        self.classes = nn.Linear(6, 3)
        with torch.no_grad():
            self.linear.weight.mul_(spread)
            self.linear.bias.fill_(1)

    def forward(self, images: Tensor) -> Tensor:
        answers: Tensor = self.classes(self.norm(self.linear(images.flatten(1))))
        return answers


def images(count: int = 16) -> Tensor:
    return torch.randn(count, 1, 2, 3, generator=torch.Generator().manual_seed(0))


def network(spread: float) -> NormOfAlmostEqualValues:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        return NormOfAlmostEqualValues(spread).eval()


@pytest.mark.parametrize("spread", [1e-3, 1e-4, 1e-5])
def test_the_tolerance_covers_the_error_of_float32_and_is_of_its_size(spread: float) -> None:
    single, double = network(spread), network(spread).double()
    with torch.no_grad():
        exact = double(images().double())
        error = float((single(images()) - exact).abs().max() / exact.abs().max())
    assert error <= tolerance_of(single, images()) <= max(TOLERANCE, 100 * error)


def test_a_network_that_enlarges_no_rounding_has_the_least_tolerance() -> None:
    assert tolerance_of(nn.Sequential(nn.Flatten(), nn.Linear(6, 3)), images()) == TOLERANCE


def test_what_is_exact_is_not_rounded_otherwise() -> None:
    class Exact(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            ones = torch.ones_like(images).flatten(1)
            return (ones == 1).float() * images.flatten(1).relu().round()

    assert tolerance_of(Exact(), images()) == TOLERANCE


def test_no_random_numbers_of_the_user_are_drawn() -> None:
    before = torch.get_rng_state()
    tolerance_of(network(1e-4), images())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("spread", "fast"), [(1e-2, True), pytest.param(3e-5, False, id="beyond what tells a fault")]
)
def test_counts_are_those_of_double_precision_where_rounding_is_enlarged(
    spread: float, fast: bool
) -> None:
    """Beside rounding no image is in doubt: the labels are half the network's own answers."""
    single, double, asked = network(spread), network(spread).double(), images(40)
    own = single.linear.weight.detach()
    kernel = own.roll(1, 0)
    with torch.no_grad():
        labels = double(asked.double()).argmax(1)
        double.linear.weight.copy_(kernel)
        answers = double(asked.double())
    first, second = answers.topk(2, dim=1).values.unbind(1)
    sure = first - second > 0.1 * answers.abs().max()
    assert sure.sum() > 10
    evaluator = Evaluator(single, asked[sure], labels[sure])
    [found] = evaluator.kernels("linear", [np.asarray(kernel)[:, :, None, None]])
    assert found.n_correct == int((answers.argmax(1) == labels)[sure].sum())
    assert ("hang on rounding" in evaluator.notes.get("", "")) is not fast
