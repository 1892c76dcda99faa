"""Oddities that are modules of their own, put between two pieces, with answers that are defined."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantize

from property_tests.oddities import COARSE, Site, bent, inserted, oddity
from property_tests.pieces import of_forward


@oddity(rounding=COARSE)
def fake_quantisation(site: Site) -> None:
    quantiser = FakeQuantize(quant_min=0, quant_max=63)
    site.insert(quantiser)
    with torch.no_grad():
        site.run()
    quantiser.disable_observer()


def no_grad_forward(self: Any, values: Tensor) -> Tensor:
    with torch.no_grad():
        frozen = self.conv(values)
    return frozen + values


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


def clamped_forward(self: Any, values: Tensor) -> Tensor:
    return values.clamp(max=self.most) if isinstance(values, Tensor) else values


@oddity()
def asks_whether_it_is_given_a_tensor(site: Site) -> None:
    """As the proxies of torch.fx are not; which matters for one image alone."""
    module: Any = of_forward(clamped_forward, most=float("inf"))
    site.append(module)
    module.most = site.between_the_greatest(module)


@inserted(changes=False)
def asks_whether_inference_mode_is_on(self: Any, values: Tensor) -> Tensor:
    return bent(values) if torch.is_inference_mode_enabled() else values


def optional_forward(self: Any, images: Tensor, scale: Tensor | None = None) -> Tensor:
    return self.inner(images if scale is None else images * scale)


@oddity(changes=False)
def optional_arguments(site: Site) -> None:
    site.network = of_forward(optional_forward, inner=site.network)


class Bent(nn.Sequential):
    def __call__(self, *given: Any) -> Any:
        return bent(super().__call__(*given))


@oddity()
def call_of_its_own(site: Site) -> None:
    conv = nn.Conv2d(site.channels, site.channels, 1)
    site.append(Bent(conv, nn.Tanh()))


def other_name_forward(self: Any, values: Tensor) -> Tensor:
    return self.two(values)


@oddity()
def two_names_for_a_layer(site: Site) -> None:
    conv = nn.Conv2d(site.channels, site.channels, 1)
    site.append(of_forward(other_name_forward, one=conv, two=conv))
