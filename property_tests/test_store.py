"""Theorems about stored datasets: files lose nothing, and keys tell contents apart."""

import json
import re
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from compressibility.store.keys import canonical_json, content_key
from compressibility.store.netcdf import open_dataset, save
from compressibility.store.rules import validate
from compressibility.store.schema import CORE, TABLES, Flag, declared, present
from compressibility.store.summary import summarise
from property_tests.datasets import (
    blank_datasets,
    partial_datasets,
    tasks,
)

SOME = settings(max_examples=max(10, settings().max_examples // 6), deadline=None)
"""A dataset is a large example."""


def saved_and_loaded(dataset: xr.Dataset) -> xr.Dataset:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "drawn.nc"
        save(dataset, path)
        return open_dataset(path)


@SOME
@given(blank_datasets())
def test_a_blank_dataset_is_valid_and_holds_every_variable_at_its_missing_value(
    dataset: xr.Dataset,
) -> None:
    validate(dataset)
    assert set(dataset.variables) == set(declared(present(dataset)))
    for name in set(dataset.data_vars) - {"same_as"}:
        missing = declared()[name].missing
        assert all(
            value == missing or (missing != missing and value != value)
            for value in dataset[name].values.ravel()
        )


@SOME
@given(partial_datasets())
def test_every_choice_of_measured_tasks_is_a_valid_dataset(dataset: xr.Dataset) -> None:
    validate(dataset)


@SOME
@given(partial_datasets())
def test_saving_and_loading_is_the_identity(dataset: xr.Dataset) -> None:
    loaded = saved_and_loaded(dataset)
    xr.testing.assert_identical(loaded, dataset)
    for name in dataset.variables:
        assert loaded[name].dtype == dataset[name].dtype
        assert loaded[name].dims == dataset[name].dims


@SOME
@given(partial_datasets())
def test_a_file_reads_the_same_without_this_package(dataset: xr.Dataset) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "drawn.nc"
        save(dataset, path)
        with xr.open_dataset(path, engine="netcdf4") as plain:
            xr.testing.assert_identical(plain.load(), dataset)
            for name, variable in declared(present(dataset)).items():
                if variable.dtype != "str":
                    assert plain[name].dtype == np.dtype(variable.dtype)


@SOME
@given(partial_datasets(), st.randoms())
def test_the_order_of_dimensions_does_not_matter(dataset: xr.Dataset, random: Random) -> None:
    dims = list(dataset.sizes)
    random.shuffle(dims)
    validate(dataset.transpose(*dims))


@SOME
@given(partial_datasets())
def test_a_summary_counts_the_keys_and_names_the_rest_and_the_failures(dataset: xr.Dataset) -> None:
    summary = summarise(dataset)
    counted = {each.table.name: each for each in summary.tables}
    for task in tasks(dataset):
        book = TABLES[task.table].book
        keyed = dataset[book("key")].sel(task.place).item() != ""
        failure = dataset[book("failure")].sel(task.place).item()
        assert (task.labels in counted[task.table].missing) == (not keyed)
        assert counted[task.table].failures.get(task.labels, "") == failure
    for each in summary.tables:
        assert each.n_measured + len(each.missing) + len(each.failures) == each.n_tasks
    assert summary.is_whole == all(each.is_whole for each in summary.tables)


def test_the_drawn_datasets_are_of_every_kind() -> None:
    seen: set[str] = set()

    @settings(database=None)
    @given(partial_datasets())
    def draw(dataset: xr.Dataset) -> None:
        summary = summarise(dataset)
        flags = [dataset[f.name].values.ravel() for t in present(dataset) for f in t.flags]
        seen.update(Flag(value).name for value in np.unique(np.concatenate(flags)))
        seen.update(f"with {table.name}" for table in present(dataset))
        seen.update(f"without {name}" for name in set(TABLES) - {t.name for t in present(dataset)})
        seen.add("whole" if summary.is_whole else "partial")
        seen.add("several seeds" if len(summary.seeds) > 1 else "one seed")
        seen.add("several layers" if len(summary.layers) > 1 else "one layer")
        if not all(name.isascii() for name in summary.layers):
            seen.add("letters beyond ASCII")
        if "kernel_norm" in dataset and (dataset.kernel_norm == 0).any():
            seen.add("zero kernel")

    draw()
    assert seen >= {
        *(flag.name for flag in Flag),
        *(f"with {name}" for name in TABLES),
        *(f"without {name}" for name in set(TABLES) - {CORE.name}),
        "partial",
        "several seeds",
        "several layers",
        "letters beyond ASCII",
        "zero kernel",
    }


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_json)
def test_canonical_json_is_one_line_that_says_the_value(value: object) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(), _json, max_size=4), st.integers(0, 2**32 - 1))
def test_equal_content_has_equal_keys(settings_: dict[str, object], seed: int) -> None:
    array = np.random.default_rng(seed).standard_normal((3, 2))
    reversed_ = dict(reversed(settings_.items()))
    key = content_key(settings_, {"a": array, "b": array[0]})
    assert key == content_key(reversed_, {"b": array[0].copy(), "a": np.asfortranarray(array)})
    assert key == content_key(settings_, {"a": array.astype(">f8"), "b": array[0]})
    assert re.fullmatch("[0-9a-f]{64}", key)


@given(st.integers(0, 2**32 - 1), st.data())
def test_any_change_of_an_array_changes_the_key(seed: int, data: st.DataObject) -> None:
    array = np.random.default_rng(seed).standard_normal((3, 2))
    key = content_key({}, {"a": array})
    changed = array.copy()
    place = data.draw(st.integers(0, 5))
    changed.flat[place] = np.nextafter(changed.flat[place], np.inf)
    others = [
        content_key({}, {"a": changed}),
        content_key({}, {"a": array.astype(np.float32)}),
        content_key({}, {"a": array.reshape(2, 3)}),
        content_key({}, {"a": array.view(np.int64)}),
        content_key({}, {"b": array}),
        content_key({"a": 1}, {"a": array}),
        content_key({}, {}),
    ]
    assert key not in others
    assert len(set(others)) == len(others)
