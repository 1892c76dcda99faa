"""Every classification architecture of torchvision. Oracle: its own parameters and its logits."""

from math import prod

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.regnet import BlockParams

from compressibility.networks.compression import compress
from compressibility.networks.kernels import find_kernels, kernel_array, unsupported
from compressibility.networks.refusals import KINDS
from compressibility.tensors.modes import distinct_cuts
from compressibility.tensors.schmidt import decompose

EVERY = models.list_models(module=models)
FIXED = {"vit": 224, "maxvit": 224, "inception": 96}
"""Sides of the images that some take; the others are asked about smaller ones."""
OF_EACH_FAMILY = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
)


def build(name: str) -> nn.Module:
    usual = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return models.get_model(name, weights=None, num_classes=10, **usual).eval()


def images_for(name: str, count: int) -> torch.Tensor:
    side = FIXED.get(name.partition("_")[0], 64)
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def regnets_count_on_the_cpu(monkeypatch) -> None:
    """They reckon their widths with tensors, of which the meta device keeps no values."""
    reckon = BlockParams.from_init_params

    def reckoned(*arguments, **options) -> BlockParams:
        with torch.device("cpu"):
            return reckon(*arguments, **options)

    monkeypatch.setattr(BlockParams, "from_init_params", reckoned)


@pytest.mark.usefixtures("regnets_count_on_the_cpu")
@pytest.mark.parametrize("name", EVERY)
def test_every_weight_is_a_kernel_or_left_out_with_a_reason(name) -> None:
    with torch.device("meta"):
        network, example = build(name), images_for(name, 1).to("meta")
    kernels = find_kernels(network, example, kinds=KINDS)
    reasons = unsupported(network, example, kinds=KINDS)
    held = {f"{kernel.layer}.weight": kernel.shape for kernel in kernels}
    for parameter, value in network.named_parameters():
        if value.ndim > 1:
            assert (parameter in held) != (parameter.rpartition(".")[0] in reasons), parameter
    weights = dict(network.named_parameters())
    assert all(prod(shape) == weights[parameter].numel() for parameter, shape in held.items())
    assert [kernel.depth for kernel in kernels] == list(range(1, len(kernels) + 1))


@pytest.mark.parametrize("name", OF_EACH_FAMILY)
def test_realised_at_full_rank_every_kind_of_layer_leaves_the_logits(name) -> None:
    torch.manual_seed(1)
    network, images = build(name), images_for(name, 2)
    chosen = {
        (kernel.kind, kernel.shape[2:], kernel.groups > 1): kernel
        for kernel in find_kernels(network, images, kinds=KINDS)
        if kernel.parameters < 2**20
    }
    chains = {}
    for kernel in chosen.values():
        cut = distinct_cuts(kernel.shape)[0]
        decomposition = decompose(kernel_array(network, kernel.layer), cut)
        chains[kernel.layer] = decomposition.chain(len(decomposition.spectrum))
    with torch.no_grad():
        expected, found = network(images), compress(network, chains)(images)
    assert chains
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
