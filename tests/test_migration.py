"""Files of schema version 1, as the last version that wrote them left them, opened today."""

import hashlib
import json
import lzma
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from compressibility.store.cache import default
from compressibility.store.migration import migrated
from compressibility.store.netcdf import DatasetError, open_dataset, open_shard, save
from compressibility.store.rules import validate
from compressibility.store.schema import SCHEMA_VERSION, TABLES, declared, present

VERSION_1 = Path(__file__).parent / "data" / "version-1.nc.xz"
"""Two networks of two convolutions, measured in two sittings by commit 2a1fc1c11b35."""

SHIPPED = {
    "cifar10-vanilla": "fe4282891bf2a503f35e2f366813ef5db8175247d1801a5f593874e7b4e4e266",
    "cifar100-vanilla": "79c6717908ea9ee3f02b8f75db3a94ca1c801891652fe6b313af6a04aabaf832",
}
"""SHA-256 of every number, flag, key and label that the files of version 1 held of these tables."""

NEW = ("commit", "versions", "failure")
OLD = ("network", "truncation", "controls", "hessian", "curvature")
"""The tables that there were when the files were of version 1."""


def fingerprint(dataset: xr.Dataset) -> str:
    """SHA-256 of all that version 1 held of the dataset's tables: bytes of numbers, texts."""
    digest = hashlib.sha256()
    tables = [table for table in present(dataset) if table.name in OLD]
    new = {table.book(entry) for table in tables for entry in NEW}
    for name in sorted(set(declared(tables)) - new):
        variable = dataset.variables[name]
        values = np.asarray(variable.values)
        numbers = values.dtype.kind in "fi"
        content = values.tobytes() if numbers else json.dumps(values.tolist()).encode()
        told = f"{name} {variable.dims} {variable.shape} {values.dtype if numbers else 'text'}"
        digest.update(told.encode() + content)
    return digest.hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of version 1."""
    (tmp_path / "old.nc").write_bytes(lzma.decompress(VERSION_1.read_bytes()))
    return tmp_path / "old.nc"


@pytest.fixture
def old(path: Path) -> xr.Dataset:
    """What plain xarray reads in it."""
    with xr.open_dataset(path, engine="netcdf4") as opened:
        return opened.load()


def test_every_number_flag_and_key_stays_to_the_bit(path: Path, old: xr.Dataset) -> None:
    opened = open_dataset(path)
    assert old.attrs["schema_version"] == 1
    assert set(old.variables) <= set(opened.variables)
    for name in old.variables:
        before, after = old.variables[name].values, opened.variables[name].values
        assert before.dtype.kind in "OUT" or before.dtype == after.dtype
        assert old.variables[name].dims == opened.variables[name].dims
        assert before.tolist() == after.tolist() or before.tobytes() == after.tobytes(), name


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_datasets_hold_what_they_held_in_version_1(name: str) -> None:
    path = default().dataset(name)
    with xr.open_dataset(path, engine="netcdf4") as plain:
        assert plain.attrs["schema_version"] == SCHEMA_VERSION
        assert fingerprint(plain.load()) == SHIPPED[name]
    assert fingerprint(open_dataset(path)) == SHIPPED[name]


def test_a_task_comes_from_the_commit_and_the_versions_that_the_file_told(
    path: Path, old: xr.Dataset
) -> None:
    opened = open_dataset(path)
    versions = json.loads(old.attrs["library_versions"])
    versions["compressibility"] = old.attrs["package_version"]
    for table in present(opened):
        keyed = opened[table.book("key")].values != ""
        commits, told = (opened[table.book(entry)].values for entry in ("commit", "versions"))
        assert set(commits[keyed].tolist()) == {"2a1fc1c11b35"}
        assert [json.loads(text) for text in set(told[keyed].tolist())] == [versions]
        assert set(commits[~keyed].tolist()) <= {""}
        assert not opened[table.book("failure")].values.any()
    assert not {"commit", "library_versions", "package_version"} & set(opened.attrs)
    assert opened.attrs["left_out"] == "null"
    for name in ("title", "source", "history", "references", "images_checksum"):
        assert opened.attrs[name] == old.attrs[name]


def test_tasks_that_were_not_done_come_from_nowhere(old: xr.Dataset) -> None:
    old["truncation_key"][0, 1] = ""
    opened = migrated(old)
    commit = "2a1fc1c11b35"
    assert opened["truncation_commit"].values.tolist() == [[commit, ""], [commit, commit]]
    assert opened["truncation_versions"].values[0, 1] == ""


def test_the_experiment_has_a_plan_for_each_table(path: Path, old: xr.Dataset) -> None:
    before = json.loads(old.attrs["experiment"])
    after = json.loads(open_dataset(path).attrs["experiment"])
    hessian = {"directions": 2, "eigenvalues": 1, "images": 16}
    assert after.pop("plans") == {
        "truncation": {"thresholds": [0, 0.4]},
        "controls": {"norm_loss_levels": [0.4]},
        "hessian": hessian,
        "curvature": hessian | {"thresholds": [0, 0.4]},
    }
    moved = {"hessian", "norm_loss_levels", "threads", "thresholds"}
    assert after == {name: value for name, value in before.items() if name not in moved}


def told(dataset: xr.Dataset, **changes: object) -> xr.Dataset:
    """The dataset with an experiment that tells otherwise."""
    experiment = json.loads(dataset.attrs["experiment"]) | changes
    return dataset.assign_attrs(experiment=json.dumps(experiment))


def without_hessian(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset of an experiment that plans no Hessian, as version 1 wrote it."""
    dataset = told(dataset.copy(deep=True), hessian=None)
    for table in (TABLES["hessian"], TABLES["curvature"]):
        for variable in (*table.measured, *table.bookkeeping):
            if variable.name in dataset:
                dataset[variable.name][...] = variable.missing
    return dataset.isel(direction=[0], eigenvalue_index=[0])


