"""Whether what runs answers as the network itself, with kernels replaced."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import torch

from compressibility.errors import UserError
from compressibility.evaluation.forms import Form
from compressibility.evaluation.passes import Passes
from compressibility.evaluation.reference import Reference
from compressibility.evaluation.resumption import ResumableNetwork
from compressibility.networks.arithmetic import ieee_float32
from compressibility.networks.kernels import kernel_array, substituted
from compressibility.tensors.arrays import Floating


class Trial(NamedTuple):
    """A variant to be held against the network: its passes, its number, its kernels by layer."""

    passes: Passes
    number: int
    kernels: Mapping[str, Floating]


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

    def resumed(self, network: ResumableNetwork, way: Hashable, trial: Callable[[], Trial]) -> bool:
        """Whether a pass that is entered at a layer answers as the network itself.

        Args:
            network: What is entered.
            way: What tells this way of computing from others.
            trial: Gives a variant of it; asked the first time.
        """
        if way not in self._known:
            passes, number, kernels = trial()
            start = network.start
            with torch.inference_mode(), ieee_float32():
                images = self._form.prepared(self._reference.images)
                values = network.float32.values(passes.entry, (start,), {start: images})
                [(_, answers)] = passes.among(values, [number])
            self._known[way] = not self._reference.disagreement(answers, kernels)
        return self._known[way]

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
