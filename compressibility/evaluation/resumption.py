"""A network that starts in the middle: in front of a layer, or behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.graph_module import GraphModule

from compressibility.errors import ForeignError, foreign
from compressibility.evaluation import folding, fusion, tracing
from compressibility.evaluation.responses import Convolution
from compressibility.networks.arithmetic import TOLERANCE, agree, cast, ieee_float32
from compressibility.networks.copies import converted, copied
from compressibility.networks.rounding import FloatingDtypes, dtypes_of


@dataclass(frozen=True, eq=False)
class Entry:
    """Where a forward pass is entered: in front of a layer, and behind it.

    Attributes:
        node: The call of the layer.
        input: The layer's input.
        before: Every value that is needed in front of the layer.
        side: Those of them that are needed behind it.
        suffix: From the layer's output and the side values to the network's output, float32.
        lower: The same in a lower precision, and that precision; none where none is wanted or
            images cannot be kept apart.
        convolution: What the layer does with a kernel.
        independent: Whether batches can be joined and split behind the layer: every value that
            enters there is a tensor with one part for each image.
    """

    node: fx.Node
    input: fx.Node
    before: tuple[fx.Node, ...]
    side: tuple[fx.Node, ...]
    suffix: GraphModule
    lower: tuple[GraphModule, torch.dtype] | None
    convolution: Convolution
    independent: bool

    def lowered(self, output: Tensor, *side: Tensor) -> Tensor:
        """The network's output in lower precision, as float32."""
        assert self.lower is not None
        suffix, dtype = self.lower
        answers: Tensor = suffix(*(cast(value, dtype) for value in (output, *side)))
        return answers.float()

    @property
    def behind(self) -> tuple[fx.Node, ...]:
        """The layer's output and the side values: what is needed behind the layer."""
        return (self.node, *self.side)


