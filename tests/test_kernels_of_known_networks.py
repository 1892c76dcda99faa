"""Kernels found in networks whose layers, order and cost are known by construction."""

import copy
import json

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torchvision.models import resnet50
from torchvision.ops.misc import Conv2dNormActivation

from compressibility.errors import UserError
from compressibility.networks import checkpoints
from compressibility.networks.architectures import VanillaCNN
from compressibility.networks.kernels import (
    Kernel,
    find_kernels,
    kernel_array,
    substituted,
    unsupported,
    weights_hash,
)
from compressibility.store import cache


class Crooked(nn.Module):
    """Registers its layers in another order than it calls them; calls ``twice`` two times."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 10)
        self.unused = nn.Conv2d(3, 3, 1)
        self.twice = nn.Conv2d(6, 6, 3, padding=1, groups=3)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.5)
        self.stem = nn.Conv2d(3, 6, (3, 1), stride=2, padding=(1, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.norm(self.stem(x)))
        x = self.twice(self.twice(x).relu())
        return self.head(x.mean((2, 3)))


def test_kernels_come_in_forward_order_each_once_with_their_cost_for_one_image():
    images = torch.zeros(5, 3, 8, 8)
    kernels = find_kernels(Crooked(), images, kinds=("Conv2d", "Linear"))
    assert kernels == (
        Kernel("stem", "Conv2d", (6, 3, 3, 1), 1, 1, 6 * 3 * 3 * 16),
        Kernel("twice", "Conv2d", (6, 2, 3, 3), 3, 2, 2 * 6 * 2 * 9 * 16),
        Kernel("head", "Linear", (10, 6, 1, 1), 1, 3, 60),
    )
    assert [k.parameters for k in kernels] == [54, 108, 60]
    assert [k.layer for k in find_kernels(Crooked(), images)] == ["stem", "twice"]


def test_resnet50_has_53_convolutions_and_the_published_cost():
    model = resnet50(weights=None)
    kernels = find_kernels(model, torch.zeros(1, 3, 224, 224), kinds=("Conv2d", "Linear"))
    assert [k.depth for k in kernels] == list(range(1, 55))
    assert kernels[0].layer == "conv1"
    # 4.09 GFLOPs, as torchvision's table of models counts multiply-accumulates
    assert sum(k.macs for k in kernels) == pytest.approx(4.09e9, rel=2e-3)
    # the shortcut is called after the three convolutions beside it
    assert [k.layer for k in kernels[1:5]] == [
        "layer1.0.conv1",
        "layer1.0.conv2",
        "layer1.0.conv3",
        "layer1.0.downsample.0",
    ]


def test_finding_leaves_modes_weights_buffers_and_hooks_as_they_were():
    model = Crooked().train()
    model.norm.eval()
    modes = [module.training for module in model.modules()]
    before = weights_hash(model)
    find_kernels(model, torch.randn(4, 3, 8, 8))
    assert [module.training for module in model.modules()] == modes
    assert weights_hash(model) == before
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(UserError, match=r"does not take an example of shape \(4, 5, 8, 8\), tor"):
        find_kernels(model, torch.zeros(4, 5, 8, 8))
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())


class Awkward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 4))
        self.plain = nn.Conv2d(1, 4, 1)
        self.up = nn.ConvTranspose2d(4, 4, 1)
        self.line = nn.Conv1d(4, 4, 1)
        self.volume = nn.Conv3d(4, 4, 1)
        self.normed = parametrizations.weight_norm(nn.Conv2d(4, 4, 1))
        self.pruned = prune.l1_unstructured(nn.Conv2d(4, 4, 1), "weight", 0.5)
        self.tied = nn.Linear(4, 4)
        self.twin = nn.Linear(4, 4)
        self.twin.weight = self.tied.weight
        self.lazy = nn.LazyConv2d(2, 1)
        self.custom = type("Custom", (nn.Conv2d,), {"forward": lambda self, x: x})(4, 4, 1)
        self.attention = nn.MultiheadAttention(4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.plain(x))


def test_every_layer_that_cannot_be_measured_is_named_with_its_reason():
    reasons = unsupported(Awkward(), kinds=("Conv2d", "Linear"))
    assert reasons == {
        "": "Awkward (holding position) is no Conv2d or Linear",
        "up": "ConvTranspose2d (holding weight) is no Conv2d or Linear",
        "line": "Conv1d (holding weight) is no Conv2d or Linear",
        "volume": "Conv3d (holding weight) is no Conv2d or Linear",
        "normed": "its weight is computed anew in every pass, from _WeightNorm",
        "pruned": "its weight is computed anew in every pass, from weight_orig",
        "tied": "it shares its weight with twin.weight",
        "twin": "it shares its weight with tied.weight",
        "lazy": "it has no weight before its first forward pass",
        "custom": "Custom has a forward pass of its own, so that its weight need not be its kernel",
        "attention": "MultiheadAttention (holding in_proj_weight) is no Conv2d or Linear",
    }


def test_layers_that_the_forward_pass_never_calls_are_named():
    both = ("Conv2d", "Linear")
    assert unsupported(Crooked(), torch.zeros(2, 3, 8, 8), kinds=both) == {
        "unused": "the forward pass never calls it"
    }
    model = Awkward()
    with pytest.raises(ValueError, match=r"lazy\.weight is uninitialised: run the network once"):
        find_kernels(model, torch.zeros(1, 1, 2, 2))
    del model.lazy
    never = unsupported(model, torch.zeros(1, 1, 2, 2), kinds=both)
    assert never["attention.out_proj"] == "the forward pass never calls it"
    assert never["twin"] == "it shares its weight with tied.weight"
    assert "plain" not in never
    assert [k.layer for k in find_kernels(model, torch.zeros(1, 1, 2, 2))] == ["plain"]


@pytest.mark.parametrize("kinds", [("Conv2d",), ("Linear",), ("Conv2d", "Linear")])
def test_every_layer_with_weights_is_found_or_named(kinds: tuple[str, ...]):
    crooked, awkward = Crooked(), Awkward()
    del awkward.lazy
    for model, images in ((crooked, torch.zeros(2, 3, 8, 8)), (awkward, torch.zeros(1, 1, 2, 2))):
        found = {k.layer for k in find_kernels(model, images, kinds=kinds)}
        named = unsupported(model, images, kinds=kinds)
        with_weights = {
            path.removesuffix(".parametrizations.weight")
            for path, module in model.named_modules()
            if any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))
        }
        assert found | named.keys() == with_weights
        assert not found & named.keys()


def test_a_sound_layer_of_another_kind_is_named_with_what_is_measured():
    images = torch.zeros(2, 3, 8, 8)
    assert unsupported(Crooked(), images) == {
        "head": "it is a Linear, and only Conv2d kernels are measured",
        "unused": "the forward pass never calls it",
    }
    assert unsupported(Crooked(), kinds=("Linear",)) == dict.fromkeys(
        ("unused", "twice", "stem"), "it is a Conv2d, and only Linear kernels are measured"
    )


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("layer1.0.conv9", r"unknown layer 'layer1.0.conv9': did you mean layer1\.0\.conv\d\?"),
        ("zzz", r"unknown layer 'zzz': choose from conv1, .*, … \(54 in all\)"),
        ("bn1", r"layer 'bn1' \(BatchNorm2d\) has no kernel: did you mean conv1\?"),
    ],
)
def test_an_unknown_layer_is_answered_by_the_nearest_names(layer: str, message: str):
    with pytest.raises(ValueError, match=message):
        kernel_array(resnet50(weights=None), layer)


def test_unmeasurable_layers_can_be_neither_read_nor_replaced():
    model = Awkward()
    with pytest.raises(ValueError, match=r"'twin' cannot be measured: it shares its weight"):
        kernel_array(model, "twin")
    with (
        pytest.raises(ValueError, match=r"'up' cannot be measured: ConvTranspose2d"),
        substituted(model, {"up": np.zeros((4, 4, 1, 1))}),
    ):
        pass


def test_a_module_under_two_names_is_one_kernel_under_the_first():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    model.append(model[0])
    assert [k.layer for k in find_kernels(model, torch.zeros(1, 3, 2, 2))] == ["0"]
    assert not unsupported(model, torch.zeros(1, 3, 2, 2))
    assert np.array_equal(kernel_array(model, "2"), kernel_array(model, "0"))


def test_subclasses_that_compute_a_convolution_are_measured():
    block = Conv2dNormActivation(3, 4, 3)
    assert [k.layer for k in find_kernels(block, torch.zeros(1, 3, 4, 4))] == ["0"]
    biased = parametrizations.weight_norm(nn.Conv2d(3, 4, 1), name="bias", dim=None)
    model = nn.Sequential(biased)
    assert not unsupported(model)
    assert [k.kind for k in find_kernels(model, torch.zeros(1, 3, 4, 4))] == ["Conv2d"]


def test_the_kernel_array_is_a_copy_of_the_weight_in_its_own_dtype():
    model = nn.Sequential(nn.Conv2d(4, 6, (3, 2), groups=2), nn.Linear(2, 3)).double()
    kernel = kernel_array(model, "0")
    assert kernel.dtype == np.float64
    assert np.array_equal(kernel, model[0].weight.detach().numpy())
    kernel[:] = 0
    assert model[0].weight.detach().abs().min() > 0
    assert kernel_array(model, "1").shape == (3, 2, 1, 1)


def test_a_kernel_with_nan_or_infinity_is_refused_with_the_place():
    model = nn.Sequential(nn.Conv2d(2, 2, 2))
    with torch.no_grad():
        model[0].weight[1, 0, 1, 0] = float("nan")
        model[0].weight[1, 1, 1, 1] = float("inf")
    with pytest.raises(ValueError, match=r"layer '0' holds 2 NaN .* the first at index \(1, 0, 1"):
        kernel_array(model, "0")


def test_bfloat16_weights_are_refused_with_the_remedy():
    model = nn.Sequential(nn.Conv2d(2, 2, 2)).to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"torch\.bfloat16, which NumPy lacks: convert"):
        kernel_array(model, "0")


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (
            np.zeros((2, 2, 2, 1)),
            r"for layer '0' has shape \(2, 2, 2, 1\): it must be \(2, 2, 2, 2",
        ),
        (np.full((2, 2, 2, 2), 1e300), r"as torch\.float32, holds 16 NaN or infinite values"),
    ],
)
def test_a_refused_substitution_touches_no_weight(kernel: np.ndarray, message: str):
    model = nn.Sequential(nn.Conv2d(2, 2, 2), nn.Conv2d(2, 2, 2))
    before = weights_hash(model)
    with (
        pytest.raises(ValueError, match=message),
        substituted(model, {"1": np.zeros((2, 2, 2, 2)), "0": kernel}),
    ):
        pass
    assert weights_hash(model) == before


def test_unknown_kinds_and_empty_batches_are_refused():
    with pytest.raises(ValueError, match=r"unknown kind 'Conv1d' of layer: did you mean Conv2d"):
        find_kernels(Crooked(), torch.zeros(1, 3, 8, 8), kinds=("Conv1d",))
    with pytest.raises(ValueError, match="empty batch"):
        find_kernels(Crooked(), torch.zeros(0, 3, 8, 8))


def test_the_hash_sees_every_bit_name_and_dtype_but_not_the_layout():
    model = Crooked()
    reference = weights_hash(model)
    assert weights_hash(copy.deepcopy(model).to(memory_format=torch.channels_last)) == reference

    changed = copy.deepcopy(model)
    changed.norm.running_mean[0] = -0.0
    assert weights_hash(changed) != reference
    assert weights_hash(copy.deepcopy(model).double()) != reference
    renamed = copy.deepcopy(model)
    renamed.other = renamed.unused
    del renamed.unused
    assert weights_hash(renamed) != reference
    assert len(reference) == 64


def test_the_shipped_networks_have_the_hashes_that_their_datasets_hold():
    """The hash names a network for ever: it may not change with the code."""
    for name in ("cifar10-vanilla", "cifar100-vanilla"):
        with xr.open_dataset(cache.default().dataset(name)) as dataset:
            held = {
                int(seed): str(dataset["weights_hash"].sel(seed=seed).item())
                for seed in dataset["seed"].values
            }
        for seed, expected in held.items():
            path = cache.default().checkpoint(name, seed)
            with safe_open(path, framework="pt") as file:
                training = file.metadata()["training"]
            architecture = json.loads(training)["architecture"]
            network = VanillaCNN(
                tuple(architecture["channels"]), tuple(architecture["pooled"])
            ).build(3, 10 if name.startswith("cifar10-") else 100)
            assert weights_hash(checkpoints.load(network, path, training)) == expected, path


def test_a_compiled_network_has_the_kernels_of_the_network_in_it():
    network, images = Crooked().eval(), torch.randn(2, 3, 8, 8)
    kernels = find_kernels(network, images)
    compiled = torch.compile(network, backend="eager")
    assert find_kernels(compiled, images) == kernels
    compiled(images)
    assert find_kernels(compiled, images) == find_kernels(network, images) == kernels
    assert weights_hash(compiled) == weights_hash(network)
    assert np.array_equal(kernel_array(compiled, "stem"), kernel_array(network, "stem"))
    network.compile(backend="eager")
    network(images)
    assert find_kernels(nn.DataParallel(network), images) == kernels


def test_a_layer_compiled_alone_is_found():
    network, images = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.randn(2, 3, 8, 8)
    network[0].compile(backend="eager")
    network.eval()(images)
    assert [k.layer for k in find_kernels(network, images)] == ["0"]


def test_a_hook_that_changes_the_answer_does_not_change_the_cost():
    network, images = nn.Sequential(nn.Conv2d(3, 4, 3)), torch.randn(2, 3, 8, 8)
    [kernel] = find_kernels(network, images)
    network[0].register_forward_hook(lambda module, given, output: output[:, :, :1, :1])
    assert find_kernels(network, images) == (kernel,)


def test_layers_that_pytorch_does_not_see_are_named():
    network = Crooked()
    network.extra = [nn.Conv2d(3, 3, 1)]
    network.norm.named = {"a": nn.ReLU(), "b": nn.Linear(2, 2)}
    network.known = [network.stem]
    named = unsupported(network)
    assert named[""].startswith("it keeps layers in extra, where PyTorch does not see them")
    assert named["norm"].startswith("it keeps layers in named")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: setattr(c, "forward", lambda x: x), "has a forward pass of its own"),
        (lambda c: setattr(c, "_conv_forward", lambda *x: x), "has a forward pass of its own"),
        (
            lambda c: setattr(c, "weight", type("Marked", (nn.Parameter,), {})(c.weight.data)),
            "is a Marked, which need not act",
        ),
        (lambda c: setattr(c, "weight", nn.Parameter(c.weight.data.cfloat())), "complex64: only"),
    ],
    ids=["forward", "_conv_forward", "class", "complex"],
)
def test_a_layer_whose_weight_need_not_be_its_kernel_is_refused(change, reason):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    change(network[0])
    assert reason in unsupported(network)["0"]
