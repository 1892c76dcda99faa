"""Joint truncations, against replacing all kernels of a set and running the whole network.

The oracle knows nothing of variants, chains or sets: the sets are written down by hand, each kernel
is truncated by itself, and NumPy takes norms.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compressibility.errors import UserError
from compressibility.evaluation import plain_evaluation
from compressibility.networks.kernels import find_kernels, kernel_array
from compressibility.quantities.joint import Joint
from compressibility.quantities.quantity import Scope, generator
from compressibility.store import layout
from compressibility.store.layer_sets import LAYER_SETS, members
from compressibility.store.provenance import TaskProvenance
from compressibility.store.rules import validate_shard
from compressibility.subjects import Subject
from compressibility.tensors.schmidt import decompose, truncate
from compressibility.tensors.thresholds import rank_at

THRESHOLDS = (0.0, 0.1, 0.3, 0.6)
CUTS = ("OUT", "IN", "OUT,KW")
SETS = {
    "first 1/4": "0",
    "first 2/4": "02",
    "first 3/4": "024",
    "last 1/4": "6",
    "last 2/4": "46",
    "last 3/4": "246",
    "all": "0246",
}
"""Layers 0, 2, 4 and 6 of the network."""
EQUAL = {("0", "IN"): "", ("0", "OUT,KW"): "KH", ("2", "OUT,KW"): "IN", ("2", "IN"): "OUT"}
"""Cuts that layers 0, of one input channel, and 2, of 1×1 kernels, have not; empty: trivial."""


def subject_of(network: nn.Module, images: Tensor, labels: Tensor, **settings) -> Subject:
    return Subject(
        network=network,
        layers=find_kernels(network, images[:1]),
        images=images,
        labels=labels,
        **settings,
    )


def drawn_subject(n_images: int = 60, **settings) -> Subject:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=2, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 10, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(90, 5),
    ).eval()
    for parameter in network.parameters():  # so that logits differ from image to image
        parameter.data *= 0 if parameter.ndim == 1 else 3
    return subject_of(
        network, torch.randn(n_images, 1, 8, 8), torch.randint(5, (n_images,)), **settings
    )


def measured(plan: Joint, subject: Subject) -> dict[str, np.ndarray]:
    return dict(plan.measure(subject, "", generator(plan, Scope(0), "")))


@pytest.fixture(scope="module")
def subject() -> Subject:
    return drawn_subject()


@pytest.fixture(scope="module")
def found(subject) -> dict[str, np.ndarray]:
    return measured(Joint(THRESHOLDS), subject)


def truncated_by_hand(kernel: np.ndarray, cut: str, threshold: float) -> tuple[np.ndarray, int]:
    """The truncated kernel, and the entries of its two factors."""
    decomposition = decompose(kernel, cut)
    rank = rank_at(decomposition.spectrum, threshold)
    rows, columns = decomposition.U.shape[0], decomposition.Vh.shape[1]
    return truncate(kernel.astype(np.float64), cut, rank), rank * (rows + columns)


@pytest.mark.parametrize("layer_set", SETS)
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_every_set_cut_and_threshold_is_the_network_with_all_kernels_replaced(
    subject, found, layer_set, cut, threshold
) -> None:
    kernels, stored, own = {}, 0, 0
    for layer in SETS[layer_set]:
        kernel = kernel_array(subject.network, layer).astype(np.float64)
        own += kernel.size
        if held := EQUAL.get((layer, cut), cut):
            kernels[layer], entries = truncated_by_hand(kernel, held, threshold)
        else:
            kernels[layer], entries = kernel, kernel.size
        stored += entries
    plain = plain_evaluation(subject.network, subject.images, subject.labels, kernels)
    at = (LAYER_SETS.index(layer_set), CUTS.index(cut), THRESHOLDS.index(threshold))
    for name in ("n_correct", "n_lost", "n_gained"):
        assert found[f"joint_{name}"][at] == getattr(plain, name)
    assert found["joint_accuracy"][at] == plain.n_correct / 60
    assert found["joint_loss"][at] == pytest.approx(plain.loss, rel=1e-5)
    flat, before = (
        np.concatenate([np.ravel(kernel) for kernel in some])
        for some in (kernels.values(), [kernel_array(subject.network, k) for k in kernels])
    )
    lost = 1 - np.linalg.norm(flat) / np.linalg.norm(before.astype(np.float64))
    assert found["joint_norm_loss"][at] == pytest.approx(lost, abs=1e-12)
    assert found["joint_compression_ratio"][at] == pytest.approx(own / stored, rel=1e-14)


def test_the_truncations_do_change_the_answers(found) -> None:
    lost = found["joint_n_lost"][LAYER_SETS.index("all"), :, -1]
    assert (lost > 0).all()
    assert len(set(found["joint_loss"][:, 0, -1])) == len(SETS)


def test_the_values_are_a_shard_of_the_table(found) -> None:
    plan = Joint(THRESHOLDS)
    provenance = TaskProvenance("f" * 64, "cpu", "float32", "none", "{}")
    shard = layout.shard(
        plan.table,
        {"seed": 0},
        found,
        coordinates=plan.coordinates(),
        provenance=provenance,
    )
    validate_shard(shard)
    assert shard["joint_n_layers"].sel(layer_set="first 3/4").item() == 3


def test_two_layers_that_hide_the_same_harm_cost_it_once() -> None:
    """Logits are (6 x, y). Truncating either layer, or both, to rank 1 leaves (6 x, 0).

    One image is (0, 1), of class 1: its loss rises from ln(1 + 1/e) to ln 2, by either and by both.
    """
    first, second = (nn.Conv2d(2, 2, 1, bias=False) for _ in range(2))
    for layer, diagonal in ((first, (2.0, 1.0)), (second, (3.0, 1.0))):
        layer.weight.data = torch.diag(torch.tensor(diagonal))[:, :, None, None]
    network = nn.Sequential(first, second, nn.Flatten()).eval()
    image = torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1)
    found = measured(
        Joint((0.0, 0.2), ("OUT",)), subject_of(network, image, torch.tensor([1]), seed=0)
    )
    before, after = math.log(1 + math.exp(-1)), math.log(2)
    for layer_set in LAYER_SETS:
        losses = found["joint_loss"][LAYER_SETS.index(layer_set), 0]
        assert losses == pytest.approx([before, after], rel=1e-6)
    both, only_first, only_second = (
        LAYER_SETS.index(label) for label in ("all", "first 1/4", "last 1/4")
    )
    norms = found["joint_norm_loss"][:, 0, 1]
    assert norms[only_first] == pytest.approx(1 - 2 / math.sqrt(5))
    assert norms[only_second] == pytest.approx(1 - 3 / math.sqrt(10))
    assert norms[both] == pytest.approx(1 - math.sqrt(13 / 15))
    np.testing.assert_array_equal(found["joint_norm_loss"][..., 0], 0)
    np.testing.assert_array_equal(found["joint_compression_ratio"][both, 0], [8 / 16, 8 / 8])


def test_kernels_that_are_all_zero_lose_nothing() -> None:
    subject = drawn_subject()
    for layer in "0246":
        subject.network.get_submodule(layer).weight.data.zero_()
    found = measured(Joint((0.0, 0.5), ("OUT",)), subject)
    np.testing.assert_array_equal(found["joint_norm_loss"], 0)
    np.testing.assert_array_equal(found["joint_n_lost"], 0)


def test_in_lower_precision_counts_are_those_of_float32_and_losses_are_missing() -> None:
    subject, plan = drawn_subject(400), Joint((0.0, 0.3, 0.6))
    lower = replace(subject, precision="bfloat16")
    assert plan.precision(subject, "") == "float32"
    assert plan.precision(lower, "") == "bfloat16"
    one, other = measured(plan, subject), measured(plan, lower)
    for name in ("joint_n_correct", "joint_n_lost", "joint_n_gained"):
        np.testing.assert_array_equal(one[name], other[name])
    assert np.isnan(other["joint_loss"]).all()
    assert np.isfinite(one["joint_loss"]).all()


@pytest.mark.parametrize(
    ("layers", "counts"),
    [("a", (1, 1, 1)), ("ab", (1, 1, 2)), ("abc", (1, 2, 3)), ("abcde", (2, 3, 4))],
)
def test_a_set_is_the_first_or_last_quarters_of_the_layers_rounded_up(layers, counts) -> None:
    for quarters, count in enumerate(counts, start=1):
        assert "".join(members(f"first {quarters}/4", layers)) == layers[:count]
        assert "".join(members(f"last {quarters}/4", layers)) == layers[-count:]
    assert "".join(members("all", layers)) == layers


def test_the_labels_of_the_sets_are_those_written_here() -> None:
    assert tuple(SETS) == LAYER_SETS
    for label, layers in SETS.items():
        assert members(label, "0246") == tuple(layers)


def test_cuts_stand_in_the_order_of_their_labels_each_once_by_either_side() -> None:
    assert Joint(cuts=("OUT,KW", "IN,KH", "IN", "OUT")).cuts == CUTS


@pytest.mark.parametrize(("cuts", "told"), [((), "at least one"), (("OUTT",), "OUTT")])
def test_cuts_that_are_none_are_refused(cuts, told) -> None:
    with pytest.raises(UserError, match=told):
        Joint(cuts=cuts)
