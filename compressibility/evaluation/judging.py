"""The answers of variants, judged batch by batch."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from compressibility.evaluation import batches
from compressibility.evaluation.forms import Form
from compressibility.evaluation.lower_precision import checked_outputs, sampled_errors
from compressibility.evaluation.metrics import (
    Baseline,
    DecisiveMetric,
    Evaluation,
    Metric,
    Tally,
    parts_of,
)
from compressibility.evaluation.passes import Passes, Values
from compressibility.evaluation.resumption import Entry, ResumableNetwork, ValuesInFront
from compressibility.networks.arithmetic import ieee_float32

Answers: TypeAlias = Callable[[Values], Iterator[tuple[int, Tensor]]]
"""Number and outputs of each variant, from what lies in front of it."""


class Judge:
    """Images with targets, on which variants of a network are judged.

    Args:
        network: The network.
        form: The copy that it was made of.
        images: Normalised images, shape (N, C, H, W).
        targets: What they are to be, on the network's device.
        metric: How answers are judged.
        batch_size: Images for one pass.
        memory: Bytes of values in front of a layer to hold.
    """

    def __init__(
        self,
        network: ResumableNetwork,
        form: Form,
        images: Tensor,
        targets: Tensor,
        *,
        metric: Metric,
        batch_size: int,
        memory: int,
    ) -> None:
        """Run nothing yet."""
        self._network = network
        self._form = form
        self._images = images
        self._targets = targets
        self._metric = metric
        self._batch_size = batch_size
        self._in_front = ValuesInFront(network, memory)

    @property
    def can_check(self) -> bool:
        """Whether there are more images than a check of lower precision takes."""
        return self._n_sampled < len(self._images)

    def exact(self, passes: Passes, baseline: Baseline) -> list[Evaluation]:
        """What the variants answer in float32."""
        tallies = self._tallies(passes, passes.exact, baseline, averaged=True)
        return [tally.evaluation(len(self._images)) for tally in tallies]

    def checked(self, passes: Passes, baseline: Baseline) -> list[Evaluation]:
        """What the variants answer, from passes in lower precision; every mean is NaN.

        A variant whose error leaves its bounds is measured in float32.
        """
        assert isinstance(self._metric, DecisiveMetric)
        with torch.inference_mode(), ieee_float32():
            errors = sampled_errors(passes, self._samples(passes.entry), self._metric)

        def answers(values: Values) -> Iterator[tuple[int, Tensor]]:
            return checked_outputs(passes, values, errors, self._batch_size)

        tallies = self._tallies(passes, answers, baseline, averaged=False)
        found = [tally.evaluation(len(self._images)) for tally in tallies]
        if wrong := [number for number, error in enumerate(errors) if error.exceeded]:
            repeated = self.exact(passes.only(wrong), baseline)
            for number, evaluation in zip(wrong, repeated, strict=True):
                found[number] = evaluation
        unknown = baseline.evaluation.without_means().means
        return [replace(evaluation, means=unknown) for evaluation in found]

    def _tallies(
        self, passes: Passes, answers: Answers, baseline: Baseline, *, averaged: bool
    ) -> list[Tally]:
        tallies = [Tally() for _ in range(len(passes))]
        before = baseline.counted_on(self._targets.device)
        with torch.inference_mode(), ieee_float32():
            for number, chosen in enumerate(batches.batches(len(self._images), self._batch_size)):
                images = self._form.prepared(self._images[chosen])
                values = self._in_front.of(passes.entry, number, images)
                targets, was = self._targets[chosen], parts_of(before, chosen)
                for variant, outputs in answers(values):
                    tallies[variant].count(self._metric.counted(outputs, targets), was)
                    if averaged:
                        tallies[variant].average(self._metric.averaged(outputs, targets))
        return tallies

    @property
    def _n_sampled(self) -> int:
        """Images on which the error of lower precision is measured."""
        return max(64, min(len(self._images) // 32, 256))

    def _samples(self, entry: Entry) -> Iterator[Values]:
        """What lies in front of an entry, for images spread over the set."""
        start = self._network.start
        sampled = torch.linspace(0, len(self._images) - 1, self._n_sampled).round().long()
        for chosen in batches.batches(self._n_sampled, self._batch_size):
            images = self._form.prepared(self._images[sampled[chosen]])
            yield self._network.float32.values(entry, (start,), {start: images})
