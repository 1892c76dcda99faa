"""Cuts and matricizations against what can be read off by hand."""

import numpy as np
import pytest
import torch

from compressibility.errors import UserError
from compressibility.tensors.modes import (
    CUTS,
    Cut,
    Mode,
    as_kernel,
    distinct_cuts,
    matricize,
    matrix_shape,
    same_as,
    tensorize,
)

LABELS = ("OUT", "IN", "KH", "KW", "OUT,IN", "OUT,KH", "OUT,KW")


def test_the_cuts_are_the_seven_of_the_table_in_its_order() -> None:
    assert tuple(cut.label for cut in CUTS) == LABELS
    assert tuple(mode.axis for mode in Mode) == (0, 1, 2, 3)


@pytest.mark.parametrize("label", LABELS)
def test_a_label_names_its_cut(label: str) -> None:
    assert Cut.parse(label).label == label


def test_a_cut_is_its_side_whatever_the_order_of_writing() -> None:
    assert Cut((Mode.KW, Mode.OUT)) == Cut.parse("OUT,KW")
    assert Cut.parse("OUT,KW").complement == Cut((Mode.KH, Mode.IN))


def test_an_entry_stands_in_the_row_and_column_of_its_indices() -> None:
    kernel = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    o, i, h, w = 1, 2, 3, 4
    places = {
        "OUT": (o, (i * 4 + h) * 5 + w),
        "IN": (i, (o * 4 + h) * 5 + w),
        "KH": (h, (o * 3 + i) * 5 + w),
        "KW": (w, (o * 3 + i) * 4 + h),
        "OUT,IN": (o * 3 + i, h * 5 + w),
        "OUT,KH": (o * 4 + h, i * 5 + w),
        "OUT,KW": (o * 5 + w, i * 4 + h),
    }
    for label, (row, column) in places.items():
        assert matricize(kernel, Cut.parse(label))[row, column] == kernel[o, i, h, w]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 6, 3, 3), LABELS),
        ((8, 6, 1, 1), ("OUT", "OUT", "trivial", "trivial", "trivial", "OUT", "OUT")),
        ((8, 1, 3, 3), ("OUT", "trivial", "KH", "KW", "OUT", "KW", "KH")),
        ((8, 6, 1, 3), ("OUT", "IN", "trivial", "KW", "KW", "OUT", "IN")),
        ((8, 6, 3, 1), ("OUT", "IN", "KH", "trivial", "KH", "IN", "OUT")),
        ((1, 1, 3, 3), ("trivial", "trivial", "KH", "KH", "trivial", "KH", "KH")),
        ((8, 1, 1, 1), ("trivial",) * 7),
        ((1, 1, 1, 1), ("trivial",) * 7),
    ],
)
def test_cuts_that_coincide_stand_under_the_first(
    shape: tuple[int, ...], expected: tuple[str, ...]
) -> None:
    assert tuple(same_as(shape, cut) for cut in CUTS) == expected
    standing = [label for label in LABELS if label in expected]
    assert [cut.label for cut in distinct_cuts(shape)] == standing


def test_a_linear_weight_is_a_kernel_with_two_modes_of_size_one() -> None:
    weight = np.arange(6.0).reshape(2, 3)
    kernel = as_kernel(weight)
    assert kernel.shape == (2, 3, 1, 1)
    assert np.array_equal(matricize(kernel, CUTS[0]), weight)
    assert as_kernel(kernel) is kernel


def test_an_unknown_cut_is_answered_with_the_known_ones() -> None:
    for label in ("", "OUT,OUT", "OUT,IN,KH,KW", "out"):
        message = rf"^unknown cut '{label}': choose from OUT; IN; .*; OUT,KW, or name the other"
        with pytest.raises(UserError, match=message):
            Cut.parse(label)
        with pytest.raises(UserError, match=message):
            matricize(np.ones((2, 2, 2, 2)), label)


def test_a_tensor_of_torch_is_refused_with_what_to_pass() -> None:
    with pytest.raises(TypeError, match="kernel is a Parameter: pass a NumPy array"):
        matricize(torch.nn.Linear(2, 3).weight, "OUT")


def test_a_cut_may_be_named_by_its_other_side_in_any_order() -> None:
    names = {"KW,OUT": "OUT,KW", "KH,IN": "OUT,KW", "KW,IN,KH": "OUT", "KH,KW": "OUT,IN"}
    assert {name: Cut.parse(name).label for name in names} == names


@pytest.mark.parametrize("modes", [(), tuple(Mode), (Mode.OUT, Mode.OUT)])
def test_a_cut_needs_two_sides(modes: tuple[Mode, ...]) -> None:
    with pytest.raises(ValueError, match="is no bipartition"):
        Cut(modes)


def test_a_matrix_of_the_wrong_size_is_refused_with_the_right_one() -> None:
    with pytest.raises(ValueError, match=r"matrix of shape \(4, 27\) does not fit.*\(8, 27\)"):
        tensorize(np.ones((4, 27)), CUTS[0], (8, 3, 3, 3))


@pytest.mark.parametrize("shape", [(3,), (3, 3, 3), (2, 3, 0, 3), (1, 2, 3, 4, 5)])
def test_what_is_no_kernel_is_refused_with_its_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"is no kernel'?s?"):
        matrix_shape(shape, CUTS[0])
    with pytest.raises(ValueError, match="is no kernel"):
        matricize(np.ones(shape), CUTS[0])
    if len(shape) != 4:
        with pytest.raises(ValueError, match="is no kernel"):
            as_kernel(np.ones(shape))
