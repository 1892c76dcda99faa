"""Networks changed and trained again: where they start, and how they stand after every epoch."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import update_bn

from compressibility.errors import NumericalError, UserError
from compressibility.networks.arithmetic import ieee_float32
from compressibility.networks.copies import copied
from compressibility.networks.kernels import kernel_layer
from compressibility.networks.training import Recipe, one_epoch, optimizer_of
from compressibility.tensors.arrays import Floats
from compressibility.tensors.perturbations import shuffled


def with_kernels(network: nn.Module, kernels: Mapping[str, Floats]) -> nn.Module:
    """A copy of a network with other kernels, (OUT, IN, KH, KW), in some layers."""
    copy = copied(network)
    with torch.no_grad():
        for layer, kernel in kernels.items():
            weight = kernel_layer(copy, layer).weight
            weight.copy_(torch.from_numpy(kernel).reshape(weight.shape))
    return copy


def redrawn(network: nn.Module, rng: np.random.Generator) -> nn.Module:
    """A copy of an untrained network with the entries of every parameter in random order.

    Where the entries of each parameter were drawn independently from one law, as by
    `compressibility.networks.architectures.initialised`, this is another draw from it.
    """
    copy = copied(network)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.copy_(torch.from_numpy(shuffled(parameter.numpy(), rng)))
    return copy


def retrained(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    recipe: Recipe,
    generator: Generator,
) -> Iterator[nn.Module]:
    """A network before its training and after every epoch of it, in evaluation mode.

    It is trained in place, and is the same object every time: what is asked of it must be asked
    before the next one.

    Args:
        network: On the images' device.
        inputs: Normalised images, (n, channels, height, width).
        labels: Their classes, int64, (n,).
        recipe: Of the training.
        generator: The order and the augmentation of the images come from it.

    Raises:
        UserError: There are too few images for one batch.
        NumericalError: The training diverges.
    """
    if len(labels) < recipe.batch_size:
        raise UserError(
            f"{len(labels)} training images do not fill one batch of {recipe.batch_size}: give "
            "more images"
        )
    yield network.eval()
    optimizer = optimizer_of(network, recipe)
    for epoch in range(recipe.epochs):
        one_epoch(network.train(), optimizer, inputs, labels, recipe, generator, epoch)
        if not all(torch.isfinite(parameter).all() for parameter in network.parameters()):
            raise NumericalError(f"a weight is no longer finite after epoch {epoch + 1}")
        yield network.eval()


def has_batch_norm(network: nn.Module) -> bool:
    """Whether any batch norm of the network keeps running statistics."""
    return any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
        for module in network.modules()
    )


def re_estimated(network: nn.Module, inputs: Tensor, batch_size: int) -> nn.Module:
    """A copy of a network whose batch-norm statistics are those of some images.

    Means and variances are averaged over batches, all of one weight, through which the network
    runs as in training, without a step of it.

    Args:
        network: On the images' device.
        inputs: Normalised images, (n, channels, height, width); whole batches of them are taken.
        batch_size: Images of a batch.

    Source: Izmailov et al., Averaging weights leads to wider optima, arXiv 1803.05407, section 3.2.
    """
    copy = copied(network)
    whole = len(inputs) // batch_size * batch_size
    update_bn(torch.split(inputs[:whole], batch_size), copy)
    return copy.eval()


def answers(network: nn.Module, inputs: Tensor, batch_size: int = 500) -> Tensor:
    """The logits of all images, (n, classes), float32 without TF32, on the CPU."""
    with torch.inference_mode(), ieee_float32():
        return torch.cat([network(batch).cpu() for batch in torch.split(inputs, batch_size)])


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> float:
    """Over some images, nat, in float64.

    Args:
        logits: (n, classes), on the CPU.
        labels: Their classes, int64, (n,).

    Raises:
        NumericalError: It is not finite.
    """
    loss = float(nn.functional.cross_entropy(logits.double(), labels.cpu()))
    if not np.isfinite(loss):
        raise NumericalError(f"the loss of a network is {loss}")
    return loss


def between(one: nn.Module, other: nn.Module, share: float) -> nn.Module:
    """A copy of ``one`` on the straight line to ``other``: weights and running statistics.

    What is no floating-point number is that of ``one``.

    Args:
        one: At share 0.
        other: At share 1; of the same architecture.
        share: How far on the line.
    """
    copy = copied(one)
    end = other.state_dict()
    with torch.no_grad():
        for name, tensor in copy.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_((1 - share) * tensor.double() + share * end[name].double())
    return copy


def gradient_norm(
    network: nn.Module, inputs: Tensor, labels: Tensor, layers: Sequence[str]
) -> float:
    """The Euclidean norm of the gradient of the mean cross-entropy by some kernels, nat."""
    copy = copied(network).eval()
    weights = [kernel_layer(copy, layer).weight.requires_grad_(True) for layer in layers]
    with ieee_float32():
        loss = nn.functional.cross_entropy(copy(inputs), labels)
        gradients = torch.autograd.grad(loss, weights)
    return float(torch.cat([each.flatten() for each in gradients]).double().norm())
