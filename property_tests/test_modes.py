"""Theorems about cuts and matricizations."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compressibility.tensors.arrays import Shape
from compressibility.tensors.modes import (
    CUTS,
    TRIVIAL,
    Cut,
    Mode,
    distinct_cuts,
    matricize,
    matrix_shape,
    same_as,
    tensorize,
)
from compressibility.tensors.spectra import spectrum
from property_tests.strategies import DrawnKernel, ShapeKind, cuts, kernels, shapes


@given(kernels())
def test_tensorizing_inverts_matricizing_bit_for_bit(drawn: DrawnKernel) -> None:
    for cut in (*CUTS, *(cut.complement for cut in CUTS)):
        back = tensorize(matricize(drawn.array, cut), cut, drawn.array.shape)
        assert back.dtype == drawn.array.dtype
        assert np.array_equal(back, drawn.array)


@given(shapes(), cuts())
def test_matricizing_inverts_tensorizing(shape: Shape, cut: Cut) -> None:
    rows, columns = matrix_shape(shape, cut)
    matrix = np.arange(rows * columns).reshape(rows, columns)
    assert np.array_equal(matricize(tensorize(matrix, cut, shape), cut), matrix)


@given(kernels())
def test_matricizing_keeps_the_norm(drawn: DrawnKernel) -> None:
    for cut in CUTS:
        norm = np.linalg.norm(matricize(drawn.exact, cut))
        assert abs(norm - drawn.norm) <= drawn.tolerance


@given(shapes(), cuts())
def test_the_rows_are_the_modes_of_the_cut_and_the_columns_the_others(
    shape: Shape, cut: Cut
) -> None:
    for mode in Mode:
        index = np.indices(shape)[mode.axis]
        matrix = matricize(index, cut)
        varying = np.ptp(matrix, axis=1 if mode in cut.modes else 0)
        assert not varying.any()


@given(kernels())
def test_the_complement_has_the_transposed_matrix(drawn: DrawnKernel) -> None:
    for cut in CUTS:
        assert np.array_equal(matricize(drawn.array, cut.complement), matricize(drawn.array, cut).T)


@given(kernels())
def test_equal_cuts_have_one_spectrum_and_trivial_cuts_one_value(drawn: DrawnKernel) -> None:
    for cut in CUTS:
        label = same_as(drawn.array.shape, cut)
        if label == TRIVIAL:
            assert 1 in matrix_shape(drawn.array.shape, cut)
        else:
            found = spectrum(drawn.array, cut).schmidt_values
            standing_for = spectrum(drawn.array, Cut.parse(label)).schmidt_values
            assert np.abs(found - standing_for).max() <= drawn.tolerance


@given(shapes())
def test_distinct_cuts_are_the_bipartitions_of_the_modes_larger_than_one(shape: Shape) -> None:
    larger = sum(size > 1 for size in shape)
    assert len(distinct_cuts(shape)) == (2 ** (larger - 1) - 1 if larger else 0)


def sides(shape: Shape, cut: Cut) -> frozenset[frozenset[frozenset[int]]]:
    """The entries of a kernel, sorted into rows and sorted into columns, whichever is which."""
    matrix = matricize(np.arange(np.prod(shape)).reshape(shape), cut)
    return frozenset(frozenset(map(frozenset, side.tolist())) for side in (matrix, matrix.T))


@given(shapes())
def test_a_cut_stands_under_the_first_that_sorts_the_entries_alike(shape: Shape) -> None:
    for cut in CUTS:
        alike = [other.label for other in CUTS if sides(shape, other) == sides(shape, cut)]
        trivial = 1 in matrix_shape(shape, cut)
        assert same_as(shape, cut) == (TRIVIAL if trivial else alike[0])
        assert same_as(shape, cut.complement) == same_as(shape, cut)


@given(st.permutations(tuple(Mode)), st.integers(1, 3), shapes())
def test_either_side_in_any_order_names_the_cut(modes: list[Mode], size: int, shape: Shape) -> None:
    named = Cut.parse(",".join(mode.value for mode in modes[:size]))
    assert named in CUTS
    assert set(named.modes) in (set(modes[:size]), set(modes[size:]))
    assert Cut.parse(",".join(mode.value for mode in modes[size:])) == named


@given(kernels(), st.sampled_from(CUTS + tuple(cut.complement for cut in CUTS)))
def test_a_label_does_for_its_cut(drawn: DrawnKernel, cut: Cut) -> None:
    shape = drawn.array.shape
    named, label = Cut.parse(cut.label), cut.label
    matrix = matricize(drawn.array, named)
    assert np.array_equal(matricize(drawn.array, label), matrix)
    assert np.array_equal(tensorize(matrix, label, shape), drawn.array)
    assert matrix_shape(shape, label) == matrix.shape
    assert same_as(shape, label) == same_as(shape, named)
    expected = spectrum(drawn.array, named).schmidt_values
    assert np.array_equal(spectrum(drawn.array, label).schmidt_values, expected)


@given(kernels(shape=shapes(kind=ShapeKind.POINTWISE)))
def test_the_matrix_of_a_linear_layer_is_its_pointwise_kernel(drawn: DrawnKernel) -> None:
    matrix = drawn.array[:, :, 0, 0]
    assert distinct_cuts(matrix.shape) == distinct_cuts(drawn.array.shape)
    for cut in CUTS:
        assert matrix_shape(matrix.shape, cut) == matrix_shape(drawn.array.shape, cut)
        assert np.array_equal(matricize(matrix, cut), matricize(drawn.array, cut))
        expected = spectrum(drawn.array, cut).schmidt_values
        assert np.array_equal(spectrum(matrix, cut).schmidt_values, expected)
