"""Copies of networks: without gradients, in another precision, on another device."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from compressibility.errors import ForeignError, UserError, foreign


def copied(model: nn.Module) -> nn.Module:
    """A deep copy; tensors that hang on an autograd graph are copied without it.

    Such tensors are kept by pruned and weight-normed layers, and by modules that remember a
    feature map.

    Raises:
        UserError: The network holds what cannot be copied.
    """
    try:
        with foreign(), _WithoutGraph():
            return copy.deepcopy(model)
    except ForeignError as error:
        raise UserError(
            f"the network cannot be copied ({error}): take out of it what copy.deepcopy refuses"
        ) from error


def converted(
    model: nn.Module, *, dtype: torch.dtype | None = None, channels_last: bool = False
) -> nn.Module:
    """Convert the floating-point parameters and buffers of a network, in place; return it.

    Integers, booleans and complex numbers stay as they are. Tensors that were one stay one.

    Args:
        model: The network.
        dtype: Of the floating-point numbers; their own where none is given.
        channels_last: Whether tensors of four dimensions lie channels last in memory.
    """
    for parameter in model.parameters():
        parameter.data = _converted(parameter.data, dtype, channels_last)
    buffers = {id(each): _converted(each, dtype, channels_last) for each in model.buffers()}
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffers[id(buffer)]
    return model


def _converted(tensor: Tensor, dtype: torch.dtype | None, channels_last: bool) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    tensor = tensor.to(dtype=dtype)
    if not channels_last or tensor.ndim != 4:
        return tensor
    # unlike ``to``, it leaves the strides of a single channel alone: with others PyTorch 2.15's
    # convolutions on CPUs read beyond their input where they stride over an output of width 1
    return tensor.contiguous(memory_format=torch.channels_last)


class _WithoutGraph(TorchFunctionMode):
    """Lets ``copy.deepcopy`` copy tensors that autograd computed."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            tensor, memo = args
            memo[id(tensor)] = tensor.detach().clone()
            return memo[id(tensor)]
        return func(*args, **kwargs or {})
