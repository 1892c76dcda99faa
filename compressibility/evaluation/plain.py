"""The plain way: replace the kernels, and run the whole network on all images."""

import numpy as np
import torch
from torch import Tensor, nn

from compressibility.errors import UserError
from compressibility.evaluation.agreement import Agreement
from compressibility.evaluation.batches import batches
from compressibility.evaluation.forms import Form, form_of, require_outputs
from compressibility.evaluation.metrics import (
    CLASSIFICATION,
    Baseline,
    Evaluation,
    Metric,
    Tally,
    parts_of,
)
from compressibility.evaluation.reference import Reference
from compressibility.evaluation.variants import Variant, kernel_of
from compressibility.networks.kernels import substituted


def plain_evaluation(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    variant: Variant,
    *,
    metric: Metric = CLASSIFICATION,
    baseline: Baseline | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 256,
) -> Evaluation:
    """Replace kernels and run the whole network on all images, in float32 without TF32.

    Args:
        model: The network; a copy in evaluation mode is run.
        images: Normalised images, float32, shape (N, C, H, W).
        targets: What they are to be; classes, int64, shape (N,).
        variant: Layer to its new kernel, (OUT, IN, KH, KW), or to a chain.
        metric: How answers are judged; default: :class:`Classification`.
        baseline: The unchanged network's answers, if known; else it is run too.
        device: Where to run.
        batch_size: Images for one forward pass.

    Raises:
        ValueError: A layer is unknown, a kernel does not fit, or as for :class:`Evaluator`.
    """
    require_images(images, targets)
    reference = Reference(model, images)
    form, _ = form_of(model, reference, torch.device(device))
    Agreement(reference, form).require_whole(list(variant))
    if baseline is None:
        baseline = baseline_of(form, images, targets, metric, batch_size)
    return whole(
        form,
        images,
        targets,
        variant,
        metric=metric,
        baseline=baseline,
        batch_size=batch_size,
    )


def require_images(images: object, targets: object) -> None:
    """Refuse what are no images and targets.

    Raises:
        UserError: They are no tensors, images are no floats, not finite or none, or there are not
            as many targets.
    """
    for name, given in (("images", images), ("labels", targets)):
        if not isinstance(given, Tensor):
            raise UserError(
                f"the {name} are of type {type(given).__name__}: give a tensor, as "
                "torch.as_tensor makes it"
            )
    assert isinstance(images, Tensor)
    assert isinstance(targets, Tensor)
    if min(images.ndim, targets.ndim) == 0 or len(images) != len(targets) or len(images) == 0:
        count, labels = (len(each) if each.ndim else "no" for each in (images, targets))
        raise UserError(
            f"{count} images with {labels} labels: give one label for each image, and at least "
            "one image"
        )
    if not images.is_floating_point():
        raise UserError(
            f"the images are {images.dtype}: give them as floats, normalised as in training"
        )
    if not torch.isfinite(images).all():
        raise UserError("the images hold NaN or infinity: normalise them without")


def baseline_of(
    form: Form, images: Tensor, targets: Tensor, metric: Metric, batch_size: int
) -> Baseline:
    """What the unchanged network answers, by whole forward passes."""
    outputs: list[Tensor] = []
    counted: dict[str, list[Tensor]] = {}
    tally = Tally()
    with torch.no_grad():
        for chosen in batches(len(images), batch_size):
            some = targets[chosen].to(form.device)
            answers = require_outputs(form.answers(images[chosen]), chosen.stop - chosen.start)
            if not outputs:
                metric.check(answers, targets)
            outputs.append(answers)
            now = metric.counted(answers, some)
            for name, values in now.items():
                counted.setdefault(name, []).append(values)
            tally.count(now, now)
            tally.average(metric.averaged(answers, some))
    return Baseline(
        outputs=np.concatenate([each.float().cpu().numpy() for each in outputs]),
        evaluation=tally.evaluation(len(images)),
        counted={name: torch.cat(parts).cpu().numpy() for name, parts in counted.items()},
    )


def whole(
    form: Form,
    images: Tensor,
    targets: Tensor,
    variant: Variant,
    *,
    metric: Metric,
    baseline: Baseline,
    batch_size: int,
) -> Evaluation:
    """What the network answers with kernels replaced, by whole forward passes."""
    before = baseline.counted_on(form.device)
    kernels = {layer: kernel_of(replacement) for layer, replacement in variant.items()}
    tally = Tally()
    with substituted(form.network, kernels), torch.no_grad():
        for chosen in batches(len(images), batch_size):
            outputs = form.answers(images[chosen])
            some = targets[chosen].to(form.device)
            tally.count(metric.counted(outputs, some), parts_of(before, chosen))
            tally.average(metric.averaged(outputs, some))
    return tally.evaluation(len(images))
