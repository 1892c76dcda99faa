"""Oddities that are modules of their own, put between two pieces."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantize
from torch.nn import functional

from property_tests.oddities import (
    BATCH,
    CHANCE,
    COARSE,
    STATE,
    Site,
    bent,
    inserted,
    oddity,
)
from property_tests.pieces import of_forward


def kept_in_training(module: nn.Module) -> nn.Module:
    """A module that is not put into evaluation mode."""
    setattr(module, "train", lambda mode=True: module)  # noqa: B010
    return module


@oddity(words=BATCH)
def batch_norm_kept_in_training(site: Site) -> None:
    site.append(kept_in_training(nn.BatchNorm2d(site.channels)))


@oddity(words=CHANCE)
def dropout_kept_in_training(site: Site) -> None:
    site.append(kept_in_training(nn.Dropout(0.3)))


@oddity(words=BATCH)
def batch_norm_without_statistics(site: Site) -> None:
    site.append(nn.BatchNorm2d(site.channels, track_running_stats=False))


@oddity(rounding=COARSE)
def fake_quantisation(site: Site) -> None:
    quantiser = FakeQuantize(quant_min=0, quant_max=63)
    site.insert(quantiser)
    with torch.no_grad():
        site.run()
    quantiser.disable_observer()


@oddity(words=(*STATE, *BATCH), rounding=COARSE)
def fake_quantisation_that_observes(site: Site) -> None:
    site.insert(FakeQuantize(quant_min=0, quant_max=63))


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


def no_grad_forward(self: Any, values: Tensor) -> Tensor:
    with torch.no_grad():
        frozen = self.conv(values)
    return frozen + values


@oddity(rounding=COARSE)
def autocast_inside(site: Site) -> None:
    conv = nn.Conv2d(site.channels, site.channels, 1)
    site.append(of_forward(autocast_forward, conv=conv))


@oddity()
def no_grad_inside(site: Site) -> None:
    conv = nn.Conv2d(site.channels, site.channels, 1)
    site.append(of_forward(no_grad_forward, conv=conv))


@oddity(rare=True)
def scripted(site: Site) -> None:
    block = nn.Sequential(nn.Conv2d(site.channels, site.channels, 1), nn.Tanh())
    site.append(block)
    script = torch.jit.script(block)
    site.body[-1] = script
    for module in script.modules():
        if any(p.ndim > 1 for p in module.parameters(recurse=False)):
            site.refuse(module, "is no Conv2d or Linear")


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


def keeping_forward(self: Any, values: Tensor) -> Tensor:
    self.last = values
    return values


@oddity(changes=False)
def keeps_its_last_feature_map(site: Site) -> None:
    site.insert(of_forward(keeping_forward))
    with torch.enable_grad():  # so that what it keeps hangs on a graph
        site.run()


@inserted()
def cached_by_shape(self: Any, values: Tensor) -> Tensor:
    """An encoding of positions, made when it is first needed."""
    if self.last is None or self.last.shape != values.shape[1:]:
        self.last = torch.linspace(-1, 1, values[0].numel()).reshape(values.shape[1:])
    return values + self.last


def initialised_forward(self: Any, values: Tensor) -> Tensor:
    if self.last is None:
        self.last = values.mean((0, 2, 3), keepdim=True).detach()
    return values - self.last


@oddity()
def initialised_by_its_first_batch(site: Site) -> None:
    """As it was when the user ran it first."""
    site.insert(of_forward(initialised_forward, last=None))
    with torch.no_grad():
        site.run()


@inserted(changes=False)
def counts_its_calls(self: Any, values: Tensor) -> Tensor:
    self.calls += 1
    return values


@inserted()
def otherwise_in_training(self: Any, values: Tensor) -> Tensor:
    return values if self.training else bent(values)


@inserted()
def reads_its_storage(self: Any, values: Tensor) -> Tensor:
    """In the order in which it lies in memory."""
    n, *shape = values.shape
    size = values[0].numel()
    return torch.as_strided(values, (n, size), (size, 1)).flip(1).reshape(n, *shape)


@inserted()
def flattens_in_the_order_of_memory(self: Any, values: Tensor) -> Tensor:
    if values.is_contiguous():
        return values.view(len(values), -1).flip(1).view(values.shape)
    return values.permute(0, 2, 3, 1).reshape(len(values), -1).view(values.shape)


@inserted()
def asks_whether_channels_are_last(self: Any, values: Tensor) -> Tensor:
    if values.is_contiguous(memory_format=torch.channels_last):
        return bent(values)
    return values - 0.7 * bent(values)


@oddity(changes=False)
def views_without_asking(site: Site) -> None:
    """Which fails on values that lie channels last."""
    site.body.insert(0, of_forward(contiguous_forward))
    site.body.insert(1, of_forward(viewing_forward))


def contiguous_forward(self: Any, values: Tensor) -> Tensor:
    return values if values.is_contiguous() or values.shape[1] < 2 else values.contiguous()


def viewing_forward(self: Any, values: Tensor) -> Tensor:
    return values.view(len(values), -1).view(values.shape)


@inserted(words=CHANCE)
def dropout_always(self: Any, values: Tensor) -> Tensor:
    return functional.dropout(values, 0.3, training=True)


@inserted(words=CHANCE)
def torch_noise(self: Any, values: Tensor) -> Tensor:
    return values + 0.3 * torch.randn_like(values)


@inserted(words=CHANCE)
def numpy_noise(self: Any, values: Tensor) -> Tensor:
    noise = np.random.random(values.shape[1:])  # noqa: NPY002
    return values + torch.from_numpy(noise).to(values.dtype)


@inserted(words=CHANCE)
def python_noise(self: Any, values: Tensor) -> Tensor:
    return bent(values + random.random())


@inserted(words=CHANCE)
def slopes_by_chance(self: Any, values: Tensor) -> Tensor:
    return functional.rrelu(values, training=True)


def own_generator_forward(self: Any, values: Tensor) -> Tensor:
    return values + torch.rand(values.shape[1:], generator=self.generator)


@oddity(words=CHANCE)
def own_generator(site: Site) -> None:
    site.insert(of_forward(own_generator_forward, generator=torch.Generator().manual_seed(1)))


@inserted(words=STATE)
def every_second_answer(self: Any, values: Tensor) -> Tensor:
    self.calls += 1
    return values if self.calls % 2 else bent(values)


def averaging_forward(self: Any, values: Tensor) -> Tensor:
    self.average.lerp_(values.mean((0, 2, 3)), 0.2)
    return bent(values - self.average[:, None, None])


@oddity(words=(*STATE, *BATCH))
def running_average(site: Site) -> None:
    module = of_forward(averaging_forward)
    module.register_buffer("average", torch.zeros(site.channels))
    site.append(module)


@inserted(words=(*STATE, *BATCH))
def remembers_the_batch_before(self: Any, values: Tensor) -> Tensor:
    before = 0 if self.last is None else self.last
    self.last = values.mean(0, keepdim=True)
    return values + before


@inserted(words=BATCH)
def less_the_batch_mean(self: Any, values: Tensor) -> Tensor:
    return values - values.mean(0, keepdim=True)


@inserted(words=BATCH)
def softmax_over_the_batch(self: Any, values: Tensor) -> Tensor:
    return values * values.softmax(0)


@inserted(words=BATCH)
def sorted_over_the_batch(self: Any, values: Tensor) -> Tensor:
    return values.sort(dim=0).values


@inserted(words=BATCH)
def first_image_only(self: Any, values: Tensor) -> Tensor:
    return values + values[:1]


@inserted(words=BATCH)
def batch_size_in_the_arithmetic(self: Any, values: Tensor) -> Tensor:
    return bent(values / values.shape[0])


@inserted(words=BATCH)
def scaled_by_the_greatest(self: Any, values: Tensor) -> Tensor:
    return bent(values / (values.abs().max() + 0.1))


@inserted(words=BATCH)
def number_in_the_batch(self: Any, values: Tensor) -> Tensor:
    places = torch.linspace(0, 1, values[0].numel()).reshape(values.shape[1:])
    return values + places * torch.arange(len(values))[:, None, None, None]


@inserted(words=BATCH)
def image_before(self: Any, values: Tensor) -> Tensor:
    return values + values.roll(1, 0)


@inserted(words=(*BATCH, "does not take images"))
def in_pairs(self: Any, values: Tensor) -> Tensor:
    """Which an odd number of images does not allow."""
    first, second = values.unflatten(0, (2, -1))
    return torch.cat([first + second, first - second])
