"""The pieces of drawn networks: modules from feature maps to feature maps.

Each is drawn for feature maps of a shape (channels, height, width) and answers feature maps, of
another shape perhaps. A forward pass is written as a function and becomes a class of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Shape: TypeAlias = tuple[int, int, int]
Build: TypeAlias = Callable[[Random, Shape], "Piece"]

WIDTHS = (4, 6, 8)


@dataclass(frozen=True, eq=False)
class Piece:
    """A module, and what is known of it by construction.

    Attributes:
        module: From (N, channels, height, width) to feature maps.
        plain: Whether the forward pass can be resumed at each of its layers.
        refused: Its layers that cannot be measured, with a word of the reason.
    """

    module: nn.Module
    plain: bool = True
    refused: Mapping[nn.Module, str] = field(default_factory=dict)


PIECES: dict[str, Build] = {}


def piece(build: Build) -> Build:
    PIECES[build.__name__] = build
    return build


def of_forward(forward: Callable[..., Any], **members: Any) -> nn.Module:
    """A module with this forward pass and these members, of a class of its own."""
    name = forward.__name__.title().replace("_", "")
    module: nn.Module = type(name, (nn.Module,), {"forward": forward})()
    for key, value in members.items():
        setattr(module, key, value)
    return module


def convolution(
    chance: Random, shape: Shape, out: int | None = None, *, keeps_size: bool = False
) -> nn.Conv2d:
    """A convolution of any window, stride, padding, dilation and grouping that fits."""
    channels, *sizes = shape
    out = chance.choice(WIDTHS) if out is None else out
    common = [g for g in (2, 3, channels) if channels % g == 0 and out % g == 0]
    groups = chance.choice([1, 1, *common])
    mode = chance.choice(("zeros", "zeros", "reflect", "replicate", "circular"))
    windows = [chance.randint(1, 4) for _ in sizes]
    dilations = [chance.choice((1, 1, 2)) for _ in sizes]
    for axis, size in enumerate(sizes):
        while dilations[axis] * (windows[axis] - 1) >= size:
            windows[axis] -= 1
    reaches = [d * (k - 1) for d, k in zip(dilations, windows, strict=True)]
    padding: Any = "same"
    strides = [1, 1]
    if keeps_size and all(reach % 2 == 0 for reach in reaches) and chance.random() < 0.5:
        padding = tuple(reach // 2 for reach in reaches)
    elif not keeps_size and chance.random() < 0.8:
        padding = tuple(chance.randint(0, min(2, size - 1)) for size in sizes)
        strides = [chance.choice((1, 1, 2, 3)) for _ in sizes]
    return nn.Conv2d(
        channels,
        out,
        tuple(windows),
        stride=tuple(strides),
        padding=padding,
        dilation=tuple(dilations),
        groups=groups,
        bias=chance.random() < 0.6,
        padding_mode=mode,
    )


def activation(chance: Random, *, in_place: bool = True) -> nn.Module:
    kinds: tuple[Callable[[], nn.Module], ...] = (
        nn.ReLU,
        nn.GELU,
        nn.SiLU,
        nn.Hardswish,
        nn.LeakyReLU,
        nn.Tanh,
        nn.ELU,
        nn.PReLU,
        nn.Sigmoid,
        nn.Softplus,
    )
    if in_place and chance.random() < 0.4:
        return nn.ReLU(inplace=True)
    return chance.choice(kinds)()


def normalisation(chance: Random, channels: int, size: int) -> nn.Module:
    """Of feature maps of so many channels and positions."""
    kinds: tuple[Callable[[], nn.Module], ...] = (
        lambda: nn.BatchNorm2d(channels),
        lambda: nn.BatchNorm2d(channels, affine=False),
        lambda: nn.BatchNorm2d(channels, momentum=None),
        lambda: nn.BatchNorm2d(channels, eps=0.1),
        lambda: nn.GroupNorm(2, channels),
        lambda: nn.InstanceNorm2d(channels, eps=0.1),
        lambda: nn.InstanceNorm2d(channels, affine=True, track_running_stats=True),
    )
    return chance.choice(kinds if size > 1 else kinds[:-2])()


def row(
    chance: Random, shape: Shape, out: int | None = None, *, keeps_size: bool = False
) -> nn.Sequential:
    """A convolution, with a normalisation and an activation behind it or not."""
    conv = convolution(chance, shape, out, keeps_size=keeps_size)
    modules: list[nn.Module] = [conv]
    if chance.random() < 0.5:
        size = shape[1] * shape[2] if keeps_size else 1
        modules.append(normalisation(chance, conv.out_channels, size))
    in_place = isinstance(modules[-1], nn.Conv2d | nn.BatchNorm2d)
    if chance.random() < 0.7:
        modules.append(activation(chance, in_place=in_place))
    return nn.Sequential(*modules)


@piece
def chain(chance: Random, shape: Shape) -> Piece:
    return Piece(row(chance, shape))


@piece
def geometry_assigned(chance: Random, shape: Shape) -> Piece:
    """Padding, dilation, stride and groups as assigned once the convolution was there."""
    channels, height, width = shape
    conv = nn.Conv2d(channels, 2 * channels, min(2, height, width), padding=1)
    conv.padding = chance.choice(((2, 1), (1, 0), 1, "same"))
    if conv.padding != "same":
        conv.stride = chance.choice(((1, 2), (2, 2)))
    if min(shape[1:]) > 3:
        conv.dilation = chance.choice(((2, 1), (1, 2)))
    if channels % 2 == 0 and chance.random() < 0.5:
        conv.groups = 2
        conv.weight = nn.Parameter(conv.weight.detach()[:, : channels // 2].clone())
    return Piece(conv)


def residual_forward(self: Any, values: Tensor) -> Tensor:
    inner = self.second(self.first(values))
    inner += self.shortcut(values)
    return functional.relu(inner)


@piece
def residual(chance: Random, shape: Shape) -> Piece:
    first = row(chance, shape, keeps_size=True)
    width = first[0].out_channels
    second = convolution(chance, (width, *shape[1:]), keeps_size=True)
    norm = nn.BatchNorm2d(second.out_channels)
    shortcut = nn.Conv2d(shape[0], second.out_channels, 1)
    behind = nn.Sequential(second, norm) if chance.random() < 0.7 else second
    return Piece(of_forward(residual_forward, first=first, second=behind, shortcut=shortcut))


def concatenation_forward(self: Any, values: Tensor) -> Tensor:
    return torch.cat([values, self.left(values), self.right(input=values)], dim=1)


def addition_forward(self: Any, values: Tensor) -> Tensor:
    return torch.add(self.left(values), self.right(values), alpha=self.alpha)


def gate_forward(self: Any, values: Tensor) -> Tensor:
    return self.left(values) * torch.sigmoid(self.right(values))


@piece
def branches(chance: Random, shape: Shape) -> Piece:
    """Two convolutions on the same values; concatenated, added, or one the gate of the other."""
    width = chance.choice(WIDTHS)
    left = row(chance, shape, out=width, keeps_size=True)
    right = convolution(chance, shape, width, keeps_size=True)
    forward = chance.choice((concatenation_forward, addition_forward, gate_forward))
    return Piece(of_forward(forward, left=left, right=right, alpha=chance.choice((1, 0.5, -2))))


def squeeze_forward(self: Any, values: Tensor) -> Tensor:
    squeezed = self.excite(self.pool(values).flatten(1))
    return values * squeezed[:, :, None, None]


@piece
def squeeze_and_excitation(chance: Random, shape: Shape) -> Piece:
    channels, inner = shape[0], chance.choice(WIDTHS)
    excite = nn.Sequential(
        nn.Linear(channels, inner), activation(chance, in_place=False), nn.Linear(inner, channels)
    )
    excite.append(nn.Sigmoid())
    return Piece(of_forward(squeeze_forward, pool=nn.AdaptiveAvgPool2d(1), excite=excite))


@piece
def norm(chance: Random, shape: Shape) -> Piece:
    if shape[0] % 2:
        return Piece(nn.LayerNorm([*shape], elementwise_affine=chance.random() < 0.5))
    return Piece(normalisation(chance, shape[0], shape[1] * shape[2]))


def dropout_forward(self: Any, values: Tensor) -> Tensor:
    return functional.dropout(values, training=self.training)


@piece
def dropout(chance: Random, shape: Shape) -> Piece:
    kinds = (nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.LocalResponseNorm)
    kind = chance.choice((*kinds, None))
    if kind is nn.LocalResponseNorm:
        return Piece(nn.LocalResponseNorm(2))
    return Piece(of_forward(dropout_forward) if kind is None else kind(0.5))


@piece
def pool(chance: Random, shape: Shape) -> Piece:
    window = min(2, *shape[1:])
    kinds: tuple[Callable[[], nn.Module], ...] = (
        lambda: nn.MaxPool2d(window),
        lambda: nn.MaxPool2d(window, stride=1, ceil_mode=True),
        lambda: nn.AvgPool2d(window, count_include_pad=False),
        lambda: nn.LPPool2d(2, window),
        lambda: nn.AdaptiveAvgPool2d((2, 1)),
        lambda: nn.AdaptiveMaxPool2d((1, 2)),
        lambda: nn.Upsample(scale_factor=2),
        lambda: nn.PixelUnshuffle(window),
    )
    if window < 2:
        return Piece(nn.AdaptiveMaxPool2d((2, 2)))
    even = shape[1] % 2 == shape[2] % 2 == 0
    return Piece(chance.choice(kinds if even else kinds[:-1])())


def along_positions_forward(self: Any, values: Tensor) -> Tensor:
    return self.layer(values.flatten(2)).unflatten(2, values.shape[2:])


def as_volume_forward(self: Any, values: Tensor) -> Tensor:
    return self.layer(values.unsqueeze(2)).squeeze(2)


@piece
def other_convolutions(chance: Random, shape: Shape) -> Piece:
    channels, width = shape[0], chance.choice(WIDTHS)
    match chance.choice(("1d", "3d", "transposed")):
        case "1d":
            layer: nn.Module = nn.Conv1d(channels, width, 3, padding=1)
            module = of_forward(along_positions_forward, layer=layer)
        case "3d":
            layer = nn.Conv3d(channels, width, 1)
            module = of_forward(as_volume_forward, layer=layer)
        case _:
            layer = module = nn.ConvTranspose2d(channels, width, 2)
    return Piece(module, refused={layer: "is no Conv2d or Linear"})


def on_tokens_forward(self: Any, values: Tensor) -> Tensor:
    n, _, height, width = values.shape
    tokens = self.inner(values.flatten(2).transpose(1, 2))
    return tokens.transpose(1, 2).reshape(n, -1, height, width)


def attention_forward(self: Any, tokens: Tensor) -> Tensor:
    return tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]


def recurrent_forward(self: Any, tokens: Tensor) -> Tensor:
    states, _ = self.recurrent(tokens)
    return states


@piece
def tokens(chance: Random, shape: Shape) -> Piece:
    """Positions as a sequence: an MLP, attention, or a recurrence."""
    channels, width = shape[0], chance.choice(WIDTHS)
    refused: dict[nn.Module, str] = {}
    match chance.choice(("mlp", "attention", "recurrence")):
        case "mlp":
            inner: nn.Module = nn.Sequential(
                nn.LayerNorm(channels, eps=0.1), nn.Linear(channels, width), nn.GELU()
            )
        case "attention":
            attention = nn.MultiheadAttention(channels, 1, batch_first=True)
            inner = of_forward(attention_forward, attention=attention)
            refused[attention] = "is no Conv2d or Linear"
            refused[attention.out_proj] = "never calls it"
        case _:
            recurrent = nn.LSTM(channels, width, batch_first=True)
            inner = of_forward(recurrent_forward, recurrent=recurrent)
            refused[recurrent] = "is no Conv2d or Linear"
    return Piece(of_forward(on_tokens_forward, inner=inner), refused=refused)


def shape_arithmetic_forward(self: Any, values: Tensor) -> Tensor:
    n, channels = values.size(0), values.shape[1]
    halves = values.reshape(n, channels, -1).softmax(2).reshape(values.shape)
    return self.conv(halves * (values.shape[2] * values.shape[3]) + values / channels)


@piece
def shape_arithmetic(chance: Random, shape: Shape) -> Piece:
    return Piece(of_forward(shape_arithmetic_forward, conv=convolution(chance, shape)))


def frames_forward(self: Any, values: Tensor) -> Tensor:
    n, channels, height, width = values.shape
    frames = self.conv(values.reshape(n * channels, 1, height, width))
    return frames.reshape(n, -1, frames.shape[2], frames.shape[3])


@piece
def frames(chance: Random, shape: Shape) -> Piece:
    """Each channel as an image of its own, so that a batch has more parts behind the layer."""
    return Piece(of_forward(frames_forward, conv=convolution(chance, (1, *shape[1:]), 2)))


def halves_forward(self: Any, values: Tensor, *, scale: float) -> dict[str, Any]:
    left, right = self.conv(values).chunk(2, dim=1)
    return {"gate": torch.sigmoid(right), "pair": (left, scale)}


def joined_forward(self: Any, values: Tensor) -> Tensor:
    halves = self.halves(values, scale=0.7)
    left, scale = halves["pair"]
    return scale * left * halves["gate"] + halves["gate"]


@piece
def dictionaries(chance: Random, shape: Shape) -> Piece:
    """Modules that hand on several values, and take keywords."""
    halves = of_forward(halves_forward, conv=convolution(chance, shape))
    return Piece(of_forward(joined_forward, halves=halves))


def unrolled_forward(self: Any, values: Tensor) -> Tensor:
    for number, layer in enumerate(self.layers):
        values = layer(values) + self.named["scale" if number else "shift"](values)
    return values


@piece
def module_lists(chance: Random, shape: Shape) -> Piece:
    layers = nn.ModuleList(convolution(chance, shape, shape[0], keeps_size=True) for _ in range(2))
    named = nn.ModuleDict({"shift": nn.Identity(), "scale": nn.Conv2d(shape[0], shape[0], 1)})
    return Piece(of_forward(unrolled_forward, layers=layers, named=named))
