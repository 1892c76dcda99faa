"""Which modules compute what their class says: known by construction."""

import pytest
import torch
from torch import nn
from torch.ao.nn import qat
from torch.ao.quantization import get_default_qat_qconfig
from torch.nn.utils import parametrizations
from torchvision.ops.misc import Conv2dNormActivation, FrozenBatchNorm2d

from compressibility.networks.plainness import addition, peculiarity


class Renamed(nn.Conv2d):
    """A subclass that computes what its base does."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3)
        self.note = "no arithmetic"

    def extra_repr(self) -> str:
        return self.note

    def describe(self) -> str:
        return self.note


class Doubling(nn.Conv2d):
    def _conv_forward(self, input, weight, bias):
        return super()._conv_forward(input, 2 * weight, bias)


class Padded(nn.Conv2d):
    @property
    def padding(self):
        return (5, 5)

    @padding.setter
    def padding(self, value):
        pass


class Squared(nn.ReLU):
    def forward(self, input):
        return super().forward(input).square()


class Called(nn.Linear):
    def __call__(self, *inputs):
        return -super().__call__(*inputs)


class Block(nn.Module):
    def forward(self, images):
        return images


class Row(nn.Sequential):
    def forward(self, images):
        return super().forward(images)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(2, 2, 3),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.LSTM(2, 2),
        nn.MultiheadAttention(2, 1).out_proj,
        Conv2dNormActivation(3, 4, 3),
        FrozenBatchNorm2d(2),
        Renamed(2),
        Block(),
        Row(nn.ReLU()),
    ],
    ids=lambda module: type(module).__name__,
)
def test_a_module_that_computes_what_its_class_says_is_plain(module):
    assert peculiarity(module) is None
    assert addition(module) is None


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Doubling(2, 2, 3), "has a _conv_forward of its own"),
        (Padded(2, 2, 3), "has a padding of its own"),
        (Squared(), "has a forward of its own"),
        (Called(2, 2), "has a __call__ of its own"),
        (qat.Conv2d(2, 2, 3, qconfig=get_default_qat_qconfig()), "has a forward of its own"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_subclass_that_computes_otherwise_is_not(module, reason):
    assert peculiarity(module) == reason
    assert addition(module) is None


def hooked(name):
    module = nn.Conv2d(2, 2, 3)
    getattr(module, f"register_{name}")(lambda *_: None)
    return module


def patched(name):
    module = nn.Conv2d(2, 2, 3)
    setattr(module, name, lambda *_: torch.zeros(()))
    return module


def loose_bias():
    module = nn.Conv2d(2, 2, 3)
    del module.bias
    module.bias = torch.zeros(2)
    return module


class Marked(nn.Parameter):
    """A tensor of a class of its own."""


def marked():
    module = nn.Conv2d(2, 2, 3)
    module.weight = Marked(module.weight.detach())
    return module


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (hooked("forward_hook"), "carries a forward hook"),
        (hooked("forward_pre_hook"), "carries a forward pre-hook"),
        (hooked("full_backward_hook"), "carries a backward hook"),
        (hooked("full_backward_pre_hook"), "carries a backward pre-hook"),
        (patched("forward"), "has a forward set on it"),
        (patched("_conv_forward"), "has a _conv_forward set on it"),
        (
            parametrizations.weight_norm(nn.Conv2d(2, 2, 3), "bias", dim=None),
            "computes its bias anew in every pass",
        ),
        (loose_bias(), "keeps its bias as a tensor that is no parameter"),
        (marked(), "keeps its weight as a Marked"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_module_to_which_something_was_added_is_not(module, reason):
    assert addition(module) == reason
    assert peculiarity(module) is not None


def test_compiling_a_module_in_place_adds_nothing():
    module = nn.Conv2d(2, 2, 3)
    module.compile(backend="eager")
    assert peculiarity(module) is None
