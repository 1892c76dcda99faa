"""The network as it was given, on a few images: what all that runs is held against."""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from compressibility.errors import ForeignError, foreign
from compressibility.networks.arithmetic import agree, ieee_float32
from compressibility.networks.kernels import evaluation_mode, substituted
from compressibility.networks.repeatability import apart, require_repeatable
from compressibility.networks.rounding import tolerance_of
from compressibility.networks.wrappers import uncompiled, unwrapped
from compressibility.tensors.arrays import Floating

_IMAGES: Final = 16
"""So many are compared: what PyTorch does to a batch may depend on its size."""


class Reference:
    """The network as it was given, on a few of the images.

    Its kernels are replaced in place and put back, bit for bit. It runs in evaluation mode, on its
    own device and in its own precision.

    Attributes:
        chosen: The numbers of the images; they are spread over all.
        images: The images, as given.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        """Run nothing yet."""
        count = max(3, min(len(images), _IMAGES))
        self.chosen = torch.linspace(0, len(images) - 1, count).round().long()
        self.images = images[self.chosen].detach()
        self._model = unwrapped(model)
        self._dtype: torch.dtype | None = None

    def disagreement(self, answers: Tensor, kernels: Mapping[str, Floating]) -> bool:
        """Whether the network with some kernels replaced answers otherwise; no if it fails to run.

        Args:
            answers: Of another form of the network to the images.
            kernels: Layer to kernel, (OUT, IN, KH, KW).
        """
        try:
            with foreign(), substituted(self._model, kernels):
                own = self._answers()
                if not isinstance(own, Tensor):
                    return True
                own, answers = own.to("cpu", torch.float32), answers.cpu()
                return not agree(answers, own) and not agree(answers, own, self._tolerance())
        except ForeignError:
            return False

    def is_defined(self) -> bool:
        """Whether the network itself answers alike whenever it is asked, image by image."""
        images = self._taken(self._dtype)
        try:
            with (
                foreign(),
                evaluation_mode(self._model),
                torch.no_grad(),
                uncompiled(),
                ieee_float32(),
            ):
                answers = require_repeatable(self._model, images)
                parts = [self._model(images[some]) for some in apart(len(images))]
                tolerance = self._tolerance()
        except ForeignError:
            return False
        return isinstance(answers, Tensor) and all(
            agree(part, answers[some], tolerance)
            for part, some in zip(parts, apart(len(images)), strict=True)
        )

    def _tolerance(self) -> float:
        """By how much its answers may differ, with the kernels that it now has."""
        with evaluation_mode(self._model):
            return tolerance_of(self._model, self._taken(self._dtype))

    def _taken(self, dtype: torch.dtype | None) -> Tensor:
        """The images, copied to where the network is."""
        parameter = next(self._model.parameters(), self.images)
        return self.images.to(parameter.device, dtype, copy=True)

    def _answers(self) -> Any:
        parameter = next(self._model.parameters(), self.images)
        dtypes = (self.images.dtype, parameter.dtype) if self._dtype is None else (self._dtype,)
        for dtype in dtypes:
            try:
                with (
                    foreign(),
                    evaluation_mode(self._model),
                    torch.no_grad(),
                    uncompiled(),
                    ieee_float32(),
                ):
                    answers = self._model(self._taken(dtype))
            except ForeignError:  # images of another dtype may be what it takes
                if dtype is dtypes[-1]:
                    raise
                continue
            self._dtype = dtype
            return answers
        return None
