"""Variants in which the kernels of many layers are replaced at once.

They are put into a tree, in the order of the forward pass: what variants have in common from the
first replaced layer on is computed once for all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, fx

from compressibility.evaluation.passes import Again, Rounded, Values
from compressibility.evaluation.resumption import Entry, Parts, ResumableNetwork
from compressibility.evaluation.variants import Changes, Variant, kernel_of
from compressibility.networks.arithmetic import cast
from compressibility.tensors.arrays import Floating

Known: TypeAlias = dict[fx.Node, Any]


@dataclass(frozen=True, eq=False)
class Replaced:
    """A layer with another kernel.

    Attributes:
        entry: The layer's.
        weight: The kernel, a folded batch norm's factor included, float32.
    """

    entry: Entry
    weight: Tensor

    @classmethod
    def by(cls, kernel: Floating, entry: Entry) -> "Replaced":
        """The layer of an entry with the kernel (OUT, IN, KH, KW)."""
        convolution = entry.convolution
        return cls(entry, convolution.tensor(convolution.folded(kernel)))

    def behind(self, values: Values) -> Known:
        """What is needed behind the layer, from what lies in front, in the latter's precision."""
        convolution, images = self.entry.convolution, values[self.entry.input]
        bias = None if convolution.bias is None else convolution.bias.to(images.dtype)
        weight = self.weight.to(images.dtype)
        output = convolution.apply(convolution.padded(images), weight, bias)
        return {self.entry.node: output} | {node: values[node] for node in self.entry.side}


Path: TypeAlias = Sequence[Replaced]
"""The replaced layers of a variant in the order of the forward pass, at least one."""


@dataclass(frozen=True, eq=False)
class _Branch:
    """Variants with one beginning.

    Attributes:
        replaced: Its last replaced layer.
        variants: The numbers of those that replace no further layer.
        forks: The others, by the entry of the next layer that they replace.
    """

    replaced: Replaced
    variants: Sequence[int]
    forks: Mapping[Entry, Sequence["_Branch"]]


class ManyLayers:
    """Variants of which each replaces several layers, all the same one first.

    Args:
        network: The network.
        paths: Each variant's replaced layers; what is equal is the same object.
    """

    def __init__(self, network: ResumableNetwork, paths: Sequence[Path]) -> None:
        """Put the variants into a tree."""
        self._network = network
        self._paths = paths
        ((self.entry, self._branches),) = _forks(list(enumerate(paths))).items()

    def __len__(self) -> int:
        """Number of variants."""
        return len(self._paths)

    def exact(self, values: Values) -> Iterator[tuple[int, Tensor]]:
        """As in :class:`Passes`."""
        for branch in self._branches:
            yield from _outputs(self._network.float32, branch, branch.replaced.behind(values))

    def among(self, values: Values, numbers: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """As in :class:`Passes`."""
        for place, outputs in self.only(numbers).exact(values):
            yield numbers[place], outputs

    def rounded(self, values: Values) -> Iterator[Rounded]:
        """As in :class:`Passes`."""
        lower = self._network.lower
        assert lower is not None
        for branch in self._branches:
            behind = branch.replaced.behind(values)
            rounded = {node: cast(value, lower.dtype) for node, value in behind.items()}
            for variant, outputs in _outputs(lower, branch, rounded):
                yield Rounded(variant, outputs.float(), behind[self.entry.node])

    def again(self, values: Values, doubts: Sequence[Again]) -> Sequence[Tensor]:
        """As in :class:`Passes`."""
        return [self._alone(values, doubt) for doubt in doubts]

    def only(self, variants: Sequence[int]) -> "ManyLayers":
        """As in :class:`Passes`."""
        return ManyLayers(self._network, [self._paths[variant] for variant in variants])

    def _alone(self, values: Values, doubt: Again) -> Tensor:
        ((branch,),) = _forks([(doubt.variant, self._paths[doubt.variant])]).values()
        behind = {node: values[node][doubt.images] for node in self.entry.side}
        behind[self.entry.node] = doubt.layer_output
        ((_, outputs),) = _outputs(self._network.float32, branch, behind)
        return outputs


def portions(
    network: ResumableNetwork,
    variants: Sequence[Variant],
    changes: Mapping[int, Changes],
    memory: int,
) -> Iterator[tuple[list[int], ManyLayers]]:
    """Numbers and passes of variants that begin at one layer, so many as fit into memory.

    Args:
        network: The network.
        variants: What each replaces.
        changes: What each changes, at least one layer, by the number of those to be run.
        memory: Bytes of kernels, about; a variant that needs more stands alone.
    """
    steps = {
        number: sorted((network.position(layer), layer, digest) for layer, digest in some.items())
        for number, some in changes.items()
    }
    numbers: list[int] = []
    replaced: dict[tuple[int, str, bytes], Replaced] = {}
    for number in sorted(steps, key=steps.__getitem__):  # beginnings in common lie side by side
        held = sum(each.weight.nbytes for each in replaced.values())
        if numbers and (steps[numbers[0]][0][0] != steps[number][0][0] or held > memory):
            yield numbers, ManyLayers(network, [[replaced[s] for s in steps[n]] for n in numbers])
            numbers, replaced = [], {}
        numbers.append(number)
        for step in steps[number]:
            if step not in replaced:
                _, layer, _ = step
                kernel = kernel_of(variants[number][layer])
                replaced[step] = Replaced.by(kernel, network.entry(layer))
    if numbers:
        yield numbers, ManyLayers(network, [[replaced[s] for s in steps[n]] for n in numbers])


def _forks(paths: Sequence[tuple[int, Path]]) -> dict[Entry, list[_Branch]]:
    beginnings: dict[Replaced, list[tuple[int, Path]]] = {}
    for variant, (first, *rest) in paths:
        beginnings.setdefault(first, []).append((variant, rest))
    forks: dict[Entry, list[_Branch]] = {}
    for first, some in beginnings.items():
        ending = [variant for variant, rest in some if not rest]
        going_on = _forks([(variant, rest) for variant, rest in some if rest])
        forks.setdefault(first.entry, []).append(_Branch(first, ending, going_on))
    return forks


def _outputs(parts: Parts, branch: _Branch, behind: Known) -> Iterator[tuple[int, Tensor]]:
    """Number and outputs of the variants of a branch, from what lies behind its layer.

    Depth first, so that no more is held than what further variants start from.
    """
    waiting: list[tuple[Entry, Sequence[_Branch], Sequence[fx.Node], Known]] = []
    while True:
        nodes = branch.replaced.entry.behind
        if branch.variants:
            answers = parts.between(nodes, None)(*(behind[node] for node in nodes))
            yield from ((variant, answers) for variant in branch.variants)
        waiting += [(entry, some, nodes, behind) for entry, some in branch.forks.items()]
        if not waiting:
            return
        entry, (branch, *others), start, known = waiting.pop()
        values = known if start == entry.before else parts.values(entry, start, known)
        if others:
            waiting.append((entry, others, entry.before, values))
        behind = branch.replaced.behind(values)
        del known, values