def test_what_was_not_planned_goes_with_its_dimensions(old: xr.Dataset) -> None:
    opened = migrated(without_hessian(old))
    validate(opened)
    assert [table.name for table in present(opened)] == ["network", "truncation", "controls"]
    assert not {"direction", "eigenvalue_index"} & set(opened.variables)
    assert set(json.loads(opened.attrs["experiment"])["plans"]) == {"truncation", "controls"}
    xr.testing.assert_equal(opened["rank"], old["rank"])


def test_what_was_measured_stays_though_it_was_not_planned(old: xr.Dataset) -> None:
    opened = migrated(told(old, hessian=None))
    validate(opened)
    xr.testing.assert_equal(opened["hessian_trace"], old["hessian_trace"])


@pytest.mark.parametrize(
    ("images", "name"), [("/somewhere/émile/flowers", "flowers"), ("digits", "digits")]
)
def test_the_path_of_a_folder_is_not_kept(old: xr.Dataset, images: str, name: str) -> None:
    assert json.loads(migrated(told(old, images=images)).attrs["experiment"])["images"] == name


def test_a_migrated_file_is_saved_and_read_as_one_of_today(path: Path, tmp_path: Path) -> None:
    opened = open_dataset(path)
    save(opened, tmp_path / "new.nc")
    xr.testing.assert_identical(open_dataset(tmp_path / "new.nc"), opened)
    xr.testing.assert_identical(migrated(opened), opened)


def test_work_in_progress_of_version_1_is_taken_up(path: Path) -> None:
    xr.testing.assert_identical(open_shard(path), open_dataset(path))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("experiment", "{'name': 1}", "experiment is missing or not JSON"),
        ("experiment", "3", "experiment is 3"),
        ("library_versions", "numpy 2", "library_versions is missing or not JSON"),
    ],
)
def test_an_attribute_that_cannot_be_understood_is_told(
    path: Path, old: xr.Dataset, name: str, value: str, words: str
) -> None:
    old.assign_attrs({name: value}).to_netcdf(path, engine="netcdf4")
    with pytest.raises(DatasetError, match=words):
        open_dataset(path)


def test_a_damaged_value_of_version_1_is_refused(path: Path, old: xr.Dataset) -> None:
    old["n_correct"][0, 0, 0, 0] += 1
    old.to_netcdf(path, engine="netcdf4")
    with pytest.raises(DatasetError, match=r"n_correct at .* is not baseline_n_correct"):
        open_dataset(path)
