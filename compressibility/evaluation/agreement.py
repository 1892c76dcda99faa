"""Whether what runs answers as the network itself, with kernels replaced."""

from collections.abc import Hashable, Mapping, Sequence

import torch

from compressibility.errors import UserError
from compressibility.evaluation.forms import Form
from compressibility.evaluation.passes import Passes
from compressibility.evaluation.reference import Reference
from compressibility.evaluation.resumption import ResumableNetwork
from compressibility.networks.arithmetic import ieee_float32
from compressibility.networks.kernels import substituted
from compressibility.tensors.arrays import Floating


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

    def resumed(
        self,
        network: ResumableNetwork,
        passes: Passes,
        kernels: Mapping[int, Mapping[str, Floating]],
        way: Hashable,
    ) -> bool:
        """Whether passes that are entered at a layer answer as the network itself.

        Args:
            network: What is entered.
            passes: All variants.
            kernels: Number to kernels of those that are to be compared.
            way: What tells this way of computing from others; the first variants of it count.
        """
        if way not in self._known:
            start = network.start
            with torch.inference_mode(), ieee_float32():
                images = self._form.prepared(self._reference.images)
                values = network.float32.values(passes.entry, (start,), {start: images})
                answers = dict(passes.among(values, list(kernels)))
            self._known[way] = not any(
                self._reference.disagreement(answers[number], variant)
                for number, variant in kernels.items()
            )
        return self._known[way]

    def require_whole(self, kernels: Mapping[str, Floating]) -> None:
        """Refuse layers whose kernels, replaced in the copy, do not act as in the network itself.

        Raises:
            UserError: The copy answers otherwise.
        """
        way = ("whole", frozenset(kernels))
        if way not in self._known:
            with substituted(self._form.network, kernels):
                answers = self._form.answers(self._reference.images)
            self._known[way] = not self._reference.disagreement(answers, kernels)
        if not self._known[way]:
            raise UserError(
                f"{_named(list(kernels))}: a kernel replaced in a copy of the network does not act "
                "as in the network itself: something (a hook, a function set on a module) holds on "
                "to the original; let it take the module that it is called with"
            )


def _named(layers: Sequence[str]) -> str:
    return f"layer {layers[0]!r}" if len(layers) == 1 else f"layers {', '.join(layers)}"