class ResumableNetwork:
    """A traced network, its batch norms folded into its convolutions, and its entries.

    Attributes:
        start: The images.
        float32: Its parts.
        lower: Its parts in the lower precision; none where none is wanted or it fails.
        bytes_per_image: The most that one forward pass holds at once.
        lower_reason: Why an entry has no lower precision although one is wanted.

    Args:
        network: A network in evaluation mode, float32; it is consumed.
        example: Images, three at least.
        outputs: What the network answers to them.
        lower: A precision for which entries get a second suffix, or none.
        layout: How images and kernels lie in memory.
        tolerance: By how much answers may differ, of the greatest, if computed otherwise.

    Raises:
        NotTraceableError: The network cannot be traced.
    """

    def __init__(
        self,
        network: nn.Module,
        example: Tensor,
        outputs: Tensor,
        lower: torch.dtype | None = None,
        layout: torch.memory_format = torch.channels_last,
        tolerance: float = TOLERANCE,
    ) -> None:
        """Trace and fold."""
        with torch.inference_mode(), ieee_float32():
            own = dtypes_of(network, example)
        traced = tracing.trace(network)
        self._layout = layout
        self._reasons = {
            layer: reason
            for layer, module in network.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear)
            and (reason := tracing.reason_not_resumable(traced, layer)) is not None
        }
        self._factors = folding.fold_batch_norms(traced)
        try:
            with foreign(tracing.NotTraceableError), torch.inference_mode(), ieee_float32():
                whole, part = _Run(traced, example), _Run(traced, example[:2])
        except ForeignError as error:
            raise tracing.NotTraceableError(f"traced, it fails ({error})") from error
        if whole.dtypes != own:
            kinds = ", ".join(sorted(str(each) for each in whole.dtypes ^ own))
            raise tracing.NotTraceableError(f"it computes in {kinds}, which tracing does not keep")
        if not isinstance(whole.outputs, Tensor) or not agree(whole.outputs, outputs, tolerance):
            raise tracing.NotTraceableError("the traced network answers otherwise")
        for node, shape in whole.shape.items():
            if shape == (len(example), *shape[1:]) and part.shape[node] == (2, *shape[1:]):
                node.meta[fusion.SHAPE] = shape[1:]
        self.bytes_per_image = whole.peak_bytes // len(example) + 1
        self.start: fx.Node = next(n for n in traced.graph.nodes if n.op == "placeholder")
        self._position = {node: number for number, node in enumerate(traced.graph.nodes)}
        nodes = {node: node for node in traced.graph.nodes}
        self.float32 = Parts(traced, nodes, torch.float32, layout)
        self.lower: Parts | None = None
        self.lower_reason = "behind it, the images of a batch are not apart"
        if lower is not None:
            self.lower = self._lowered(traced, lower, example, outputs)
        self._traced = traced
        self._entries: dict[str, Entry] = {}

    def reason_against(self, layer: str) -> str | None:
        """Why the pass cannot be resumed at a layer; None if it can."""
        return self._reasons.get(layer)

    def entry(self, layer: str) -> Entry:
        """The entry at a layer."""
        if layer not in self._entries:
            node = tracing.call_of(self._traced, layer)
            side = tracing.live_after(self._traced, node)
            source = node.args[0] if node.args else node.kwargs["input"]
            assert isinstance(source, fx.Node)
            independent = all(fusion.SHAPE in value.meta for value in (node, *side))
            lower: tuple[GraphModule, torch.dtype] | None = None
            if self.lower is not None and independent:
                lower = (self.lower.between([node, *side], None), self.lower.dtype)
            self._entries[layer] = Entry(
                node=node,
                input=source,
                before=tracing.live_before(self._traced, node),
                side=side,
                suffix=self.float32.between([node, *side], None),
                lower=lower,
                convolution=Convolution.of(
                    self._traced.get_submodule(layer), self._factors.get(layer), self._layout
                ),
                independent=independent,
            )
        return self._entries[layer]

    def _lowered(
        self, traced: GraphModule, dtype: torch.dtype, example: Tensor, outputs: Tensor
    ) -> "Parts | None":
        other = converted(copied(traced), dtype=dtype)
        assert isinstance(other, GraphModule)
        try:
            with foreign(), torch.inference_mode():
                # unlike a GraphModule, which prints where it fails
                rounded = fx.Interpreter(other).run(example.to(dtype))
        except ForeignError as error:
            self.lower_reason = f"the network does not run in {dtype} ({error})"
            return None
        if not agree(rounded, outputs, 0.2):
            self.lower_reason = f"the network answers otherwise in {dtype}"
            return None
        nodes = dict(zip(traced.graph.nodes, other.graph.nodes, strict=True))
        return Parts(other, nodes, dtype, self._layout)

    def forgo_lower(self, reason: str) -> None:
        """Use no lower precision from now on."""
        self.lower, self.lower_reason = None, reason
        self._entries.clear()

    def whole(self) -> GraphModule:
        """From the images to the network's output, float32."""
        return self.float32.between([self.start], None)

    def position(self, layer: str) -> int:
        """Where a layer stands in the forward pass."""
        return self._position[self.entry(layer).node]

    def precedes(self, one: Entry, other: Entry) -> bool:
        """Whether one entry comes before another in the forward pass."""
        return self._position[one.node] < self._position[other.node]


class ValuesInFront:
    """The values in front of the layer measured last, batch by batch, as far as memory goes.

    The same layer takes them as they are, a later one goes on from them.
    """

    def __init__(self, network: ResumableNetwork, memory: int) -> None:
        """Hold nothing yet, and never more than ``memory`` bytes."""
        self._network = network
        self._memory = memory
        self._held: dict[int, tuple[Entry, dict[fx.Node, Any]]] = {}
        self._bytes: dict[int, int] = {}

    def of(self, entry: Entry, batch: int, images: Tensor) -> dict[fx.Node, Any]:
        """The values in front of an entry for the images of a batch, which has a number."""
        start: tuple[fx.Node, ...] = (self._network.start,)
        known: dict[fx.Node, Any] = {self._network.start: images}
        if batch in self._held:
            held, values = self._held[batch]
            if held is entry:
                return values
            if self._network.precedes(held, entry):
                start, known = held.before, values
        values = self._network.float32.values(entry, start, known)
        self._held.pop(batch, None)
        self._bytes.pop(batch, None)
        size = sum(_bytes(value) for value in values.values())
        if sum(self._bytes.values()) + size <= self._memory:
            self._held[batch], self._bytes[batch] = (entry, values), size
        return values


