"""The table of variables, against the definitions it stands for."""

from dataclasses import replace

import numpy as np
import pytest

from compressibility.store.cuts import n_schmidt_values
from compressibility.store.documentation import markdown
from compressibility.store.rules import validate
from compressibility.store.schema import (
    ATTRIBUTES,
    CORE,
    TABLES,
    declared,
    dimensions,
    named,
)
from compressibility.store.view import SchemaError
from compressibility.tensors.modes import CUTS, matricize
from property_tests.datasets import blank_dataset, measured, tasks

EVERY = [pytest.param(table, id=name) for name, table in TABLES.items()]


def test_every_variable_stands_in_one_table_or_is_measured_in_parts_that_do_not_meet() -> None:
    owners: dict[str, list[tuple[str, ...]]] = {}
    for table in TABLES.values():
        for variable in table.stored:
            owners.setdefault(variable.name, []).append(variable.part)
    assert not set(owners) & {v.name for d in dimensions().values() for v in (d.coordinate,)}
    for name, parts in owners.items():
        labels = [label for part in parts for label in part]
        assert len(parts) == 1 or (all(parts) and len(set(labels)) == len(labels)), name


def test_a_variable_that_several_tables_measure_is_declared_alike_by_all() -> None:
    for name, variable in declared().items():
        for table in TABLES.values():
            for other in table.stored:
                if other.name == name:
                    told = replace(other, part=variable.part, flag=variable.flag)
                    assert told == variable


@pytest.mark.parametrize("table", EVERY)
def test_a_table_lies_along_its_own_dimensions(table) -> None:
    own = {dimension.name for dimension in table.dimensions}
    used = {dim for variable in table.stored for dim in variable.dims}
    described = {v.name for d in table.dimensions for v in d.described_by}
    assert used | set(table.per) <= own
    assert own - used <= {"layer"}, "a dimension that nothing lies along"
    assert all(set(v.dims) <= own for d in table.dimensions for v in d.described_by)
    assert not described & {variable.name for variable in table.stored}


@pytest.mark.parametrize("variable", declared().values(), ids=lambda v: v.name)
def test_every_variable_is_described(variable) -> None:
    assert variable.definition.endswith(".")
    assert variable.long_name
    assert variable.source
    assert variable.units in {"1", "nat"}
    assert variable.dtype in {"float64", "int64", "int8", "str"}


@pytest.mark.parametrize("table", EVERY)
def test_what_a_table_measures_has_a_flag_of_the_table_beside_it(table) -> None:
    flags = {flag.name: flag for flag in table.flags}
    for variable in table.variables:
        assert set(table.per) <= set(variable.dims)
        assert set(table.per) <= set(flags[variable.flag].dims)
    assert {variable.flag for variable in table.variables} == set(flags)
    assert not any(variable.flag for variable in table.given)


@pytest.mark.parametrize("table", EVERY)
def test_bounds_descents_and_rules_speak_of_what_is_there(table) -> None:
    here = set(declared((CORE, table)))
    for variable in table.variables:
        assert not variable.descends_along or variable.descends_along in variable.dims
        if variable.bounds and variable.bounds.maximum_from:
            assert declared((CORE,))[variable.bounds.maximum_from].dims == ()
    for rule in table.rules:
        assert rule.variable in {variable.name for variable in table.variables}
        assert set(rule.needs) <= here


def test_the_names_of_tables_are_asked_for_by_the_nearest() -> None:
    assert named("hessian") is TABLES["hessian"]
    with pytest.raises(ValueError, match="unknown table 'hesian': did you mean hessian"):
        named("hesian")


@pytest.mark.parametrize("name", ["schmidt_value", "kernel_norm"])
def test_spectra_of_the_trained_weights_belong_to_the_truncations_others_to_the_controls(
    name: str,
) -> None:
    parts = {
        (table.name, variable.flag): variable.part
        for table in TABLES.values()
        for variable in table.variables
        if variable.name == name
    }
    assert parts == {
        ("truncation", "truncation_flag"): ("trained",),
        ("controls", "controls_flag"): ("initial", "shuffled"),
    }


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


def test_the_documentation_names_every_variable_attribute_unit_and_table() -> None:
    page = markdown()
    lines = page.splitlines()
    for name, variable in declared().items():
        rows = [line for line in lines if line.startswith(f"| `{name}` |")]
        assert len(rows) == sum(name in {v.name for v in t.stored} for t in TABLES.values()) or 1
        for row in rows:
            assert variable.definition.replace("|", "\\|") in row
            assert f"| {variable.units} |" in row
            assert row.replace("\\|", "").count("|") == 8
    for name in (*ATTRIBUTES, "n_classes", *dimensions()):
        assert f"`{name}`" in page
    for name in TABLES:
        assert f"## Table `{name}`" in lines


@pytest.mark.parametrize("prefix", ["", "joint_"])
def test_counts_that_do_not_add_up_with_the_baseline_are_refused(prefix) -> None:
    dataset = blank_dataset({"conv1": (4, 3, 3, 3)}, seeds=[0])
    dataset = measured(dataset, tasks(dataset), np.random.default_rng(0))
    validate(dataset)
    correct, lost, gained = (f"{prefix}n_{what}" for what in ("correct", "lost", "gained"))
    before = int(dataset["baseline_n_correct"][0])
    for name, value, message in (
        (correct, dataset[correct].values.flat[0] + 1, f"is not baseline_n_correct \\+ {gained}"),
        (lost, before + 1, "exceeds baseline_n_correct"),
        (gained, 101 - before, "exceeds n_images - baseline_n_correct"),
    ):
        wrong = dataset.copy(deep=True)
        wrong[name].values.flat[0] = value
        with pytest.raises(SchemaError, match=f"^{name} at .*{message}"):
            validate(wrong)


@pytest.mark.parametrize("number", [1, -1, 2.5, "10", True])
def test_a_number_of_classes_that_is_none_is_refused(number) -> None:
    dataset = blank_dataset({"conv1": (4, 3, 3, 3)}, seeds=[0])
    validate(dataset.assign_attrs(n_classes=2))
    with pytest.raises(SchemaError, match=r"n_classes is .* whole number of two or more"):
        validate(dataset.assign_attrs(n_classes=number))
