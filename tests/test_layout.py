"""Shards put into a dataset, against the same values put in by hand; tables that come later."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from compressibility.store import schema
from compressibility.store.cache import default
from compressibility.store.declarations import Flag
from compressibility.store.layout import cut_flags, merge, shard
from compressibility.store.layout import measured as tasks_in
from compressibility.store.netcdf import DatasetError, open_dataset, open_shard, save, save_shard
from compressibility.store.provenance import TaskProvenance
from compressibility.store.rules import validate, validate_shard
from compressibility.store.schema import TABLES, declared, present
from compressibility.store.summary import summarise
from compressibility.store.view import SchemaError
from compressibility.tensors.modes import CUTS, same_as
from property_tests.datasets import BOOK, FAILURE, Task, blank_dataset, measured, tasks
from property_tests.tomorrow import DISTILLATION

SHAPES = {"conv1": (4, 3, 3, 3), "conv2": (8, 4, 1, 1)}
DONE = TaskProvenance(**BOOK)


def whole(**options: object) -> xr.Dataset:
    dataset = blank_dataset(SHAPES, **options)
    return measured(dataset, tasks(dataset), np.random.default_rng(0))


def cut_to_shard(dataset: xr.Dataset, task: Task, provenance: TaskProvenance = DONE) -> xr.Dataset:
    """The shard of one task of a whole dataset, its values cut out by hand."""
    table = TABLES[task.table]
    values = {}
    for variable in table.measured:
        piece = dataset[variable.name].sel(task.place)
        if variable.part:
            piece = piece.sel(weights=list(variable.part))
        values[variable.name] = piece.transpose(*[d for d in variable.dims if d in piece.dims])
    labels = {dim: dataset[dim].values for dim in dataset.dims}
    return shard(task.table, task.place, values, coordinates=labels, provenance=provenance)


def test_a_dataset_is_the_sum_of_its_shards() -> None:
    dataset = whole()
    merged = measured(blank_dataset(SHAPES), [], np.random.default_rng(0))
    for task in tasks(dataset):
        piece = cut_to_shard(dataset, task)
        validate_shard(piece)
        merge(merged, piece)
    xr.testing.assert_identical(merged, dataset)


def test_the_order_of_the_shards_does_not_matter_nor_that_they_lay_on_disk(tmp_path: Path) -> None:
    dataset = whole()
    merged = measured(blank_dataset(SHAPES), [], np.random.default_rng(0))
    for number, task in enumerate(reversed(tasks(dataset))):
        path = tmp_path / f"{number}.nc"
        piece = cut_to_shard(dataset, task)
        save_shard(piece, path)
        xr.testing.assert_identical(open_shard(path), piece)
        merge(merged, open_shard(path))
    xr.testing.assert_identical(merged, dataset)


def test_two_measurements_by_different_commits_keep_each_its_own() -> None:
    dataset = whole()
    earlier, later = ("controls", ("conv1", 0)), ("controls", ("conv2", 0))
    old = replace(DONE, commit="aaaaaaaaaaaa", versions='{"numpy":"1"}')
    new = replace(DONE, commit="bbbbbbbbbbbb", versions='{"numpy":"2"}')
    merged = measured(blank_dataset(SHAPES), [], np.random.default_rng(0))
    merge(merged, cut_to_shard(dataset, Task(*earlier), old))
    merge(merged, cut_to_shard(dataset, Task(*later), new))
    validate(merged)
    assert merged["controls_commit"].sel(seed=0).values.tolist() == [old.commit, new.commit]
    assert merged["controls_versions"].sel(seed=0).values.tolist() == [old.versions, new.versions]
    again = measured(blank_dataset(SHAPES), [], np.random.default_rng(0))
    merge(again, merged)
    xr.testing.assert_identical(again, merged)
    controls = next(each for each in summarise(again).tables if each.table.name == "controls")
    assert controls.commits == (old.commit, new.commit)


def test_what_is_measured_anew_takes_the_place_of_what_was_there() -> None:
    task = Task("hessian", (1,))
    dataset, other = whole(), whole()
    other["hessian_trace"][:] = 7.0
    merge(dataset, cut_to_shard(other, task, replace(DONE, key="e" * 64)))
    assert dataset["hessian_trace"].sel(seed=1) == 7.0
    assert dataset["hessian_trace"].sel(seed=0) != 7.0
    assert tasks_in(dataset, TABLES["hessian"])[1,] == "e" * 64


def test_a_task_that_failed_is_kept_with_its_reason(tmp_path: Path) -> None:
    dataset = measured(blank_dataset(SHAPES), [], np.random.default_rng(0))
    labels = {dim: dataset[dim].values for dim in dataset.dims}
    failed = replace(DONE, failure=FAILURE)
    for task in tasks(dataset):
        piece = shard(task.table, task.place, {}, coordinates=labels, provenance=failed)
        save_shard(piece, tmp_path / "failed.nc")
        merge(dataset, open_shard(tmp_path / "failed.nc"))
    validate(dataset)
    for table in TABLES.values():
        assert set(dataset[table.book("failure")].values.flat) == {FAILURE}
        for variable in table.flags:
            assert (dataset[variable.name] == Flag.FAILED.value).all()
        assert len(tasks_in(dataset, table)) == dataset[table.book("key")].size
    assert (dataset["weights_hash"] == "").all()


def test_a_shard_says_nothing_of_what_a_table_did_not_measure() -> None:
    piece = shard(
        "truncation",
        {"layer": "conv2", "seed": 0},
        {"kernel_norm": [1.0], "truncation_flag": cut_flags(SHAPES["conv2"])},
        coordinates={"threshold": [0.0]},
        provenance=DONE,
    )
    assert piece["weights"].values.tolist() == ["trained"]
    assert piece["truncation_flag"].values.ravel().tolist() == [0, 2, 3, 3, 3, 2, 2]
    assert not set(piece.variables) & {"depth", "n_images", "network_key", "controls_key"}


@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (8, 4, 1, 1), (8, 1, 1, 1), (2, 3, 1, 5)])
def test_the_flag_of_a_cut_says_what_same_as_says(shape: tuple[int, int, int, int]) -> None:
    for value, cut in zip(cut_flags(shape), CUTS, strict=True):
        held = same_as(shape, cut)
        other = Flag.TRIVIAL_CUT if held == "trivial" else Flag.SAME_AS_OTHER_CUT
        assert Flag(value) is (Flag.MEASURED if held == cut.label else other)


HESSIAN = {"hessian_eigenvalue": [2.0, 1.0], "hessian_trace": 3.0}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"table": "hesian"}, "unknown table 'hesian': did you mean hessian"),
        ({"labels": {"layer": "conv1", "seed": 0}}, "are not along seed"),
        ({"values": {"hessian_tracer": 1.0}}, "did you mean hessian_trace"),
        ({"values": HESSIAN | {"hessian_trace": [1.0, 2.0]}}, r"has shape \(2,\), must have \(\)"),
        ({"values": {"hessian_eigenvalue": [[1.0]]}}, r"has shape \(1, 1\)"),
        ({"coordinates": {"treshold": [0.1]}}, "unknown dimension 'treshold'"),
        ({"provenance": replace(DONE, failure="diverged")}, "a failed task of table hessian has"),
        (
            {"table": "truncation", "labels": {"layer": "conv1", "seed": 0}, "values": {}},
            "dimension threshold of table truncation has no labels",
        ),
    ],
)
def test_a_shard_that_does_not_fit_its_table_is_refused(
    options: dict[str, object], words: str
) -> None:
    fitting = {
        "table": "hessian",
        "labels": {"seed": 0},
        "values": HESSIAN,
        "coordinates": {},
        "provenance": DONE,
    } | options
    with pytest.raises(ValueError, match=words):
        shard(fitting.pop("table"), fitting.pop("labels"), fitting.pop("values"), **fitting)


def test_what_cannot_be_right_of_a_shard_is_refused_before_it_is_written(tmp_path: Path) -> None:
    rising = HESSIAN | {"hessian_eigenvalue": [1.0, 2.0]}
    piece = shard("hessian", {"seed": 0}, HESSIAN, coordinates={}, provenance=DONE)
    with pytest.raises(SchemaError, match=r"hessian_eigenvalue_residual at .* is missing, but"):
        save_shard(piece, tmp_path / "shard.nc")
    rest = {"hessian_eigenvalue_residual": [0.0, 0.0], "hessian_trace_standard_error": 0.1}
    piece = shard("hessian", {"seed": 0}, rising | rest, coordinates={}, provenance=DONE)
    with pytest.raises(SchemaError, match=r"hessian_eigenvalue at .* rises along"):
        save_shard(piece, tmp_path / "shard.nc")
    assert not (tmp_path / "shard.nc").exists()


def test_a_dataset_is_no_shard(tmp_path: Path) -> None:
    save(whole(), tmp_path / "dataset.nc")
    with pytest.raises(DatasetError, match="is not a valid shard: this is no shard"):
        open_shard(tmp_path / "dataset.nc")


@pytest.mark.parametrize(
    ("into", "task", "words"),
    [
        ({"tables": ["truncation"]}, Task("hessian", (0,)), "the dataset has no table hessian"),
        ({"seeds": [1]}, Task("hessian", (0,)), "seed: a task of table hessian"),
        (
            {"coordinates": {"threshold": [0.0, 0.1, 0.2]}},
            Task("truncation", ("conv1", 0)),
            "threshold: a task of table truncation lies along other labels",
        ),
    ],
)
def test_a_shard_of_other_labels_is_not_merged(
    into: dict[str, object], task: Task, words: str
) -> None:
    with pytest.raises(SchemaError, match=words):
        merge(blank_dataset(SHAPES, **into), cut_to_shard(whole(), task))


def test_dimensions_are_there_where_a_table_lies_along_them() -> None:
    core = blank_dataset(SHAPES, tables=[])
    assert set(core.dims) == {"layer", "seed"}
    assert set(blank_dataset(SHAPES, tables=["hessian"]).dims) - set(core.dims) == {
        "eigenvalue_index"
    }
    controls = blank_dataset(SHAPES, tables=["controls"])
    assert controls["weights"].values.tolist() == ["initial", "shuffled"]
    assert "direction" not in controls.dims


@pytest.mark.parametrize("kept", [["trained", "shuffled"], ["shuffled"], ["trained"]])
def test_some_of_the_weights_are_found_by_their_names(kept: list[str]) -> None:
    dataset = whole()
    chosen = dataset.sel(weights=kept)
    validate(chosen)
    for name in kept:
        xr.testing.assert_identical(
            chosen["schmidt_value"].sel(weights=name), dataset["schmidt_value"].sel(weights=name)
        )
    chosen["kernel_norm"].loc[{"weights": "shuffled"} if "shuffled" in kept else {}] = np.nan
    with pytest.raises(SchemaError, match=r"kernel_norm at weights .* is missing, but"):
        validate(chosen)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table along a dimension that no dataset has yet."""
    monkeypatch.setitem(schema.TABLES, DISTILLATION.name, DISTILLATION)


