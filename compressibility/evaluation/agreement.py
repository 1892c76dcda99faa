"""Whether what runs answers as the network itself, with kernels replaced."""

import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import torch

from compressibility.errors import UserError
from compressibility.evaluation.forms import Form
from compressibility.evaluation.joint import portions
from compressibility.evaluation.passes import OneLayer, Passes
from compressibility.evaluation.reference import Reference
from compressibility.evaluation.resumption import ResumableNetwork
from compressibility.evaluation.variants import Variants
from compressibility.networks.arithmetic import ieee_float32
from compressibility.networks.kernels import kernel_array, substituted
from compressibility.tensors.arrays import Floating


class _Trials(NamedTuple):
    """Variants to be held against the network: their passes; by number, their kernels by layer."""

    passes: Passes
    variants: Mapping[int, Mapping[str, Floating]]


class Agreement:
    """Holds variants against the network as it was given; each way of computing them once.

    Args:
        reference: The network as it was given, with a few images.
        form: Its copy.
    """

    def __init__(self, reference: Reference, form: Form) -> None:
        """Nothing is known yet."""
        self._reference = reference
        self._form = form
        self._known: dict[Hashable, bool] = {}

    def on_layers(self, network: ResumableNetwork, layers: Sequence[str], memory: int) -> bool:
        """Whether, entered at some layers with kernels quite unlike theirs, it answers as itself.

        Args:
            network: What is entered.
            layers: Replaced together.
            memory: Bytes of activations to hold at once, about.
        """

        def trials(_: Sequence[Hashable]) -> _Trials:
            own = {layer: kernel_array(self._form.network, layer) for layer in layers}
            variant = {layer: striking(kernel) for layer, kernel in own.items()}
            [(_, passes)] = portions(network, [variant], {0: dict.fromkeys(layers, b"")}, memory)
            return _Trials(passes, {0: variant})

        return self._resumed(network, [("striking", frozenset(layers))], trials)

    def on_ways(
        self, network: ResumableNetwork, layer: str, passes: OneLayer, groups: Sequence[Variants]
    ) -> bool:
        """Whether, entered at a layer, it answers as itself in every way of computing outputs.

        Args:
            network: What is entered.
            layer: Where.
            passes: Those of ``groups``, one after the other.
            groups: Variants; one of each is tried.
        """
        ways: dict[Hashable, tuple[int, Variants]] = {}
        first = 0
        for group in groups:
            ways.setdefault((group.way, layer), (first, group))
            first += len(group)

        def trials(unknown: Sequence[Hashable]) -> _Trials:
            variants = {}
            for first, group in map(ways.__getitem__, unknown):
                middle = len(group) // 2
                kernel = next(itertools.islice(group.kernels, middle, None))
                variants[first + middle] = {layer: kernel}
            return _Trials(passes, variants)

        return self._resumed(network, list(ways), trials)

    def _resumed(
        self,
        network: ResumableNetwork,
        ways: Sequence[Hashable],
        trials: Callable[[Sequence[Hashable]], _Trials],
    ) -> bool:
        """Whether what ``trials`` gives for ways that are not known yet answers as it should."""
        if unknown := [way for way in ways if way not in self._known]:
            passes, variants = trials(unknown)
            start = network.start
            with torch.inference_mode(), ieee_float32():
                images = self._form.prepared(self._reference.images)
                values = network.float32.values(passes.entry, (start,), {start: images})
                answers = dict(passes.among(values, list(variants)))
            for way, (number, kernels) in zip(unknown, variants.items(), strict=True):
                self._known[way] = not self._reference.disagreement(answers[number], kernels)
        return all(self._known[way] for way in ways)

    def require_whole(self, layers: Sequence[str]) -> None:
        """Refuse layers whose kernels, replaced in the copy, do not act as in the network itself.

        Raises:
            UserError: The copy answers otherwise.
        """
        way = ("whole", frozenset(layers))
        if way not in self._known:
            kernels = {layer: striking(kernel_array(self._form.network, layer)) for layer in layers}
            with substituted(self._form.network, kernels):
                answers = self._form.answers(self._reference.images)
            self._known[way] = not self._reference.disagreement(answers, kernels)
        if not self._known[way]:
            raise UserError(
                f"{_named(layers)}: a kernel replaced in a copy of the network does not act as in "
                "the network itself: something (a hook, a function set on a module) holds on to "
                "the original, or changes from run to run; let it take the module that it is "
                "called with"
            )


def striking(kernel: Floating) -> Floating:
    """A kernel unlike another in every respect: order, size, mean."""
    reversed_ = kernel.reshape(-1)[::-1].reshape(kernel.shape)
    unlike: Floating = 2 * reversed_ + kernel.std() + 0.01
    return unlike


def _named(layers: Sequence[str]) -> str:
    return f"layer{'s' * (len(layers) > 1)} {', '.join(layers)}"
