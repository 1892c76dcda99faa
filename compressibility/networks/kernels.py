"""The kernels of a network: finding them, reading them, replacing them and putting them back."""

import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from compressibility.tensors.arrays import Floating

KINDS: Final[Mapping[str, type[nn.Conv2d] | type[nn.Linear]]] = {
    "Conv2d": nn.Conv2d,
    "Linear": nn.Linear,
}


@dataclass(frozen=True)
class Kernel:
    """Where a kernel stands in its network and how large it is; not its values.

    Attributes:
        layer: Module path.
        kind: ``Conv2d`` or ``Linear``.
        shape: (OUT, IN, KH, KW) as stored: IN is input channels / groups; (OUT, IN, 1, 1) for
            a linear layer.
        groups: Groups of the convolution; 1 for a linear layer.
        depth: Position among the kernels found with it, in forward order, from 1.
        macs: Multiply-accumulates for one image: entries of the kernel times output positions,
            summed over the calls of the layer in one forward pass.
    """

    layer: str
    kind: str
    shape: tuple[int, int, int, int]
    groups: int
    depth: int
    macs: int

    @property
    def parameters(self) -> int:
        """Entries of the kernel, without bias."""
        return prod(self.shape)


def find_kernels(
    model: nn.Module, example_input: Tensor, *, kinds: Sequence[str] = ("Conv2d",)
) -> tuple[Kernel, ...]:
    """The measurable kernels of ``model``, in the order its forward pass calls them.

    The network runs once on ``example_input``, in evaluation mode and without gradients; every
    module returns to the mode that it was in. A layer called twice appears once, at its first
    call. What is left out, and why, is said by :func:`unsupported`.

    Args:
        model: Any network that takes one tensor.
        example_input: A batch, (N, ...), on the network's device; N at least 1.
        kinds: Names out of ``KINDS``.

    Raises:
        ValueError: A kind is unknown, the batch is empty, or a layer is still uninitialised.
    """
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise ValueError(f"unknown kind {unknown[0]!r} of layer: choose from {', '.join(KINDS)}")
    refused = _refused(model)
    layers = {
        layer: module
        for layer, module in model.named_modules()
        if layer not in refused and _kind(module) in kinds
    }
    positions = _output_positions(model, example_input, layers)
    return tuple(
        Kernel(
            layer=layer,
            kind=_kind(layers[layer]),
            shape=_shape(layers[layer]),
            groups=getattr(layers[layer], "groups", 1),
            depth=depth,
            macs=prod(_shape(layers[layer])) * positions[layer] // example_input.shape[0],
        )
        for depth, layer in enumerate(positions, start=1)
    )


def unsupported(model: nn.Module, example_input: Tensor | None = None) -> dict[str, str]:
    """The layers with weights that cannot be measured, each with the reason.

    A module counts as a layer with weights if it holds a parameter of two or more dimensions;
    a vector (bias, affine part of a normalisation) has no cut.

    Args:
        model: Any network.
        example_input: A batch, (N, ...). With it, layers that the forward pass never calls are
            named too.

    Returns:
        Module path to reason, in the order of registration; the root's path is empty.
    """
    reasons = _refused(model)
    if example_input is not None:
        layers = {
            layer: module
            for layer, module in model.named_modules()
            if layer not in reasons and _kind(module) in KINDS
        }
        called = _output_positions(model, example_input, layers)
        reasons |= dict.fromkeys(layers.keys() - called, "the forward pass never calls it")
    return {layer: reasons[layer] for layer, _ in model.named_modules() if layer in reasons}


def refusal(module: nn.Module) -> str | None:
    """Why the weight of this module, taken alone, is no kernel that can be measured.

    None for a Conv2d or Linear whose weight is what it applies, and for a module without weights.
    """
    name = type(module).__name__
    own = dict(module.named_parameters(recurse=False))
    base = KINDS.get(_kind(module))
    if base is None:
        matrices = [key for key, value in own.items() if is_lazy(value) or value.ndim > 1]
        return (
            f"{name} (holding {', '.join(matrices)}) is no Conv2d or Linear" if matrices else None
        )
    if "weight" not in own:
        if parametrize.is_parametrized(module, "weight"):
            parametrizations: Any = module.parametrizations
            sources = ", ".join(type(step).__name__ for step in parametrizations["weight"])
        else:
            sources = ", ".join(key for key in own if key != "bias") or "elsewhere"
        return f"its weight is computed anew in every pass, from {sources}"
    if is_lazy(own["weight"]):
        return "it has no weight before its first forward pass"
    if any(
        getattr(type(module), method, None) is not getattr(base, method, None)
        for method in ("forward", "_conv_forward")
    ):
        return f"{name} has a forward pass of its own, so that its weight need not be its kernel"
    return None