@pytest.mark.parametrize("path", default().datasets(), ids=lambda path: path.stem)
def test_a_table_along_a_new_dimension_leaves_every_dataset_readable_and_valid(
    path: Path, later: None
) -> None:
    dataset = open_dataset(path)
    validate(dataset)
    assert "temperature" not in dataset.dims
    assert DISTILLATION not in present(dataset)


def test_a_new_table_is_drawn_measured_saved_and_described_without_another_edit(
    tmp_path: Path, later: None
) -> None:
    dataset = whole()
    assert dataset["distillation_loss"].notnull().all()
    save(dataset, tmp_path / "new.nc")
    xr.testing.assert_identical(open_dataset(tmp_path / "new.nc"), dataset)
    assert summarise(dataset).is_whole
    assert {"temperature", "distillation_loss", "distillation_commit"} <= set(declared())


def test_a_dataset_with_a_table_that_is_unknown_here_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setitem(schema.TABLES, DISTILLATION.name, DISTILLATION)
        save(whole(), tmp_path / "new.nc")
    with pytest.raises(DatasetError, match="unknown variable"):
        open_dataset(tmp_path / "new.nc")


def test_an_optional_table_is_wholly_there_or_not_at_all() -> None:
    dataset = whole()
    without_key = dataset.drop_vars("hessian_key")
    with pytest.raises(SchemaError, match=r"stands without a table: .* no hessian_key"):
        validate(without_key)
    absent = [v.name for v in TABLES["hessian"].stored]
    with pytest.raises(SchemaError, match="eigenvalue_index: stands without a table"):
        validate(dataset.drop_vars(absent))
    validate(dataset.drop_vars([*absent, "eigenvalue_index"]))
    with pytest.raises(SchemaError, match="n_images: missing variable"):
        validate(dataset.drop_vars([v.name for v in TABLES["network"].stored]))


def test_a_flag_that_came_later_leaves_older_files_valid() -> None:
    dataset = whole()
    for table in TABLES.values():
        for variable in table.flags:
            stands, told = dataset[variable.name].values.max(), dataset[variable.name].attrs
            known = told["flag_values"] <= max(stands, Flag.NO_DIRECTION.value)
            told["flag_values"] = told["flag_values"][known]
            told["flag_meanings"] = " ".join(told["flag_meanings"].split()[: known.sum()])
    validate(dataset)
    failed = measured(blank_dataset(SHAPES), [], np.random.default_rng(0), failed=tasks(dataset))
    failed["network_flag"].attrs = dataset["network_flag"].attrs
    with pytest.raises(SchemaError, match="network_flag: attribute flag_values does not tell of 5"):
        validate(failed)


def test_the_reasons_of_what_was_left_out_are_kept(tmp_path: Path) -> None:
    save(whole(), tmp_path / "new.nc")
    assert json.loads(open_dataset(tmp_path / "new.nc").attrs["left_out"]) == {
        "head": "a linear layer"
    }
