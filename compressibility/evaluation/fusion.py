"""Convolutions fused with the addition and the ReLU behind them, by oneDNN, on CPUs.

Activations then pass through memory once instead of two or three times, and the weights lie in
the order that oneDNN works in. These are the operators that ``torch.compile`` emits on CPUs; called
directly they need no compiler. They are not part of PyTorch's public interface, so their presence
and their results are checked once (:func:`available`).
"""

import functools
import operator
from typing import Final

import torch
from torch import Tensor, fx, nn
from torch.fx.graph_module import GraphModule
from torch.nn import functional

from compressibility.evaluation.responses import Convolution
from compressibility.networks.plainness import is_plain

SHAPE: Final = "shape"
"""Key of a node's ``meta``: the shape of its value without the batch, or none."""
DTYPE: Final = "dtype"
"""Key of a node's ``meta``: the dtype of its value, or none."""

_ADDITIONS: Final = frozenset({operator.add, torch.add})
_RECTIFIERS: Final = frozenset({torch.relu, functional.relu})


class FusedConvolution(nn.Module):
    """relu(conv(images) + other), the ReLU and ``other`` optional."""

    weight: Tensor

    def __init__(self, convolution: Convolution, weight: Tensor, *, relu: bool) -> None:
        """Pack the weight (OUT, IN, KH, KW) of a convolution without padding beforehand."""
        super().__init__()
        stride, padding, dilation, groups = convolution.arguments
        self._geometry = (list(padding), list(stride), list(dilation), groups)
        self._relu = "relu" if relu else "none"
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self._geometry)
        self._bias = convolution.bias

    def forward(self, images: Tensor, other: Tensor | None = None) -> Tensor:
        """(N, IN, H, W) to (N, OUT, H', W'), channels last; ``other`` is of the latter shape."""
        convolve = torch.ops.mkldnn._convolution_pointwise
        result: Tensor
        if other is None:
            result = convolve(images, self._weight, self._bias, *self._geometry, self._relu, [], "")
        else:
            relu = None if self._relu == "none" else self._relu
            result = convolve.binary(
                images, other, self._weight, self._bias, *self._geometry, "add", 1.0, relu, [], ""
            )
        return result


@functools.cache
def available(dtype: torch.dtype) -> bool:
    """Whether the fused operators exist on this machine and give what the separate ones give."""
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(4, 8, 3, padding=1).requires_grad_(False).to(dtype)
    images, other = (
        torch.randn(2, channels, 5, 5, generator=generator)
        .to(dtype)
        .contiguous(memory_format=torch.channels_last)
        for channels in (4, 8)
    )
    with torch.inference_mode():
        try:
            fused = FusedConvolution(Convolution.of(conv), conv.weight, relu=True)
            alone, added = fused(images), fused(images, other)
        except (AttributeError, RuntimeError, TypeError):
            return False
        filtered = conv(images)
        tolerance = 4 * torch.finfo(dtype).eps * float(filtered.abs().max() + other.abs().max())
        return bool(
            torch.allclose(alone, filtered.relu(), rtol=0, atol=tolerance)
            and torch.allclose(added, (filtered + other).relu(), rtol=0, atol=tolerance)
        )


def fuse(part: GraphModule, made: dict[tuple[str, bool], FusedConvolution]) -> None:
    """Replace each convolution of a part of a network, with what follows it, by a fused one.

    A value that something else uses too is kept: only sole users are drawn in. ``made`` holds
    the fused convolutions by layer and ReLU, for the next part of the same network.
    """
    graph = part.graph
    for node in list(graph.nodes):
        if node.op != "call_module" or len(node.args) != 1:
            continue
        module = part.get_submodule(node.target)
        if not isinstance(module, nn.Conv2d) or not is_plain(module):
            continue
        convolution = Convolution.of(module)
        if not convolution.pads_itself or _misread(module):
            continue
        last, other = node, None
        addition = _sole_user(last)
        if addition is not None and addition.target in _ADDITIONS:
            other = _other_term(addition, last)
            last = last if other is None else addition
        rectifier = _sole_user(last)
        relu = rectifier is not None and _is_relu(part, rectifier)
        last = rectifier if relu and rectifier is not None else last
        if (node.target, relu) not in made:
            made[node.target, relu] = FusedConvolution(convolution, module.weight, relu=relu)
        target = f"fused_{node.name}"
        part.add_submodule(target, made[node.target, relu])
        with graph.inserting_before(last):
            images = node.args[0]
            args = (images,) if other is None else (images, other)
            fused = graph.call_module(target, args)
        fused.meta = dict(last.meta)
        last.replace_all_uses_with(fused)
    graph.eliminate_dead_code()
    part.delete_all_unused_submodules()
    part.recompile()


def _misread(module: nn.Conv2d) -> bool:
    """Whether the fused operator may read beyond its input, as in PyTorch 2.15.

    It did for filters of a single channel that stride over an output of width 1.
    """
    narrow = module.weight.dtype is not torch.float32
    return module.weight.shape[1] == 1 and (module.groups == 1 or narrow)


def _sole_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _other_term(addition: fx.Node, term: fx.Node) -> fx.Node | None:
    """What ``term`` is added to, if it is another tensor of the same shape."""
    if addition.kwargs or len(addition.args) != 2:
        return None
    others = [argument for argument in addition.args if argument is not term]
    if len(others) != 1 or not isinstance(others[0], fx.Node):
        return None
    if others[0].meta.get(SHAPE) is None:
        return None
    alike = all(others[0].meta.get(key) == term.meta.get(key) for key in (SHAPE, DTYPE))
    return others[0] if alike else None


def _is_relu(part: GraphModule, node: fx.Node) -> bool:
    match node.op:
        case "call_module":
            return is_plain(part.get_submodule(str(node.target)), nn.ReLU)
        case "call_function":
            return node.target in _RECTIFIERS and len(node.args) == 1
        case "call_method":
            return node.target == "relu"
    return False