def kernel_layer(model: nn.Module, layer: str) -> nn.Conv2d | nn.Linear:
    """The module at path ``layer``, which holds a measurable kernel.

    Raises:
        ValueError: The path is unknown (the message lists the nearest), or its module holds no
            kernel that can be measured (the message says why).
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    if layer not in modules:
        raise ValueError(f"unknown layer {layer!r}: {_nearest(model, layer)}")
    module = modules[layer]
    own_path = next(path for path, other in model.named_modules() if other is module)
    if reason := _refused(model).get(own_path):
        raise ValueError(f"layer {layer!r} cannot be measured: {reason}")
    if not isinstance(module, nn.Conv2d | nn.Linear):
        name = type(module).__name__
        raise ValueError(f"layer {layer!r} ({name}) has no kernel: {_nearest(model, layer)}")
    return module


def kernel_array(model: nn.Module, layer: str) -> Floating:
    """A copy of the kernel of ``layer``: (OUT, IN, KH, KW) in the weight's own dtype.

    Raises:
        ValueError: The layer is unknown or not measurable, its dtype has no NumPy counterpart,
            or the kernel holds NaN or infinity.
    """
    module = kernel_layer(model, layer)
    weight = module.weight.detach()
    if weight.dtype not in (torch.float16, torch.float32, torch.float64):
        raise ValueError(
            f"kernel of layer {layer!r} is {weight.dtype}, which NumPy lacks: "
            "convert the network to float32 first"
        )
    _require_finite(weight, f"kernel of layer {layer!r}")
    kernel: Floating = weight.cpu().contiguous().numpy().copy()
    return kernel.reshape(_shape(module))


@contextmanager
def substituted(model: nn.Module, kernels: Mapping[str, Floating]) -> Iterator[nn.Module]:
    """Replace the kernels of some layers, in place, while the context lasts.

    On leaving, also by an exception, the weights are what they were, bit for bit.

    Args:
        model: The network; it is yielded too.
        kernels: Layer to kernel, (OUT, IN, KH, KW), cast to the dtype of the layer's weight.

    Raises:
        ValueError: A layer is unknown or not measurable, a shape differs from the layer's, or
            a kernel holds NaN or infinity (after the cast). No weight is then touched.
    """
    weights = {layer: kernel_layer(model, layer).weight for layer in kernels}
    replacements = {layer: _as_weight(model, layer, kernel) for layer, kernel in kernels.items()}
    originals = {layer: weight.detach().clone() for layer, weight in weights.items()}
    try:
        _overwrite(weights, replacements)
        yield model
    finally:
        _overwrite(weights, originals)


def weights_hash(model: nn.Module) -> str:
    """SHA-256, in hexadecimal, of all parameters and buffers: names, dtypes, shapes and bytes.

    It depends neither on the device nor on the memory format nor on the order of registration.
    """
    tensors: dict[str, Tensor] = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[nn.Module]:
    """Put ``model`` into evaluation mode; each module then returns to its own mode."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield model.eval()
    finally:
        for module, training in modes.items():
            module.training = training


def _kind(module: nn.Module) -> str:
    return next((kind for kind, base in KINDS.items() if isinstance(module, base)), "")


def _shape(module: nn.Module) -> tuple[int, int, int, int]:
    assert isinstance(module, nn.Conv2d | nn.Linear)
    out, in_, *window = module.weight.shape
    kh, kw = window or (1, 1)
    return out, in_, kh, kw


def _refused(model: nn.Module) -> dict[str, str]:
    """Every module with weights that is refused whatever the input, with the reason."""
    holders: dict[int, list[str]] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(path, recurse=False):
            identity = 0 if is_lazy(parameter) else parameter.data_ptr()
            holders.setdefault(identity or id(parameter), []).append(name)
    sharing = {name: others for others in holders.values() for name in others if others[1:]}

    reasons: dict[str, str] = {}
    parametrized: list[str] = []
    for path, module in model.named_modules():
        if any(path.startswith(prefix) for prefix in parametrized):
            continue
        if parametrize.is_parametrized(module):
            parametrized.append(f"{path}.parametrizations." if path else "parametrizations.")
        reason = refusal(module)
        if reason is None and _kind(module):
            weight = f"{path}.weight" if path else "weight"
            others = [name for name in sharing.get(weight, ()) if name != weight]
            reason = f"it shares its weight with {', '.join(others)}" if others else None
        if reason is not None:
            reasons[path] = reason
    return reasons


def _output_positions(
    model: nn.Module, example_input: Tensor, layers: Mapping[str, nn.Module]
) -> dict[str, int]:
    """Output positions over the whole batch of each layer called, in the order of first calls."""
    if example_input.shape[0] < 1:
        raise ValueError("the example input is an empty batch: give at least one image")
    lazy = next((name for name, value in model.named_parameters() if is_lazy(value)), None)
    if lazy is not None:
        raise ValueError(f"{lazy} is uninitialised: run the network once on an example input")
    positions: dict[str, int] = {}

    def counting(layer: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def count(module: nn.Module, _: Any, output: Tensor) -> None:
            positions[layer] = positions.get(layer, 0) + output.numel() // _shape(module)[0]

        return count

    handles = [module.register_forward_hook(counting(layer)) for layer, module in layers.items()]
    try:
        with evaluation_mode(model), torch.no_grad():
            model(example_input)
    finally:
        for handle in handles:
            handle.remove()
    return positions


def _nearest(model: nn.Module, layer: str) -> str:
    layers = [path for path, module in model.named_modules() if _kind(module)]
    if not layers:
        return "the network has no Conv2d or Linear"
    close = difflib.get_close_matches(layer, layers, n=3, cutoff=0.3)
    return f"the nearest are {', '.join(close or layers[:3])}"


def _as_weight(model: nn.Module, layer: str, kernel: Floating) -> Tensor:
    module = kernel_layer(model, layer)
    shape = _shape(module)
    if kernel.shape != shape:
        raise ValueError(f"kernel for layer {layer!r} has shape {kernel.shape}: it must be {shape}")
    weight = torch.from_numpy(np.array(kernel, order="C")).to(module.weight)
    _require_finite(weight, f"kernel for layer {layer!r}, as {weight.dtype},")
    return weight.reshape(module.weight.shape)


def _require_finite(values: Tensor, what: str) -> None:
    bad = ~torch.isfinite(values)
    if count := int(bad.sum()):
        first = tuple(bad.nonzero()[0].tolist())
        raise ValueError(f"{what} holds {count} NaN or infinite values, the first at index {first}")


def _overwrite(targets: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for layer, target in targets.items():
            target.copy_(values[layer])
