"""Oddities of numbers: foreign dtypes, memory that is shared or in another order."""

from typing import Any

import torch
from torch import Tensor, nn

from property_tests.oddities import COARSE, ORIGINAL, Site, oddity
from property_tests.pieces import of_forward


@oddity(changes=False)
def float64_network(site: Site) -> None:
    for module in [*site.network.modules(), *site.hidden]:
        module.double()
    site.images = site.images.double()


def double_forward(self: Any, values: Tensor) -> Tensor:
    return self.inner(values.double())


@oddity(changes=False)
def float64_head(site: Site) -> None:
    """Logits in float64."""
    name, head = list(site.network.named_children())[-1]
    setattr(site.network, name, of_forward(double_forward, inner=head.double()))


def cast_forward(self: Any, values: Tensor) -> Tensor:
    return self.conv(values.to(self.dtype)).float()


def cast_block(site: Site, dtype: torch.dtype) -> nn.Module:
    conv = nn.Conv2d(site.channels, site.channels, 1).to(dtype)
    site.append(of_forward(cast_forward, conv=conv, dtype=dtype))
    return conv


@oddity()
def float64_block(site: Site) -> None:
    cast_block(site, torch.float64)


@oddity(rounding=COARSE)
def bfloat16_block(site: Site) -> None:
    site.refuse(cast_block(site, torch.bfloat16), "bfloat16")


def autocast_forward(self: Any, values: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return self.conv(values).float()


@oddity(rounding=COARSE)
def autocast_inside(site: Site) -> None:
    conv = nn.Conv2d(site.channels, site.channels, 1)
    site.append(of_forward(autocast_forward, conv=conv))


def filtered_forward(self: Any, values: Tensor) -> Tensor:
    return (torch.fft.fft(values, dim=1) * self.filter).real


@oddity()
def complex_buffer(site: Site) -> None:
    module = of_forward(filtered_forward)
    phases = torch.linspace(0.3, 2.5, site.channels)
    module.register_buffer("filter", torch.polar(torch.ones(site.channels), phases)[:, None, None])
    site.append(module)


def reordered_forward(self: Any, values: Tensor) -> Tensor:
    return values[:, self.order] * self.powers


@oddity()
def integer_buffers(site: Site) -> None:
    module = of_forward(reordered_forward)
    order = torch.arange(site.channels).flip(0)
    module.register_buffer("order", order)
    module.register_buffer("powers", 1 + order[:, None, None] % 3)
    site.append(module)


def scaled_forward(self: Any, values: Tensor) -> Tensor:
    return (values * self.scale).float()


@oddity()
def float64_constant(site: Site) -> None:
    """A tensor that is no buffer, so that no conversion of the network reaches it."""
    scale = torch.linspace(-0.5, 1.5, site.channels, dtype=torch.float64)[:, None, None]
    site.append(of_forward(scaled_forward, scale=scale))


@oddity(changes=False)
def channels_last_network(site: Site) -> None:
    for parameter in site.network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


@oddity(changes=False)
def weight_in_another_order(site: Site) -> None:
    """Of memory; its numbers are the same."""
    layer = site.layer()
    weight = layer.weight.detach().transpose(0, 1).contiguous().transpose(0, 1)
    layer.weight = nn.Parameter(weight)


@oddity(changes=False)
def bias_that_is_no_parameter(site: Site) -> None:
    layer = site.layer()
    bias = layer.bias
    if bias is not None:
        del layer.bias
        layer.bias = bias.detach()


@oddity()
def weight_within_another(site: Site) -> None:
    """Two layers with some numbers in common, which are in one place in memory."""
    one, other = nn.Conv2d(site.channels, 5, 1), nn.Conv2d(site.channels, 4, 1)
    back = nn.Conv2d(9, site.channels, 1)
    site.append(of_forward(side_by_side_forward, one=one, other=other, back=back))
    other.weight = nn.Parameter(one.weight.detach()[1:])
    for layer in (one, other):
        site.refuse(layer, "shares its weight")


def side_by_side_forward(self: Any, values: Tensor) -> Tensor:
    return self.back(torch.cat([self.one(values), self.other(values)], dim=1).tanh())


def on_the_weight_forward(self: Any, values: Tensor) -> Tensor:
    return values * (1 + self.seen.square().mean())


@oddity(allowed=(*ORIGINAL, "shares"))
def tensor_on_the_weight_of_a_layer(site: Site) -> None:
    """A tensor of a module that is in memory where a layer has its weight."""
    seen = site.layer().weight.data
    site.append(of_forward(on_the_weight_forward, seen=seen))


def position_forward(self: Any, values: Tensor) -> Tensor:
    return values + self.positions


@oddity()
def position_embedding(site: Site) -> None:
    positions = nn.Parameter(torch.zeros(1, site.channels, 1, 1))
    module = of_forward(position_forward, positions=positions)
    site.append(module)
    site.refuse(module, "is no Conv2d or Linear")
