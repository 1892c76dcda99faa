"""Oddities with which answers are undefined: chance, state, dependence on the batch."""

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


@oddity(words=(*STATE, *BATCH), rounding=COARSE)
def fake_quantisation_that_observes(site: Site) -> None:
    site.insert(FakeQuantize(quant_min=0, quant_max=63))


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


def pair_forward(self: Any, values: Tensor) -> tuple[Tensor, Tensor]:
    return self.inner(values), values


@oddity(words=("logits",))
def answers_a_pair(site: Site) -> None:
    site.network = of_forward(pair_forward, inner=site.network)


@inserted(words=BATCH)
def later_ones_in_the_batch(self: Any, values: Tensor) -> Tensor:
    later = torch.arange(len(values)) >= 4
    return torch.where(later[:, None, None, None], bent(values), values)


@inserted(words=BATCH)
def large_batches_otherwise(self: Any, values: Tensor) -> Tensor:
    return bent(values) if len(values) > 4 else values


def scaled_down_forward(self: Any, values: Tensor) -> Tensor:
    return bent(0.5 * values) if values.max() > self.threshold else values


@oddity(words=BATCH)
def one_image_changes_the_batch(site: Site) -> None:
    module: Any = of_forward(scaled_down_forward, threshold=float("inf"))
    site.insert(module)
    module.threshold = site.between_the_greatest(module)
