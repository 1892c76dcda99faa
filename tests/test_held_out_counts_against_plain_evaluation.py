"""Counts on held-out images, against the kernel put in by hand and the whole network run.

Oracle: NumPy's truncation, one plain forward pass, and PyTorch's argmax.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compressibility.errors import UserError
from compressibility.networks.kernels import find_kernels, kernel_array
from compressibility.quantities.held_out import HeldOut
from compressibility.quantities.quantity import Scope, generator
from compressibility.store.cuts import MODES
from compressibility.store.schema import Flag
from compressibility.subjects import Subject
from compressibility.tensors.schmidt import decompose, truncate
from compressibility.tensors.thresholds import rank_at

THRESHOLDS = (0.0, 0.2, 0.5)
N_TEST, N_HELD_OUT = 40, 50
LAYERS = ("0", "2")
TRIVIAL = {"0": ("IN",), "2": ()}
"""Layer 0 has one input channel."""


def images_and_labels(count: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 1, 8, 8), torch.randint(5, (count,))


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.manual_seed(5)
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(288, 5),
    ).eval()  # fmt: skip
    for parameter in network.parameters():  # so that answers differ from image to image
        parameter.data *= 0 if parameter.ndim == 1 else 3
    images, labels = images_and_labels(N_TEST)
    held_out, classes = images_and_labels(N_HELD_OUT)
    return Subject(
        network=network,
        layers=find_kernels(network, images[:1]),
        images=images,
        labels=labels,
        held_out_images=lambda count: (held_out[:count], classes[:count]),
    )


def measured(plan: HeldOut, subject: Subject, layer: str) -> dict[str, np.ndarray]:
    return dict(plan.measure(subject, layer, generator(plan, Scope(0), layer)))


def correct(network: nn.Module, images: Tensor, labels: Tensor) -> int:
    with torch.no_grad():
        return int((network(images).argmax(dim=1) == labels).sum())


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("images", [None, 31], ids=["all", "the-first-31"])
def test_counts_are_those_of_the_network_with_the_kernel_replaced(subject, layer, images) -> None:
    found = measured(HeldOut(THRESHOLDS, images), subject, layer)
    held_out, labels = subject.held_out_images(images)
    assert found["held_out_n_images"] == len(labels) == (images or N_HELD_OUT)
    assert found["held_out_baseline_n_correct"] == correct(subject.network, held_out, labels)
    weight = subject.network.get_submodule(layer).weight
    own = kernel_array(subject.network, layer).astype(np.float64)
    apart = set()
    for number, mode in enumerate(MODES):
        if mode in TRIVIAL[layer] or found["held_out_cut_flag"][number] != Flag.MEASURED.value:
            continue
        for place, threshold in enumerate(THRESHOLDS):
            rank = rank_at(decompose(own, mode).spectrum, threshold)
            kept = weight.detach().clone()
            weight.data = torch.from_numpy(truncate(own, mode, rank)).float()
            expected = correct(subject.network, held_out, labels)
            weight.data = kept
            assert found["held_out_n_correct"][number, place] == expected
            apart.add(expected)
    assert len(apart) > 3  # the truncations do change the answers


@pytest.mark.parametrize("layer", LAYERS)
def test_cuts_that_the_kernel_has_not_are_missing(subject, layer) -> None:
    counts = measured(HeldOut(THRESHOLDS), subject, layer)["held_out_n_correct"]
    for mode in TRIVIAL[layer]:
        assert (counts[MODES.index(mode)] == -1).all()
    assert (counts[MODES.index("OUT")] >= 0).all()


def test_of_no_held_out_images_none_is_right(subject) -> None:
    without = replace(subject, held_out_images=lambda _: images_and_labels(0))
    found = measured(HeldOut(THRESHOLDS), without, "2")
    assert found["held_out_n_images"] == found["held_out_baseline_n_correct"] == 0
    assert (found["held_out_n_correct"] == 0).all()
    assert HeldOut().precision(without, "2") == "float32"


def test_a_subject_without_held_out_images_is_refused(subject) -> None:
    with pytest.raises(ValueError, match="give the subject some"):
        measured(HeldOut(THRESHOLDS), replace(subject, held_out_images=None), "2")


def test_a_plan_of_no_images_is_refused() -> None:
    with pytest.raises(UserError, match="0 held-out images choose nothing"):
        HeldOut(images=0)
