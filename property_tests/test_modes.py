"""Theorems about cuts and matricizations."""

import numpy as np
from hypothesis import given

from compressibility.tensors.modes import (
    CUTS,
    TRIVIAL,
    Cut,
    Mode,
    Shape,
    distinct_cuts,
    matricize,
    matrix_shape,
    same_as,
    tensorize,
)
from compressibility.tensors.spectra import spectrum
from property_tests.strategies import DrawnKernel, cuts, kernels, shapes


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


@given(shapes())
def test_every_cut_stands_under_a_distinct_cut_or_is_trivial(shape: Shape) -> None:
    labels = {cut.label for cut in distinct_cuts(shape)}
    for cut in CUTS:
        assert same_as(shape, cut) in labels | {TRIVIAL}
        assert same_as(shape, cut) == same_as(shape, cut.complement)
