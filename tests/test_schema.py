"""The table of variables, against the definitions it stands for."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from compressibility.store import schema
from compressibility.store.documentation import markdown
from compressibility.store.schema import (
    ATTRIBUTES,
    BOOKKEEPING,
    COORDINATES,
    DIMENSIONS,
    FLAGS,
    MODES,
    TABLE,
    VARIABLES,
    Group,
    Part,
    members,
)
from compressibility.store.template import n_schmidt_values
from compressibility.tensors.modes import CUTS, matricize
from property_tests.datasets import blank_dataset


def test_the_modes_are_the_labels_of_the_seven_cuts() -> None:
    assert tuple(cut.label for cut in CUTS) == MODES


def test_every_name_stands_once() -> None:
    assert len(TABLE) == len(COORDINATES) + len(VARIABLES) + len(FLAGS) + len(BOOKKEEPING)


def test_every_dimension_has_a_coordinate_of_its_name() -> None:
    used = {dim for variable in TABLE.values() for dim in variable.dims}
    assert used == set(DIMENSIONS)
    assert all(TABLE[name].dims == (name,) for name in DIMENSIONS)


def test_every_variable_is_described() -> None:
    for variable in TABLE.values():
        assert variable.definition.endswith(".")
        assert variable.long_name
        assert variable.source
        assert variable.units in {"1", "nat"}
        assert variable.dtype in {"float64", "int64", "int8", "str"}


def test_every_flag_is_in_the_table_and_lies_within_its_variable() -> None:
    for variable in VARIABLES:
        for part in variable.parts:
            flag = TABLE[part.flag]
            assert flag in FLAGS
            if variable.name != "kernel_norm":
                assert set(flag.dims) <= set(variable.dims)


def test_every_variable_but_two_is_measured_by_a_group() -> None:
    assert {v.name for v in VARIABLES if not v.parts} == {"same_as", "n_images"}
    assert all(members(group) for group in Group)


@pytest.mark.parametrize("name", ["schmidt_value", "kernel_norm"])
def test_spectra_of_the_trained_weights_belong_to_the_truncations_others_to_the_controls(
    name: str,
) -> None:
    assert TABLE[name].parts == (
        Part(Group.TRUNCATION, "truncation_flag", ("trained",)),
        Part(Group.CONTROLS, "controls_flag", ("initial", "shuffled")),
    )
    assert members(Group.TRUNCATION)[name].weights == ("trained",)
    assert members(Group.CONTROLS)[name].weights == ("initial", "shuffled")


def test_the_number_of_schmidt_values_is_that_of_numpy() -> None:
    shapes = [(4, 3, 3, 3), (2, 5, 1, 1), (1, 1, 7, 2), (6, 1, 3, 1)]
    expected = [
        [len(np.linalg.svd(matricize(np.ones(shape), cut), compute_uv=False)) for cut in CUTS]
        for shape in shapes
    ]
    np.testing.assert_array_equal(n_schmidt_values(shapes), expected)


def test_a_blank_dataset_tells_of_its_layers() -> None:
    dataset = blank_dataset({"a": (4, 3, 3, 3), "b": (2, 5, 1, 1), "c": (8, 1, 1, 1)})
    assert dataset["parameters"].values.tolist() == [108, 10, 8]
    assert dataset["relative_depth"].values.tolist() == [0.0, 0.5, 1.0]
    assert dataset["schmidt_index"].values.tolist() == list(range(1, 10))
    assert dataset["same_as"].sel(layer="b").values.tolist() == [
        *("OUT", "OUT", "trivial", "trivial", "trivial", "OUT", "OUT")
    ]
    assert set(dataset["same_as"].sel(layer="c").values) == {"trivial"}
    single = blank_dataset({"a": (4, 3, 3, 3)})
    assert single["relative_depth"].values.tolist() == [0.0]


def test_the_documentation_names_every_variable_attribute_and_unit() -> None:
    page = markdown()
    lines = page.splitlines()
    for name, variable in TABLE.items():
        (row,) = [line for line in lines if line.startswith(f"| `{name}` |")]
        assert variable.definition.replace("|", "\\|") in row
        assert f"| {variable.units} |" in row
        assert row.replace("\\|", "").count("|") == 8
    for name in (*ATTRIBUTES, *DIMENSIONS):
        assert f"`{name}`" in page


@pytest.mark.parametrize("field", ["units", "missing"])
def test_a_variable_is_frozen(field: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(schema.TABLE["rank"], field, "2")
