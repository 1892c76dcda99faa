"""Curvature against second differences of the plainly evaluated loss along a line of weights."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from compressibility.networks.curvature import curvatures_along, largest_eigenvalues
from compressibility.networks.kernels import kernel_array, substituted
from compressibility.networks.landscape import TrainingLoss


def network() -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3),
        nn.BatchNorm2d(5),
        nn.Softplus(),
        nn.Conv2d(5, 4, (2, 3), stride=2),
        nn.BatchNorm2d(4),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(4 * 2 * 2, 3),
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        model(torch.randn(64, 2, 7, 7, generator=generator).double())  # running statistics
    return model


def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(9, 2, 7, 7, generator=generator).double(), torch.arange(9) % 3


def loss_at(model: nn.Module, layer: str, kernel: np.ndarray) -> float:
    x, y = images()
    model.eval()
    with torch.no_grad(), substituted(model, {layer: kernel}):
        return float(cross_entropy(model(x), y))


@pytest.mark.parametrize("layer", ["0", "3", "7"])
def test_curvature_is_the_second_difference_of_the_loss_along_the_direction(layer: str):
    model = network()
    kernel = kernel_array(model, layer)
    direction = np.random.default_rng(2).standard_normal(kernel.shape)
    unit = direction / np.linalg.norm(direction)
    h = 1e-3
    ahead, here, back = (loss_at(model, layer, kernel + s * h * unit) for s in (1, 0, -1))
    x, y = images()
    loss = TrainingLoss(model, [(x[:4], y[:4]), (x[4:], y[4:])], dtype=torch.float64)
    (found,) = curvatures_along(loss.hessian([layer]), direction[None])
    assert found == pytest.approx((ahead - 2 * here + back) / h**2, rel=1e-4)


def test_the_loss_bends_along_the_top_eigenvector_by_its_eigenvalue():
    model = network()
    rng = np.random.default_rng(3)
    loss = TrainingLoss(model, [images()], dtype=torch.float64)
    found = largest_eigenvalues(loss.hessian(["3"]), 1, rng)
    kernel = kernel_array(model, "3")
    unit = found.eigenvectors[0].reshape(kernel.shape)
    h = 1e-3
    ahead, here, back = (loss_at(model, "3", kernel + s * h * unit) for s in (1, 0, -1))
    assert found.eigenvalues[0] == pytest.approx((ahead - 2 * here + back) / h**2, rel=1e-4)
