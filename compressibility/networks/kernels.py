"""The kernels of a network: finding them, reading them, replacing them and putting them back."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from compressibility.errors import ForeignError, UserError, foreign, nearest
from compressibility.networks.refusals import KINDS, kind_of, refusal_in, refusals
from compressibility.networks.watching import watched
from compressibility.networks.wrappers import uncompiled, unwrapped
from compressibility.tensors.arrays import Floating

Example: TypeAlias = Tensor | Sequence[Any] | Mapping[str, Any]
"""What a network is called with: one tensor, arguments in a row, or arguments by name."""


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
    model: nn.Module, example_input: Example, *, kinds: Sequence[str] = ("Conv2d",)
) -> tuple[Kernel, ...]:
    """The measurable kernels of ``model``, in the order its forward pass calls them.

    The network runs once on ``example_input``, in evaluation mode and without gradients; every
    module returns to the mode that it was in. A layer called twice appears once, at its first
    call. What is left out, and why, is said by :func:`unsupported`.

    Args:
        model: Any network. Layers of a compiled or data-parallel one are named as in the network
            that it wraps.
        example_input: A batch, (N, ...), on the network's device; N at least 1. Several arguments
            in a tuple, or by their names in a dict; the first tensor among them tells N.
        kinds: Names out of ``KINDS``.

    Raises:
        UserError: A kind is unknown, the batch is empty, a layer is still uninitialised, or the
            network does not take the example.
    """
    _require_known(kinds)
    model = unwrapped(model)
    refused = refusals(model)
    layers = {
        layer: module
        for layer, module in model.named_modules()
        if layer not in refused and kind_of(module) in kinds
    }
    positions = _output_positions(model, example_input, layers)
    return tuple(
        Kernel(
            layer=layer,
            kind=kind_of(layers[layer]),
            shape=_shape(layers[layer]),
            groups=getattr(layers[layer], "groups", 1),
            depth=depth,
            macs=prod(_shape(layers[layer])) * positions[layer] // _batch_size(example_input),
        )
        for depth, layer in enumerate(positions, start=1)
    )


def unsupported(
    model: nn.Module, example_input: Example | None = None, *, kinds: Sequence[str] = ("Conv2d",)
) -> dict[str, str]:
    """The layers with weights that :func:`find_kernels` leaves out, each with the reason.

    Args:
        model: Any network.
        example_input: As for :func:`find_kernels`. With it, layers that the forward pass never
            calls are named too.
        kinds: As for :func:`find_kernels`.

    Returns:
        Module path to reason, in the order of registration; the root's path is empty.

    Raises:
        UserError: As for :func:`find_kernels`.
    """
    _require_known(kinds)
    model = unwrapped(model)
    reasons = refusals(model)
    sound = {
        layer: module
        for layer, module in model.named_modules()
        if layer not in reasons and kind_of(module)
    }
    if example_input is not None:
        called = _output_positions(model, example_input, sound)
        reasons |= dict.fromkeys(sound.keys() - called, "the forward pass never calls it")
    reasons |= {
        layer: f"it is a {kind_of(module)}, and only {' and '.join(kinds)} kernels are measured"
        for layer, module in sound.items()
        if layer not in reasons and kind_of(module) not in kinds
    }
    return {layer: reasons[layer] for layer, _ in model.named_modules() if layer in reasons}


def kernel_layer(model: nn.Module, layer: str) -> nn.Conv2d | nn.Linear:
    """The module at path ``layer``, which holds a measurable kernel.

    Raises:
        UserError: The path is unknown (the message names the nearest), or its module holds no
            kernel that can be measured (the message says why).
    """
    model = unwrapped(model)
    modules = dict(model.named_modules(remove_duplicate=False))
    if layer not in modules:
        raise UserError(f"unknown layer {layer!r}: {_nearest(model, layer)}")
    module = modules[layer]
    own_path = next(path for path, other in model.named_modules() if other is module)
    if reason := refusal_in(model, own_path):
        raise UserError(f"layer {layer!r} cannot be measured: {reason}")
    if not isinstance(module, nn.Conv2d | nn.Linear):
        name = type(module).__name__
        raise UserError(f"layer {layer!r} ({name}) has no kernel: {_nearest(model, layer)}")
    return module


def kernel_array(model: nn.Module, layer: str) -> Floating:
    """A copy of the kernel of ``layer``: (OUT, IN, KH, KW) in the weight's own dtype.

    Raises:
        UserError: The layer is unknown or not measurable, its dtype has no NumPy counterpart,
            or the kernel holds NaN or infinity.
    """
    module = kernel_layer(model, layer)
    weight = module.weight.detach()
    if weight.dtype not in (torch.float16, torch.float32, torch.float64):
        raise UserError(
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
        UserError: A layer is unknown or not measurable, a shape differs from the layer's, or
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


def require_initialised(model: nn.Module) -> None:
    """Refuse a network that does not know its weights yet.

    Raises:
        UserError: A parameter is still lazy.
    """
    lazy = next((name for name, value in model.named_parameters() if is_lazy(value)), None)
    if lazy is not None:
        raise UserError(f"{lazy} is uninitialised: run the network once on an example input")


def weights_hash(model: nn.Module) -> str:
    """SHA-256, in hexadecimal, of all parameters and buffers: names, dtypes, shapes and bytes.

    It depends neither on the device nor on the memory format nor on the order of registration, nor
    on whether the network is compiled or data-parallel.
    """
    model = unwrapped(model)
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


def _require_known(kinds: Sequence[str]) -> None:
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise UserError(f"unknown kind {unknown[0]!r} of layer: {nearest(unknown[0], KINDS)}")


def _shape(module: nn.Module) -> tuple[int, int, int, int]:
    assert isinstance(module, nn.Conv2d | nn.Linear)
    out, in_, *window = module.weight.shape
    kh, kw = window or (1, 1)
    return out, in_, kh, kw


def _output_positions(
    model: nn.Module, example_input: Example, layers: Mapping[str, nn.Module]
) -> dict[str, int]:
    """Output positions over the whole batch of each layer called, in the order of first calls."""
    if _batch_size(example_input) < 1:
        raise UserError("the example input is an empty batch: give at least one image")
    require_initialised(model)
    positions: dict[str, int] = {}

    def count(layer: str, _: Any, output: Tensor) -> None:
        positions[layer] = positions.get(layer, 0) + output.numel() // _shape(layers[layer])[0]

    try:
        with (
            watched(layers, count),
            foreign(),
            evaluation_mode(model),
            torch.no_grad(),
            uncompiled(),
        ):
            _call(model, example_input)
    except ForeignError as error:
        raise UserError(
            f"the network does not take an example of {_in_words(example_input)}: {error}"
        ) from error
    return positions


def _call(model: nn.Module, example: Example) -> None:
    if isinstance(example, Mapping):
        model(**example)
    elif isinstance(example, Tensor):
        model(example)
    else:
        model(*example)


def _tensors(example: Example) -> list[Tensor]:
    if isinstance(example, Tensor):
        return [example]
    every = example.values() if isinstance(example, Mapping) else example
    return [each for each in every if isinstance(each, Tensor) and each.ndim]


def _batch_size(example: Example) -> int:
    tensors = _tensors(example)
    if not tensors:
        raise UserError("the example input holds no tensor: give one batch of what it takes")
    return tensors[0].shape[0]


def _in_words(example: Example) -> str:
    return " and ".join(f"shape {tuple(each.shape)}, {each.dtype}" for each in _tensors(example))


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[nn.Module]:
    """Put ``model`` into evaluation mode while the context lasts.

    On leaving, modes, parameters, buffers and attributes are what they were, whatever the network
    does to them while it answers. (So does ``torch.func.functional_call``, which leaves what it was
    given in a module that is known by two names.)
    """
    every = list(model.modules())
    modes = [module.training for module in every]
    modules = [module for module in every if not isinstance(module, torch.jit.ScriptModule)]
    attributes = [dict(vars(module)) for module in modules]
    registers: list[dict[str, Any]] = [
        register for module in modules for register in (module._parameters, module._buffers)
    ]
    held = [{**register} for register in registers]
    buffers = [buffer for buffer in model.buffers() if not buffer.is_meta]
    values = [buffer.detach().clone() for buffer in buffers]
    try:
        yield model.eval()
    finally:
        for module, own in zip(modules, attributes, strict=True):
            vars(module).clear()
            vars(module).update(own)
        for register, own in zip(registers, held, strict=True):
            register.clear()
            register.update(own)
        for module, mode in zip(every, modes, strict=True):
            module.training = mode
        with torch.no_grad():
            for buffer, value in zip(buffers, values, strict=True):
                if not torch.equal(buffer, value):
                    buffer.copy_(value)


def _nearest(model: nn.Module, layer: str) -> str:
    refused = refusals(model)
    layers = [p for p, module in model.named_modules() if kind_of(module) and p not in refused]
    if not layers:
        return "the network has no Conv2d or Linear that can be measured"
    return nearest(layer, layers)


def _as_weight(model: nn.Module, layer: str, kernel: Floating) -> Tensor:
    module = kernel_layer(model, layer)
    shape = _shape(module)
    if kernel.shape != shape:
        raise UserError(f"kernel for layer {layer!r} has shape {kernel.shape}: it must be {shape}")
    weight = torch.from_numpy(np.array(kernel, order="C")).to(module.weight)
    _require_finite(weight, f"kernel for layer {layer!r}, as {weight.dtype},")
    return weight.reshape(module.weight.shape)


def _require_finite(values: Tensor, what: str) -> None:
    bad = ~torch.isfinite(values)
    if count := int(bad.sum()):
        first = tuple(bad.nonzero()[0].tolist())
        raise UserError(f"{what} holds {count} NaN or infinite values, the first at index {first}")


def _overwrite(targets: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for layer, target in targets.items():
            target.copy_(values[layer])
