"""Oracle: plain forward passes, and the layer's outputs on the training images themselves."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from compressibility.errors import UserError
from compressibility.networks.copies import copied
from compressibility.networks.kernels import find_kernels
from compressibility.quantities.quantity import Scope, generator
from compressibility.quantities.truncations import Truncation
from compressibility.quantities.whitened import WhitenedTruncation
from compressibility.store.cuts import MODES
from compressibility.subjects import Subject
from compressibility.tensors.modes import matricize
from compressibility.tensors.schmidt import decompose

THRESHOLDS = (0.0, 0.05, 0.2, 0.5)
PLAN = WhitenedTruncation(THRESHOLDS, images=30)
PADDING = {"0": (1, 0), "2": (0, 1)}


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(2, 6, (3, 2), padding=(1, 0)), nn.ReLU(),
        nn.Conv2d(6, 7, 3, padding=(0, 1)), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5),
    )  # fmt: skip
    mixing = torch.randn(2, 2)

    def images_of(count: int) -> torch.Tensor:
        smooth = F.avg_pool2d(torch.randn(count, 2, 9, 9), 2, stride=1)
        return torch.einsum("ij,njhw->nihw", mixing, smooth) * 4

    images, held_out, training = images_of(60), images_of(40), images_of(50)
    network(images)
    return Subject(
        network=network.eval(),
        layers=find_kernels(network, images[:1]),
        images=images,
        labels=network(images).argmax(1).roll(3),
        training_images=lambda n: (training[:n], torch.zeros(len(training[:n]), dtype=torch.int64)),
        held_out_images=lambda n: (held_out[:n], network(held_out[:n]).argmax(1).roll(1)),
    )


def measured(subject: Subject, layer: str, plan=PLAN) -> dict[str, np.ndarray]:
    return dict(plan.measure(subject, layer, generator(plan, Scope(0), layer)))


def best_for_outputs(subject: Subject, layer: str, rank: int) -> np.ndarray:
    """Along OUT: principal components of the outputs without bias on the training images."""
    with torch.no_grad():
        inputs = subject.network[: int(layer)](subject.training_images(PLAN.images)[0]).double()
        kernel = torch.from_numpy(subject.kernel(layer))
        outputs = F.conv2d(inputs, kernel, padding=PADDING[layer])
    columns = outputs.transpose(0, 1).flatten(1).numpy()
    U = np.linalg.svd(columns, full_matrices=False)[0][:, :rank]
    return (U @ U.T @ matricize(subject.kernel(layer), "OUT")).reshape(kernel.shape)


@pytest.mark.parametrize("layer", ["0", "2"])
def test_along_out_answers_are_those_with_the_outputs_components_kept(subject, layer) -> None:
    found = measured(subject, layer)
    plain = dict(Truncation(THRESHOLDS).measure(subject, layer, np.random.default_rng(0)))
    held_out, labels = subject.held_out_images(None)
    place = MODES.index("OUT")
    for at in range(1, len(THRESHOLDS)):
        kernel = best_for_outputs(subject, layer, int(plain["rank"][place, at]))
        network = copied(subject.network)
        with torch.no_grad():
            network.get_submodule(layer).weight.copy_(torch.from_numpy(kernel))
            right = network(subject.images).argmax(1) == subject.labels
            before = subject.network(subject.images).argmax(1) == subject.labels
            loss = F.cross_entropy(network(subject.images).double(), subject.labels)
            on_held_out = (network(held_out).argmax(1) == labels).sum()
        assert found["whitened_n_correct"][place, at] == right.sum()
        assert found["whitened_n_lost"][place, at] == (before & ~right).sum()
        assert found["whitened_n_gained"][place, at] == (right & ~before).sum()
        assert found["whitened_accuracy"][place, at] == pytest.approx(float(right.sum()) / 60)
        assert found["whitened_loss"][place, at] == pytest.approx(float(loss), rel=1e-4)
        assert found["whitened_held_out_n_correct"][place, at] == on_held_out
        own = subject.kernel(layer)
        error = np.linalg.norm(own - kernel) / np.linalg.norm(own)
        assert found["whitened_relative_error"][place, at] == pytest.approx(error, rel=1e-5)
    assert found["whitened_n_held_out"] == 40


@pytest.mark.parametrize("layer", ["0", "2"])
def test_output_errors_are_those_of_the_outputs_on_the_training_images(subject, layer) -> None:
    found = measured(subject, layer)
    plain = dict(Truncation(THRESHOLDS).measure(subject, layer, np.random.default_rng(0)))
    kernel = subject.kernel(layer)
    with torch.no_grad():
        inputs = subject.network[: int(layer)](subject.training_images(PLAN.images)[0]).double()

    def outputs(weight: np.ndarray) -> torch.Tensor:
        return F.conv2d(inputs, torch.from_numpy(weight), padding=PADDING[layer])

    for mode in ("OUT", "IN", "OUT,KH", "KW"):
        for at in range(1, len(THRESHOLDS)):
            rank = int(plain["rank"][MODES.index(mode), at])
            truncated = decompose(kernel, mode).truncated(rank)
            expected = outputs(kernel - truncated).norm() / outputs(kernel).norm()
            assert found["output_error"][MODES.index(mode), at] == pytest.approx(
                float(expected), rel=1e-4, abs=1e-9
            )


def test_along_out_the_outputs_change_less_and_the_weights_more_than_plainly(subject) -> None:
    found = measured(subject, "2")
    plain = dict(Truncation(THRESHOLDS).measure(subject, "2", np.random.default_rng(0)))
    place = MODES.index("OUT")
    cut = plain["rank"][place] < plain["rank"][place, 0]
    assert cut.sum() >= 2
    assert (found["whitened_output_error"][place] < found["output_error"][place])[cut].all()
    assert (found["whitened_relative_error"][place] > plain["relative_error"][place])[cut].all()


def test_at_full_rank_nothing_changes(subject) -> None:
    found = measured(subject, "2")
    with torch.no_grad():
        right = int((subject.network(subject.images).argmax(1) == subject.labels).sum())
    assert (found["whitened_n_correct"][:, 0] == right).all()
    assert (found["whitened_output_error"][:, 0] < 1e-6).all()


def test_without_held_out_images_none_are_counted(subject) -> None:
    nothing = replace(subject, held_out_images=lambda _: (subject.images[:0], subject.labels[:0]))
    found = measured(nothing, "0")
    assert found["whitened_n_held_out"] == 0
    assert (found["whitened_held_out_n_correct"][:, :] <= 0).all()


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"images": 0}, "0 images have no covariance"), ({"thresholds": (1.0,)}, "threshold 1")],
)
def test_plans_without_a_metric_are_refused(settings, told) -> None:
    with pytest.raises(UserError, match=told):
        replace(PLAN, **settings)
