"""One network on one image set, ready to be measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from compressibility.evaluation import Evaluator, Precision
from compressibility.networks.differentiability import Batches
from compressibility.networks.kernels import Kernel, kernel_array, weights_hash
from compressibility.tensors.arrays import Floats

FirstImages: TypeAlias = Callable[[int | None], tuple[Tensor, Tensor]]
"""From a number n, or None for all, to the first n images as the network takes them, and labels."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One network on one image set; every quantity is measured of one.

    Attributes:
        network: On the CPU, in evaluation mode; nobody changes it.
        layers: The kernels that are measured, in forward order.
        left_out: The layers with weights that are not measured, each with the reason.
        images: Test images as the network takes them, float32, shape (N, C, H, W).
        labels: Their classes, int64, shape (N,).
        seed: Number of the network among its like.
        initial: The network before training, where it is known.
        training_images: The training images, where they are known.
        held_out_images: Images held out of them, where they are known.
        stream: Name that is mixed into the random numbers of the measurements, where the seed
            alone shall not choose them.
        device: Which device computes.
        precision: The arithmetic behind a replaced layer.
    """

    network: nn.Module
    layers: tuple[Kernel, ...]
    images: Tensor
    labels: Tensor
    left_out: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    seed: int = 0
    initial: nn.Module | None = None
    training_images: FirstImages | None = None
    held_out_images: FirstImages | None = None
    stream: str | None = None
    device: str = "cpu"
    precision: Precision = "float32"
    _on_held_out: dict[int | None, Evaluator | None] = field(default_factory=dict, init=False)

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 of the network's parameters and buffers."""
        return weights_hash(self.network)

    @cached_property
    def evaluator(self) -> Evaluator:
        """What answers for every variant of the network, on the test images."""
        return self._evaluator(self.images, self.labels)

    def _evaluator(self, images: Tensor, labels: Tensor) -> Evaluator:
        return Evaluator(
            self.network,
            images,
            labels,
            device=torch.device(self.device),
            precision=self.precision,
        )

    def on_held_out(self, count: int | None) -> Evaluator | None:
        """What answers for every variant on the first held-out images; None where there are none.

        Raises:
            ValueError: The subject has no held-out images.
        """
        if count not in self._on_held_out:
            if self.held_out_images is None:
                raise ValueError("choices are made on held-out images: give the subject some")
            images, labels = self.held_out_images(count)
            self._on_held_out[count] = self._evaluator(images, labels) if len(labels) else None
        return self._on_held_out[count]

    def training_batches(self, count: int | None = None) -> Batches:
        """The first ``count`` training images, or all, as one batch.

        Raises:
            ValueError: The training images are not known.
        """
        if self.training_images is None:
            raise ValueError("the training images are not known: give the subject some")
        return [self.training_images(count)]

    def kernel(self, layer: str) -> Floats:
        """The trained kernel of a layer, float64, shape (OUT, IN, KH, KW)."""
        return _kernel(self.network, layer)

    def initial_kernel(self, layer: str) -> Floats:
        """The kernel of a layer before training.

        Raises:
            ValueError: The network before training is not known.
        """
        return _kernel(self.untrained, layer)

    @property
    def untrained(self) -> nn.Module:
        """The network before training.

        Raises:
            ValueError: It is not known.
        """
        if self.initial is None:
            raise ValueError("the network before training is not known: give the subject one")
        return self.initial


def _kernel(network: nn.Module, layer: str) -> Floats:
    return kernel_array(network, layer).astype(np.float64)
