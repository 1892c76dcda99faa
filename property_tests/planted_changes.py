"""Oddities that change modules which are there: hooks, methods, weights computed anew, wrappers."""

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.nn import qat
from torch.ao.quantization import get_default_qat_qconfig
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from property_tests.oddities import COARSE, ORIGINAL, Site, bent, oddity


def recording(site: Site) -> Callable[..., None]:
    """A hook that changes nothing."""
    seen = site.seen
    return lambda *given: seen.append(len(given))


def bending(module: nn.Module, given: Any, answer: Any) -> Any:
    return bent(answer) if isinstance(answer, Tensor) and answer.is_floating_point() else None


def bending_input(module: nn.Module, given: Any) -> Any:
    return tuple(bent(v) for v in given) or None


def bending_with_keywords(module: nn.Module, given: Any, keywords: Any, answer: Any) -> Any:
    return bending(module, given, answer)


def bending_input_and_keywords(module: nn.Module, given: Any, keywords: Any) -> Any:
    return tuple(bent(v) for v in given), {
        key: bent(v) if isinstance(v, Tensor) else v for key, v in keywords.items()
    }


@oddity()
def forward_hook(site: Site) -> None:
    site.module().register_forward_hook(bending)


@oddity(changes=False)
def recording_hook(site: Site) -> None:
    site.module().register_forward_hook(recording(site))


@oddity()
def pre_hook_on_the_root(site: Site) -> None:
    site.network.register_forward_pre_hook(bending_input)


@oddity()
def pre_hook(site: Site) -> None:
    site.module(nn.Conv2d, nn.Linear, nn.Sequential).register_forward_pre_hook(
        bending_input_and_keywords, with_kwargs=True
    )


@oddity(changes=False)
def recording_pre_hook(site: Site) -> None:
    site.module().register_forward_pre_hook(recording(site))


@oddity()
def hook_with_keywords(site: Site) -> None:
    site.module().register_forward_hook(bending_with_keywords, with_kwargs=True)


@oddity()
def hook_always_called(site: Site) -> None:
    site.module().register_forward_hook(bending, always_call=True)


@oddity()
def hook_on_a_container(site: Site) -> None:
    site.body.register_forward_hook(bending)


@oddity()
def hook_on_the_root(site: Site) -> None:
    site.network.register_forward_hook(bending)


@oddity()
def hook_on_a_layer(site: Site) -> None:
    site.layer().register_forward_hook(bending)


@oddity()
def hook_on_a_batch_norm(site: Site) -> None:
    norm = nn.BatchNorm2d(site.channels)
    site.append(norm)
    norm.register_forward_hook(bending)


@oddity()
def hook_that_reads_the_weight(site: Site) -> None:
    """Of the layer that it is given, which is the one that runs."""
    site.layer().register_forward_hook(
        lambda layer, _, answer: answer * (1 + layer.weight.square().mean())
    )


@oddity()
def global_hook(site: Site) -> None:
    def bending_layers(module: nn.Module, given: Any, answer: Any) -> Any:
        return bent(answer) if type(module) in (nn.Linear, nn.Conv2d) else None

    site.undo.callback(torch_module.register_module_forward_hook(bending_layers).remove)


@oddity(changes=False)
def global_recording_hooks(site: Site) -> None:
    for register in (
        torch_module.register_module_forward_hook,
        torch_module.register_module_forward_pre_hook,
    ):
        site.undo.callback(register(recording(site)).remove)


@oddity(changes=False)
def backward_hook(site: Site) -> None:
    site.module().register_full_backward_hook(lambda *_: None)


@oddity(changes=False)
def backward_pre_hook(site: Site) -> None:
    site.module().register_full_backward_pre_hook(lambda *_: None)


def set_method(module: nn.Module, name: str, method: Callable[..., Any]) -> None:
    setattr(module, name, method)


def to_patch(site: Site, *kinds: type[nn.Module]) -> Any:
    module = site.module(*kinds)
    if isinstance(module, nn.Conv2d | nn.Linear):
        site.refuse(module, "of its own")
    return module


