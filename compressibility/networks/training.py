"""Training a network from its initial weights, resumable after every epoch."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from compressibility.errors import NumericalError, UserError
from compressibility.files import write_whole
from compressibility.networks.image_sets import ImageSet


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with Nesterov momentum and one cycle of the learning rate.

    The rate rises linearly from 0 to ``peak_learning_rate`` over the first ``warm_up`` share of
    the steps and falls linearly to 0 over the rest. Images are shifted by up to ``shift`` pixels
    (zeros come in from outside) and, with ``flip``, mirrored at random. Weight decay acts on
    kernels alone.
    """

    epochs: int
    batch_size: int
    peak_learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: float = 0.2
    label_smoothing: float = 0.0
    shift: int = 0
    flip: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of one step of all, from 0."""
        rise = max(1.0, self.warm_up * steps)
        return self.peak_learning_rate * min((step + 1) / rise, (steps - step) / (steps - rise + 1))


@dataclass(frozen=True)
class ConstantRate(Recipe):
    """The same, but the learning rate is ``peak_learning_rate`` in every step."""

    def rate(self, step: int, steps: int) -> float:
        """The same in every step."""
        return self.peak_learning_rate


@dataclass(frozen=True)
class Progress:
    """Where a training stands: epochs done of all, and the last epoch's mean training loss."""

    epoch: int
    epochs: int
    loss: float


def augmented(images: Tensor, recipe: Recipe, generator: Generator) -> Tensor:
    """``images`` (n, channels, height, width), each shifted and mirrored at random."""
    count, _, height, width = images.shape
    if recipe.shift:
        padded = F.pad(images, [recipe.shift] * 4)
        offsets = torch.randint(2 * recipe.shift + 1, (2, count, 1), generator=generator)
        rows, columns = offsets.to(images.device)
        rows = rows + torch.arange(height, device=images.device)
        columns = columns + torch.arange(width, device=images.device)
        number = torch.arange(count, device=images.device)
        images = padded[number[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        images = images.permute(0, 3, 1, 2)
    if recipe.flip:
        mirrored = torch.rand(count, generator=generator).to(images.device) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    return images


def train(
    network: nn.Module,
    images: ImageSet,
    recipe: Recipe,
    generator: Generator,
    *,
    device: torch.device,
    state_file: Path | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> nn.Module:
    """Train ``network`` in place on ``device``; return it on the CPU, in evaluation mode.

    The order and the augmentation of the images come from ``generator``. With ``state_file``,
    the state after each epoch is kept there, and training resumes from what it holds; the file
    is removed at the end. Parameters stay float32; with bfloat16, the products are taken in it.

    Raises:
        NumericalError: The loss is no longer finite.
        UserError: There are too few images for one batch.
    """
    if len(images.train) < recipe.batch_size:
        raise UserError(
            f"{images.name}: {len(images.train)} training images do not fill one batch of "
            f"{recipe.batch_size}: give more images"
        )
    inputs = images.normalised(images.train.images.to(device))
    labels = images.train.labels.to(device)
    network.to(device).to(memory_format=torch.channels_last).train()
    optimizer = optimizer_of(network, recipe)
    first = _restore(state_file, network, optimizer, generator, device)
    for epoch in range(first, recipe.epochs):
        mean = one_epoch(network, optimizer, inputs, labels, recipe, generator, epoch)
        if state_file is not None:
            _keep(state_file, network, optimizer, generator, epoch + 1)
        report(Progress(epoch + 1, recipe.epochs, mean))
    if state_file is not None:
        state_file.unlink(missing_ok=True)
    return network.to("cpu").to(memory_format=torch.contiguous_format).eval()


def optimizer_of(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """Stochastic gradient descent on all parameters, before its first step."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": kernels},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups,
        lr=recipe.peak_learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )


def one_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    labels: Tensor,
    recipe: Recipe,
    generator: Generator,
    epoch: int,
) -> float:
    """Train a network in place through all whole batches of its images once.

    Args:
        network: In training mode, on the images' device.
        optimizer: Of its parameters.
        inputs: Normalised images, (n, channels, height, width).
        labels: Their classes, int64, (n,).
        recipe: Of the training.
        generator: The order and the augmentation of the images come from it.
        epoch: The number of this one, from 0.

    Returns:
        The mean training loss, nat.

    Raises:
        NumericalError: The loss is no longer finite.
    """
    device = inputs.device
    batches = len(labels) // recipe.batch_size
    order = torch.randperm(len(labels), generator=generator).to(device)
    total = torch.zeros((), device=device)
    for batch in range(batches):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(epoch * batches + batch, recipe.epochs * batches)
        chosen = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
        batch_images = augmented(inputs[chosen], recipe, generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            logits = network(batch_images.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(
            logits.float(), labels[chosen], label_smoothing=recipe.label_smoothing
        )
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        total += loss.detach()
    mean = float(total) / batches
    if not torch.isfinite(total):
        raise NumericalError(
            f"training loss is {mean} in epoch {epoch + 1} of {recipe.epochs}; "
            f"lower the peak learning rate {recipe.peak_learning_rate}"
        )
    return mean


def rounded_to_float16(network: nn.Module) -> nn.Module:
    """Round parameters and buffers to float16 in place, kept as float32; return ``network``.

    A float16 checkpoint of the result is then exactly the network that is measured.

    Raises:
        NumericalError: A value is beyond float16's largest, 65504.
    """
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
                if not torch.isfinite(tensor).all():
                    raise NumericalError(f"{name} does not fit float16: values beyond 65504")
    return network


def _keep(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: Generator,
    epoch: int,
) -> None:
    content = io.BytesIO()
    torch.save(
        {
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generator": generator.get_state(),
            "epoch": epoch,
        },
        content,
    )
    write_whole(path, content.getvalue())


def _restore(
    path: Path | None,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: Generator,
    device: torch.device,
) -> int:
    """Epochs done, with network, optimizer and generator as they were after them."""
    if path is None or not path.exists():
        return 0
    state = torch.load(path, map_location=device, weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    generator.set_state(state["generator"].cpu())
    epoch: int = state["epoch"]
    return epoch
