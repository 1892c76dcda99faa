"""Networks in which an engine that resumes forward passes could go wrong."""

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Two convolutions, grouped or strided, around which the input passes, as in a ResNet."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, groups: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(out_channels)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1, groups=groups)
        self.second_norm = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        values = self.relu(self.first_norm(self.first(images)))
        values = self.second_norm(self.second(values))
        values += self.shortcut(images)
        return self.relu(values)


def vanilla() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, padding=1, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 10, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(10, 6),
    )


def residual() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        Residual(8, 8, 1, 1),
        Residual(8, 12, 2, 2),
        Residual(12, 12, 1, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 6),
    )


def unusual_convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, (3, 5), padding="same", bias=True),
        nn.Conv2d(6, 8, 3, stride=(2, 1), padding=(2, 1), dilation=(1, 2), padding_mode="reflect"),
        nn.Hardswish(),
        nn.Conv2d(8, 7, (2, 3), stride=(1, 2), dilation=(2, 1)),
        nn.BatchNorm2d(7, affine=False),
        nn.Conv2d(7, 5, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 6),
    )


class UsedTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 3, padding=1)
        self.twice = nn.Conv2d(5, 5, 3, padding=1)
        self.head = nn.Linear(5, 6)

    def forward(self, images: Tensor) -> Tensor:
        values = self.twice(torch.relu(self.twice(self.stem(images))))
        return self.head(values.mean(dim=(2, 3)))


class BranchesOnValues(UsedTwice):
    def forward(self, images: Tensor) -> Tensor:
        values = self.stem(images)
        if values.abs().sum() > 0:
            values = torch.relu(values)
        return self.head(self.twice(values).mean(dim=(2, 3)))


class WritesIntoItsShortcut(UsedTwice):
    """The in-place ReLU changes ``values``, which is used again: out of place it would not."""

    def forward(self, images: Tensor) -> Tensor:
        values = self.stem(images)
        rectified = torch.nn.functional.relu(values, inplace=True)
        return self.head((self.twice(rectified) + values).mean(dim=(2, 3)))


class ReadsItsBatchSize(UsedTwice):
    def forward(self, images: Tensor) -> Tensor:
        n = images.size(0)
        values = self.twice(torch.relu(self.stem(images)))
        return self.head(values.reshape(n, 5, -1).mean(dim=2))


NETWORKS = {
    "vanilla": vanilla,
    "residual": residual,
    "unusual convolutions": unusual_convolutions,
    "used twice": UsedTwice,
    "branches on values": BranchesOnValues,
    "writes into its shortcut": WritesIntoItsShortcut,
    "reads its batch size": ReadsItsBatchSize,
}
RESUMED = ("vanilla", "residual", "unusual convolutions", "reads its batch size")
N_IMAGES = 23
N_CLASSES = 6


def network_of(name: str) -> nn.Module:
    generator = torch.Generator().manual_seed(7)
    network = NETWORKS[name]()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.4, generator=generator)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.5, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
    return network


def layers_of(network: nn.Module) -> list[str]:
    return [path for path, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def random_images() -> Tensor:
    return torch.randn(N_IMAGES, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def random_labels() -> Tensor:
    return torch.randint(0, N_CLASSES, (N_IMAGES,), generator=torch.Generator().manual_seed(2))
