"""Variants that replace the kernels of many layers, against replacing them all and running all.

The plain loop knows nothing of trees of variants, of what they have in common, or of portions.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compressibility.evaluation import Evaluation, Evaluator, Variant, joint, plain_evaluation
from compressibility.evaluation.fusion import FusedConvolution
from compressibility.networks.kernels import kernel_array
from compressibility.tensors.modes import CUTS
from compressibility.tensors.schmidt import decompose
from tests.awkward_networks import (
    N_IMAGES,
    NETWORKS,
    RESUMED,
    Residual,
    layers_of,
    network_of,
    random_images,
    random_labels,
)

Kernels = Mapping[str, NDArray[np.float64]]


@pytest.fixture(scope="module")
def images() -> Tensor:
    return random_images()


@pytest.fixture(scope="module")
def labels() -> Tensor:
    return random_labels()


def drawn_variants(network: nn.Module, rng: np.random.Generator, count: int) -> list[Variant]:
    """Random sets of layers; each kernel is one of two random ones, truncated, or the own one."""
    kernels = {layer: kernel_array(network, layer) for layer in layers_of(network)}
    random = {
        layer: [own + 0.3 * rng.normal(size=own.shape) for _ in range(2)]
        for layer, own in kernels.items()
    }
    variants: list[Variant] = [{}, dict(kernels)]
    for _ in range(count):
        variant: dict[str, Any] = {}
        for layer in rng.permutation(list(kernels)):
            own = kernels[layer]
            decomposition = decompose(own, CUTS[rng.integers(len(CUTS))])
            rank = int(rng.integers(len(decomposition.schmidt_values))) + 1
            choices = [None, None, own, *random[layer], decomposition.chain(rank)]
            choice = choices[rng.integers(len(choices))]
            if choice is not None:
                variant[str(layer)] = choice
        variants.append(variant)
    return variants


def assert_same(found: Evaluation, plain: Evaluation) -> None:
    assert found.loss == pytest.approx(plain.loss, rel=1e-5)
    assert found.counts == plain.counts


@pytest.mark.parametrize("memory", [None, 0], ids=["all at once", "one by one"])
@pytest.mark.parametrize("name", NETWORKS)
def test_random_sets_of_layers_as_in_the_plain_loop(
    name: str, memory: int | None, images: Tensor, labels: Tensor
) -> None:
    network = network_of(name)
    evaluator = Evaluator(network, images, labels, batch_size=7, memory=memory)
    variants = drawn_variants(network, np.random.default_rng(11), 12)
    found = evaluator.joint(variants)
    assert len(found) == len(variants)
    for variant, evaluation in zip(variants, found, strict=True):
        plain = plain_evaluation(network, images, labels, variant, baseline=evaluator.baseline)
        assert_same(evaluation, plain)
    assert found[0] == found[1] == evaluator.baseline.evaluation
    assert bool(evaluator.notes) == (name not in RESUMED)


def test_a_residual_network_whose_every_layer_is_replaced(images: Tensor, labels: Tensor) -> None:
    network = network_of("residual")
    evaluator = Evaluator(network, images, labels)
    kernels = {layer: kernel_array(network, layer) for layer in layers_of(network)}
    variants = [{layer: factor * own for layer, own in kernels.items()} for factor in (0.5, 0.9)]
    for variant, evaluation in zip(variants, evaluator.joint(variants), strict=True):
        assert_same(evaluation, plain_evaluation(network, images, labels, variant))


def test_one_layer_is_what_the_other_path_gives(images: Tensor, labels: Tensor) -> None:
    network = network_of("residual")
    evaluator = Evaluator(network, images, labels)
    for layer in layers_of(network):
        kernel = 0.7 * kernel_array(network, layer)
        (found,) = evaluator.joint([{layer: kernel}])
        assert_same(found, evaluator.kernels(layer, [kernel])[0])


def _convolutions_run(evaluate: Callable[[], object]) -> int:
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
        evaluate()
    return len(calls)


def test_what_variants_have_in_common_runs_once(images: Tensor, labels: Tensor) -> None:
    """Of the residual network's eight convolutions in a row, the third and the sixth."""
    network = network_of("residual")
    evaluator = Evaluator(network, images, labels, batch_size=N_IMAGES)
    evaluator.kernels("8", [0 * kernel_array(network, "8")])  # which is asked of all images first
    third, sixth = (kernel_array(network, layer) for layer in ("3.second", "4.shortcut.0"))
    variants: list[Variant] = [
        {"3.second": 0.5 * third, "4.shortcut.0": factor * sixth} for factor in (0.1, 0.2, 0.3)
    ]
    in_front, common, third_itself, sixth_itself, behind = 2, 2, 1, 1, 2
    expected = in_front + third_itself + common + 3 * (sixth_itself + behind)
    assert _convolutions_run(lambda: evaluator.joint(variants)) == expected
    held = expected - in_front
    assert _convolutions_run(lambda: evaluator.joint([*variants, {}, variants[0]])) == held


