"""A small network of two convolutions and a linear layer, drawn, and images of five classes."""

import torch
from torch import nn

from compressibility.networks.kernels import find_kernels
from compressibility.subjects import Subject

LAYERS = ("0", "2")
N_TEST = 60


def drawn_subject() -> Subject:
    torch.manual_seed(5)
    network = nn.Sequential(
        nn.Conv2d(1, 6, (3, 2), padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(336, 5),
    ).eval()  # fmt: skip
    for parameter in network.parameters():  # so that answers differ from image to image
        parameter.data *= 0 if parameter.ndim == 1 else 3
    images, labels = torch.randn(N_TEST, 1, 8, 8), torch.randint(5, (N_TEST,))
    return Subject(
        network=network, layers=find_kernels(network, images[:1]), images=images, labels=labels
    )
