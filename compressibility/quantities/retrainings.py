"""Re-trainings of one network: where they start, what it answers after each epoch, its kernels."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from torch import Generator, Tensor, nn

from compressibility.errors import NumericalError
from compressibility.networks.compression import compress
from compressibility.networks.copies import copied
from compressibility.networks.kernels import kernel_array
from compressibility.networks.retraining import (
    answers,
    has_batch_norm,
    mean_cross_entropy,
    re_estimated,
    redrawn,
    retrained,
    with_kernels,
)
from compressibility.networks.training import Recipe
from compressibility.store import arms
from compressibility.store.schema import Flag
from compressibility.subjects import Subject
from compressibility.tensors.arrays import Floats
from compressibility.tensors.chains import Chain
from compressibility.tensors.modes import TRIVIAL, Cut, same_as
from compressibility.tensors.perturbations import matched_perturbation, shuffled
from compressibility.tensors.schmidt import SchmidtDecomposition, decompose
from compressibility.tensors.thresholds import rank_at


@dataclass(frozen=True, eq=False)
class Truncated:
    """One layer's truncation: its decomposition, and the Schmidt values that are kept."""

    decomposition: SchmidtDecomposition
    rank: int

    @property
    def cut(self) -> Cut:
        """Along which it is taken."""
        return self.decomposition.cut


@dataclass(frozen=True, eq=False)
class Epoch:
    """What a network answers after an epoch, by the ends of the variables' names; its kernels."""

    answers: Mapping[str, int | float]
    kernels: Mapping[str, Floats]


def truncations_of(subject: Subject, cut: str, threshold: float) -> dict[str, Truncated]:
    """Every layer's truncation, but of those in which the cut is trivial."""
    found = {}
    for layer in (kernel.layer for kernel in subject.layers):
        kernel = subject.kernel(layer)
        held = same_as(kernel.shape, cut)
        if held != TRIVIAL:
            decomposition = decompose(kernel, held)
            found[layer] = Truncated(decomposition, rank_at(decomposition.spectrum, threshold))
    return found


def changed(
    arm: str,
    subject: Subject,
    truncations: Mapping[str, Truncated],
    rng: np.random.Generator,
) -> nn.Module:
    """The network in which an arm that knows of truncations begins."""
    match arm:
        case arms.TRUNCATED:
            return with_kernels(
                subject.network,
                {at: each.decomposition.truncated(each.rank) for at, each in truncations.items()},
            )
        case arms.RANK_KEPT:
            return compress(
                subject.network,
                {at: each.decomposition.chain(each.rank) for at, each in truncations.items()},
            )
        case arms.PERTURBED:
            losses = {
                at: each.decomposition.spectrum.norm_loss(each.rank)
                for at, each in truncations.items()
            }
            return with_kernels(
                subject.network,
                {
                    at: matched_perturbation(subject.kernel(at), loss, rng)
                    for at, loss in losses.items()
                },
            )
    raise AssertionError(arm)


def unchanged_by_a_cut(arm: str, subject: Subject, rng: np.random.Generator) -> nn.Module:
    """The network in which an arm begins that knows of no truncation."""
    match arm:
        case arms.TRAINED_ON:
            return copied(subject.network)
        case arms.RESET:
            layers = [kernel.layer for kernel in subject.layers]
            return with_kernels(
                subject.network,
                {layer: shuffled(subject.initial_kernel(layer), rng) for layer in layers},
            )
        case arms.FRESH:
            return redrawn(subject.untrained, rng)
    raise AssertionError(arm)


