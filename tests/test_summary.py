"""The summary of a dataset of which we know what is measured."""

import numpy as np
import pytest

from compressibility.store.summary import rows, summarise
from property_tests.datasets import blank_dataset, measured, tasks

SHAPES = {"conv1": (4, 3, 3, 3), "conv2": (8, 4, 1, 1)}


def test_a_blank_dataset_misses_everything() -> None:
    summary = summarise(blank_dataset(SHAPES))
    assert not summary.is_whole
    assert summary.n_images is None
    assert summary.baseline_accuracies == {0: None, 1: None}
    assert {t.table.name: (t.n_measured, t.n_tasks) for t in summary.tables} == {
        "network": (0, 2),
        "truncation": (0, 4),
        "held_out": (0, 4),
        "controls": (0, 4),
        "hessian": (0, 2),
        "curvature": (0, 4),
        "joint": (0, 2),
        "formats": (0, 4),
        "cp": (0, 4),
        "recovery": (0, 12),
        "minimum": (0, 2),
        "whitened": (0, 4),
    }
    assert dict(rows(summary))["network table"] == "0 of 2 tasks; missing seed 0, 1"


def test_a_partial_dataset_names_what_is_missing_and_where_the_rest_was_measured() -> None:
    dataset = blank_dataset(SHAPES)
    chosen = [task for task in tasks(dataset) if task.labels != ("conv2", 1)]
    dataset = measured(dataset, chosen, np.random.default_rng(0))
    summary = summarise(dataset)
    by_table = {each.table.name: each for each in summary.tables}
    assert by_table["truncation"].missing == (("conv2", 1),)
    assert by_table["truncation"].devices == ("cpu (Émile)",)
    assert by_table["truncation"].precisions == ("float32",)
    assert by_table["hessian"].is_whole
    assert summary.n_images == 100
    assert summary.baseline_accuracies[1] == pytest.approx(
        dataset["baseline_accuracy"].sel(seed=1).item()
    )
    told = dict(rows(summary))
    assert told["whole"].startswith("no")
    assert told["truncation table"] == (
        "3 of 4 tasks on cpu (Émile) in float32; missing layer/seed conv2/1"
    )
    assert told["layers"] == "2: conv1, conv2"


def test_a_whole_dataset_is_said_to_be_whole() -> None:
    dataset = blank_dataset(SHAPES)
    summary = summarise(measured(dataset, tasks(dataset), np.random.default_rng(0)))
    assert summary.is_whole
    assert dict(rows(summary))["whole"] == "yes"
    [line] = summary.history
    assert line.startswith("2024-03-21T00:00:00+00:00 compressibility ")
    assert line.endswith(": drawn")


def test_seeds_that_the_experiment_plans_are_missed() -> None:
    dataset = blank_dataset(SHAPES, experiment={"seeds": [0, 1, 2]})
    summary = summarise(measured(dataset, tasks(dataset), np.random.default_rng(0)))
    assert not summary.is_whole
    assert dict(rows(summary))["seeds"] == "0, 1; missing 2"


def test_without_a_planned_hessian_a_dataset_is_whole_without_one() -> None:
    dataset = blank_dataset(SHAPES, tables=["truncation", "controls"])
    summary = summarise(measured(dataset, tasks(dataset), np.random.default_rng(0)))
    assert summary.is_whole
    assert "hessian table" not in dict(rows(summary))


def test_a_planned_table_that_is_not_there_is_missed() -> None:
    plans = {"truncation": {"thresholds": [0.0]}, "recovery": {"epochs": 3}}
    dataset = blank_dataset(SHAPES, tables=["truncation"], experiment={"plans": plans})
    summary = summarise(measured(dataset, tasks(dataset), np.random.default_rng(0)))
    assert summary.absent_tables == ("recovery",)
    assert not summary.is_whole
    told = dict(rows(summary))
    assert told["recovery table"] == "planned, and not begun"
    assert told["plan of recovery"] == "epochs 3"


def test_failures_are_told_with_their_reasons() -> None:
    dataset = blank_dataset(SHAPES)
    every = tasks(dataset)
    failed = [task for task in every if task.table == "curvature" and task.labels == ("conv1", 1)]
    rest = [task for task in every if task not in failed]
    dataset = measured(dataset, rest, np.random.default_rng(0), failed=failed)
    summary = summarise(dataset)
    assert not summary.is_whole
    assert dict(rows(summary))["curvature table"] == (
        "3 of 4 tasks on cpu (Émile) in float32\n"
        "failed at layer/seed conv1/1: diverged: the loss is NaN (Émile)"
    )


def test_what_was_left_out_is_told_with_the_reasons_or_as_not_recorded() -> None:
    dataset = blank_dataset(SHAPES)
    assert dict(rows(summarise(dataset)))["left out"] == "head: a linear layer"
    for text, told in (("{}", "nothing"), ("null", "not recorded")):
        changed = dataset.assign_attrs(left_out=text)
        assert dict(rows(summarise(changed)))["left out"] == told


def test_tasks_of_several_commits_are_told_apart() -> None:
    dataset = blank_dataset(SHAPES)
    dataset = measured(dataset, tasks(dataset), np.random.default_rng(0))
    assert dict(rows(summarise(dataset)))["measured by"] == "commit 0123456789ab: numpy 0"
    dataset["controls_commit"][0, 0] = "ba9876543210"
    dataset["controls_versions"][0, 0] = '{"numpy":"1"}'
    told = dict(rows(summarise(dataset)))
    assert told["controls measured by"] == (
        "commit 0123456789ab, ba9876543210: numpy 0; or numpy 1"
    )
    others = (
        "network, truncation, held_out, hessian, curvature, joint, formats, cp, recovery, minimum, "
        "whitened"
    )
    assert told[f"{others} measured by"] == "commit 0123456789ab: numpy 0"


def test_the_experiments_settings_are_told_in_words() -> None:
    experiment = {"recipe": {"batch_size": 128, "flip": True}, "stream": None, "name": "drawn"}
    told = dict(rows(summarise(blank_dataset(SHAPES, experiment=experiment))))
    assert told["recipe"] == "batch size 128, flip True"
    assert told["stream"] == "none"
    assert told["name"] == "drawn"


def test_nothing_is_told_twice() -> None:
    experiment = {"title": "drawn", "seeds": [0, 1], "test_images": 100}
    labels = [label for label, _ in rows(summarise(blank_dataset(SHAPES, experiment=experiment)))]
    assert len(set(labels)) == len(labels)


def test_long_lists_are_shortened() -> None:
    dataset = blank_dataset({f"conv{i}": (2, 2, 1, 1) for i in range(12)})
    told = dict(rows(summarise(dataset)))
    assert told["layers"].endswith("conv7, and 4 more")
