"""Curvature against Hessians written out in full: by hand, and by torch.func.hessian."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention, softmax

from compressibility.networks.curvature import (
    Estimate,
    curvatures_along,
    largest_eigenvalues,
    random_directions,
    trace_estimate,
)
from compressibility.networks.kernels import weights_hash
from compressibility.networks.landscape import Batches, TrainingLoss


class Residual(nn.Module):
    """Batch norm, a shortcut added in place, smooth and kinked activations, a grouped kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.plain_norm = nn.BatchNorm2d(4, affine=False)
        self.shortcut = nn.Conv2d(4, 4, 1)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.norm(self.stem(x)))
        out = self.plain_norm(self.conv(x))
        out += self.shortcut(x)
        out = nn.functional.max_pool2d(self.relu(out), 2)
        return self.head(self.drop(out.mean((2, 3))))


def residual_network() -> tuple[Residual, Batches]:
    """In training mode, with running statistics far from 0 and 1; two uneven batches."""
    generator = torch.Generator().manual_seed(0)
    model = Residual().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator).double())
        for norm in (model.norm, model.plain_norm):
            norm.running_mean.copy_(torch.randn(4, generator=generator))
            norm.running_var.copy_(torch.rand(4, generator=generator) + 0.5)
    images = torch.randn(8, 1, 4, 4, generator=generator).double()
    labels = torch.randint(0, 3, (8,), generator=generator)
    return model.train(), list(zip(images.split([5, 3]), labels.split([5, 3]), strict=True))


def full_hessian(model: nn.Module, layers: list[str], batches: Batches) -> np.ndarray:
    """The oracle: torch.func.hessian of the mean loss over all images at once."""
    images = torch.cat([x for x, _ in batches])
    labels = torch.cat([y for _, y in batches])
    weights = [model.get_submodule(layer).weight for layer in layers]
    model.eval()

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split([w.numel() for w in weights])
        named = {
            f"{n}.weight": p.view_as(w) for n, p, w in zip(layers, parts, weights, strict=True)
        }
        return cross_entropy(torch.func.functional_call(model, named, images), labels)

    flat = torch.cat([w.detach().flatten() for w in weights])
    hessian = torch.func.hessian(loss)(flat).detach().numpy()
    model.train()
    return hessian


def along(
    model: nn.Module, layer: str, batches: Batches, directions: np.ndarray, **options: Any
) -> np.ndarray:
    hessian = TrainingLoss(model, batches, **options).hessian([layer])
    return curvatures_along(hessian, directions, at_once=hessian.at_once)


def quotients(hessian: np.ndarray, directions: np.ndarray) -> np.ndarray:
    rows = directions.reshape(len(directions), -1)
    return np.einsum("pi,ij,pj->p", rows, hessian, rows) / (rows**2).sum(1)


def test_curvature_of_a_softmax_regression_is_the_hessian_by_hand():
    rng = np.random.default_rng(1)
    model = nn.Sequential(nn.Linear(5, 3)).double()
    images = torch.from_numpy(rng.standard_normal((7, 5)))
    batches = [(images, torch.arange(7) % 3)]
    p = softmax(model(images), 1).detach().numpy()
    covariance = np.einsum("na,ab->nab", p, np.eye(3)) - np.einsum("na,nb->nab", p, p)
    hessian = np.einsum("nab,ni,nj->aibj", covariance, images, images).reshape(15, 15) / 7

    directions = rng.standard_normal((4, 3, 5, 1, 1))
    found = TrainingLoss(model, batches, dtype=torch.float64).hessian(["0"])
    along_each = curvatures_along(found, directions)
    assert along_each == pytest.approx(quotients(hessian, directions), rel=1e-12)
    top = largest_eigenvalues(found, 1, rng)
    assert top.eigenvalues == pytest.approx(np.linalg.eigvalsh(hessian)[-1:], rel=1e-6)
    assert found @ np.eye(15) == pytest.approx(hessian, abs=1e-14)


@pytest.mark.parametrize("layer", ["stem", "conv", "shortcut", "head"])
@pytest.mark.parametrize(("dtype", "accuracy"), [(torch.float64, 1e-11), (torch.float32, 2e-5)])
def test_directional_curvatures_are_the_quotients_of_the_full_hessian(
    layer: str, dtype: torch.dtype, accuracy: float
):
    model, batches = residual_network()
    hessian = full_hessian(model, [layer], batches)
    shape = model.get_submodule(layer).weight.shape
    directions = np.random.default_rng(2).standard_normal((9, *shape))
    found = along(model, layer, batches, directions, dtype=dtype)
    assert found.dtype == np.float64
    norm = np.linalg.norm(hessian, 2)
    assert np.abs(found - quotients(hessian, directions)).max() <= accuracy * norm


