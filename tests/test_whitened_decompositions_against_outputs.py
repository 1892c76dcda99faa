"""Oracles: outputs computed on the inputs themselves, whitening written out, random competitors."""

import numpy as np
import pytest
import torch
from torch import nn

from compressibility.networks.input_covariance import patch_covariances
from compressibility.tensors.modes import CUTS, Cut, Mode, matricize
from compressibility.tensors.schmidt import decompose
from compressibility.tensors.whitened import covariance_seen, output_errors, whitened

SHAPE = (6, 5, 3, 2)


def drawn(seed: int, rank: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A kernel, and inputs that span as many dimensions as asked for."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(SHAPE[1:]))
    mixing = rng.standard_normal((size, rank or size)) * rng.exponential(1, rank or size)
    return rng.standard_normal(SHAPE), mixing @ rng.standard_normal((rank or size, 400))


def covariance_of(inputs: np.ndarray) -> np.ndarray:
    return (inputs @ inputs.T / inputs.shape[1]).reshape(*SHAPE[1:], *SHAPE[1:])


def mean_square(kernel: np.ndarray, inputs: np.ndarray) -> float:
    return float(np.mean(np.sum((kernel.reshape(len(kernel), -1) @ inputs) ** 2, axis=0)))


@pytest.mark.parametrize("rank_of_inputs", [None, 7])
@pytest.mark.parametrize("rank", [1, 3, 5])
def test_along_out_no_kernel_of_that_rank_changes_the_outputs_less(rank, rank_of_inputs) -> None:
    kernel, inputs = drawn(rank, rank_of_inputs)
    seen = covariance_seen(covariance_of(inputs), Cut.parse("OUT"))
    found = whitened(decompose(kernel, "OUT"), seen)
    change = mean_square(kernel - found.truncated(rank), inputs)
    outputs = kernel.reshape(6, -1) @ inputs
    values = np.linalg.svd(outputs, compute_uv=False)
    least = float(np.sum(values[rank:] ** 2)) / inputs.shape[1]  # Eckart and Young, of the outputs
    assert change == pytest.approx(least, rel=1e-9)
    assert found.lost[rank - 1] == pytest.approx(change / mean_square(kernel, inputs), abs=1e-12)


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.label)
def test_it_is_the_truncation_of_the_whitened_matrix_brought_back(cut) -> None:
    kernel, inputs = drawn(3)
    seen = covariance_seen(covariance_of(inputs), cut)
    side_with_out = cut if Mode.OUT in cut.modes else cut.complement
    matrix = matricize(kernel, side_with_out)
    values, vectors = np.linalg.eigh(seen)
    root = vectors * np.sqrt(values) @ vectors.T
    U, s, Vh = np.linalg.svd(matrix @ root, full_matrices=False)
    found = whitened(decompose(kernel, cut), seen)
    np.testing.assert_allclose(found.energies, s[: found.size] ** 2, rtol=1e-8)
    for rank in (1, 2, found.size - 1):
        if rank < 1:
            continue
        expected = (U[:, :rank] * s[:rank]) @ Vh[:rank] @ np.linalg.inv(root)
        np.testing.assert_allclose(
            matricize(found.truncated(rank), side_with_out), expected, atol=1e-8
        )


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.label)
def test_whole_and_as_small_kernels_it_is_the_same_kernel(cut) -> None:
    kernel, inputs = drawn(4, 6)
    found = whitened(decompose(kernel, cut), covariance_seen(covariance_of(inputs), cut))
    np.testing.assert_allclose(found.truncated(found.size), kernel, atol=1e-12)
    for rank in (1, found.size):
        np.testing.assert_allclose(found.chain(rank).kernel(), found.truncated(rank), atol=1e-12)


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.label)
def test_inputs_without_any_direction_give_the_plain_truncation(cut) -> None:
    kernel, _ = drawn(5)
    plain = decompose(kernel, cut)
    white = np.eye(int(np.prod(SHAPE[1:]))).reshape(*SHAPE[1:], *SHAPE[1:])
    found = whitened(plain, covariance_seen(white, cut))
    np.testing.assert_allclose(found.energies, plain.schmidt_values**2, rtol=1e-9)
    for rank in range(1, found.size + 1):
        np.testing.assert_allclose(found.truncated(rank), plain.truncated(rank), atol=1e-9)


