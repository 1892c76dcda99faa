"""Tucker-2 and tensor trains as they are measured, against kernels made and put in by hand.

Oracles: one plain forward pass with PyTorch's argmax and cross-entropy, tensorly's own fits,
NumPy's singular values and norms, and kernels of known ranks.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
import tensorly
import torch
from tensorly.decomposition import partial_tucker
from tensorly.decomposition import tensor_train as tt_svd
from torch import nn

from compressibility.errors import UserError
from compressibility.quantities.formats import TensorFormats
from compressibility.quantities.quantity import Scope, generator
from compressibility.subjects import Subject
from compressibility.tensors.formats import BONDS, FORMATS, TT, TUCKER, format_ranks, in_format
from tests.drawn_subject import LAYERS, N_TEST, drawn_subject
from tests.synthetic_answers import stored_in_format

PLAN = TensorFormats((0.0, 0.05, 0.2, 0.5, 0.8))
BOND_LABELS = ("OUT", "IN", "KW", "OUT,IN")


@pytest.fixture
def subject() -> Subject:
    return drawn_subject()


def measured(subject: Subject, layer: str, plan: TensorFormats = PLAN) -> dict[str, np.ndarray]:
    return dict(plan.measure(subject, layer, generator(plan, Scope(0), layer)))


def places() -> Iterator[tuple[int, int]]:
    return np.ndindex(len(FORMATS), len(PLAN.thresholds))


def ranks_at(found: dict[str, np.ndarray], place: tuple[int, int]) -> tuple[int, ...]:
    """The ranks of one decomposition in the order of its format."""
    by_bond = dict(zip(BOND_LABELS, found["format_rank"][place].tolist(), strict=True))
    return tuple(by_bond[cut.label] for cut in BONDS[FORMATS[place[0]]])


def by_tensorly(kernel: np.ndarray, place: tuple[int, int], ranks: tuple[int, ...]) -> np.ndarray:
    if FORMATS[place[0]] == TT:
        cores = tt_svd(kernel, [1, *ranks, 1]).factors
        return reduce(lambda a, b: np.tensordot(a, b, (-1, 0)), cores)[0, ..., 0]
    (core, factors), _ = partial_tucker(kernel, ranks, modes=[0, 1], n_iter_max=300, tol=1e-9)
    return tensorly.tenalg.multi_mode_dot(core, factors, modes=[0, 1])


@pytest.mark.parametrize("layer", LAYERS)
def test_answers_are_those_of_the_network_with_the_kernel_replaced(subject, layer) -> None:
    found, kernel = measured(subject, layer), subject.kernel(layer)
    weight, apart = subject.network.get_submodule(layer).weight, set()
    with torch.no_grad():
        before = subject.network(subject.images).argmax(1) == subject.labels
    for place in places():
        chosen = format_ranks(kernel, FORMATS[place[0]], PLAN.thresholds)[place[1]]
        by_hand = in_format(kernel, FORMATS[place[0]], chosen).kernel()
        kept = weight.detach().clone()
        weight.data = torch.from_numpy(by_hand).float()
        with torch.no_grad():
            logits = subject.network(subject.images).double()
        weight.data = kept
        after = logits.argmax(1) == subject.labels
        assert found["format_n_correct"][place] == int(after.sum())
        assert found["format_n_lost"][place] == int((before & ~after).sum())
        assert found["format_n_gained"][place] == int((after & ~before).sum())
        assert found["format_accuracy"][place] == int(after.sum()) / N_TEST
        loss = float(nn.functional.cross_entropy(logits, subject.labels))
        assert found["format_loss"][place] == pytest.approx(loss, rel=1e-5)
        apart.add(int(after.sum()))
    assert len(apart) > 1  # the decompositions do change the answers


@pytest.mark.parametrize("layer", LAYERS)
def test_errors_and_parameters_are_those_of_tensorly_and_the_formulas(subject, layer) -> None:
    found, kernel = measured(subject, layer), subject.kernel(layer)
    norm = np.linalg.norm(kernel)
    for place in places():
        ranks = ranks_at(found, place)
        theirs = by_tensorly(kernel, place, ranks)
        error = np.linalg.norm(kernel - theirs) / norm
        assert found["format_relative_error"][place] <= error + 1e-5
        assert found["format_relative_error"][place] >= error - 1e-3
        kept = np.linalg.norm(theirs) / norm
        assert found["format_norm_loss"][place] == pytest.approx(1 - kept, abs=2e-3)
        assert found["format_parameters"][place] == stored_in_format(
            FORMATS[place[0]], kernel.shape, *ranks
        )


def test_each_rank_is_the_smallest_whose_own_error_is_within_its_share(subject) -> None:
    """Oracle: NumPy's singular values of the kernel laid out by hand; 2 and 3 bonds."""
    found, kernel = measured(subject, "2"), subject.kernel("2")
    out, in_, _, width = kernel.shape
    matrices = {
        "OUT": kernel.reshape(out, -1),
        "IN": kernel.swapaxes(0, 1).reshape(in_, -1),
        "OUT,IN": kernel.reshape(out * in_, -1),
        "KW": kernel.reshape(-1, width),
    }
    shares = {TUCKER: 2, TT: 3}
    for place in places():
        threshold = PLAN.thresholds[place[1]]
        allowed = (1 - (1 - threshold) ** 2) / shares[FORMATS[place[0]]]
        for cut, rank in zip(BONDS[FORMATS[place[0]]], ranks_at(found, place), strict=True):
            squares = np.linalg.svd(matrices[cut.label], compute_uv=False) ** 2
            lost = [squares[r:].sum() / squares.sum() for r in range(len(squares) + 1)]
            assert lost[rank] <= allowed
            assert lost[rank - 1] > allowed or threshold == 0


