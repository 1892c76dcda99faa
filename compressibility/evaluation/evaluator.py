"""Judging the answers of many variants of one network, each with some kernels replaced.

The plain way replaces the weights and runs the whole network on every image. The :class:`Evaluator`
gives the same counts for less: the network is traced once, each batch norm is folded into the
convolution before it, what lies before the first replaced layer is computed once for all variants,
the ranks of a cut share one convolution, and only what lies behind the layer runs for each variant.
"""

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn

from compressibility.errors import UserError, first_line, nearest
from compressibility.evaluation import batches, tracing
from compressibility.evaluation.agreement import Agreement
from compressibility.evaluation.forms import form_of
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
from compressibility.evaluation.plain import baseline_of, require_images, whole
from compressibility.evaluation.reference import Reference
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
from compressibility.networks.copies import copied
from compressibility.networks.kernels import kernel_array
from compressibility.networks.repeatability import without_chance
from compressibility.tensors.arrays import Floating
from compressibility.tensors.factors import Factors

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
    whole forward passes. So is one at which that would not give what the network itself answers:
    each way of computing is held against it, on a few of the images, before it is used.

    Args:
        model: The network; it is copied and left as it is, its kernels replaced for a moment and
            put back bit for bit where it is asked for comparison.
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
            precision; the network does not take the images; or what it answers to an image is not
            defined, since it depends on chance, on what it answered before, on the other images
            of the batch (tried on a few), or is not that of a copy.

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
        reference = Reference(model, images)
        self._form, self._example_outputs = form_of(model, reference, self.device)
        self.metric.check(self._example_outputs, labels)
        self._agreement = Agreement(reference, self._form)
        self._chosen = reference.chosen.numpy()
        self._images = images
        self._labels = labels.to(self.device)
        decides = isinstance(self.metric, DecisiveMetric)
        example = self._form.prepared(reference.images)
        self._resumable = self._trace(example, _LOWER[precision] if decides else None)
        self._memory = batches.usable_memory(self.device) if memory is None else memory
        if self._resumable is None:
            self.batch_size = batch_size or 64
        else:
            self.batch_size = batch_size or batches.batch_size(
                self._resumable.bytes_per_image, self._memory, self.device
            )
            self._judge = Judge(
                self._resumable,
                self._form,
                self._images,
                self._labels,
                metric=metric,
                batch_size=self.batch_size,
                memory=self._memory // 2,
            )

    @property
    def n_images(self) -> int:
        """How many images are answered."""
        return len(self._images)

    @cached_property
    def baseline(self) -> Baseline:
        """What the unchanged network answers, by whole forward passes."""
        baseline = baseline_of(self._form, self._images, self._labels, self.metric, self.batch_size)
        sampled = baseline.outputs[self._chosen]
        self._form.require_alike(torch.from_numpy(sampled), self._example_outputs.cpu())
        return baseline

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
        self, layer: str, decomposition: Factors, ranks: Sequence[int]
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
        own = kernel_array(self._form.network, layer)
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
        own = {layer: kernel_array(self._form.network, layer) for layer in layers}
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
                    together = list(some[numbers[0]])
                    if self._noted(
                        together,
                        self._agreement.on_layers(self._resumable, together, self._memory),
                    ):
                        found |= zip(numbers, self._judged(passes, lower=lower), strict=True)
                    else:
                        found |= {number: self._whole(variants[number]) for number in numbers}
        return [found[number] for number in range(len(variants))]

    def _of_one_layer(self, layer: str, groups: Sequence[Variants]) -> list[Evaluation]:
        if not groups:
            return []
        if self._resumable is None or not self._resumes(layer):
            return [self._whole({layer: kernel}) for group in groups for kernel in group.kernels]
        entry = self._resumable.entry(layer)
        stack = max(1, self.batch_size // len(self._images)) if entry.independent else 1
        passes = OneLayer(entry, groups, stack)
        agreement, network = self._agreement, self._resumable
        if self._noted(
            [layer],
            agreement.on_layers(network, [layer], self._memory)
            and agreement.on_ways(network, layer, passes, groups),
        ):
            return self._judged(passes, lower=self._lowers(layer))
        return [self._whole({layer: kernel}) for group in groups for kernel in group.kernels]

    def _judged(self, passes: Passes, *, lower: bool) -> list[Evaluation]:
        with without_chance(self.device):  # which another kernel may let loose
            if lower:
                try:
                    return self._judge.checked(passes, self.baseline)
                except RuntimeError as error:  # an operator may be lacking in that precision alone
                    assert self._resumable is not None
                    self._resumable.forgo_lower(f"{self.precision} fails ({first_line(error)})")
                    self.notes[""] = f"float32 is used: {self._resumable.lower_reason}"
            return self._judge.exact(passes, self.baseline)

    def _noted(self, layers: Sequence[str], agrees: bool) -> bool:
        """Whether the pass entered at layers answers as the network itself; it is noted if not."""
        if not agrees:
            for layer in layers:
                self.notes[layer] = (
                    f"{layer} is measured by whole forward passes: entered there, the network "
                    "answers otherwise"
                )
        return agrees

    def _whole(self, variant: Variant) -> Evaluation:
        self._agreement.require_whole(list(variant))
        return whole(
            self._form,
            self._images,
            self._labels,
            variant,
            metric=self.metric,
            baseline=self.baseline,
            batch_size=self.batch_size,
        )

    def _resumes(self, layer: str) -> bool:
        """Whether the pass can be resumed at a layer; it is noted if not."""
        if self._resumable is None or not self._alike_on_all:
            return False
        if (reason := self._resumable.reason_against(layer)) is not None:
            self.notes[layer] = f"{layer} is measured by whole forward passes: {reason}"
        return reason is None

    @cached_property
    def _alike_on_all(self) -> bool:
        """Whether the traced network answers every image as the whole one; it is noted if not."""
        assert self._resumable is not None
        network, form = self._resumable.whole(), self._form
        with torch.inference_mode(), ieee_float32():
            alike = all(
                agree(
                    network(form.prepared(self._images[chosen])).cpu(),
                    torch.from_numpy(self.baseline.outputs[chosen]),
                    form.tolerance,
                )
                for chosen in batches.batches(len(self._images), self.batch_size)
            )
        if not alike:
            self.notes[""] = (
                "every layer is measured by whole forward passes: the traced network answers some "
                "images otherwise"
            )
        return alike

    def _lowers(self, layer: str) -> bool:
        """Whether what is behind a layer runs in lower precision; it is noted if it cannot."""
        assert self._resumable is not None
        if self.precision != "float32" and self._resumable.entry(layer).lower is None:
            reason = self._resumable.lower_reason
            if not isinstance(self.metric, DecisiveMetric):
                reason = f"{type(self.metric).__name__} does not tell which answers are in doubt"
            self.notes[layer] = f"{layer} is measured in float32: {reason}"
        return self.precision_behind(layer) != "float32"

    def _trace(self, example: Tensor, lower: torch.dtype | None) -> ResumableNetwork | None:
        form = self._form
        reason = form.reason_against_shortcuts
        if not reason:
            network, outputs = copied(form.network), self._example_outputs
            try:
                return ResumableNetwork(
                    network, example, outputs, lower, form.layout, form.tolerance
                )
            except tracing.NotTraceableError as error:
                reason = str(error)
        self.notes[""] = f"every layer is measured by whole forward passes: {reason}"
        return None
