"""Every variant that the engine evaluates is also evaluated by replacing weights and running all.

The plain loop knows nothing of tracing, folding, shared convolutions, batches or stacking.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compressibility.errors import UserError
from compressibility.evaluation import (
    Evaluation,
    Evaluator,
    Kernels,
    Truncations,
    fusion,
    plain_evaluation,
)
from compressibility.evaluation.fusion import FusedConvolution
from compressibility.networks.kernels import kernel_array
from compressibility.tensors.modes import CUTS, Cut
from compressibility.tensors.schmidt import decompose
from tests.awkward_networks import (
    N_IMAGES,
    NETWORKS,
    RESUMED,
    layers_of,
    network_of,
    random_images,
    random_labels,
)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return random_images()


@pytest.fixture(scope="module")
def labels() -> Tensor:
    return random_labels()


def assert_same(found: Evaluation, plain: Evaluation, where: str) -> None:
    assert found.loss == pytest.approx(plain.loss, rel=1e-5), where
    counts = (found.n_correct, found.n_lost, found.n_gained)
    assert counts == (plain.n_correct, plain.n_lost, plain.n_gained), where


@pytest.mark.parametrize("batch_size", [5, 100], ids=["in batches", "variants stacked"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_cut_and_rank_as_in_the_plain_loop(
    name: str, batch_size: int, images: Tensor, labels: Tensor
) -> None:
    network = network_of(name)
    evaluator = Evaluator(network, images, labels, batch_size=batch_size)
    for layer in layers_of(network):
        kernel = kernel_array(network, layer)
        asked = []
        for cut in CUTS:
            decomposition = decompose(kernel, cut)
            n = len(decomposition.schmidt_values)
            asked.append(Truncations(decomposition, sorted({1, n // 3 + 1, n // 2 + 1, n})))
        for truncations, found in zip(asked, evaluator.variants(layer, asked), strict=True):
            for rank, evaluation in zip(truncations.ranks, found, strict=True):
                truncated = truncations.decomposition.truncated(rank)
                plain = plain_evaluation(
                    network, images, labels, {layer: truncated}, baseline=evaluator.baseline
                )
                where = f"{layer} cut {truncations.decomposition.cut.label} rank {rank}"
                assert_same(evaluation, plain, where)
    assert bool(evaluator.notes) == (name not in RESUMED)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_replacement_kernels_as_in_the_plain_loop(
    name: str, images: Tensor, labels: Tensor
) -> None:
    network = network_of(name)
    evaluator = Evaluator(network, images, labels, batch_size=7)
    rng = np.random.default_rng(3)
    for layer in layers_of(network):
        own = kernel_array(network, layer)
        kernels = [own + rng.normal(size=own.shape), own, 0 * own, rng.normal(size=own.shape)]
        for kernel, found in zip(kernels, evaluator.kernels(layer, kernels), strict=True):
            plain = plain_evaluation(network, images, labels, {layer: kernel})
            assert_same(found, plain, layer)


def test_layers_in_any_order_and_mixed_groups_give_the_same(images: Tensor, labels: Tensor) -> None:
    network = network_of("residual")
    layers = layers_of(network)
    rng = np.random.default_rng(5)
    kernels = {path: rng.normal(size=kernel_array(network, path).shape) for path in layers}
    evaluator = Evaluator(network, images, labels, batch_size=6)
    uncached = Evaluator(network, images, labels, batch_size=6, memory=0)
    order = [layers[i] for i in rng.permutation(len(layers))]
    for layer in order + layers:
        decomposition = decompose(kernel_array(network, layer), Cut.parse("OUT"))
        asked = [Kernels([]), Truncations(decomposition, [1, 2, 1]), Kernels([kernels[layer]])]
        empty, truncated, (replaced,) = evaluator.variants(layer, asked)
        plain = plain_evaluation(network, images, labels, {layer: kernels[layer]})
        assert empty == []
        assert truncated[0] == truncated[2]
        assert_same(truncated[1], evaluator.truncations(layer, decomposition, [2])[0], layer)
        assert_same(replaced, plain, layer)
        assert_same(uncached.kernels(layer, [kernels[layer]])[0], plain, layer)


def test_without_fused_operators_the_same(
    images: Tensor, labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of("residual")
    fused = Evaluator(network, images, labels)
    monkeypatch.setattr(fusion, "available", lambda dtype: False)
    separate = Evaluator(network, images, labels)
    for layer in layers_of(network):
        kernel = 0.7 * kernel_array(network, layer)
        (one,), (other,) = (each.kernels(layer, [kernel]) for each in (fused, separate))
        assert_same(one, other, layer)


def test_the_baseline_is_the_model_itself(images: Tensor, labels: Tensor) -> None:
    network = network_of("residual")
    baseline = Evaluator(network, images, labels, batch_size=4).baseline
    with torch.no_grad():
        logits = network.eval()(images)
    np.testing.assert_array_equal(baseline.predictions, logits.argmax(1).numpy())
    assert baseline.n_correct == int((logits.argmax(1) == labels).sum())
    assert baseline.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)))
    assert baseline.precision == "float32"


def test_lost_and_gained_account_for_the_change_in_correct_answers(
    images: Tensor, labels: Tensor
) -> None:
    network = network_of("vanilla")
    evaluator = Evaluator(network, images, labels)
    zero = 0 * kernel_array(network, "3")
    (found,) = evaluator.kernels("3", [zero])
    assert found.n_lost > 0
    assert found.n_correct == evaluator.baseline.n_correct - found.n_lost + found.n_gained


@pytest.mark.parametrize("name", ["vanilla", "used twice"])
def test_the_measured_model_is_left_as_it_was(name: str, images: Tensor, labels: Tensor) -> None:
    network = network_of(name).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    evaluator = Evaluator(network, images, labels)
    layer = layers_of(network)[1]
    evaluator.kernels(layer, [0 * kernel_array(network, layer)])
    plain_evaluation(network, images, labels, {layer: 0 * kernel_array(network, layer)})
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_float32_is_float32_meanwhile_and_the_settings_are_left_as_they_were(
    images: Tensor, labels: Tensor
) -> None:
    backends: Any = torch.backends.mkldnn
    settings = backends.conv
    seen: list[str] = []
    network = network_of("vanilla")
    network.register_forward_pre_hook(lambda *_: seen.append(settings.fp32_precision))
    before = settings.fp32_precision
    try:
        settings.fp32_precision = "bf16"
        Evaluator(network, images, labels).baseline  # noqa: B018
        after = settings.fp32_precision
    finally:
        settings.fp32_precision = before
    assert set(seen) == {"ieee"}
    assert after == "bf16"


def test_what_is_in_front_of_the_layer_runs_once(images: Tensor, labels: Tensor) -> None:
    network = network_of("residual")
    evaluator = Evaluator(network, images, labels, batch_size=N_IMAGES)
    evaluator.kernels("8", [0 * kernel_array(network, "8")])  # which is asked of all images first
    decomposition = decompose(kernel_array(network, "5.first"), Cut.parse("OUT"))
    calls: list[object] = []

    def counting(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def counted(*args: Any, **kwargs: Any) -> Tensor:
            images = next(each for each in args if isinstance(each, Tensor))
            if len(images) == N_IMAGES:  # a few more are for comparison with the network itself
                calls.append(function)
            return function(*args, **kwargs)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.functional, "conv2d", counting(nn.functional.conv2d))
        patch.setattr(FusedConvolution, "forward", counting(FusedConvolution.forward))
        evaluator.truncations("5.first", decomposition, [1, 2, 3, 4, 5])
    in_front, shared, mixings, behind = 6, 1, 5, 5
    assert len(calls) == in_front + shared + mixings + behind


class TestRefusals:
    def test_a_rank_out_of_range(self, images: Tensor, labels: Tensor) -> None:
        network = network_of("vanilla")
        decomposition = decompose(kernel_array(network, "3"), Cut.parse("OUT"))
        evaluator = Evaluator(network, images, labels)
        with pytest.raises(ValueError, match="rank 13 is not one of the 12 Schmidt values"):
            evaluator.truncations("3", decomposition, [13])

    def test_a_decomposition_of_another_shape(self, images: Tensor, labels: Tensor) -> None:
        network = network_of("vanilla")
        decomposition = decompose(kernel_array(network, "3"), Cut.parse("OUT"))
        with pytest.raises(ValueError, match=r"is of a \(12, 8, 3, 3\) kernel"):
            Evaluator(network, images, labels).truncations("7", decomposition, [1])

    def test_a_kernel_with_nan(self, images: Tensor, labels: Tensor) -> None:
        network = network_of("vanilla")
        kernel = kernel_array(network, "3")
        kernel[1, 2, 0, 1] = np.nan
        with pytest.raises(ValueError, match=r"1 NaN or infinite .* \(1, 2, 0, 1\)"):
            Evaluator(network, images, labels).kernels("3", [kernel])

    def test_a_kernel_of_another_shape(self, images: Tensor, labels: Tensor) -> None:
        with pytest.raises(ValueError, match="has shape"):
            Evaluator(network_of("vanilla"), images, labels).kernels("3", [np.zeros((2, 2, 3, 3))])

    def test_an_unknown_layer(self, images: Tensor, labels: Tensor) -> None:
        with pytest.raises(ValueError, match="unknown layer"):
            Evaluator(network_of("vanilla"), images, labels).kernels("conv9", [])

    def test_labels_that_do_not_belong_to_the_images(self, images: Tensor, labels: Tensor) -> None:
        with pytest.raises(ValueError, match="23 images with 22 labels"):
            Evaluator(network_of("vanilla"), images, labels[1:])

    def test_labels_beyond_the_classes(self, images: Tensor, labels: Tensor) -> None:
        with pytest.raises(ValueError, match="labels go from 0 to 99"):
            Evaluator(network_of("vanilla"), images, torch.where(labels == 1, 99, 0))

    def test_images_with_nan(self, images: Tensor, labels: Tensor) -> None:
        with pytest.raises(ValueError, match="images hold NaN"):
            Evaluator(network_of("vanilla"), images * torch.nan, labels)

    def test_labels_that_are_no_whole_numbers_of_64_bits(
        self, images: Tensor, labels: Tensor
    ) -> None:
        network = network_of("vanilla")
        for wrong, told in [(labels.int(), "torch.int32"), (labels.float(), "torch.float32")]:
            with pytest.raises(UserError, match=rf"labels are {told} .* by labels.long\(\)"):
                Evaluator(network, images, wrong)
            with pytest.raises(UserError, match=f"labels are {told}"):
                plain_evaluation(network, images, wrong, {})

    def test_labels_of_one_class_an_entry(self, images: Tensor, labels: Tensor) -> None:
        with pytest.raises(UserError, match=r"shape \(23, 6\): give the class of each image"):
            Evaluator(network_of("vanilla"), images, nn.functional.one_hot(labels, 6))

    def test_images_that_are_not_normalised(self, images: Tensor, labels: Tensor) -> None:
        with pytest.raises(UserError, match=r"images are torch.uint8: give them as floats"):
            Evaluator(network_of("vanilla"), images.to(torch.uint8), labels)

    def test_an_unknown_precision(self, images: Tensor, labels: Tensor) -> None:
        with pytest.raises(UserError, match="'bfloat': did you mean bfloat16"):
            Evaluator(network_of("vanilla"), images, labels, precision="bfloat")

    def test_images_that_are_no_tensor(self, images: Tensor, labels: Tensor) -> None:
        with pytest.raises(ValueError, match="images are of type ndarray"):
            Evaluator(network_of("vanilla"), images.numpy(), labels)

    def test_labels_that_are_no_tensor(self, images: Tensor, labels: Tensor) -> None:
        with pytest.raises(ValueError, match="labels are of type list"):
            Evaluator(network_of("vanilla"), images, labels.tolist())

    def test_a_rank_that_is_no_whole_number(self, images: Tensor, labels: Tensor) -> None:
        network = network_of("vanilla")
        decomposition = decompose(kernel_array(network, "3"), Cut.parse("OUT"))
        with pytest.raises(ValueError, match=r"rank 2\.5 is no whole number"):
            Evaluator(network, images, labels).truncations("3", decomposition, [2.5])

    def test_a_network_whose_answers_depend_on_the_batch(
        self, images: Tensor, labels: Tensor
    ) -> None:
        network = nn.Sequential(
            nn.Conv2d(3, 6, 8), nn.BatchNorm2d(6, track_running_stats=False), nn.Flatten()
        )
        with pytest.raises(ValueError, match="change with the other images of its batch"):
            Evaluator(network, images, labels)

    def test_a_network_that_returns_no_logits(self, images: Tensor, labels: Tensor) -> None:
        with pytest.raises(ValueError, match="must return logits"):
            Evaluator(nn.Conv2d(3, 6, 3), images, labels)


def test_one_image_is_enough(images: Tensor, labels: Tensor) -> None:
    network = network_of("vanilla")
    kernel = 0 * kernel_array(network, "3")
    (found,) = Evaluator(network, images[:1], labels[:1]).kernels("3", [kernel])
    assert_same(found, plain_evaluation(network, images[:1], labels[:1], {"3": kernel}), "3")


def test_a_baseline_that_is_known_is_not_computed_again(images: Tensor, labels: Tensor) -> None:
    network = network_of("vanilla")
    known = Evaluator(network, images, labels).baseline
    wrong = replace(known, counted={"correct": np.zeros(N_IMAGES, dtype=bool)})
    kernel = kernel_array(network, "3")
    plain = plain_evaluation(network, images, labels, {"3": kernel}, baseline=wrong)
    assert plain.n_gained == plain.n_correct > 0
