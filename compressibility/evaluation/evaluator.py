"""Judging the answers of many variants of one network, each with some kernels replaced.

The plain way replaces the weights and runs the whole network on every image. The :class:`Evaluator`
gives the same counts for less: the network is traced once, each batch norm is folded into the
convolution before it, what lies before the first replaced layer is computed once for all variants,
the ranks of a cut share one convolution, and only what lies behind the layer runs for each variant.
"""

import copy
import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn

from compressibility.errors import UserError, nearest
from compressibility.evaluation import batches, tracing
from compressibility.evaluation.joint import portions
from compressibility.evaluation.judging import Judge
from compressibility.evaluation.metrics import (
    CLASSIFICATION,
    Baseline,
    DecisiveMetric,
    Evaluation,
    Metric,
)
from compressibility.evaluation.passes import OneLayer, Passes
from compressibility.evaluation.plain import (
    baseline_of,
    evaluated,
    require_images,
    require_outputs,
    whole,
)
from compressibility.evaluation.resumption import ResumableNetwork
from compressibility.evaluation.variants import (
    Changes,
    Kernels,
    Truncations,
    Variant,
    Variants,
    changes_of,
)
from compressibility.networks.arithmetic import agree, ieee_float32
from compressibility.networks.kernels import kernel_array
from compressibility.tensors.arrays import Floating
from compressibility.tensors.schmidt import SchmidtDecomposition

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]

