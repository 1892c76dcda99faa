"""What is counted and averaged over the images that a network answers."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from compressibility.errors import UserError


class Metric(Protocol):
    """How the answers of a network are judged, image by image.

    What is counted is also compared with the unchanged network: how many images a variant loses
    and gains.
    """

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Refuse what cannot be compared.

        Args:
            outputs: The network's output for a few images.
            targets: Those of all images.

        Raises:
            UserError: The message says what does not fit, and what to do.
        """

    def counted(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """For each name, whether it is true of an image: bool, shape (N,)."""

    def averaged(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """For each name, how much it is for an image: floating, shape (N,)."""


@runtime_checkable
class DecisiveMetric(Metric, Protocol):
    """A metric whose counts depend on a decision, of which it is known how near it was.

    Its counts can be evaluated in lower precision: decisions that are too near are repeated.
    """

    def margins(self, outputs: Tensor) -> Tensor:
        """How far each image is from another decision, shape (N,)."""

    def margin_errors(self, rounded: Tensor, exact: Tensor) -> Tensor:
        """The most that rounding has changed the margins, shape (N,).

        A decision from ``rounded`` whose margin is greater is that from ``exact``.
        """


@dataclass(frozen=True)
class Classification:
    """Images of the right class, ``correct``, and the cross-entropy in nats, ``loss``.

    Outputs are logits (N, classes), targets are classes, int64, shape (N,).
    """

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Refuse outputs that are no logits, and labels that are none of their classes."""
        if outputs.ndim != 2:
            raise UserError(
                f"the network answers {len(outputs)} images with {tuple(outputs.shape)}: it must "
                f"return logits of shape ({len(outputs)}, classes), or be judged by another metric"
            )
        if targets.dtype != torch.int64 or targets.ndim != 1:
            raise UserError(
                f"the labels are {targets.dtype} of shape {tuple(targets.shape)}: give the class "
                "of each image as torch.int64, for example by labels.long()"
            )
        lowest, highest = int(targets.min()), int(targets.max())
        if not 0 <= lowest <= highest < outputs.shape[1]:
            raise UserError(
                f"labels go from {lowest} to {highest}, the network has {outputs.shape[1]} "
                f"classes: labels must be 0 to {outputs.shape[1] - 1}"
            )

    def counted(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Whether the largest logit is that of the label."""
        return {"correct": outputs.argmax(dim=1) == targets}

    def averaged(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """The cross-entropy."""
        return {"loss": functional.cross_entropy(outputs, targets, reduction="none")}

    def margins(self, outputs: Tensor) -> Tensor:
        """The largest logit less the second."""
        first, second = outputs.topk(2, dim=1).values.unbind(dim=1)
        return first - second

    def margin_errors(self, rounded: Tensor, exact: Tensor) -> Tensor:
        """The greatest error of a logit relative to the one that came out largest."""
        answer = rounded.argmax(dim=1, keepdim=True)
        error = rounded - exact
        return (error - error.gather(1, answer)).abs().amax(dim=1)


CLASSIFICATION: Final = Classification()
"""The metric of networks that classify."""


@dataclass(frozen=True)
class Count:
    """Images of which something is true.

    Attributes:
        n: Their number.
        n_lost: Images of which it is true for the unchanged network alone.
        n_gained: Images of which it is true for the variant alone.
    """

    n: int
    n_lost: int
    n_gained: int


@dataclass(frozen=True)
class Evaluation:
    """What a variant of a network answers.

    Attributes:
        counts: By the names that the metric counts.
        means: Over the images, by the names that the metric averages; NaN in lower precision.
    """

    counts: Mapping[str, Count]
    means: Mapping[str, float]

    @property
    def n_correct(self) -> int:
        """Images whose largest logit is that of their label."""
        return self._count("correct").n

    @property
    def n_lost(self) -> int:
        """Images that the unchanged network gets right and the variant wrong."""
        return self._count("correct").n_lost

    @property
    def n_gained(self) -> int:
        """Images that the unchanged network gets wrong and the variant right."""
        return self._count("correct").n_gained

    @property
    def loss(self) -> float:
        """Mean cross-entropy, nats; NaN where the layer is evaluated in lower precision."""
        if "loss" not in self.means:
            raise AttributeError(f"the metric averages {_names(self.means)}, not 'loss': see means")
        return self.means["loss"]

    def _count(self, name: str) -> Count:
        if name not in self.counts:
            raise AttributeError(
                f"the metric counts {_names(self.counts)}, not {name!r}: see counts"
            )
        return self.counts[name]

    def without_means(self) -> "Evaluation":
        """The counts alone: every mean is NaN."""
        return Evaluation(self.counts, dict.fromkeys(self.means, math.nan))


@dataclass(frozen=True, eq=False)
class Baseline:
    """What the unchanged network answers.

    Attributes:
        outputs: float32, shape (N, ...); logits (N, classes) of a classification.
        evaluation: With nothing lost or gained.
        counted: By the names that the metric counts, whether it is true: bool, shape (N,).
        precision: The arithmetic, ``float32``.
    """

    outputs: NDArray[np.float32] = field(repr=False)
    evaluation: Evaluation
    counted: Mapping[str, NDArray[np.bool_]] = field(repr=False)
    precision: str = "float32"

    @property
    def n_correct(self) -> int:
        """Images whose largest logit is that of their label."""
        return self.evaluation.n_correct

    @property
    def loss(self) -> float:
        """Mean cross-entropy, nats."""
        return self.evaluation.loss

    @property
    def predictions(self) -> NDArray[np.int64]:
        """Class of the largest logit, int64, shape (N,)."""
        predictions: NDArray[np.int64] = self.outputs.argmax(axis=1)
        return predictions

    def counted_on(self, device: torch.device) -> dict[str, Tensor]:
        """What the unchanged network counts, on a device."""
        return {name: torch.from_numpy(each).to(device) for name, each in self.counted.items()}


@dataclass(eq=False)
class Tally:
    """Sums over batches, kept on the device so that it need not wait."""

    _counts: dict[str, list[Tensor]] = field(default_factory=dict)
    _sums: dict[str, list[Tensor]] = field(default_factory=dict)

    def count(self, counted: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> None:
        """Add what is counted in a batch, and was before for the unchanged network."""
        for name, now in counted.items():
            was = before[name]
            sums = torch.stack([now.sum(), (was & ~now).sum(), (now & ~was).sum()])
            self._counts.setdefault(name, []).append(sums)

    def average(self, averaged: Mapping[str, Tensor]) -> None:
        """Add what is averaged in a batch."""
        for name, values in averaged.items():
            self._sums.setdefault(name, []).append(values.sum(dtype=torch.float64))

    def evaluation(self, n_images: int) -> Evaluation:
        """The sums as counts and means."""
        counts = {}
        for name, parts in self._counts.items():
            n, lost, gained = torch.stack(parts).sum(dim=0).tolist()
            counts[name] = Count(n, lost, gained)
        means = {
            name: float(torch.stack(parts).sum()) / n_images for name, parts in self._sums.items()
        }
        return Evaluation(counts, means)


def parts_of(counted: Mapping[str, Tensor], chosen: slice) -> dict[str, Tensor]:
    """What is counted, of some images."""
    return {name: values[chosen] for name, values in counted.items()}


def _names(known: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in known) or "nothing"
