"""Networks that change as they run or resist copying, before and after they are measured.

Their answers are those of kernels put in by hand.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, weight_norm

from compressibility.errors import UserError
from compressibility.evaluation import Evaluator
from compressibility.networks.kernels import find_kernels, kernel_array
from tests.kernels_by_hand import (
    ALL,
    N_CLASSES,
    Network,
    assert_right,
    by_hand,
    drawn,
    images_of,
)


class Remembering(Network):
    def forward(self, images: Tensor) -> Tensor:
        self.features = self.stem(images)
        values = torch.relu(self.norm(self.features))
        values = torch.relu(self.tail(self.body(values)))
        return self.head(values.mean(dim=(2, 3)))


class TestNotCopied:
    """Networks that ``copy.deepcopy`` refuses."""

    @pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
    @pytest.mark.parametrize(
        "change",
        [
            lambda n: prune.l1_unstructured(n.tail, "weight", 0.5),
            lambda n: weight_norm(n.tail),
            lambda n: parametrizations.weight_norm(n.tail),
            lambda n: parametrizations.spectral_norm(n.tail),
        ],
        ids=["pruned", "old weight norm", "weight norm", "spectral norm"],
    )
    def test_a_weight_that_is_computed(self, change: Callable[[nn.Module], object]) -> None:
        network, images = drawn(Network()), images_of()
        change(network)
        assert_right(network, ["stem", "body.0"], images)
        network(images)  # the weight then hangs on a graph
        kernel = kernel_array(network, "stem")
        [found] = Evaluator(network, images, torch.arange(90) % 5).kernels("stem", [0.3 * kernel])
        [(count, _)] = by_hand(network, "stem", [0.3 * kernel], images, torch.arange(90) % 5)
        assert found.n_correct == count

    def test_a_remembered_feature_map(self) -> None:
        network, images = drawn(Remembering()), images_of()
        assert_right(network, ALL, images)
        network(images)
        features = network.features
        evaluator = Evaluator(network, images, torch.arange(90) % 5)
        assert network.features is features
        [found] = evaluator.kernels("tail", [0.3 * kernel_array(network, "tail")])
        assert evaluator.baseline.evaluation != found

    def test_an_unpicklable_attribute_is_named(self) -> None:
        network, images = drawn(Network()), images_of()
        network.source = (each for each in range(3))
        with pytest.raises(UserError, match=r"the network cannot be copied .*generator"):
            Evaluator(network, images, torch.zeros(len(images), dtype=torch.int64))


class Recording(Network):
    """Counts and averages what it is given, and keeps the last."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.register_buffer("average", torch.zeros(3))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        self.last = images
        self.average.lerp_(images.mean(dim=(0, 2, 3)), 0.1)
        return super().forward(images)


def test_a_network_is_left_as_it_was() -> None:
    network, images = drawn(Recording()), images_of()
    find_kernels(network, images)
    evaluator = Evaluator(network, images, torch.zeros(90, dtype=torch.int64))
    evaluator.kernels("tail", [0 * kernel_array(network, "tail")])
    assert network.calls == 0
    assert not hasattr(network, "last")
    assert not network.average.any()
    assert network.training


class WritingIntoImages(Network):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.mul_(2))


def test_a_network_that_overwrites_its_images() -> None:
    network, images = drawn(WritingIntoImages()), images_of()
    before = images.clone()
    labels = torch.arange(90) % N_CLASSES
    kernel = 0.4 * kernel_array(network, "tail")
    found = Evaluator(network, images, labels).kernels("tail", [kernel])[0]
    assert torch.equal(images, before)
    [(count, loss)] = by_hand(network, "tail", [kernel], images, labels)
    assert (found.n_correct, found.loss) == (count, pytest.approx(loss, rel=1e-5))