@pytest.mark.parametrize("layers", [["conv"], ["shortcut", "stem"], ["stem", "conv", "head"]])
def test_top_eigenvalues_are_those_of_the_full_hessian_with_honest_residuals(layers: list[str]):
    model, batches = residual_network()
    hessian = full_hessian(model, layers, batches)
    loss = TrainingLoss(model, batches, dtype=torch.float64)
    rng = np.random.default_rng(3)
    found = largest_eigenvalues(loss.hessian(layers), 3, rng, tolerance=1e-6)
    truth = np.linalg.eigvalsh(hessian)[::-1]
    assert found.eigenvalues == pytest.approx(truth[:3], rel=1e-9)
    assert found.eigenvectors.shape == (3, len(hessian))
    assert np.linalg.norm(found.eigenvectors, axis=1) == pytest.approx(1)
    defects = hessian @ found.eigenvectors.T - found.eigenvectors.T * found.eigenvalues
    assert found.residuals == pytest.approx(np.linalg.norm(defects, axis=0), abs=1e-12 * truth[0])
    assert (found.residuals <= 1e-6 * found.eigenvalues).all()


def test_float32_eigenvalues_lie_within_their_residuals_of_the_truth():
    model, batches = residual_network()
    layers = ["stem", "conv", "head"]
    truth = np.linalg.eigvalsh(full_hessian(model, layers, batches))[::-1]
    loss = TrainingLoss(model, batches)
    found = largest_eigenvalues(loss.hessian(layers), 3, np.random.default_rng(3))
    rounding = 2e-6 * truth[0]
    assert (np.abs(found.eigenvalues - truth[:3]) <= found.residuals + rounding).all()
    assert (found.residuals <= 1e-3 * found.eigenvalues).all()


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
def test_the_trace_is_estimated_without_bias_and_with_its_true_standard_error(distribution: str):
    model, batches = residual_network()
    hessian = full_hessian(model, ["stem"], batches)
    size, samples = len(hessian), 500
    drawn = random_directions(samples, size, np.random.default_rng(4), distribution)
    found = trace_estimate(along(model, "stem", batches, drawn), size)
    off = ((hessian - np.diag(hessian.diagonal())) ** 2).sum()
    # variance of dᵀHd: 2 Σ_{i≠j} H² for signs; on the sphere, with s the size,
    # s² · 2 (s tr H² − (tr H)²) / (s² (s + 2))
    squares = (hessian**2).sum()
    on_sphere = 2 * (size * squares - np.trace(hessian) ** 2) / (size + 2)
    variance = 2 * off if distribution == "rademacher" else on_sphere
    assert found.standard_error == pytest.approx(math.sqrt(variance / samples), rel=0.2)
    assert abs(found.value - np.trace(hessian)) <= 4 * math.sqrt(variance / samples)
    assert found.samples == samples


def test_the_joint_trace_is_that_of_the_full_hessian_within_its_true_standard_error():
    model, batches = residual_network()
    layers = ["stem", "conv", "head"]
    hessian = full_hessian(model, layers, batches)
    samples = 500
    found = TrainingLoss(model, batches).hessian(layers)
    drawn = random_directions(samples, found.shape[0], np.random.default_rng(4))
    estimate = trace_estimate(curvatures_along(found, drawn, at_once=100), found.shape[0])
    off = ((hessian - np.diag(hessian.diagonal())) ** 2).sum()
    error = math.sqrt(2 * off / samples)
    assert estimate.standard_error == pytest.approx(error, rel=0.2)
    assert abs(estimate.value - np.trace(hessian)) <= 4 * error
    assert estimate.samples == samples


def test_estimates_are_means_with_their_standard_errors():
    estimate = trace_estimate(np.array([1.0, 2.0, 6.0]), 10)
    assert estimate == Estimate(pytest.approx(30), pytest.approx(10 * math.sqrt(7 / 3)), 3)
    assert math.isnan(trace_estimate(np.array([1.0]), 10).standard_error)


def test_the_length_of_a_direction_does_not_matter_and_zero_is_no_direction():
    model, batches = residual_network()
    one = np.random.default_rng(5).standard_normal((4, 2, 3, 3))
    directions = np.stack([one, 1e200 * one, 0 * one, -1e-200 * one])
    found = along(model, "conv", batches, directions, dtype=torch.float64)
    assert np.isnan(found).tolist() == [False, False, True, False]
    assert found[[1, 3]] == pytest.approx(found[0], rel=1e-12)


def test_multiplying_fewer_directions_at_once_changes_nothing_but_rounding():
    model, batches = residual_network()
    directions = np.random.default_rng(6).standard_normal((7, 36))
    alone = along(model, "stem", batches, directions, memory=1, dtype=torch.float64)
    together = along(model, "stem", batches, directions, dtype=torch.float64)
    assert TrainingLoss(model, batches, memory=1).hessian(["stem"]).at_once == 1
    assert alone == pytest.approx(together, rel=1e-10)


