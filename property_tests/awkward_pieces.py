"""Pieces at whose layers a forward pass cannot be resumed, or that hold layers not measured."""

from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils import parametrizations

from property_tests.pieces import (
    WIDTHS,
    Piece,
    Shape,
    activation,
    convolution,
    of_forward,
    piece,
)


def twice_forward(self: Any, values: Tensor) -> Tensor:
    return self.conv(torch.relu(self.conv(values)))


@piece
def called_twice(chance: Random, shape: Shape) -> Piece:
    conv = convolution(chance, shape, shape[0], keeps_size=True)
    return Piece(of_forward(twice_forward, conv=conv), plain=False)


@piece
def weight_shared(chance: Random, shape: Shape) -> Piece:
    one, other = (nn.Conv2d(shape[0], shape[0], 1) for _ in range(2))
    other.weight = one.weight
    modules = nn.Sequential(one, activation(chance, in_place=False), other)
    return Piece(modules, refused=dict.fromkeys((one, other), "shares its weight"))


def writing_forward(self: Any, values: Tensor) -> Tensor:
    values = self.conv(values)
    written = self.write(values)
    return self.behind(written) + values


def rectifying(values: Tensor) -> Tensor:
    return functional.relu(values, inplace=True)


def adding(values: Tensor) -> Tensor:
    values += 0.5 * values.detach().flip(1)
    return values


def overwriting_a_part(values: Tensor) -> Tensor:
    values[:, ::2] = 0.3
    return values


def scaling_a_view(values: Tensor) -> Tensor:
    values.narrow(1, 0, 2).mul_(-1.5)
    return values


def writing_out(values: Tensor) -> Tensor:
    with torch.no_grad():  # else it fails where a graph is kept
        return torch.mul(values, -0.7, out=values)


def filling(values: Tensor) -> Tensor:
    return values.masked_fill_(values > 0.4, 0.4)


WRITES = (rectifying, adding, overwriting_a_part, scaling_a_view, writing_out, filling)


@piece
def written_in_place(chance: Random, shape: Shape) -> Piece:
    """Values overwritten that are used again."""
    conv = convolution(chance, shape)
    write = staticmethod(chance.choice(WRITES))
    behind = nn.Conv2d(conv.out_channels, conv.out_channels, 1)
    module = of_forward(writing_forward, conv=conv, behind=behind)
    type(module).write = write
    return Piece(module, plain=False)


def input_written_forward(self: Any, values: Tensor) -> Tensor:
    values.mul_(0.8).add_(0.1)
    return self.conv(values)


@piece
def writes_into_its_input(chance: Random, shape: Shape) -> Piece:
    return Piece(of_forward(input_written_forward, conv=convolution(chance, shape)), plain=False)


def on_values_forward(self: Any, values: Tensor) -> Tensor:
    if values.abs().sum() >= 0:
        values = torch.tanh(values)
    return self.conv(values)


def on_weight_forward(self: Any, values: Tensor) -> Tensor:
    values = self.conv(values)
    return values.relu() if float(self.conv.weight.sum()) > 0 else -0.5 * values


@piece
def control_flow(chance: Random, shape: Shape) -> Piece:
    """Branches on values, and on the very weight that is replaced."""
    forward = chance.choice((on_values_forward, on_weight_forward))
    return Piece(of_forward(forward, conv=convolution(chance, shape)), plain=False)


def functional_forward(self: Any, values: Tensor) -> Tensor:
    return functional.conv2d(values, self.conv.weight, self.conv.bias)


def weight_used_too_forward(self: Any, values: Tensor) -> Tensor:
    values = self.conv(values)
    return values + self.conv.weight.flatten(1).mean(1)[None, :, None, None]