def test_the_covariance_seen_is_that_of_the_channels_at_every_place_of_the_window() -> None:
    _, inputs = drawn(6)
    patches = inputs.reshape(*SHAPE[1:], -1)
    channels = np.einsum("ihwn,jhwn->ij", patches, patches) / (3 * 2 * 400)
    seen = covariance_seen(covariance_of(inputs), Cut.parse("IN"))
    np.testing.assert_allclose(seen, channels, rtol=1e-10)
    rows = np.einsum("ihwn,jhvn->iwjv", patches, patches).reshape(10, 10) / (3 * 400)
    seen = covariance_seen(covariance_of(inputs), Cut.parse("OUT,KH"))
    np.testing.assert_allclose(seen, rows, rtol=1e-10)


def test_the_output_error_is_that_of_the_outputs() -> None:
    kernel, inputs = drawn(7, 9)
    other = decompose(kernel, "IN").truncated(2)
    expected = (mean_square(kernel - other, inputs) / mean_square(kernel, inputs)) ** 0.5
    found = output_errors(kernel, [kernel, other], covariance_of(inputs))
    np.testing.assert_allclose(found, [0, expected], rtol=1e-9)
    assert output_errors(kernel, [other], np.zeros((5, 3, 2, 5, 3, 2))).tolist() == [0]


def test_a_covariance_of_another_shape_is_refused() -> None:
    kernel, _ = drawn(8)
    with pytest.raises(ValueError, match=r"\(3, 3\): it must be \(5, 5\)"):
        whitened(decompose(kernel, "IN"), np.eye(3))


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(4, 6, 3, padding=1),
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), dilation=(1, 2), padding=(2, 1)),
        nn.Conv2d(4, 6, 3, stride=2, groups=2),
        nn.Conv2d(4, 6, 3, padding=2, padding_mode="reflect"),
        nn.Conv2d(4, 6, (1, 3), padding="same"),
        nn.Conv2d(4, 6, 1, bias=False),
    ],
    ids=["plain", "strided", "grouped", "reflect", "same", "1×1"],
)
def test_patches_times_the_kernel_are_the_layers_outputs(convolution) -> None:
    """Groups have one kernel here, so that the mean of their covariances tells their outputs."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), convolution).train()
    images, groups = torch.randn(10, 3, 7, 6), convolution.groups
    kernel = convolution.weight.data[: 6 // groups].double().numpy()
    with torch.no_grad():
        convolution.weight.copy_(torch.from_numpy(kernel).repeat(groups, 1, 1, 1))
        outputs = convolution(network[:2](images)).double()
        if convolution.bias is not None:
            outputs -= convolution.bias[:, None, None]
    found = patch_covariances(network, images, ["0", "2"], batch_size=4)
    expected = float((outputs**2).mean(dim=(0, 2, 3)).sum()) / groups
    matrix = kernel.reshape(len(kernel), -1)
    covariance = found["2"].reshape(kernel[0].size, -1)
    assert float(np.sum((matrix @ covariance) * matrix)) == pytest.approx(expected, rel=1e-5)
    pixels = images.double().transpose(0, 1).flatten(1).numpy()
    np.testing.assert_allclose(
        found["0"].reshape(3, 3), pixels @ pixels.T / pixels.shape[1], rtol=1e-9
    )
    assert network.training
    assert not convolution._forward_hooks


def test_what_a_linear_layer_sees_are_its_vectors() -> None:
    torch.manual_seed(0)
    network, tokens = (
        nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)),
        torch.randn(7, 6, 5),
    )
    found = patch_covariances(network, tokens, ["0", "2"], batch_size=3)
    with torch.no_grad():
        behind = network[:2](tokens)
    for layer, vectors in (("0", tokens), ("2", behind)):
        rows = vectors.flatten(0, 1).double().numpy()
        size = rows.shape[1]
        assert found[layer].shape == (size, 1, 1) * 2
        np.testing.assert_allclose(found[layer].reshape(size, size), rows.T @ rows / 42, rtol=1e-6)


def test_a_layer_that_is_never_called_has_no_covariance() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1))
    network.register_module("idle", nn.Conv2d(1, 1, 1))
    network.forward = lambda images: network[0](images)
    assert np.isnan(patch_covariances(network, torch.ones(2, 1, 3, 3), ["idle"])["idle"]).all()
