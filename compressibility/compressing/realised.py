"""The network of a choice, built of plain layers, and judged against the dense one."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from compressibility.compressing.judgement import Judgement
from compressibility.networks.compression import compress
from compressibility.networks.copies import copied
from compressibility.networks.retraining import answers, re_estimated
from compressibility.subjects import Subject
from compressibility.tensors.chains import Chain

STATISTICS_IMAGES = 2_048
"""Of so many training images are batch-norm statistics taken anew, at most."""
_BATCH = 128


def realised(subject: Subject, chains: Mapping[str, Chain]) -> nn.Module:
    """The network with small layers in the place of some, on the subject's device.

    Its batch-norm statistics are those of the first training images, where those are known.
    """
    network = compress(subject.network, chains).to(subject.device)
    if not chains or subject.training_images is None:
        return network.eval()
    images, _ = subject.training_images(STATISTICS_IMAGES)
    return re_estimated(network, images.to(subject.device), min(_BATCH, len(images)))


class Judge:
    """The answers of a subject's network to some images, which those of others are held against."""

    def __init__(self, subject: Subject, images: Tensor, labels: Tensor) -> None:
        """Ask the subject's network.

        Args:
            subject: Its network is dense.
            images: As the network takes them, (N, C, H, W).
            labels: Their classes, int64, (N,).
        """
        self._images, self._labels = images.to(subject.device), labels
        self._right = self._answers(copied(subject.network).to(subject.device).eval())

    @property
    def dense(self) -> Judgement:
        """The subject's own network, which loses and gains nothing."""
        return Judgement(len(self._labels), int(self._right.sum()), 0, 0)

    def judge(self, network: nn.Module) -> Judgement:
        """Another network, on the subject's device, against the subject's own."""
        right = self._answers(network)
        return Judgement(
            n_images=len(self._labels),
            n_correct=int(right.sum()),
            n_lost=int((self._right & ~right).sum()),
            n_gained=int((right & ~self._right).sum()),
        )

    def _answers(self, network: nn.Module) -> Tensor:
        right: Tensor = torch.argmax(answers(network, self._images), dim=1) == self._labels
        return right
