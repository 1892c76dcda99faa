"""A small network as its user has it: a function that builds it, trained on drawn images."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

BUILDER = "tests.small_network:build"
CLASSES = ("ant", "bee", "cow")
SIZE = 12
MEAN, DEVIATION = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
TAKES = (
    *("--size", str(SIZE), "--resize", "14"),
    *("--mean", "0.4,0.5,0.6", "--std", "0.2,0.25,0.3"),
)
"""How the command line is told of the preprocessing."""


def build() -> nn.Module:
    """Two convolutions with batch norm and a linear head, of three classes."""
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    )
    network.add_module("head", nn.Linear(32, 3))
    return network


def fewer_classes() -> nn.Module:
    """The same with two outputs."""
    network = build()
    network.set_submodule("head", nn.Linear(32, 2))
    return network


def two_answers() -> nn.Module:
    """The same, which returns a pair."""
    network = build()
    network.register_forward_hook(lambda module, inputs, output: (output, output))
    return network


def of_one_size() -> nn.Module:
    """The same, for images of 40 by 40 pixels alone."""
    network = build()
    network.set_submodule("6", nn.Identity())
    network.set_submodule("head", nn.Linear(3200, 3))
    return network


def draw_images(root: Path, count: int, seed: int = 0) -> Path:
    """A folder of coloured stripes, one direction for each class, in much noise."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:18, :15]
    for number, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for index in range(count):
            wave = np.sin((row * (2 - number) + column * number) + rng.uniform(0, 6))
            pixels = 128 + 40 * wave[..., None] * [1, 0.6, -0.4] + rng.normal(0, 70, (18, 15, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(root / name / f"{index:03}.png")
    return root


def by_torchvision(folder: Path) -> tuple[Tensor, Tensor]:
    """All images of a folder as torchvision brings them to a network, and their classes."""
    images = ImageFolder(
        folder,
        transforms.Compose(
            [
                transforms.Resize(14),
                transforms.CenterCrop(SIZE),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, DEVIATION),
            ]
        ),
    )
    [(inputs, labels)] = DataLoader(images, batch_size=len(images))
    return inputs, labels


def train(images: Tensor, labels: Tensor) -> nn.Module:
    """The network after a few steps, in evaluation mode."""
    torch.manual_seed(0)
    network = build()
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(25):
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network.eval()