@piece
def weight_used_by_hand(chance: Random, shape: Shape) -> Piece:
    """In ``torch.nn.functional`` instead of the layer, and beside it."""
    conv = convolution(chance, shape)
    if chance.random() < 0.5:
        return Piece(of_forward(weight_used_too_forward, conv=conv), plain=False)
    conv = nn.Conv2d(shape[0], conv.out_channels, 1)
    module = of_forward(functional_forward, conv=conv)
    return Piece(module, plain=False, refused={conv: "never calls it"})


@piece
def parametrized(chance: Random, shape: Shape) -> Piece:
    conv = nn.Conv2d(shape[0], chance.choice(WIDTHS), 1)
    match chance.choice(("weight", "bias", "spectral")):
        case "bias":
            return Piece(parametrizations.weight_norm(conv, "bias", dim=None), plain=False)
        case "weight":
            parametrizations.weight_norm(conv)
        case _:
            parametrizations.spectral_norm(conv)
    return Piece(conv, plain=False, refused={conv: "computed anew"})


class Renamed(nn.Conv2d):
    def extra_repr(self) -> str:
        return "no arithmetic"


class Doubled(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Standardised(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight - weight.mean((1, 2, 3), keepdim=True), bias)


class Squared(nn.ReLU):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).square()


class Shifted(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + 0.5


@piece
def subclass(chance: Random, shape: Shape) -> Piece:
    channels, *sizes = shape
    kind = chance.choice((Renamed, Doubled, Standardised, Squared, Shifted))
    window = min(2, *sizes)
    if kind is Renamed:
        return Piece(Renamed(channels, channels, window))
    if kind in (Doubled, Standardised):
        conv = kind(channels, channels, window)
        return Piece(conv, plain=False, refused={conv: "of its own"})
    behind = Squared() if kind is Squared else Shifted(channels)
    return Piece(nn.Sequential(nn.Conv2d(channels, channels, window), behind), plain=False)


def listed_forward(self: Any, values: Tensor) -> Tensor:
    for module in self.layers:
        values = module(values)
    return self.seen(values)


@piece
def kept_in_a_list(chance: Random, shape: Shape) -> Piece:
    hidden = [nn.Conv2d(shape[0], shape[0], 1), nn.ReLU()]
    module = of_forward(listed_forward, layers=hidden, seen=convolution(chance, shape))
    return Piece(module, plain=False, refused={module: "keeps layers in layers"})


def image_by_image_forward(self: Any, values: Tensor) -> Tensor:
    return torch.cat([self.conv(image[None]) for image in values])


def in_chunks_forward(self: Any, values: Tensor) -> Tensor:
    return torch.cat([self.conv(chunk) for chunk in values.split(4)])


@piece
def batch_taken_apart(chance: Random, shape: Shape) -> Piece:
    forward = chance.choice((image_by_image_forward, in_chunks_forward))
    return Piece(of_forward(forward, conv=convolution(chance, shape)), plain=False)


def with_other_weights_forward(self: Any, values: Tensor) -> Tensor:
    weight = self.conv.weight.tanh()
    return functional_call(self.conv, {"weight": weight}, (values,)) + self.conv(values)


@piece
def called_with_other_weights(chance: Random, shape: Shape) -> Piece:
    module = of_forward(with_other_weights_forward, conv=convolution(chance, shape))
    return Piece(module, plain=False)


def remembered_norm_forward(self: Any, values: Tensor) -> Tensor:
    if self.norm is None:
        self.norm = self.conv.weight.detach().norm()
    return self.conv(values) / (0.5 + self.norm)


@piece
def remembers_a_norm(chance: Random, shape: Shape) -> Piece:
    """Of its weight as it was when it ran first."""
    module = of_forward(remembered_norm_forward, conv=convolution(chance, shape), norm=None)
    return Piece(module, plain=False)


def clamping_forward(self: Any, values: Tensor) -> Tensor:
    with torch.no_grad():
        self.conv.weight.clamp_(-0.4, 0.4)
    return self.conv(values)


@piece
def clamps_its_weight(chance: Random, shape: Shape) -> Piece:
    return Piece(of_forward(clamping_forward, conv=convolution(chance, shape)), plain=False)
