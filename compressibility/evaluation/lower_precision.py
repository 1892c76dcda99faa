"""Answers in lower precision that are those of float32: what is in doubt is repeated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from compressibility.evaluation.metrics import DecisiveMetric
from compressibility.evaluation.passes import Again, Passes, Values

SAFETY: Final = 3
"""A decision stands if its margin exceeds this many times the greatest error in the sample."""
LEAST_DECIDED: Final = 4
"""So many images of each batch are in doubt whatever the sample says."""


@dataclass(eq=False)
class RoundingError:
    """The error of one variant's margins in lower precision, measured against float32."""

    metric: DecisiveMetric
    _margins: list[Tensor] = field(default_factory=list)
    _repeated: list[Tensor] = field(default_factory=list)

    def sample(self, rounded: Tensor, exact: Tensor) -> None:
        """Take note of images whose choice had nothing to do with their outputs."""
        self._margins.append(self.metric.margin_errors(rounded, exact))

    def check(self, rounded: Tensor, exact: Tensor) -> None:
        """Take note of images that were in doubt."""
        self._repeated.append(self.metric.margin_errors(rounded, exact))

    def in_doubt(self, rounded: Tensor) -> Tensor:
        """The numbers of the images whose decision float32 might change, ascending.

        The `LEAST_DECIDED` are always among them: were the sample unlike the rest, their errors
        would show it.
        """
        margins = self.metric.margins(rounded)
        doubtful = ~(margins > self.bound)
        least = min(LEAST_DECIDED, len(margins))
        doubtful[margins.topk(least, largest=False).indices] = True
        (numbers,) = torch.nonzero(doubtful, as_tuple=True)
        return numbers

    @cached_property
    def bound(self) -> Tensor:
        """The margin up to which an answer is in doubt: :data:`SAFETY` times the greatest error."""
        return SAFETY * torch.cat(self._margins).max()

    @property
    def exceeded(self) -> bool:
        """Whether an image in doubt had an error beyond the bound, or outputs were no numbers."""
        seen = torch.cat([self.bound[None], *self._repeated])
        return not bool((seen <= self.bound).all())


def sampled_errors(
    passes: Passes, samples: Iterator[Values], metric: DecisiveMetric
) -> list[RoundingError]:
    """The error of each variant.

    Args:
        passes: The variants.
        samples: What lies in front of them, for batches of images spread over the set.
        metric: What decides.
    """
    errors = [RoundingError(metric) for _ in range(len(passes))]
    for values in samples:
        for variant, rounded, output in passes.rounded(values):
            every = torch.arange(len(rounded), device=rounded.device)
            (exact,) = passes.again(values, [Again(variant, every, output)])
            errors[variant].sample(rounded, exact)
    return errors


def checked_outputs(
    passes: Passes, values: Values, errors: Sequence[RoundingError], batch_size: int
) -> Iterator[tuple[int, Tensor]]:
    """Number and outputs of each variant of a batch, decided as those of float32.

    The images in doubt of several variants are repeated together.

    Args:
        passes: The variants.
        values: What lies in front of them, for the images of the batch.
        errors: The error of each variant, sampled; the images repeated are added to it.
        batch_size: Images at which to repeat those in doubt.
    """
    waiting: list[tuple[Tensor, Again]] = []
    for variant, rounded, output in passes.rounded(values):
        doubtful = errors[variant].in_doubt(rounded)
        waiting.append((rounded, Again(variant, doubtful, output[doubtful])))
        if sum(len(again.images) for _, again in waiting) >= batch_size:
            yield from _decided(passes, values, waiting, errors)
            waiting = []
    yield from _decided(passes, values, waiting, errors)


def _decided(
    passes: Passes,
    values: Values,
    waiting: Sequence[tuple[Tensor, Again]],
    errors: Sequence[RoundingError],
) -> Iterator[tuple[int, Tensor]]:
    doubtful = [again for _, again in waiting if len(again.images)]
    exact = iter(passes.again(values, doubtful) if doubtful else ())
    for rounded, (variant, images, _) in waiting:
        if len(images):
            repeated = next(exact)
            errors[variant].check(rounded[images], repeated)
            rounded[images] = repeated
        yield variant, rounded