class Retrainings:
    """Re-trainings of one subject: its images, and what its network answers before them."""

    def __init__(
        self, subject: Subject, recipe: Recipe, *, statistics_images: int, order: int
    ) -> None:
        """Place the images on the subject's device, and ask its network as it is.

        Args:
            subject: The network, trained, and its images.
            recipe: The same for every re-training.
            statistics_images: How many training images estimate batch-norm statistics.
            order: Seed of the order and augmentation of the images, the same for all.

        Raises:
            ValueError: The training images are not known.
        """
        [(inputs, labels)] = subject.training_batches()
        self._subject = subject
        self._recipe = recipe
        self._order = order
        self._inputs, self._labels = inputs.to(subject.device), labels.to(subject.device)
        self._for_statistics = self._inputs[:statistics_images]
        self._held_out = _held_out(subject)
        network = copied(subject.network).to(subject.device).eval()
        self._right = _right(answers(network, subject.images.to(subject.device)), subject.labels)

    def epochs(
        self, network: nn.Module, truncations: Mapping[str, Truncated] = MappingProxyType({})
    ) -> list[Epoch]:
        """A network re-trained, from before the first epoch to the last, or to a divergence.

        ``truncations`` are of the layers that chains may realise.
        """
        subject, order = self._subject, Generator().manual_seed(self._order)
        states = retrained(
            network.to(subject.device), self._inputs, self._labels, self._recipe, order
        )
        found: list[Epoch] = []
        with suppress(NumericalError):
            for state in states:
                kernels = {
                    kernel.layer: _kernel(state, kernel.layer, truncations.get(kernel.layer))
                    for kernel in subject.layers
                }
                found.append(Epoch(self._answers(state), kernels))
        return found

    def _answers(self, network: nn.Module) -> dict[str, int | float]:
        """Counts and losses as the network stands, and with its statistics estimated anew.

        Raises:
            NumericalError: A loss is not finite.
        """
        subject = self._subject
        inputs, labels = subject.images.to(subject.device), subject.labels
        logits = answers(network, inputs)
        right = _right(logits, labels)
        found: dict[str, int | float] = {
            "n_correct": int(right.sum()),
            "n_lost": int((self._right & ~right).sum()),
            "n_gained": int((right & ~self._right).sum()),
            "loss": mean_cross_entropy(logits, labels),
            "held_out_n_correct": 0,
            "flag": Flag.MEASURED.value,
            "statistics_flag": Flag.NO_BATCH_NORM.value,
        }
        if self._held_out is not None:
            images, classes = self._held_out
            held_out = _right(answers(network, images.to(subject.device)), classes)
            found["held_out_n_correct"] = int(held_out.sum())
        if has_batch_norm(network):
            network = re_estimated(network, self._for_statistics, self._recipe.batch_size)
            logits = answers(network, inputs)
            found |= {
                "re_estimated_n_correct": int(_right(logits, labels).sum()),
                "re_estimated_loss": mean_cross_entropy(logits, labels),
                "statistics_flag": Flag.MEASURED.value,
            }
        return found


def _held_out(subject: Subject) -> tuple[Tensor, Tensor] | None:
    return None if subject.held_out_images is None else subject.held_out_images(None)


def n_held_out(subject: Subject) -> int:
    """How many images are held out of the training images; 0 if none are known."""
    held_out = _held_out(subject)
    return 0 if held_out is None else len(held_out[1])


def _right(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.argmax(dim=1) == labels


def _kernel(network: nn.Module, layer: str, truncated: Truncated | None) -> Floats:
    """The kernel of a layer, or that of the chain of small layers in its place."""
    module = network.get_submodule(layer)
    if not isinstance(module, nn.Sequential):
        return kernel_array(network, layer).astype(np.float64)
    assert truncated is not None
    chain = truncated.decomposition.chain(truncated.rank)
    weights = [
        weight.detach().cpu().double().numpy().reshape(link.kernel.shape)
        for weight, link in zip(_weights(module), chain.links, strict=True)
    ]
    links = (
        replace(link, kernel=weight) for link, weight in zip(chain.links, weights, strict=True)
    )
    return Chain(tuple(links), chain.shape).kernel()


def _weights(chained: nn.Sequential) -> list[Tensor]:
    """The weights of the small layers in a row, without their biases."""
    return [parameter for name, parameter in chained.named_parameters() if name.endswith("weight")]


def distance(kernel: Floats, start: Floats) -> float:
    """|K - K_0| / |K_0|, or |K - K_0| where K_0 is zero."""
    return float(np.linalg.norm(kernel - start) / (np.linalg.norm(start) or 1.0))
