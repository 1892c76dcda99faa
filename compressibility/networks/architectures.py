"""The networks that are measured, those trained here initialised from a generator."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import cattrs
import torch
from cattrs.strategies import configure_tagged_union
from torch import Generator, nn

from compressibility.errors import UserError
from compressibility.networks.imported import Imported


@dataclass(frozen=True)
class VanillaCNN:
    """Convolutions of 3 by 3 with batch norm and ReLU, one after the other, and a linear head.

    ``pooled`` numbers the convolutions (from 0) that a 2 by 2 max-pool follows; what is left of
    the image is max-pooled to 2 by 2 before the head.
    """

    channels: tuple[int, ...]
    pooled: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a network without a convolution, and pools after convolutions that are not there.

        Raises:
            UserError: With what is wrong.
        """
        if not self.channels or min(self.channels) < 1:
            raise UserError(f"channels {self.channels} build no network: give one to each layer")
        if absent := sorted(set(self.pooled) - set(range(len(self.channels)))):
            raise UserError(
                f"a pool after convolution {absent[0]}: they are numbered 0 to "
                f"{len(self.channels) - 1}"
            )

    def build(self, in_channels: int, n_classes: int) -> nn.Module:
        """The network on images of ``in_channels`` channels, with PyTorch's default weights."""
        stages: list[nn.Sequential] = []
        for number, out_channels in enumerate(self.channels):
            stage = nn.Sequential()
            stage.add_module("conv", nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False))
            stage.add_module("norm", nn.BatchNorm2d(out_channels))
            stage.add_module("relu", nn.ReLU())
            if number in self.pooled:
                stage.add_module("pool", nn.MaxPool2d(2))
            stages.append(stage)
            in_channels = out_channels
        network = nn.Sequential()
        for number, stage in enumerate(stages, start=1):
            network.add_module(f"stage{number}", stage)
        network.add_module("pool", nn.AdaptiveMaxPool2d(2))
        network.add_module("flatten", nn.Flatten())
        network.add_module("head", nn.Linear(4 * in_channels, n_classes))
        return network


@dataclass(frozen=True)
class ResNet50:
    """Torchvision's ResNet-50 with a stem for small images: a 3 by 3 convolution, no max-pool.

    The last batch norm of each block begins at scale 0, so that the block begins as the identity.
    """

    stem_stride: int = 1

    def __post_init__(self) -> None:
        """Refuse a stem that stands still.

        Raises:
            UserError: The stride is below 1.
        """
        if self.stem_stride < 1:
            raise UserError(f"stem stride {self.stem_stride} is below 1")

    def build(self, in_channels: int, n_classes: int) -> nn.Module:
        """The network on images of ``in_channels`` channels, with torchvision's weights."""
        from torchvision.models import resnet50

        network: nn.Module = resnet50(weights=None, num_classes=n_classes, zero_init_residual=True)
        network.conv1 = nn.Conv2d(
            in_channels, 64, 3, stride=self.stem_stride, padding=1, bias=False
        )
        network.maxpool = nn.Identity()
        return network


Architecture = VanillaCNN | ResNet50 | Imported


def as_data(architecture: Architecture) -> dict[str, Any]:
    """An architecture as data that JSON can hold; `converter` reads it."""
    return {"kind": type(architecture).__name__, **asdict(architecture)}


def converter() -> cattrs.Converter:
    """From data to what it tells of, architectures by their ``kind``; nothing else may stand there.

    It raises `cattrs.BaseValidationError`, and KeyError where the kind is unknown.
    """
    found = cattrs.Converter(forbid_extra_keys=True)
    configure_tagged_union(Architecture, found, tag_name="kind")
    return found


def initialised(
    architecture: VanillaCNN | ResNet50, in_channels: int, n_classes: int, generator: Generator
) -> nn.Module:
    """The network in float32 on the CPU, every weight drawn from ``generator`` in module order.

    Convolutions: normal with variance 2 / (entries of OUT, KH, KW) [1]. Linear layers: uniform
    within 1/sqrt(inputs), biases too. Batch norms stay as the architecture builds them.

    References:
        [1] He et al., Delving deep into rectifiers, ICCV 2015, eq. 14.
    """
    with torch.random.fork_rng(devices=[]):
        network = architecture.build(in_channels, n_classes)
    with torch.no_grad():
        for module in network.modules():
            match module:
                case nn.Conv2d():
                    nn.init.kaiming_normal_(
                        module.weight, mode="fan_out", nonlinearity="relu", generator=generator
                    )
                case nn.Linear():
                    bound = 1 / math.sqrt(module.in_features)
                    module.weight.uniform_(-bound, bound, generator=generator)
                    module.bias.uniform_(-bound, bound, generator=generator)
    return network
