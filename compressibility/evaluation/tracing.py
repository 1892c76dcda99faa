"""The forward pass of a network as a graph that can be entered in the middle."""

import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.fx.graph_module import GraphModule

from compressibility.errors import ForeignError, foreign
from compressibility.networks.plainness import addition, global_hooks, is_plain, peculiarity

_OUT_OF_PLACE: dict[Callable[..., Any], Callable[..., Any]] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}

_IN_PLACE_OPERATORS = frozenset(
    f"i{name}"
    for name in (
        "and",
        "concat",
        "floordiv",
        "lshift",
        "matmul",
        "mod",
        "or",
        "pow",
        "rshift",
        "xor",
    )
)

_RETURN_NEW_TENSORS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.Linear,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.ReLU,
    nn.ReLU6,
    nn.SiLU,
    nn.GELU,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Sigmoid,
    nn.LeakyReLU,
    nn.MaxPool2d,
    nn.AvgPool2d,
)

_RETURN_NEW = frozenset(
    {operator.add, operator.sub, operator.mul, operator.truediv, torch.add, torch.mul}
)


class NotTraceableError(ValueError):
    """The forward pass cannot be resumed in the middle; the message says why."""


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return (
            addition(m) is not None  # then its class does not say all that it does
            or is_plain(m, nn.Conv2d, nn.Linear)
            or super().is_leaf_module(m, module_qualified_name)
        )


def trace(model: nn.Module) -> GraphModule:
    """The forward pass of a network in evaluation mode, free of in-place operations.

    The result shares its parameters with ``model``. An in-place operation becomes its
    out-of-place counterpart where nothing else sees the overwritten tensor.

    Raises:
        NotTraceableError: control flow that depends on the input, an in-place operation on a
            tensor that is used elsewhere, or more than one input or output.
    """
    if global_hooks():
        raise NotTraceableError("hooks are registered that every module calls")
    if (reason := addition(model)) is not None:
        raise NotTraceableError(f"the network itself {reason}")
    try:
        with foreign():  # it runs on proxies
            graph = _Tracer().trace(model)
    except ForeignError as error:
        raise NotTraceableError(f"torch.fx cannot trace the forward pass ({error})") from error
    traced = GraphModule(model, graph)
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if len([node for node in inputs if not node.args]) != 1:
        raise NotTraceableError(f"the forward pass takes {len(inputs)} inputs, not one")
    if any(node.users for node in inputs if node.args):
        raise NotTraceableError("the forward pass takes inputs that may be left out")
    if not isinstance(_output_of(graph).args[0], fx.Node):
        raise NotTraceableError("the forward pass returns more than one tensor")
    _make_out_of_place(traced)
    graph.eliminate_dead_code()
    traced.recompile()
    return traced


def _output_of(graph: fx.Graph) -> fx.Node:
    nodes: list[fx.Node] = list(graph.nodes)
    return next(node for node in nodes if node.op == "output")


def _make_out_of_place(traced: GraphModule) -> None:
    graph = traced.graph
    for node in list(graph.nodes):
        match node.op:
            case "call_module":
                module = traced.get_submodule(node.target)
                if getattr(module, "inplace", False):
                    if not _does_nothing(module):
                        _require_sole_use(traced, node)
                    setattr(module, "inplace", False)  # noqa: B010
            case "call_function" if node.target in _OUT_OF_PLACE:
                _require_sole_use(traced, node)
                node.target = _OUT_OF_PLACE[node.target]
            case "call_function" if "out" in node.kwargs:
                raise NotTraceableError(f"operation {node.name} writes into a tensor")
            case "call_function" if _writes(node.target):
                raise NotTraceableError(f"operation {node.name} writes into a tensor")
            case "call_function" if _called_in_place(node):
                _require_sole_use(traced, node)
                node.args = node.args[:1] + tuple(
                    argument for argument in node.args[1:] if argument is not True
                )
                node.kwargs = {**node.kwargs, "inplace": False}
            case "call_method" if node.target.endswith("_") and not node.target.endswith("__"):
                _require_sole_use(traced, node)
                node.target = node.target[:-1]


def _does_nothing(module: nn.Module) -> bool:
    return is_plain(module, nn.modules.dropout._DropoutNd) and not module.training


def _writes(function: Callable[..., Any]) -> bool:
    name = function.__name__
    if getattr(operator, name, None) is function:
        return function is operator.setitem or (hasattr(operator, f"__{name}__") and name[0] == "i")
    return name.endswith("_")


