"""The network as it was given, on a few images: what all that runs is held against."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from compressibility.errors import first_line
from compressibility.networks.arithmetic import TOLERANCE, agree, ieee_float32, tolerance
from compressibility.networks.kernels import evaluation_mode, substituted
from compressibility.networks.repeatability import require_repeatable
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
        failure: Why the network does not run as given; empty if it does.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        """Run nothing yet."""
        count = max(3, min(len(images), _IMAGES))
        self.chosen = torch.linspace(0, len(images) - 1, count).round().long()
        self.images = images[self.chosen].detach()
        self.failure = ""
        self._model = unwrapped(model)
        self._dtype: torch.dtype | None = None
        self._tolerance = TOLERANCE

    def disagreement(self, answers: Tensor, kernels: Mapping[str, Floating]) -> bool:
        """Whether the network with some kernels replaced answers otherwise; no if it fails to run.

        Args:
            answers: Of another form of the network to the images.
            kernels: Layer to kernel, (OUT, IN, KH, KW).
        """
        try:
            with substituted(self._model, kernels):
                own = self._answers()
        except Exception as error:  # user code runs here: it may raise anything
            self.failure = first_line(error)
            return False
        return not isinstance(own, Tensor) or not agree(
            answers.cpu(), own.to("cpu", torch.float32), self._tolerance
        )

    def is_defined(self) -> bool:
        """Whether the network itself answers alike whenever it is asked, image by image."""
        device = next((each.device for each in self._model.parameters()), self.images.device)
        images = self.images.to(device, self._dtype)
        try:
            with evaluation_mode(self._model), torch.no_grad(), uncompiled(), ieee_float32():
                answers = require_repeatable(self._model, images)
                parts = [self._model(images[some]) for some in apart(len(images))]
        except Exception:  # user code runs here, and what it answers may not be defined
            return False
        return isinstance(answers, Tensor) and all(
            agree(part, answers[some], self._tolerance)
            for part, some in zip(parts, apart(len(images)), strict=True)
        )

    def _answers(self) -> Any:
        parameter = next(self._model.parameters(), None)
        images = self.images if parameter is None else self.images.to(parameter.device)
        dtypes = [images.dtype] if parameter is None else [images.dtype, parameter.dtype]
        if self._dtype is not None:
            dtypes = [self._dtype]
        for dtype in dtypes:
            seen = FloatingDtypes()
            try:
                with (
                    evaluation_mode(self._model),
                    torch.no_grad(),
                    uncompiled(),
                    ieee_float32(),
                    seen,
                ):
                    answers = self._model(images.to(dtype, copy=True))
            except Exception:  # images of another dtype may be what it takes
                if dtype is dtypes[-1]:
                    raise
                continue
            self._dtype = dtype
            self._tolerance = tolerance(seen.dtypes)
            return answers
        return None


class FloatingDtypes(TorchFunctionMode):
    """The floating-point dtypes of all that is computed while the context lasts."""

    def __init__(self) -> None:
        """See nothing yet."""
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Compute, and take note."""
        result = func(*args, **kwargs or {})
        self.dtypes |= {
            value.dtype
            for value in tree_leaves(result)
            if isinstance(value, Tensor) and value.is_floating_point()
        }
        return result


def apart(count: int) -> list[list[int]]:
    """Some of ``count`` images, three at least, in other company and order."""
    return [[2, 0], [1], list(reversed(range(count)))]


def dtypes_of(network: nn.Module, images: Tensor) -> set[torch.dtype]:
    """The floating-point dtypes that a network computes in, as it is."""
    seen = FloatingDtypes()
    with seen:
        network(images.clone())
    return seen.dtypes
