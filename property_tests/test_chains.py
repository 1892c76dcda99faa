"""A chain of small kernels, and the kernel that it stands for, written out in indices."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressibility.tensors.arrays import Shape
from compressibility.tensors.chains import Chain, Link
from compressibility.tensors.modes import Cut, Mode
from compressibility.tensors.schmidt import decompose, stored_parameters
from property_tests.strategies import EPS, DrawnKernel, cuts, kernels, seeds, shapes

KH, KW = Mode.KH, Mode.KW
ranks = st.integers(1, 4)


def cp_chain(A: np.ndarray, B: np.ndarray, C: np.ndarray, D: np.ndarray) -> Chain:
    """Factors (out, R), (in, R), (kh, R), (kw, R): 1×1, a filter a channel twice, 1×1."""
    rank = A.shape[1]
    links = (
        Link(B.T[:, :, None, None]),
        Link(C.T[:, None, :, None], (KH,), groups=rank),
        Link(D.T[:, None, None, :], (KW,), groups=rank),
        Link(A[:, :, None, None]),
    )
    return Chain(links, (len(A), len(B), len(C), len(D)))


def tucker_chain(core: np.ndarray, A: np.ndarray, B: np.ndarray) -> Chain:
    links = (Link(B.T[:, :, None, None]), Link(core, (KH, KW)), Link(A[:, :, None, None]))
    return Chain(links, (len(A), len(B), *core.shape[2:]))


def train_chain(cores: list[np.ndarray]) -> Chain:
    """Cores (out, r₁), (r₁, in, r₂), (r₂, kh, r₃), (r₃, kw), the last next to the input."""
    first, second, third, fourth = cores
    links = (
        Link(fourth[:, None, None, :], (KW,)),
        Link(third.transpose(0, 2, 1)[:, :, :, None], (KH,)),
        Link(second.reshape(len(second), -1, 1, 1)),
        Link(first[:, :, None, None]),
    )
    shape = (len(first), second.shape[1], third.shape[1], fourth.shape[1])
    return Chain(links, shape)


def separable_chain(mixing: np.ndarray, C: np.ndarray, D: np.ndarray) -> Chain:
    """R filters C[h,r] D[w,r] that all channels share, mixed by (out, in, R)."""
    out, in_, rank = mixing.shape
    links = (
        Link(D.T[:, None, None, :], (KW,)),
        Link(C.T[:, None, :, None], (KH,), groups=rank),
        Link(mixing.reshape(out, in_ * rank, 1, 1)),
    )
    return Chain(links, (out, in_, len(C), len(D)))


def near(found: np.ndarray, truth: np.ndarray, magnitudes: np.ndarray) -> bool:
    """Equal to rounding of sums of terms whose absolute values sum to ``magnitudes``."""
    return found.shape == truth.shape and bool((abs(found - truth) <= 50 * EPS * magnitudes).all())


@given(kernels(), st.data())
def test_a_cut_as_a_chain_stands_for_the_truncated_kernel(
    drawn: DrawnKernel, data: st.DataObject
) -> None:
    decomposition = decompose(drawn.array, drawn.cut)
    rank = data.draw(st.integers(1, len(decomposition.schmidt_values)))
    found = decomposition.chain(rank).kernel()
    assert found.shape == drawn.array.shape
    assert abs(found - decomposition.truncated(rank)).max() <= drawn.tolerance


@given(shapes(), cuts(), seeds(), st.data())
def test_a_cut_as_a_chain_stores_rank_times_rows_and_columns(
    shape: Shape, cut: Cut, seed: int, data: st.DataObject
) -> None:
    kernel = np.random.default_rng(seed).standard_normal(shape)
    decomposition = decompose(kernel, cut)
    rank = data.draw(st.integers(1, len(decomposition.schmidt_values)))
    chain = decomposition.chain(rank)
    assert chain.parameters == stored_parameters(shape, cut, rank)
    assert [mode for link in chain.links for mode in link.modes].count(KH) == 1


@given(shapes(), ranks, seeds())
def test_cp_as_a_chain(shape: Shape, rank: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    factors = [rng.standard_normal((size, rank)) for size in shape]
    chain = cp_chain(*factors)
    truth, magnitudes = (
        np.einsum("or,ir,hr,wr->oihw", *each) for each in (factors, [abs(f) for f in factors])
    )
    assert near(chain.kernel(), truth, magnitudes)
    assert chain.parameters == rank * sum(shape)


@given(shapes(), ranks, ranks, seeds())
def test_tucker_2_as_a_chain(shape: Shape, r_out: int, r_in: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    core = rng.standard_normal((r_out, r_in, *shape[2:]))
    A, B = rng.standard_normal((shape[0], r_out)), rng.standard_normal((shape[1], r_in))
    chain = tucker_chain(core, A, B)
    truth, magnitudes = (
        np.einsum("abhw,oa,ib->oihw", *each) for each in ((core, A, B), (abs(core), abs(A), abs(B)))
    )
    assert near(chain.kernel(), truth, magnitudes)
    assert chain.parameters == core.size + A.size + B.size


@given(shapes(), st.tuples(ranks, ranks, ranks), seeds())
def test_a_tensor_train_as_a_chain(shape: Shape, bonds: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    out, in_, height, width = shape
    a, b, c = bonds
    cores = [rng.standard_normal(size) for size in ((out, a), (a, in_, b), (b, height, c))]
    cores.append(rng.standard_normal((c, width)))
    chain = train_chain(cores)
    truth, magnitudes = (
        np.einsum("oa,aib,bhc,cw->oihw", *each) for each in (cores, [abs(core) for core in cores])
    )
    assert near(chain.kernel(), truth, magnitudes)
    assert chain.parameters == sum(core.size for core in cores)


@given(shapes(), ranks, seeds())
def test_separable_filters_that_all_channels_share_as_a_chain(
    shape: Shape, rank: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    out, in_, height, width = shape
    parts = [rng.standard_normal((size, rank)) for size in (height, width)]
    parts.insert(0, rng.standard_normal((out, in_, rank)))
    chain = separable_chain(*parts)
    truth, magnitudes = (
        np.einsum("oir,hr,wr->oihw", *each) for each in (parts, [abs(part) for part in parts])
    )
    assert near(chain.kernel(), truth, magnitudes)
    assert chain.parameters == rank * (out * in_ + height + width)
    assert chain.macs((1, 1)) == rank * (out * in_ + in_ * (height + width))


@given(shapes(), seeds())
def test_a_kernel_is_a_chain_of_one_link(shape: Shape, seed: int) -> None:
    kernel = np.random.default_rng(seed).standard_normal(shape)
    chain = Chain((Link(kernel, (KH, KW)),), shape)
    assert (chain.kernel() == kernel).all()
    assert chain.parameters == kernel.size
    assert chain.macs((5, 7)) == kernel.size * 35


class TestMultiplicationsByHand:
    """A kernel of 8 outputs, 4 inputs and 3×5 entries: from 12×20 to 6×10 positions."""

    def count(self, label: str, **options: int) -> int:
        kernel = np.random.default_rng(0).standard_normal((8, 4, 3, 5))
        chain = decompose(kernel, Cut.parse(label)).chain(2)
        return chain.macs((6, 10), inputs=(12, 20), **options)

    def test_a_link_of_one_entry_runs_on_all_positions_in_front_of_a_stride(self) -> None:
        assert self.count("IN") == 2 * 4 * 12 * 20 + 8 * 2 * 3 * 5 * 6 * 10

    def test_a_link_that_moves_along_both_axes_reduces_what_the_next_sees(self) -> None:
        assert self.count("OUT") == 2 * 4 * 3 * 5 * 6 * 10 + 8 * 2 * 6 * 10

    def test_each_axis_is_reduced_by_the_link_that_moves_along_it(self) -> None:
        assert self.count("OUT,KH") == 2 * 4 * 5 * 12 * 10 + 8 * 2 * 3 * 6 * 10

    def test_filters_that_channels_share_are_multiplied_for_each_channel(self) -> None:
        assert self.count("OUT,IN") == 2 * 4 * 3 * 5 * 6 * 10 + 8 * 4 * 2 * 6 * 10

    def test_groups_multiply_every_link_but_the_last(self) -> None:
        assert self.count("OUT", groups=2) == 2 * 2 * 4 * 3 * 5 * 6 * 10 + 8 * 2 * 6 * 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Link(np.ones((2, 2))), r"shape \(2, 2\): it needs four sizes"),
        (lambda: Link(np.ones((3, 1, 1, 1)), groups=2), "3 outputs do not divide into 2 groups"),
        (lambda: Link(np.ones((2, 2, 1, 1)), (Mode.IN,)), "KH, KW, both or neither: not IN"),
        (lambda: Link(np.ones((2, 2, 3, 1)), (KW,)), "3 entries along KH, which it does not move"),
        (lambda: Chain((), (1, 1, 1, 1)), "without links"),
        (
            lambda: Chain((Link(np.ones((2, 3, 1, 1)), (KH, KW)),), (2, 4, 1, 1)),
            "link 1 takes 3 channels, and 4 arrive",
        ),
        (
            lambda: Chain((Link(np.ones((2, 4, 1, 1)), (KH, KW)),), (3, 4, 1, 1)),
            "gives 2 channels, not the 3 of OUT",
        ),
        (
            lambda: Chain((Link(np.ones((2, 4, 1, 1)), (KH,)),), (2, 4, 1, 1)),
            "0 links of the chain move along KW",
        ),
        (
            lambda: Chain((Link(np.ones((2, 4, 1, 1)), (KH, KW)),), (2, 4, 3, 1)),
            "the link along KH has 1 entries there, the kernel 3",
        ),
    ],
)
def test_what_is_no_chain_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
