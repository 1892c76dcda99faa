"""A network that is no longer trained: a copy that computes in one precision, as itself."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from compressibility.errors import ForeignError, NumericalError, UserError, foreign
from compressibility.networks.arithmetic import agree, cast, ieee_float32, tolerance
from compressibility.networks.copies import converted, copied
from compressibility.networks.kernels import evaluation_mode, require_initialised, substituted
from compressibility.networks.normalisation import affine_map, written_out
from compressibility.networks.refusals import kind_of, refusals
from compressibility.networks.repeatability import apart, require_repeatable
from compressibility.networks.rounding import enlarged_rounding
from compressibility.networks.wrappers import uncompiled, unwrapped
from compressibility.tensors.arrays import Floats


class Frozen(nn.Module):
    """A copy of a network, in evaluation mode, without gradients, in one precision.

    Attributes:
        network: The copy.
        dtype: Of all that floats in it.
        unlike: The layers whose kernels act otherwise in the network that was copied.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        """Convert a copy, in place."""
        super().__init__()
        self.network = converted(network, dtype=dtype).eval()
        for parameter in self.network.parameters():
            if parameter.is_leaf:  # those of a copied script are none
                parameter.requires_grad_(False)
        self.dtype = dtype
        self.unlike: frozenset[str] = frozenset()
        self.eval()

    def forward(self, images: Tensor) -> Any:
        """What the copy answers."""
        return self.network(cast(images, self.dtype).clone())  # it may write into what it is given

    def answers(self, images: Tensor) -> Any:
        """The same, without gradients; the copy stays as it is."""
        with evaluation_mode(self), torch.no_grad(), uncompiled(), ieee_float32():
            return self(images)

    def in_dtype(self, dtype: torch.dtype, images: Tensor) -> "Frozen | None":
        """A copy of this copy in another precision; None if it does not answer ``images`` alike."""
        own = self.answers(images)
        other = Frozen(copied(self.network), dtype)
        try:
            with foreign():
                answers = other.answers(images)
        except ForeignError:
            return None
        alike = answers.dtype == dtype and agree(answers, own, tolerance({self.dtype}))
        return other if alike else None


def frozen(model: nn.Module, dtype: torch.dtype, images: Tensor) -> Frozen:
    """A copy of a network, held against the network itself.

    Batch norms are written out as the affine maps that they are, where it then answers alike.

    Args:
        model: The network, which is not touched.
        dtype: Of all that floats in the copy.
        images: A few, as the network takes them.

    Raises:
        UserError: The network cannot be copied, does not take the images, or does not answer with
            one row of logits an image; it draws random numbers, answers otherwise from run to run,
            beside other images, or in this precision.
        NumericalError: It answers with NaN or infinity.
    """
    network = unwrapped(model)
    require_initialised(network)
    _require_statistics(network)
    own, images = _taken(network, images)
    floating = {each.dtype for each in network.parameters() if each.is_floating_point()}
    allowed = tolerance({dtype} | floating)
    reason = ""
    for written in (True, False):
        copy = copied(network).eval()
        found = Frozen(written_out(copy) if written else copy, dtype)
        try:
            with foreign():
                answers = found.answers(images)
        except ForeignError as error:
            reason = f"fails in {dtype} ({error})"
            continue
        with evaluation_mode(found), ieee_float32():
            require_repeatable(found, images)
            allowed = max(allowed, enlarged_rounding(found, images))
        if _differ(answers, own, allowed):
            reason = f"answers otherwise in {dtype}"
            continue
        _require_apart(found, images, answers, allowed)
        found.unlike = _unlike(network, found, images, allowed)
        return found
    raise UserError(
        f"a copy of the network {reason}: let it compute in the precision of its weights, and let "
        "its hooks, and functions set on its modules, hold on to no module"
    )


def _require_apart(found: Frozen, images: Tensor, answers: Tensor, allowed: float) -> None:
    """Refuse a network whose logits of an image hang on the others of its batch."""
    for some in apart(len(images)):
        try:
            with foreign():
                others = found.answers(images[some])
        except ForeignError as error:
            raise UserError(
                f"the network takes a batch of {len(images)} images, and fails on one of "
                f"{len(some)} ({error}): the curvature of such a network is that of no "
                "image"
            ) from error
        if _differ(others, answers[some], allowed):
            raise UserError(
                "the logits of an image change with the other images of its batch (a batch norm "
                "without running statistics?): the curvature of such a network is that of no image"
            )


def _differ(answers: Any, own: Tensor, allowed: float) -> bool:
    """Whether answers are others; no if they overflow, which is told of products with them."""
    if not isinstance(answers, Tensor):
        return True
    return bool(torch.isfinite(answers).all()) and not agree(answers, own, allowed)


def _require_statistics(network: nn.Module) -> None:
    for path, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and affine_map(module) is None:
            raise UserError(
                f"layer {path!r} keeps no running statistics, so that its output depends on the "
                "batch: curvature needs track_running_stats=True"
            )


def _taken(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """The logits of a network, and the images in the dtype that it takes."""
    parameter = next(network.parameters(), images)
    images = images.to(parameter.device)
    try:
        answers = _answers(network, images)
    except ForeignError:  # images of another dtype may be what it takes
        images = cast(images, parameter.dtype)
        try:
            answers = _answers(network, images)
        except ForeignError as error:
            raise UserError(
                f"the network does not take images of shape {tuple(images.shape)}, "
                f"{images.dtype}: {error}"
            ) from error
    if not isinstance(answers, Tensor) or answers.ndim != 2 or len(answers) != len(images):
        shape = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__
        raise UserError(
            f"the network answers {len(images)} images with {shape}: a training loss needs logits "
            f"of shape ({len(images)}, classes)"
        )
    if not torch.isfinite(answers).all():
        raise NumericalError("the network answers training images with NaN or infinity")
    return answers, images


def _answers(network: nn.Module, images: Tensor) -> Any:
    with foreign(), evaluation_mode(network), torch.no_grad(), uncompiled(), ieee_float32():
        return network(images.clone())


def _unlike(network: nn.Module, copy: Frozen, images: Tensor, allowed: float) -> frozenset[str]:
    refused = refusals(network)
    kernels = {
        path: _another(module.get_parameter("weight"))
        for path, module in network.named_modules()
        if kind_of(module) and path not in refused
    }

    def act_otherwise(some: dict[str, Floats]) -> bool:
        with substituted(network, some):
            own = _answers(network, images)
        with substituted(copy.network, some):
            return _differ(copy.answers(images), own, allowed)

    if not act_otherwise(kernels):
        return frozenset()
    return frozenset(layer for layer in kernels if act_otherwise({layer: kernels[layer]}))


def _another(weight: Tensor) -> Floats:
    """A kernel a little away from a weight, (OUT, IN, KH, KW)."""
    kernel: Floats = weight.detach().double().cpu().numpy()
    kernel = kernel.reshape(*kernel.shape, *(1,) * (4 - kernel.ndim))
    drawn = np.random.default_rng(0).standard_normal(kernel.shape)
    size = np.sqrt(np.mean(kernel**2)) or 1.0
    return kernel + 0.3 * size * drawn