@pytest.mark.parametrize("layer", LAYERS)
def test_a_threshold_of_zero_keeps_full_rank_and_changes_no_answer(subject, layer) -> None:
    found = measured(subject, layer)
    shape = subject.kernel(layer).shape
    full = {"0": ((6, 1), (6, 6, 2)), "2": ((8, 6), (8, 9, 3))}[layer]
    for number, ranks in enumerate(full):
        at = (number, 0)
        assert ranks_at(found, at) == ranks
        assert found["format_relative_error"][at] < 1e-14
        assert found["format_n_lost"][at] == found["format_n_gained"][at] == 0
        assert found["format_n_correct"][at] == subject.evaluator.baseline.evaluation.n_correct
        assert found["format_parameters"][at] == stored_in_format(FORMATS[number], shape, *ranks)


def test_a_bond_that_a_format_does_not_have_is_missing(subject) -> None:
    rank = measured(subject, "2")["format_rank"]
    there = {TUCKER: ("OUT", "IN"), TT: ("OUT", "KW", "OUT,IN")}
    for number, name in enumerate(FORMATS):
        has = np.isin(BOND_LABELS, there[name])
        assert (rank[number, :, has] > 0).all()
        assert (rank[number, :, ~has] == -1).all()
    alone = measured(subject, "2", replace(PLAN, formats=(TT,)))["format_rank"]
    np.testing.assert_array_equal(alone[0], rank[1][:, [0, 2, 3]])


def of_known_ranks(name: str, rng: np.random.Generator) -> np.ndarray:
    """A kernel (8, 6, 3, 3) of the ranks (3, 2) or (4, 5, 2)."""
    if name == TUCKER:
        parts = [rng.standard_normal(size) for size in ((3, 2, 3, 3), (8, 3), (6, 2))]
        return np.einsum("abhw,oa,ib->oihw", *parts)
    cores = [rng.standard_normal(size) for size in ((8, 4), (4, 6, 5), (5, 3, 2), (2, 3))]
    return np.einsum("oa,aib,bhc,cw->oihw", *cores)


@pytest.mark.parametrize(("name", "ranks"), [(TUCKER, (3, 2)), (TT, (4, 5, 2))])
def test_a_kernel_of_known_ranks_is_recovered_exactly(subject, name, ranks) -> None:
    plan = TensorFormats((1e-9,), (name,))
    kernel = of_known_ranks(name, np.random.default_rng(2))
    subject.network.get_submodule("2").weight.data = torch.from_numpy(kernel).float()
    found = measured(replace(subject), "2", plan)
    labels = plan.coordinates()["bond"]
    by_bond = dict(zip(labels, found["format_rank"][0, 0].tolist(), strict=True))
    assert tuple(by_bond[cut.label] for cut in BONDS[name]) == ranks
    assert found["format_relative_error"][0, 0] < 1e-6  # the weights are float32
    exact = in_format(kernel, name, format_ranks(kernel, name, (1e-9,))[0])
    assert exact.relative_error < 1e-13


def test_a_pointwise_kernel_has_one_cut_which_takes_the_whole_share() -> None:
    """Oracle: the truncation of the matrix (OUT, IN), the best of its rank."""
    matrix = np.random.default_rng(4).standard_normal((8, 6))
    squares = np.linalg.svd(matrix, compute_uv=False) ** 2
    lost = np.array([squares[r:].sum() / squares.sum() for r in range(1, 7)])
    for threshold in (0.1, 0.3):
        rank = 1 + int(np.argmax(lost <= 1 - (1 - threshold) ** 2))
        for name, expected in ((TUCKER, [rank, rank]), (TT, [rank, 1, 1])):
            [found] = format_ranks(matrix, name, (threshold,)).tolist()
            assert found == expected
            fit = in_format(matrix, name, found)
            assert fit.relative_error == pytest.approx(np.sqrt(lost[rank - 1]), rel=1e-9)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"formats": ()}, "need a tensor format and a threshold: give at least one of each"),
        ({"thresholds": ()}, "need a tensor format and a threshold"),
        ({"formats": ("Tucker",)}, r"unknown tensor format 'Tucker': did you mean Tucker-2\?"),
        ({"formats": ("MERA",)}, "unknown tensor format 'MERA': choose from Tucker-2, TT"),
        ({"thresholds": (0.1, 1.0)}, r"threshold 1.0 is outside \[0, 1\): choose an allowed"),
        ({"thresholds": (-0.1,)}, r"threshold -0.1 is outside \[0, 1\)"),
        ({"thresholds": (float("nan"),)}, r"threshold nan is outside \[0, 1\)"),
    ],
)
def test_plans_that_decompose_nothing_are_refused(settings, told) -> None:
    with pytest.raises(UserError, match=told):
        TensorFormats(**settings)


def test_formats_stand_in_order_and_once() -> None:
    assert TensorFormats(formats=("TT", "Tucker-2", "TT")).formats == ("Tucker-2", "TT")