class Parts:
    """Parts of a network in one precision, fused where that is possible.

    They are named by nodes that may belong to the network in another precision: ``nodes`` leads
    from those to the network's own.
    """

    def __init__(
        self,
        traced: GraphModule,
        nodes: Mapping[fx.Node, fx.Node],
        dtype: torch.dtype,
        layout: torch.memory_format,
    ) -> None:
        """Parts of a traced network, whose floating numbers are of one dtype."""
        self.dtype = dtype
        self._traced = traced
        self._nodes = nodes
        weight = next(iter(traced.parameters()), torch.zeros(()))
        self._fuses = (
            weight.device.type == "cpu"
            and layout is torch.channels_last
            and fusion.available(dtype)
        )
        self._fused: dict[tuple[str, bool], fusion.FusedConvolution] = {}
        self._made: dict[tuple[tuple[fx.Node, ...], tuple[fx.Node, ...] | None], GraphModule] = {}

    def between(self, inputs: Sequence[fx.Node], outputs: Sequence[fx.Node] | None) -> GraphModule:
        """As :func:`tracing.section`."""
        key = (tuple(inputs), None if outputs is None else tuple(outputs))
        if key not in self._made:
            part = tracing.section(
                self._traced,
                [self._nodes[node] for node in inputs],
                None if outputs is None else [self._nodes[node] for node in outputs],
            )
            if self._fuses:
                with torch.inference_mode():
                    fusion.fuse(part, self._fused)
            self._made[key] = part
        return self._made[key]

    def values(
        self, entry: Entry, start: Sequence[fx.Node], known: dict[fx.Node, Any]
    ) -> dict[fx.Node, Any]:
        """The values in front of an entry, from those of ``start``.

        They are the images, what lies in front of an earlier entry, or behind it.
        """
        part = self.between(start, entry.before)
        return dict(zip(entry.before, part(*(known[node] for node in start)), strict=True))


class _Run(fx.Interpreter):
    """One run of a graph: its outputs, and what is computed on the way.

    Attributes:
        outputs: The network's.
        shape: Of every tensor.
        dtypes: The floating-point dtypes seen.
        peak_bytes: The most that is held at once.

    Raises:
        NotTraceableError: An operation overwrites what it is given.
    """

    def __init__(self, traced: GraphModule, example: Tensor) -> None:
        super().__init__(traced)
        self.shape: dict[fx.Node, tuple[int, ...]] = {}
        self.peak_bytes = 0
        seen = FloatingDtypes()
        with seen:
            self.outputs: Tensor = self.run(example)
        self.dtypes = seen.dtypes

    def run_node(self, n: fx.Node) -> Any:
        given = [self.env[node] for node in n.all_input_nodes]
        tensors = [value for value in given if isinstance(value, Tensor)]
        before = [tensor.clone() for tensor in tensors]
        value = super().run_node(n)
        if not all(
            torch.equal(a, b) or a.isnan().any() for a, b in zip(before, tensors, strict=True)
        ):
            raise tracing.NotTraceableError(f"operation {n.name} overwrites what it is given")
        if isinstance(value, Tensor):
            self.shape[n] = tuple(value.shape)
            n.meta[fusion.DTYPE] = value.dtype
        held = sum(_bytes(v) for node, v in self.env.items() if node.op != "get_attr")
        self.peak_bytes = max(self.peak_bytes, held + _bytes(value))
        return value


def _bytes(value: Any) -> int:
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0
