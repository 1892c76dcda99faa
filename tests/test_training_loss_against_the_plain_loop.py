"""The training loss at given kernels against cross-entropy written out over all images."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from compressibility.errors import NumericalError, UserError
from compressibility.networks.curvature import curvatures_along, largest_eigenvalues
from compressibility.networks.kernels import kernel_array, substituted, weights_hash
from compressibility.networks.landscape import TrainingLoss


def network() -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        model(torch.randn(32, 2, 4, 4, generator=generator).double())  # running statistics
    return model


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(7, 2, 4, 4, generator=generator).double()
    return list(zip(images.split([4, 3]), (torch.arange(7) % 3).split([4, 3]), strict=True))


def plain(model: nn.Module, kernels: dict[str, np.ndarray]) -> float:
    images, labels = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    with torch.no_grad(), substituted(model.eval(), kernels):
        return float(cross_entropy(model(images), labels))


@pytest.mark.parametrize(("dtype", "accuracy"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_the_value_is_the_mean_cross_entropy_at_the_kernels(
    dtype: torch.dtype, accuracy: float
) -> None:
    model = network()
    loss = TrainingLoss(model.train(), batches(), dtype=dtype)
    other = {"0": np.random.default_rng(0).standard_normal((4, 2, 3, 3))}
    assert loss.value() == pytest.approx(plain(model, {}), rel=accuracy)
    assert loss.value(other) == pytest.approx(plain(model, other), rel=accuracy)
    assert loss.value() == pytest.approx(plain(model, {}), rel=accuracy)
    assert loss.n_images == 7


def test_the_value_bends_as_the_hessian_says() -> None:
    loss = TrainingLoss(network(), batches(), dtype=torch.float64)
    kernel = kernel_array(network(), "0")
    direction = np.random.default_rng(2).standard_normal(kernel.shape)
    step = 1e-3 * direction / np.linalg.norm(direction)
    ahead, here, back = (loss.value({"0": kernel + s * step}) for s in (1, 0, -1))
    (found,) = curvatures_along(loss.hessian(["0"]), direction[None])
    assert found == pytest.approx((ahead - 2 * here + back) / 1e-6, rel=1e-4)


def test_the_loss_is_of_the_network_as_it_was_and_leaves_it_alone() -> None:
    model = network().train()
    before = weights_hash(model)
    loss = TrainingLoss(model, batches(), dtype=torch.float64)
    value, hessians = loss.value(), [loss.hessian(["0"]), loss.hessian(["4", "0"])]
    vectors = [np.random.default_rng(3).standard_normal(each.shape[0]) for each in hessians]
    products = [each @ vector for each, vector in zip(hessians, vectors, strict=True)]
    assert weights_hash(model) == before
    assert all(module.training for module in model.modules())
    with torch.no_grad():
        model[0].weight.zero_()
    assert loss.value() == value
    for hessian, vector, product in zip(hessians, vectors, products, strict=True):
        assert np.array_equal(hessian @ vector, product)
    assert [each.shape for each in hessians] == [(72, 72), (120, 120)]


def test_a_string_in_place_of_a_list_of_layers_is_refused_with_the_list() -> None:
    with pytest.raises(TypeError, match=r"layers are 'conv1', a string: give a list, \['conv1'\]"):
        TrainingLoss(network(), batches()).hessian("conv1")
    with pytest.raises(UserError, match="a Hessian over no layer"):
        TrainingLoss(network(), batches()).hessian([])


def test_labels_that_are_no_class_numbers_are_refused_with_the_remedy() -> None:
    (images, labels), *_ = batches()
    with pytest.raises(UserError, match=r"labels are torch\.int32: convert them to torch\.int64"):
        TrainingLoss(network(), [(images, labels.int())])


def test_eigenvalues_that_were_not_found_name_layer_size_and_tolerance() -> None:
    hessian = TrainingLoss(network(), batches()).hessian(["0", "4"])
    with pytest.raises(
        NumericalError, match=r"the Hessian over 0, 4 \(120 weights\) .* tolerance of 1e-15"
    ):
        largest_eigenvalues(hessian, 3, np.random.default_rng(0), tolerance=1e-15, max_restarts=1)


def test_a_loss_that_overflows_is_told_with_layer_and_precision() -> None:
    model = network()
    with torch.no_grad():
        model[4].weight.fill_(1e38)
    hessian = TrainingLoss(model, batches()).hessian(["0"])
    with pytest.raises(NumericalError, match=r"the Hessian over 0 .* NaN .* in torch\.float32"):
        largest_eigenvalues(hessian, 1, np.random.default_rng(0))
