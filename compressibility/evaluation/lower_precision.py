"""Answers in lower precision that are those of float32: what is in doubt is repeated."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from compressibility.evaluation.resumption import Entry

SAFETY: Final = 3
"""An answer stands if its margin exceeds this many times the greatest error in the sample."""


@dataclass(eq=False)
class RoundingError:
    """The error of one variant's logits in lower precision, measured against float32.

    The error of a margin is the greatest error of a logit relative to the one that came out
    largest: an answer whose margin is greater cannot be another one in float32.
    """

    _margins: list[Tensor] = field(default_factory=list)
    _repeated: list[Tensor] = field(default_factory=list)

    def sample(self, rounded: Tensor, exact: Tensor) -> None:
        """Take note of images whose choice had nothing to do with their logits."""
        self._margins.append(_margin_errors(rounded, exact))

    def check(self, rounded: Tensor, exact: Tensor) -> None:
        """Take note of images that were in doubt."""
        self._repeated.append(_margin_errors(rounded, exact))

    @cached_property
    def bound(self) -> Tensor:
        """The margin up to which an answer is in doubt: :data:`SAFETY` times the greatest error."""
        return SAFETY * torch.cat(self._margins).max()

    @property
    def exceeded(self) -> bool:
        """Whether an image in doubt had an error beyond the bound, or logits were no numbers."""
        seen = torch.cat([self.bound[None], *self._repeated])
        return not bool((seen <= self.bound).all())


class _Waiting(NamedTuple):
    variant: int
    rounded: Tensor
    doubtful: Tensor  # the images in doubt, by number
    outputs: Tensor  # the layer's output for them


def checked_answers(
    entry: Entry,
    values: Mapping[Any, Any],
    outputs: Iterator[Tensor],
    errors: Sequence[RoundingError],
    batch_size: int,
) -> Iterator[tuple[int, Tensor]]:
    """Number and predictions, as those of float32, of each variant of a batch.

    The images in doubt of several variants share a pass in float32.

    Args:
        entry: Where the variants differ.
        values: What lies in front of it, for the images of the batch.
        outputs: The layer's output for each variant.
        errors: The error of each variant, sampled; the images repeated are added to it.
        batch_size: Images at which to repeat those in doubt.
    """
    assert entry.lower is not None
    side = [values[node] for node in entry.side]
    lower_side = [value.to(entry.lower[1]) for value in side]
    waiting: list[_Waiting] = []
    for variant, output in enumerate(outputs):
        rounded = entry.lowered(output, *lower_side)
        first, second = rounded.topk(2, dim=1).values.unbind(dim=1)
        (doubtful,) = torch.nonzero(~(first - second > errors[variant].bound), as_tuple=True)
        waiting.append(_Waiting(variant, rounded, doubtful, output[doubtful]))
        if sum(len(each.doubtful) for each in waiting) >= batch_size:
            yield from _decided(entry, side, waiting, errors)
            waiting = []
    yield from _decided(entry, side, waiting, errors)


def _decided(
    entry: Entry,
    side: Sequence[Tensor],
    waiting: Sequence[_Waiting],
    errors: Sequence[RoundingError],
) -> Iterator[tuple[int, Tensor]]:
    if not waiting:
        return
    images = torch.cat([each.doubtful for each in waiting])
    outputs = torch.cat([each.outputs for each in waiting])
    exact = entry.suffix(outputs, *(value[images] for value in side)) if len(images) else None
    done = 0
    for variant, rounded, doubtful, _ in waiting:
        predictions = rounded.argmax(dim=1)
        if exact is not None and len(doubtful):
            part = exact[done : done + len(doubtful)]
            done += len(doubtful)
            errors[variant].check(rounded[doubtful], part)
            predictions[doubtful] = part.argmax(dim=1)
        yield variant, predictions


def _margin_errors(rounded: Tensor, exact: Tensor) -> Tensor:
    answer = rounded.argmax(dim=1, keepdim=True)
    error = rounded - exact
    return (error - error.gather(1, answer)).abs().amax(dim=1)
