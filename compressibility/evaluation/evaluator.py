"""Counting the correct answers of many variants of one network, each with one kernel replaced.

The plain way replaces the weights and runs the whole network on every image. The :class:`Evaluator`
gives the same counts for less: the network is traced once, each batch norm is folded into the
convolution before it, what lies before the replaced layer is computed once for all variants, the
ranks of a cut share one convolution, and only what lies behind the layer runs for each variant.
"""

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compressibility.evaluation import tracing
from compressibility.evaluation.arithmetic import agree, ieee_float32
from compressibility.evaluation.lower_precision import RoundingError, checked_answers
from compressibility.evaluation.responses import Response
from compressibility.evaluation.resumption import Entry, ResumableNetwork, ValuesInFront
from compressibility.evaluation.variants import DistinctVariants, Kernels, Truncations, Variants
from compressibility.networks.kernels import kernel_array, substituted
from compressibility.tensors.arrays import Floating
from compressibility.tensors.schmidt import SchmidtDecomposition

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]

_LOWER: Final[Mapping[str, torch.dtype | None]] = {
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

GIBIBYTE: Final = 2**30

_CACHE: Final = 2**24
"""Bytes of activations that a CPU's caches are taken to hold."""


@dataclass(frozen=True)
class Evaluation:
    """What a variant of a network answers.

    Attributes:
        n_correct: Images whose largest logit is that of their label.
        n_lost: Images that the unchanged network gets right and the variant wrong.
        n_gained: Images that the unchanged network gets wrong and the variant right.
        loss: Mean cross-entropy, nats; NaN where the layer is evaluated in lower precision.
    """

    n_correct: int
    n_lost: int
    n_gained: int
    loss: float


@dataclass(frozen=True, eq=False)
class Baseline:
    """What the unchanged network answers.

    Attributes:
        n_correct: Images whose largest logit is that of their label.
        loss: Mean cross-entropy, nats.
        predictions: Class of the largest logit, int64, shape (N,).
        precision: The arithmetic, ``float32``.
    """

    n_correct: int
    loss: float
    predictions: NDArray[np.int64] = field(repr=False)
    precision: str


def plain_evaluation(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    kernels: Mapping[str, Floating],
    *,
    baseline: Baseline | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 256,
) -> Evaluation:
    """Replace kernels and run the whole network on all images, in float32 without TF32.

    Args:
        model: The network; a copy in evaluation mode is run.
        images: Normalised images, float32, shape (N, C, H, W).
        labels: Classes, int64, shape (N,).
        kernels: Layer to its new kernel, (OUT, IN, KH, KW).
        baseline: The unchanged network's answers, if known; else it is run too.
        device: Where to run.
        batch_size: Images for one forward pass.

    Raises:
        ValueError: A layer is unknown or a kernel does not fit.
    """
    network = _prepared(model, torch.device(device))
    if baseline is None:
        baseline = _baseline(network, images, labels, batch_size)
    with substituted(network, kernels):
        return _forward(network, images, labels, baseline, batch_size)


class Evaluator:
    """The answers of one network on one set of images, with the kernel of one layer replaced.

    Counts are those of :func:`plain_evaluation` but for images whose two largest logits differ
    by rounding alone, and losses agree to rounding.

    In a lower precision the counts stay those of float32: what lies behind the layer runs in
    that precision, its error is measured for each variant on images spread over the set, and
    each image whose two largest logits are within three times the greatest error seen is repeated
    in float32. Is an error then seen that is greater still, the variant is repeated as a whole.
    The loss is then not given: rounded weights shift the logits of all images alike, which put it
    off by 1e-3 to 1e-2 of itself in bfloat16, on networks trained on handwritten digits.

    A layer at which the forward pass cannot be resumed (:attr:`notes` says why) is measured by
    whole forward passes.

    Args:
        model: The network; it is copied and left as it is.
        images: Normalised images, float32, shape (N, C, H, W).
        labels: Classes, int64, shape (N,).
        device: Where to run.
        precision: The arithmetic behind the layer.
        batch_size: Images for one pass; default: by device and memory.
        memory: Bytes of activations to hold at once, about; the images themselves come on top.
            Default: 2 GiB on a CPU, half of what is free on a GPU.

    Raises:
        ValueError: Images or labels are no tensors; no images; NaN among them; as many labels as
            images are not given, or labels beyond the classes; an unknown precision; or an
            image's answer depends on the other images of its batch (tried on three), so that none
            of this is defined.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
        batch_size: int | None = None,
        memory: int | None = None,
    ) -> None:
        """Copy the network to the device and trace it."""
        for name, given in (("images", images), ("labels", labels)):
            if not isinstance(given, Tensor):
                raise ValueError(
                    f"the {name} are of type {type(given).__name__}: give a tensor, as "
                    "torch.as_tensor makes it"
                )
        if len(images) != len(labels) or len(images) == 0:
            raise ValueError(
                f"{len(images)} images with {len(labels)} labels: give one label for each image, "
                "and at least one image"
            )
        if not torch.isfinite(images).all():
            raise ValueError("the images hold NaN or infinity: normalise them without")
        if precision not in _LOWER:
            raise ValueError(f"unknown precision {precision!r}: choose from {', '.join(_LOWER)}")
        self.device = torch.device(device)
        self.precision = precision
        self.notes: dict[str, str] = {}
        self._network = _prepared(model, self.device)
        self._images = images
        self._labels = labels.to(self.device)
        self._resumable = self._trace(_LOWER[precision])
        if self._resumable is None:
            self.batch_size = batch_size or 64
        else:
            memory = _memory(self.device) if memory is None else memory
            self.batch_size = batch_size or _batch_size(
                self._resumable.bytes_per_image, memory, self.device
            )
            self._in_front = ValuesInFront(self._resumable, memory // 2)

    @cached_property
    def baseline(self) -> Baseline:
        """What the unchanged network answers, by whole forward passes."""
        return _baseline(self._network, self._images, self._labels, self.batch_size)

    def precision_behind(self, layer: str) -> Precision:
        """The arithmetic in which variants of a layer are evaluated.

        Float32 where no lower precision is asked for or can be checked: the pass cannot be
        resumed at the layer, or there are hardly more images than a check takes.
        """
        if (
            self._resumable is None
            or self._resumable.reason_against(layer) is not None
            or self._resumable.entry(layer).lower is None
            or self._n_sampled >= len(self._images)
        ):
            return "float32"
        return self.precision

    @property
    def _n_sampled(self) -> int:
        """Images on which the error of lower precision is measured."""
        return max(64, min(len(self._images) // 32, 256))

    def kernels(self, layer: str, kernels: Sequence[Floating]) -> list[Evaluation]:
        """The answers with each of the kernels (OUT, IN, KH, KW) in the place of the layer's own.

        Raises:
            ValueError: The layer is unknown or not measurable, or a kernel does not fit.
        """
        return self.variants(layer, [Kernels(kernels)])[0]

    def truncations(
        self, layer: str, decomposition: SchmidtDecomposition, ranks: Sequence[int]
    ) -> list[Evaluation]:
        """The answers with the layer's kernel truncated to each of ``ranks``, in their order.

        Raises:
            ValueError: The layer is unknown or not measurable, the decomposition is not of its
                shape, or a rank is not one of 1, …, n.
        """
        return self.variants(layer, [Truncations(decomposition, ranks)])[0]

    def variants(self, layer: str, variants: Sequence[Variants]) -> list[list[Evaluation]]:
        """The answers for several groups of kernels of one layer, in their order.

        The network in front of the layer runs once for all of them. A kernel that in float32 is
        the layer's own, bit for bit, is the baseline.

        Raises:
            ValueError: As for :meth:`kernels` and :meth:`truncations`.
        """
        own = kernel_array(self._network, layer)
        groups = [DistinctVariants.of(layer, own, each) for each in variants]
        measured = iter(self._measured(layer, [group for group in groups if len(group)]))
        exact = self.precision_behind(layer) == "float32"
        unchanged = Evaluation(
            self.baseline.n_correct, 0, 0, self.baseline.loss if exact else math.nan
        )
        return [group.as_asked(next(measured) if len(group) else [], unchanged) for group in groups]

    def _measured(self, layer: str, groups: Sequence[DistinctVariants]) -> list[list[Evaluation]]:
        if not groups:
            return []
        if self._resumable is None:
            return [[self._whole(layer, each) for each in group.kernels] for group in groups]
        if (reason := self._resumable.reason_against(layer)) is not None:
            self.notes[layer] = f"{layer} is measured by whole forward passes: {reason}"
            return [[self._whole(layer, each) for each in group.kernels] for group in groups]
        entry = self._resumable.entry(layer)
        if self.precision_behind(layer) != "float32":
            return self._checked(entry, groups)
        if self.precision != "float32" and entry.lower is None:
            self.notes[layer] = f"{layer} is measured in float32: {self._resumable.lower_reason}"
        return self._resumed(entry, groups)

    def _whole(self, layer: str, kernel: Floating) -> Evaluation:
        baseline = self.baseline
        with substituted(self._network, {layer: kernel}):
            return _forward(self._network, self._images, self._labels, baseline, self.batch_size)

    def _resumed(self, entry: Entry, groups: Sequence[DistinctVariants]) -> list[list[Evaluation]]:
        tallies = [[_Tally() for _ in range(len(group))] for group in groups]
        answers = [group.response(entry.convolution) for group in groups]
        right = self._right()
        stack = max(1, self.batch_size // len(self._images)) if entry.independent else 1
        with torch.inference_mode(), ieee_float32():
            for number, chosen in enumerate(self._batches()):
                values = self._values(entry, number, chosen)
                side = [values[node] for node in entry.side]
                variants = itertools.chain.from_iterable(
                    zip(answer(values[entry.input]), tally, strict=True)
                    for answer, tally in zip(answers, tallies, strict=True)
                )
                while some := list(itertools.islice(variants, stack)):
                    logits = entry.suffix(
                        _joined([output for output, _ in some]),
                        *(_repeated(value, len(some)) for value in side),
                    )
                    parts = logits.chunk(len(some))
                    for (_, tally), part in zip(some, parts, strict=True):
                        tally.add(part.argmax(dim=1), self._labels[chosen], right[chosen], part)
                    del some
        n = len(self._images)
        return [[each.evaluation(n) for each in tally] for tally in tallies]

    def _checked(self, entry: Entry, groups: Sequence[DistinctVariants]) -> list[list[Evaluation]]:
        n = len(self._images)
        answers = [group.response(entry.convolution) for group in groups]
        tallies = [_Tally() for group in groups for _ in range(len(group))]
        right = self._right()
        with torch.inference_mode(), ieee_float32():
            errors = self._errors(entry, answers, len(tallies))
            for number, chosen in enumerate(self._batches()):
                values = self._values(entry, number, chosen)
                outputs = itertools.chain.from_iterable(a(values[entry.input]) for a in answers)
                for variant, predictions in checked_answers(
                    entry, values, outputs, errors, self.batch_size
                ):
                    tallies[variant].add(predictions, self._labels[chosen], right[chosen])
        found = [tally.evaluation(n) for tally in tallies]
        return self._repeated_where_wrong(entry, groups, found, errors)

    def _errors(
        self, entry: Entry, answers: Sequence[Response], n_variants: int
    ) -> list[RoundingError]:
        """The error of lower precision for each variant, on images spread over the set."""
        assert self._resumable is not None
        start = self._resumable.start
        errors = [RoundingError() for _ in range(n_variants)]
        sampled = torch.linspace(0, len(self._images) - 1, self._n_sampled).round().long()
        for first, last in _batches(self._n_sampled, self.batch_size):
            images = _on(self._images[sampled[first:last]], self.device)
            values = self._resumable.values(entry, (start,), {start: images})
            side = [values[node] for node in entry.side]
            outputs = itertools.chain.from_iterable(a(values[entry.input]) for a in answers)
            for error, output in zip(errors, outputs, strict=True):
                error.sample(entry.lowered(output, *side), entry.suffix(output, *side))
        return errors

    def _repeated_where_wrong(
        self,
        entry: Entry,
        groups: Sequence[DistinctVariants],
        found: Sequence[Evaluation],
        errors: Sequence[RoundingError],
    ) -> list[list[Evaluation]]:
        """Evaluations by group; a variant whose error left its bounds is measured in float32."""
        rest = iter(zip(found, errors, strict=True))
        results = []
        for group in groups:
            pairs = list(itertools.islice(rest, len(group)))
            results.append([evaluation for evaluation, _ in pairs])
            wrong = [place for place, (_, error) in enumerate(pairs) if error.exceeded]
            if wrong:
                kernels = list(group.kernels)
                again = DistinctVariants(
                    Kernels([kernels[place] for place in wrong]), range(len(wrong))
                )
                (exact,) = self._resumed(entry, [again])
                for place, evaluation in zip(wrong, exact, strict=True):
                    results[-1][place] = replace(evaluation, loss=math.nan)
        return results

    def _right(self) -> Tensor:
        return torch.from_numpy(self.baseline.predictions).to(self.device) == self._labels

    def _values(self, entry: Entry, number: int, chosen: slice) -> dict[Any, Any]:
        return self._in_front.of(entry, number, _on(self._images[chosen], self.device))

    def _batches(self) -> list[slice]:
        return [slice(*each) for each in _batches(len(self._images), self.batch_size)]

    def _trace(self, lower: torch.dtype | None) -> ResumableNetwork | None:
        example = _on(self._images[[0, len(self._images) // 2, -1]], self.device)
        with torch.inference_mode(), ieee_float32():
            logits = self._network(example)
            _require_logits(logits, len(example))
            if not 0 <= int(self._labels.min()) <= int(self._labels.max()) < logits.shape[1]:
                raise ValueError(
                    f"labels go from {int(self._labels.min())} to {int(self._labels.max())}, the "
                    f"network has {logits.shape[1]} classes: labels must be 0 to "
                    f"{logits.shape[1] - 1}"
                )
            if not agree(logits[:2], self._network(example[:2])):
                raise ValueError(
                    "the logits of an image change with the other images of its batch (a batch "
                    "norm without running statistics?): evaluate such a network image by image"
                )
        try:
            return ResumableNetwork(copy.deepcopy(self._network), example, logits, lower)
        except tracing.NotTraceableError as error:
            self.notes[""] = f"every layer is measured by whole forward passes: {error}"
            return None


@dataclass(eq=False)
class _Tally:
    """Sums over batches, kept on the device so that it need not wait."""

    counts: list[Tensor] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)

    def add(
        self,
        predictions: Tensor,
        labels: Tensor,
        was_right: Tensor,
        logits: Tensor | None = None,
    ) -> None:
        """Add a batch, with its loss if there are logits."""
        right = predictions == labels
        self.counts.append(
            torch.stack([right.sum(), (was_right & ~right).sum(), (right & ~was_right).sum()])
        )
        if logits is not None:
            losses = functional.cross_entropy(logits, labels, reduction="none")
            self.losses.append(losses.sum(dtype=torch.float64))

    def evaluation(self, n_images: int) -> Evaluation:
        """The sums as counts and a mean."""
        correct, lost, gained = torch.stack(self.counts).sum(dim=0).tolist()
        loss = float(torch.stack(self.losses).sum()) / n_images if self.losses else math.nan
        return Evaluation(correct, lost, gained, loss)


def _prepared(model: nn.Module, device: torch.device) -> nn.Module:
    network = copy.deepcopy(model).eval().requires_grad_(False).to(device, torch.float32)
    return network.to(memory_format=torch.channels_last)


def _baseline(network: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> Baseline:
    device = _device(network)
    tally, predictions = _Tally(), []
    with torch.inference_mode(), ieee_float32():
        for start, stop in _batches(len(images), batch_size):
            logits = network(_on(images[start:stop], device))
            some = labels[start:stop].to(device)
            predictions.append(logits.argmax(dim=1))
            tally.add(predictions[-1], some, torch.ones_like(some, dtype=torch.bool), logits)
    whole = tally.evaluation(len(images))
    answers = torch.cat(predictions).cpu().numpy()
    return Baseline(whole.n_correct, whole.loss, answers, "float32")


def _forward(
    network: nn.Module, images: Tensor, labels: Tensor, baseline: Baseline, batch_size: int
) -> Evaluation:
    device = _device(network)
    right = torch.from_numpy(baseline.predictions).to(device) == labels.to(device)
    tally = _Tally()
    with torch.inference_mode(), ieee_float32():
        for start, stop in _batches(len(images), batch_size):
            logits = network(_on(images[start:stop], device))
            some = labels[start:stop].to(device)
            tally.add(logits.argmax(dim=1), some, right[start:stop], logits)
    return tally.evaluation(len(images))


def _device(network: nn.Module) -> torch.device:
    return next(iter(network.parameters())).device


def _on(images: Tensor, device: torch.device) -> Tensor:
    return images.to(device, torch.float32).contiguous(memory_format=torch.channels_last)


def _batches(n: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) // 2
    return 2 * GIBIBYTE


def _batch_size(bytes_per_image: int, memory: int, device: torch.device) -> int:
    fitting = memory // 2 // (4 * bytes_per_image)
    if device.type == "cpu":
        cached = max(64, min(_CACHE // bytes_per_image, 1024))
        return max(1, min(cached, fitting))
    return max(1, min(4096, fitting))


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _repeated(value: Any, times: int) -> Any:
    if times == 1:
        return value
    assert isinstance(value, Tensor)
    return torch.cat([value] * times)


def _require_logits(logits: object, n: int) -> None:
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != n:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"the network answers {n} images with {shape}: it must return logits of shape "
            f"({n}, classes)"
        )
