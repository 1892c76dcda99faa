"""The form in which a network runs: float32, its channels last, if it then answers alike."""

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

from compressibility.errors import ForeignError, UserError, foreign
from compressibility.evaluation.reference import Reference
from compressibility.networks.arithmetic import TOLERANCE, agree, ieee_float32, tolerance
from compressibility.networks.copies import converted, copied
from compressibility.networks.kernels import require_initialised
from compressibility.networks.repeatability import apart, require_repeatable, without_chance
from compressibility.networks.rounding import dtypes_of, enlarged_rounding
from compressibility.networks.wrappers import uncompiled, unwrapped

_LOOSEST: Final = 1e-3
"""With a greater tolerance, answers hardly tell whether they were computed rightly."""


@dataclass(frozen=True, eq=False)
class Form:
    """A copy of a network in evaluation mode, without gradients, as it runs.

    Attributes:
        network: The copy, on the device.
        device: Where it runs.
        dtype: Of images and of all that floats; none where the network's own dtypes are kept.
        layout: How images of four dimensions lie in memory.
        note: Why it is not float32 with the channels last; none if it is.
        tolerance: By how much its answers may differ, of the greatest, if computed otherwise.
        hangs_on_rounding: Whether that is more than tells a fault from rounding.
    """

    network: nn.Module
    device: torch.device
    dtype: torch.dtype | None = torch.float32
    layout: torch.memory_format = torch.channels_last
    note: str | None = None
    tolerance: float = TOLERANCE
    hangs_on_rounding: bool = False

    @property
    def reason_against_shortcuts(self) -> str:
        """Why the network must run as a whole; empty if it need not."""
        if self.dtype is None:
            return self.note or "it runs in its own precisions"
        if self.hangs_on_rounding:
            return "its answers hang on rounding, so that they do not tell a fault from it"
        return ""

    def prepared(self, images: Tensor) -> Tensor:
        """Images as the copy takes them."""
        images = images.to(self.device, self.dtype)
        return images.contiguous(
            memory_format=self.layout if images.ndim == 4 else torch.contiguous_format
        )

    def require_alike(self, answers: Tensor, others: Tensor) -> None:
        """Refuse answers to the same images that are otherwise in other company.

        Raises:
            UserError: They differ by more than rounding.
        """
        if not agree(answers, others, self.tolerance):
            raise UserError(
                "the logits of an image change with the other images of its batch (a batch norm "
                "without running statistics?): evaluate such a network image by image"
            )

    def answers(self, images: Tensor) -> Tensor:
        """What the copy answers to images, as it is."""
        with torch.no_grad(), ieee_float32(), uncompiled(), without_chance(self.device):
            outputs: Tensor = self.network(self.prepared(images).clone())  # it may write there
        return outputs


def form_of(model: nn.Module, reference: Reference, device: torch.device) -> tuple[Form, Tensor]:
    """The form in which a network runs fastest and answers as itself; its answers too.

    Args:
        model: The network, which is copied.
        reference: The same, with a few images.
        device: Where to run.

    Returns:
        The form, and what it answers to the images of the reference.

    Raises:
        UserError: The network is not initialised, cannot be copied, does not take the images, draws
            random numbers, answers otherwise from run to run, answers otherwise than its copy, or
            answers an image otherwise beside others.
    """
    require_initialised(model)
    reasons: list[str] = []
    for dtype, layout in _candidates(model):
        copy = copied(unwrapped(model)).eval().to(device)
        for parameter in copy.parameters():
            if parameter.is_leaf:
                parameter.requires_grad_(False)
        network = converted(copy, dtype=dtype, channels_last=layout is torch.channels_last)
        form = Form(network, device, dtype, layout, reasons[-1] if reasons else None)
        try:
            with foreign(UserError):
                form, answers = _checked(form, reference.images)
        except UserError as error:
            if reference.is_defined():
                reasons.append(f"{_called(form)} it answers otherwise ({error})")
                continue
            raise
        except ForeignError as error:
            reasons.append(f"{_called(form)} it fails ({error})")
            continue
        if not reference.disagreement(answers, {}):
            return form, answers
        reasons.append(f"{_called(form)} it answers otherwise")
    if all("it fails" in reason for reason in reasons):
        raise UserError(
            f"the network does not take a batch of shape {tuple(reference.images.shape)}, "
            f"{reference.images.dtype}: {reasons[-1]}"
        )
    raise UserError(
        "a copy of the network answers otherwise than the network itself: something in it (a hook, "
        "a function set on a module) holds on to the original, or changes from run to run; let it "
        "take the module that it is called with"
    )


def _checked(form: Form, images: Tensor) -> tuple[Form, Tensor]:
    """The form with its tolerance, and its answers.

    Raises:
        UserError: They are not defined, or no tensor of as many parts.
    """
    prepared = form.prepared(images)
    with torch.no_grad(), ieee_float32(), uncompiled():
        answers = require_outputs(require_repeatable(form.network, prepared), len(images))
        by_dtypes = tolerance(dtypes_of(form.network, prepared))
        enlarged = enlarged_rounding(form.network, prepared)
    form = replace(
        form,
        tolerance=max(by_dtypes, enlarged),
        hangs_on_rounding=by_dtypes <= _LOOSEST < enlarged,
    )
    for some in apart(len(images)):
        form.require_alike(form.answers(images[some]), answers[some])
    return form, answers


def require_outputs(outputs: object, n_images: int) -> Tensor:
    """The outputs, if they are a tensor with one part for each image.

    Raises:
        UserError: They are not.
    """
    if not isinstance(outputs, Tensor) or outputs.ndim == 0 or len(outputs) != n_images:
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise UserError(
            f"the network answers {n_images} images with {shape}: it must return logits of shape "
            f"({n_images}, classes), or another tensor of {n_images} parts that the metric judges"
        )
    return outputs


def _candidates(model: nn.Module) -> list[tuple[torch.dtype | None, torch.memory_format]]:
    """Dtypes and layouts, the fastest first."""
    dtypes = {each.dtype for each in model.parameters() if each.is_floating_point()}
    own = (None, torch.contiguous_format)
    if len(dtypes) > 1 and any(each.itemsize < 4 for each in dtypes):
        return [own]  # in float32 it would compute something else
    return [(torch.float32, torch.channels_last), (torch.float32, torch.contiguous_format), own]


def _called(form: Form) -> str:
    if form.dtype is None:
        return "in its own precisions"
    if form.layout is torch.channels_last:
        return "with its channels last in memory"
    return f"in {form.dtype}"
