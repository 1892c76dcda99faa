"""Training, held-out and test images of one classification task."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from compressibility.errors import UserError


class ImagesError(UserError):
    """An image set that cannot be had; the message says what to do."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images (n, channels, height, width), uint8, with labels (n,), int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def first(self, count: int | None) -> "LabelledImages":
        """The first ``count`` images, or all of them."""
        return self if count is None else LabelledImages(self.images[:count], self.labels[:count])


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Training, held-out and test images of one classification task.

    ``held_out`` is taken from the training images and serves every choice made after training;
    ``test`` serves the measurements. ``maximum`` is the largest intensity a pixel can have.
    ``taken`` tells in one line what was taken of a folder and what was left. Of a network that was
    trained elsewhere, ``train`` are held-out images, and ``given_moments`` the mean and the
    deviation of the channels' intensities that it was trained with.
    """

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    held_out: LabelledImages
    test: LabelledImages
    maximum: int = 255
    taken: str = ""
    given_moments: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the channels' intensities, 0 to 1, (1, C, 1, 1).

        Those given, or those of the training images.

        Raises:
            ImagesError: None are given, and a channel of the training images does not vary.
        """
        if self.given_moments is not None:
            given = torch.tensor(self.given_moments, dtype=torch.float32)
            mean, deviation = given.reshape(2, 1, -1, 1, 1)
            return mean, deviation
        by_channel = self.train.images.transpose(0, 1).flatten(1)
        constant = by_channel.amin(dim=1) == by_channel.amax(dim=1)
        if constant.any():
            channel = int(constant.nonzero()[0])
            raise ImagesError(
                f"{self.name}: channel {channel + 1} of {len(constant)} is "
                f"{int(by_channel[channel, 0])} everywhere in its {len(self.train)} training "
                "images, and nothing can be learnt from it: give images in which every channel "
                "varies, such as grey ones"
            )
        intensities = self.train.images.to(torch.float64) / self.maximum
        mean = intensities.mean(dim=(0, 2, 3), keepdim=True)
        deviation = intensities.std(dim=(0, 2, 3), keepdim=True, correction=0)
        return mean.float(), deviation.float()

    def normalised(self, images: Tensor) -> Tensor:
        """Float32 images, less the mean of each channel and over its deviation; see `moments`.

        Raises:
            ImagesError: None are given, and a channel of the training images does not vary.
        """
        mean, deviation = (moment.to(images.device) for moment in self.moments)
        return (images.float() / self.maximum - mean) / deviation

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over all images and labels, in order, and the moments where they are given.

        Of shape, classes and ``maximum`` it tells nothing, and need not: a network takes images of
        one shape alone, numbers of classes are among the labels, and what `normalised` gives does
        not depend on the unit of the intensities.
        """
        digest = hashlib.sha256()
        for part in (self.train, self.held_out, self.test):
            digest.update(part.images.numpy().tobytes())
            digest.update(part.labels.numpy().tobytes())
        if self.given_moments is not None:
            digest.update(np.asarray(self.given_moments, "<f8").tobytes())
        return digest.hexdigest()


def labelled(images: np.ndarray, labels: Sequence[int] | np.ndarray) -> LabelledImages:
    """Images (n, channels, height, width) and labels (n,), as tensors of their dtypes."""
    return LabelledImages(
        torch.from_numpy(np.ascontiguousarray(images, dtype=np.uint8)),
        torch.from_numpy(np.asarray(labels, dtype=np.int64)),
    )