_LOWER: Final[Mapping[str, torch.dtype | None]] = {
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class Evaluator:
    """The answers of one network on one set of images, with kernels replaced.

    Counts are those of :func:`plain_evaluation` but for images whose two largest logits differ
    by rounding alone, and losses agree to rounding.

    In a lower precision the counts stay those of float32: what lies behind the first replaced
    layer runs in that precision, its error is measured for each variant on images spread over the
    set, and each image whose two largest logits are within three times the greatest error seen is
    repeated in float32. Is an error then seen that is greater still, the variant is repeated as a
    whole. The loss is then not given: rounded weights shift the logits of all images alike, which
    put it off by 1e-3 to 1e-2 of itself in bfloat16, on networks trained on handwritten digits.

    A layer at which the forward pass cannot be resumed (:attr:`notes` says why) is measured by
    whole forward passes.

    Args:
        model: The network; it is copied and left as it is.
        images: Normalised images, floating, shape (N, C, H, W).
        labels: Classes, int64, shape (N,); or whatever targets the metric compares with.
        metric: How answers are judged; default: :class:`Classification`. One that is no
            :class:`DecisiveMetric` is measured in float32.
        device: Where to run.
        precision: The arithmetic behind the layer.
        batch_size: Images for one pass; default: by device and memory.
        memory: Bytes of activations to hold at once, about; the images themselves come on top.
            Default: 2 GiB on a CPU, half of what is free on a GPU.

    Raises:
        UserError: Images or labels are no tensors, or of the wrong dtype; no images; NaN among
            them; as many labels as images are not given, or labels beyond the classes; an unknown
            precision; or an image's answer depends on the other images of its batch (tried on
            three), so that none of this is defined.

    Examples:
        >>> import numpy as np
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
        >>> images, labels = torch.eye(4).reshape(4, 1, 2, 2), torch.tensor([0, 0, 1, 1])
        >>> evaluator = Evaluator(network, images, labels)
        >>> kernel = np.array([[1.0, 1, 0, 0], [0, 0, 1, -1]])[:, :, None, None]
        >>> evaluator.joint([{"1": kernel}])[0].n_correct
        3
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        metric: Metric = CLASSIFICATION,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
        batch_size: int | None = None,
        memory: int | None = None,
    ) -> None:
        """Copy the network to the device and trace it."""
        require_images(images, labels)
        if precision not in _LOWER:
            raise UserError(f"unknown precision {precision!r}: {nearest(precision, _LOWER)}")
        self.metric = metric
        self.device = torch.device(device)
        self.precision = precision
        self.notes: dict[str, str] = {}
        self._network = evaluated(model, self.device)
        self._images = images
        self._labels = labels.to(self.device)
        decides = isinstance(self.metric, DecisiveMetric)
        self._resumable = self._trace(_LOWER[precision] if decides else None)
        self._memory = batches.usable_memory(self.device) if memory is None else memory
        if self._resumable is None:
            self.batch_size = batch_size or 64
        else:
            self.batch_size = batch_size or batches.batch_size(
                self._resumable.bytes_per_image, self._memory, self.device
            )
            self._judge = Judge(
                self._resumable,
                self._images,
                self._labels,
                metric=metric,
                batch_size=self.batch_size,
                memory=self._memory // 2,
            )

    @cached_property
    def baseline(self) -> Baseline:
        """What the unchanged network answers, by whole forward passes."""
        return baseline_of(self._network, self._images, self._labels, self.metric, self.batch_size)

    def precision_behind(self, layer: str) -> Precision:
        """The arithmetic in which variants of a layer are evaluated.

        Float32 where no lower precision is asked for or can be checked: the pass cannot be
        resumed at the layer, the metric is no :class:`DecisiveMetric`, or there are hardly more
        images than a check takes.
        """
        if (
            self._resumable is None
            or self._resumable.reason_against(layer) is not None
            or self._resumable.entry(layer).lower is None
            or not self._judge.can_check
        ):
            return "float32"
        return self.precision

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
        groups = [each.distinct(layer, own) for each in variants]
        distinct = [group.variants for group in groups if len(group.variants)]
        measured = iter(self._of_one_layer(layer, distinct))
        unchanged = self.baseline.evaluation
        if self.precision_behind(layer) != "float32":
            unchanged = unchanged.without_means()
        return [
            group.as_asked(list(itertools.islice(measured, len(group.variants))), unchanged)
            for group in groups
        ]

    def joint(self, variants: Sequence[Variant]) -> list[Evaluation]:
        """The answers of variants of which each replaces the kernels of any number of layers.

        The network in front of the first replaced layer runs once for all variants that begin
        there, and so does what they have in common behind it. Kernels that in float32 are the
        layer's own, bit for bit, are left out; a variant without others is the baseline.

        Raises:
            ValueError: A layer is unknown or not measurable, or a kernel does not fit.
        """
        if isinstance(variants, Mapping):
            raise UserError("one variant is given: give a list of variants")
        layers = dict.fromkeys(layer for variant in variants for layer in variant)
        own = {layer: kernel_array(self._network, layer) for layer in layers}
        found: dict[int, Evaluation] = {}
        resumed: dict[bool, dict[int, Changes]] = {True: {}, False: {}}
        for number, changes in enumerate([changes_of(variant, own) for variant in variants]):
            if not changes:
                found[number] = self.baseline.evaluation
            elif all(self._resumes(layer) for layer in changes):
                lower = all(self._lowers(layer) for layer in changes)
                resumed[lower][number] = changes
            else:
                found[number] = self._whole(variants[number])
        for lower, some in resumed.items():
            if some and self._resumable is not None:
                for numbers, passes in portions(self._resumable, variants, some, self._memory // 4):
                    found |= zip(numbers, self._judged(passes, lower=lower), strict=True)
        return [found[number] for number in range(len(variants))]

    def _of_one_layer(self, layer: str, groups: Sequence[Variants]) -> list[Evaluation]:
        if not groups:
            return []
        if self._resumable is None or not self._resumes(layer):
            return [self._whole({layer: kernel}) for group in groups for kernel in group.kernels]
        entry = self._resumable.entry(layer)
        stack = max(1, self.batch_size // len(self._images)) if entry.independent else 1
        return self._judged(OneLayer(entry, groups, stack), lower=self._lowers(layer))

    def _judged(self, passes: Passes, *, lower: bool) -> list[Evaluation]:
        judge = self._judge.checked if lower else self._judge.exact
        return judge(passes, self.baseline)

    def _whole(self, variant: Variant) -> Evaluation:
        return whole(
            self._network,
            self._images,
            self._labels,
            variant,
            metric=self.metric,
            baseline=self.baseline,
            batch_size=self.batch_size,
        )

    def _resumes(self, layer: str) -> bool:
        """Whether the pass can be resumed at a layer; it is noted if not."""
        if self._resumable is None:
            return False
        if (reason := self._resumable.reason_against(layer)) is not None:
            self.notes[layer] = f"{layer} is measured by whole forward passes: {reason}"
        return reason is None

    def _lowers(self, layer: str) -> bool:
        """Whether what is behind a layer runs in lower precision; it is noted if it cannot."""
        assert self._resumable is not None
        if self.precision != "float32" and self._resumable.entry(layer).lower is None:
            reason = self._resumable.lower_reason
            if not isinstance(self.metric, DecisiveMetric):
                reason = f"{type(self.metric).__name__} does not tell which answers are in doubt"
            self.notes[layer] = f"{layer} is measured in float32: {reason}"
        return self.precision_behind(layer) != "float32"

    def _trace(self, lower: torch.dtype | None) -> ResumableNetwork | None:
        example = batches.prepared(self._images[[0, len(self._images) // 2, -1]], self.device)
        with torch.inference_mode(), ieee_float32():
            outputs = require_outputs(self._network(example), len(example))
            self.metric.check(outputs, self._labels)
            if not agree(outputs[:2], self._network(example[:2])):
                raise UserError(
                    "the logits of an image change with the other images of its batch (a batch "
                    "norm without running statistics?): evaluate such a network image by image"
                )
        try:
            return ResumableNetwork(copy.deepcopy(self._network), example, outputs, lower)
        except tracing.NotTraceableError as error:
            self.notes[""] = f"every layer is measured by whole forward passes: {error}"
            return None