def test_no_more_than_one_variants_kernels_are_held_where_there_is_no_memory(
    images: Tensor, labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of("vanilla")
    kernels = {layer: kernel_array(network, layer) for layer in layers_of(network)}
    sizes: list[int] = []

    class Watched(joint.ManyLayers):
        def __init__(self, network: Any, paths: Any) -> None:
            super().__init__(network, paths)
            sizes.append(len(paths))

    monkeypatch.setattr(joint, "ManyLayers", Watched)
    variants = [{layer: f * own for layer, own in kernels.items()} for f in (0.1, 0.2, 0.3)]
    for memory, expected in ((0, [1, 1, 1]), (None, [3])):
        evaluator = Evaluator(network, images, labels, memory=memory)
        evaluator.joint(variants)  # the first time, the layers are compared with the network itself
        sizes.clear()
        evaluator.joint(variants)
        assert sizes == expected


def test_unknown_layers_and_kernels_that_do_not_fit_are_refused_before_anything_runs(
    images: Tensor, labels: Tensor
) -> None:
    network = network_of("vanilla")
    evaluator = Evaluator(network, images, labels)
    kernel = kernel_array(network, "0")
    chain = decompose(kernel, CUTS[0]).chain(1)
    wrong: list[tuple[Variant, str]] = [
        ({"0": 2 * kernel, "conv9": kernel}, "unknown layer 'conv9'"),
        ({"0": 2 * kernel, "3": chain}, r"kernel for 3 has shape \(8, 3, 3, 3\)"),
        ({"0": np.nan * kernel}, "holds 216 NaN"),
        ({"1": kernel}, "layer '1' .* has no kernel"),
    ]
    for variant, message in wrong:
        with pytest.raises(ValueError, match=message):
            evaluator.joint([{"0": 2 * kernel}, variant])
    assert "baseline" not in vars(evaluator)


class TestLowerPrecision:
    """Logits that lie close together, so that many images are in doubt."""

    N = 300

    def network(self) -> nn.Module:
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            Residual(8, 8, stride=1, groups=1),
            nn.Conv2d(8, 12, 3, padding=1, padding_mode="reflect"),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.Conv2d(12, 8, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, 10),
        )
        return network.eval()

    @pytest.mark.parametrize("beyond", [False, True], ids=["as sampled", "beyond those sampled"])
    def test_counts_are_those_of_float32_and_no_loss_is_given(self, beyond: bool) -> None:
        network = self.network()
        scale = torch.ones(self.N)
        if beyond:  # a thousand times the error where it is not measured
            scale = torch.full((self.N,), 100.0)
            scale[torch.linspace(0, self.N - 1, 64).round().long()] = 0.1
        generator = torch.Generator().manual_seed(4)
        images = torch.randn(self.N, 3, 8, 8, generator=generator) * scale[:, None, None, None]
        labels = network(images).argmax(dim=1)  # so that every change of an answer counts
        evaluator = Evaluator(network, images, labels, precision="bfloat16")
        variants = [v for v in drawn_variants(network, np.random.default_rng(1), 12)[2:] if v]
        behind_a_fork = {layer: kernel_array(network, layer) for layer in ("2.second", "3")}
        variants += [{k: f * own for k, own in behind_a_fork.items()} for f in (0.4, 0.7, 0.95)]
        found = evaluator.joint(variants)
        assert not evaluator.notes
        for variant, evaluation in zip(variants, found, strict=True):
            plain = plain_evaluation(network, images, labels, variant)
            assert evaluation.counts == plain.counts
        assert np.isnan([each.loss for each in found]).sum() > 9
        assert len({each.n_lost for each in found}) > 5

    def test_a_variant_that_cannot_be_checked_is_measured_in_float32_without_its_neighbours(
        self,
    ) -> None:
        network = network_of("reads its batch size")
        images = torch.randn(100, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        labels = torch.randint(0, 6, (100,), generator=torch.Generator().manual_seed(2))
        evaluator = Evaluator(network, images, labels, precision="bfloat16")
        stem, head = (0.5 * kernel_array(network, layer) for layer in ("stem", "head"))
        variants: list[Variant] = [{"stem": stem, "head": head}, {"head": head}]
        for variant, found in zip(variants, evaluator.joint(variants), strict=True):
            plain = plain_evaluation(network, images, labels, variant)
            assert found.counts == plain.counts
            assert np.isnan(found.loss) == ("stem" not in variant)
        assert list(evaluator.notes) == ["stem"]
