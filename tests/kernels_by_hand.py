"""Kernels put into a network by hand, to compare with.

The truth is what anyone would do: put the kernel into the network's own weight, run the whole
network on all images, and put the weight back.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from compressibility.evaluation import Evaluator, Precision, Truncations
from compressibility.networks.kernels import kernel_array
from compressibility.tensors.schmidt import decompose

N_CLASSES = 5
ALL = ("stem", "body.0", "tail")


class Network(nn.Module):
    """Convolutions with what a test does to them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.body = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
        self.tail = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, N_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        values = torch.relu(self.norm(self.stem(images)))
        values = torch.relu(self.tail(self.body(values)))
        return self.head(values.mean(dim=(2, 3)))


class Other(Network):
    """A network with another end."""

    def __init__(self, end: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.end = end

    def forward(self, images: Tensor) -> Tensor:
        values = torch.relu(self.norm(self.stem(images)))
        return self.end(self, torch.relu(self.tail(self.body(values))))


def drawn(network: nn.Module) -> nn.Module:
    """Weights of a fixed seed, under which the answers differ from image to image."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.is_floating_point():
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
                module.running_mean.normal_(0, 0.5, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
    return network


def images_of(shape: tuple[int, ...] = (3, 8, 8), n: int = 90) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))


def answered(network: nn.Module, images: Tensor) -> Tensor:
    modes = {module: module.training for module in network.modules()}
    network.eval()
    with torch.no_grad():
        answers = network(images).float()
    for module, mode in modes.items():
        module.training = mode
    return answers


def centre(network: nn.Module, images: Tensor) -> None:
    """Let no class be answered more than others."""
    for _ in range(2):
        logits = answered(network, images)
        with torch.no_grad():
            network.head.bias -= logits.mean(0) / 2


def by_hand(
    network: nn.Module, layer: str, kernels: Sequence[np.ndarray], images: Tensor, labels: Tensor
) -> list[tuple[int, float]]:
    """Right answers and mean loss with each kernel in the weight of a layer."""
    weight = network.get_parameter(f"{layer}.weight")
    own, found = weight.detach().clone(), []
    for kernel in kernels:
        with torch.no_grad():
            weight.copy_(torch.from_numpy(np.asarray(kernel)).reshape(weight.shape))
        logits = answered(network, images)
        loss = float(functional.cross_entropy(logits, labels))
        found.append((int((logits.argmax(1) == labels).sum()), loss))
        with torch.no_grad():
            weight.copy_(own)
    return found


def assert_right(
    network: nn.Module,
    layers: Sequence[str],
    images: Tensor,
    *,
    noted: Sequence[str] = (),
    precision: Precision = "float32",
) -> Evaluator:
    """Every count is that by hand, and the layers noted are those."""
    centre(network, images)
    labels = answered(network, images).argmax(1)
    labels[::3] = (labels[::3] + 1) % N_CLASSES
    evaluator = Evaluator(network, images, labels, precision=precision)
    for layer in layers:
        decomposition = decompose(kernel_array(network, layer).astype(np.float64), "OUT")
        ranks = range(1, len(decomposition.schmidt_values))
        kernels = [decomposition.truncated(rank) for rank in ranks]
        truth = by_hand(network, layer, kernels, images, labels)
        assert len({count for count, _ in truth}) > 1, "the kernels do not change the answers"
        group = Truncations(decomposition, ranks)
        [found] = evaluator.variants(layer, [group])
        alone = [evaluator.kernels(layer, [kernel])[0] for kernel in kernels]
        together = evaluator.joint([{layer: decomposition.chain(rank)} for rank in ranks])
        for some in (found, alone, together):
            assert [each.n_correct for each in some] == [count for count, _ in truth]
            for each, (_, loss) in zip(some, truth, strict=True):
                assert np.isnan(each.loss) or each.loss == pytest.approx(loss, rel=1e-4)
    assert sorted(evaluator.notes) == sorted(noted), evaluator.notes
    return evaluator