def _called_in_place(node: fx.Node) -> bool:
    function: Any = node.target
    try:
        bound = inspect.signature(function).bind(*node.args, **node.kwargs)
    except (TypeError, ValueError):
        return False
    return bool(bound.arguments.get("inplace", False))


def _require_sole_use(traced: GraphModule, node: fx.Node) -> None:
    overwritten = node.args[0]
    if isinstance(overwritten, fx.Node) and len(overwritten.users) == 1:
        if overwritten.op == "call_module":
            module = traced.get_submodule(str(overwritten.target))
            if is_plain(module, *_RETURN_NEW_TENSORS):
                return
        if overwritten.op == "call_function" and overwritten.target in _RETURN_NEW:
            return
    raise NotTraceableError(
        f"operation {node.name} works in place on {overwritten}, which may be used elsewhere"
    )


def reason_not_resumable(traced: GraphModule, layer: str) -> str | None:
    """Why the pass cannot be resumed at ``layer``'s output for a new kernel; None if it can."""
    called = [str(n.target) for n in traced.graph.nodes if n.op == "call_module"]
    around = next((each for each in called if layer.startswith(f"{each}.")), None)
    if around is not None:
        why = addition(traced.get_submodule(around)) or "is run as a whole"
        return f"it lies in {around}, which {why}"
    if layer not in called:
        return "it is not called as a module of its own"
    module = traced.get_submodule(layer)
    if (reason := peculiarity(module)) is not None:
        return f"it {reason}"
    if called.count(layer) != 1:
        return f"it is called {called.count(layer)} times in a forward pass"
    weight = module.weight
    owners = [
        path
        for path, other in traced.named_modules(remove_duplicate=False)
        if any(p is weight for p in other.parameters(recurse=False))
    ]
    if len(owners) != 1 or not isinstance(weight, nn.Parameter):
        return "its weight is shared with other layers or computed from other parameters"
    if any(n.op == "get_attr" and n.target == f"{layer}.weight" for n in traced.graph.nodes):
        return "its weight is used outside the layer"
    return None


def call_of(traced: GraphModule, layer: str) -> fx.Node:
    """The node that calls ``layer``."""
    nodes: list[fx.Node] = list(traced.graph.nodes)
    return next(node for node in nodes if node.op == "call_module" and node.target == layer)


def live_before(traced: GraphModule, node: fx.Node) -> tuple[fx.Node, ...]:
    """The values computed before ``node`` that ``node`` or what follows it uses."""
    return _live(traced, node, inclusive=True)


def live_after(traced: GraphModule, node: fx.Node) -> tuple[fx.Node, ...]:
    """The values computed before ``node`` that what follows it uses."""
    return _live(traced, node, inclusive=False)


def _live(traced: GraphModule, at: fx.Node, *, inclusive: bool) -> tuple[fx.Node, ...]:
    position = {node: index for index, node in enumerate(traced.graph.nodes)}
    first = position[at] + (not inclusive)
    return tuple(
        node
        for node in traced.graph.nodes
        if position[node] < position[at]
        and node.op != "get_attr"
        and any(position[user] >= first for user in node.users)
    )


def section(
    traced: GraphModule, inputs: Sequence[fx.Node], outputs: Sequence[fx.Node] | None
) -> GraphModule:
    """The part of the pass from ``inputs`` to ``outputs`` (None: to the network's output).

    Takes the values of ``inputs`` in their order and returns the tuple of the values of
    ``outputs``; the network's output comes alone, not in a tuple.
    """
    final = _output_of(traced.graph).args[0]
    assert isinstance(final, fx.Node)
    wanted = [final] if outputs is None else list(outputs)
    needed = _ancestors(wanted, stop=frozenset(inputs))
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in inputs:
        copies[node] = graph.placeholder(f"{node.name}_value")
        copies[node].meta = dict(node.meta)
    for node in traced.graph.nodes:
        if node in needed and node not in copies:
            copies[node] = graph.node_copy(node, lambda argument: copies[argument])
    values = tuple(copies[node] for node in wanted)
    graph.output(values[0] if outputs is None else values)
    return GraphModule(traced, graph)


def _ancestors(nodes: Iterable[fx.Node], stop: frozenset[fx.Node]) -> frozenset[fx.Node]:
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            if node not in stop:
                waiting.extend(node.all_input_nodes)
    return frozenset(found)