@oddity(allowed=ORIGINAL)
def forward_over_the_original(site: Site) -> None:
    """A closure over the bound method, which a copy of the module shares."""
    module = to_patch(site)
    original = module.forward
    set_method(module, "forward", lambda *given, **named: bent(original(*given, **named)))


@oddity(allowed=ORIGINAL)
def forward_of_a_container_over_the_original(site: Site) -> None:
    original = site.body.forward
    set_method(site.body, "forward", lambda values: bent(original(values)))


@oddity()
def method_on_the_object(site: Site) -> None:
    module = to_patch(site)
    plain = type(module).forward

    def forward(self: nn.Module, *given: Any, **named: Any) -> Tensor:
        return bent(plain(self, *given, **named))

    set_method(module, "forward", types.MethodType(forward, module))


@oddity(allowed=ORIGINAL)
def conv_forward_on_the_object(site: Site) -> None:
    conv = nn.Conv2d(site.channels, 4, 1)
    site.append(nn.Sequential(conv, nn.Conv2d(4, site.channels, 1)))
    site.refuse(conv, "of its own")
    original = conv._conv_forward
    set_method(conv, "_conv_forward", lambda *given: bent(original(*given)))


@oddity(allowed=ORIGINAL)
def forward_over_another_layer(site: Site) -> None:
    """A closure over a layer's weight: what replaces it must be seen there too."""
    layer, original = site.layer(), site.body.forward

    def forward(values: Tensor) -> Tensor:
        return original(values) * (1 + layer.weight.square().mean())

    set_method(site.body, "forward", forward)


@oddity(allowed=ORIGINAL)
def hook_over_another_layer(site: Site) -> None:
    layer = site.layer()
    site.body.register_forward_hook(
        lambda _, given, answer: answer + layer.weight.flatten().tanh().sum()
    )


@oddity(allowed=ORIGINAL, changes=False)
def counts_calls_of_the_root(site: Site) -> None:
    original, seen = site.network.forward, site.seen

    def forward(values: Tensor) -> Tensor:
        seen.append(len(values))
        return original(values)

    set_method(site.network, "forward", forward)


def recompute(site: Site, change: Callable[[nn.Module], Any]) -> None:
    """A layer whose weight is from now on computed from something else."""
    layer = site.layer()
    change(layer)
    site.refuse(layer, "computed anew")


@oddity(changes=False)
def old_weight_norm(site: Site) -> None:
    recompute(site, weight_norm)
    with torch.enable_grad():  # after training, the weight hangs on a graph
        site.run()


@oddity()
def old_spectral_norm(site: Site) -> None:
    recompute(site, spectral_norm)


@oddity()
def pruning(site: Site) -> None:
    recompute(site, lambda layer: prune.l1_unstructured(layer, "weight", 0.5))


@oddity(changes=False)
def parametrized_bias(site: Site) -> None:
    layer = site.layer()
    if layer.bias is not None:
        parametrizations.weight_norm(layer, "bias", dim=None)


@oddity(rounding=COARSE)
def layer_quantised_in_training(site: Site) -> None:
    """A convolution whose weight is rounded to integers in each pass."""
    conv: Any = nn.Conv2d(site.channels, site.channels, 1)
    conv.qconfig = get_default_qat_qconfig("fbgemm")
    quantised = qat.Conv2d.from_float(conv)
    site.append(quantised)
    site.refuse(quantised, "of its own")
    with torch.no_grad():
        site.run()


@oddity(rare=True, changes=False)
def compiled_root(site: Site) -> None:
    site.network = torch.compile(site.network, backend="eager")
    site.undo.callback(torch._dynamo.reset)


@oddity(rare=True, changes=False)
def compiled_module(site: Site) -> None:
    site.module().compile(backend="eager")
    site.undo.callback(torch._dynamo.reset)


@oddity(changes=False)
def data_parallel(site: Site) -> None:
    site.network = nn.DataParallel(site.network)


@oddity()
def a_single_layer(site: Site) -> None:
    """A network whose only layer is its root."""
    site.images = site.images.flatten(1)
    layer = nn.Linear(site.images.shape[1], 5)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(site.chance.randrange(2**31))
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    site.network = layer
    site.refused.clear()