def test_the_generator_alone_decides_and_nothing_else_is_touched():
    model, batches = residual_network()
    before, mode = weights_hash(model), [m.training for m in model.modules()]
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    directions = np.random.default_rng(7).standard_normal((2, 36))
    hessian = TrainingLoss(model, batches).hessian(["stem"])
    found = []
    for seed in (0, 0, 1):
        rng = np.random.default_rng(seed)
        drawn = random_directions(4, 36, rng)
        top = largest_eigenvalues(hessian, 2, rng)
        numbers = (top.eigenvalues, top.residuals, top.eigenvectors.ravel())
        random = curvatures_along(hessian, drawn)
        found.append(np.concatenate([random, *numbers, curvatures_along(hessian, directions)]))
    first, again, other = found
    assert np.array_equal(first, again)
    assert not np.array_equal(first[:4], other[:4])
    assert np.array_equal(first[-2:], other[-2:])
    assert weights_hash(model) == before
    assert [m.training for m in model.modules()] == mode
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_frozen_weights_have_curvature_too():
    model, batches = residual_network()
    directions = np.random.default_rng(8).standard_normal((3, 36))
    free = along(model, "stem", batches, directions)
    model.requires_grad_(False)
    assert np.array_equal(along(model, "stem", batches, directions), free)
    assert not model.stem.weight.requires_grad


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(scaled_dot_product_attention(x, x, x).mean(1))


def test_attention_has_second_derivatives():
    model = Attention().double()
    rng = np.random.default_rng(9)
    batches = [(torch.from_numpy(rng.standard_normal((6, 5, 3))), torch.arange(6) % 2)]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        hessian = full_hessian(model, ["embed"], batches)
    directions = rng.standard_normal((3, 12))
    found = along(model, "embed", batches, directions, dtype=torch.float64)
    assert found == pytest.approx(quotients(hessian, directions), rel=1e-9)


def test_the_curvature_of_a_network_that_is_all_but_certain_does_not_vanish():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2, bias=False))
    image, margin = torch.tensor([[1.0, 2.0, 2.0]]), 60.0
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([image[0] * margin / 9, torch.zeros(3)]))
    loss = TrainingLoss(model, [(image, torch.tensor([0]))])
    top = largest_eigenvalues(loss.hessian(["1"]), 1, np.random.default_rng(0))
    by_hand = 2 * 9 * np.exp(-margin)  # p (1 - p) |x|² (1, -1)(1, -1)ᵀ
    assert top.eigenvalues == pytest.approx([by_hand], rel=1e-3)


def test_a_flat_loss_has_no_curvature():
    model, batches = residual_network()
    with torch.no_grad():
        model.head.weight.zero_()
    hessian, rng = TrainingLoss(model, batches).hessian(["stem"]), np.random.default_rng(10)
    assert largest_eigenvalues(hessian, 1, rng).eigenvalues.tolist() == [0]
    drawn = curvatures_along(hessian, random_directions(3, 36, rng))
    assert trace_estimate(drawn, 36) == Estimate(0, 0, 3)
    assert curvatures_along(hessian, np.ones((1, 36))).tolist() == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": "sten"}, "unknown layer 'sten': did you mean stem"),
        ({"batches": []}, "0 batches without an image: give at least one"),
        (
            {"directions": np.ones((2, 35))},
            r"shape \(2, 35\) have 35 entries each: the Hessian over stem .* takes 36",
        ),
        (
            {"directions": np.full((2, 36), np.nan)},
            "direction 0 has NaN or infinite entries: the Hessian over stem",
        ),
    ],
)
def test_bad_input_is_refused_in_a_line(change: dict, message: str):
    model, batches = residual_network()
    arguments = {"layer": "stem", "batches": batches, "directions": np.ones((2, 36))}
    with pytest.raises(ValueError, match=message):
        along(model, **(arguments | change))


def test_no_random_direction_is_refused():
    with pytest.raises(ValueError, match="0 random directions asked for: at least 1"):
        random_directions(0, 36, np.random.default_rng(0))


def test_too_many_eigenvalues_are_refused():
    model, batches = residual_network()
    hessian = TrainingLoss(model, batches).hessian(["stem"])
    with pytest.raises(ValueError, match="36 eigenvalues of 36 weights: ask for 1 to 35"):
        largest_eigenvalues(hessian, 36, np.random.default_rng(0))


def test_batch_norm_without_running_statistics_is_refused():
    model, batches = residual_network()
    model.norm = nn.BatchNorm2d(4, track_running_stats=False).double()
    with pytest.raises(ValueError, match="layer 'norm' keeps no running statistics"):
        TrainingLoss(model, batches)


def test_random_directions_have_mean_zero_and_unit_variance():
    rng = np.random.default_rng(11)
    signs = random_directions(50, 40, rng)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    gaussian = random_directions(50, 40, rng, "gaussian")
    for drawn in (signs, gaussian):
        assert drawn.shape == (50, 40)
        assert abs(drawn.mean()) <= 4 / math.sqrt(drawn.size)
        assert abs(drawn.var() - 1) <= 4 * math.sqrt(2 / drawn.size)
