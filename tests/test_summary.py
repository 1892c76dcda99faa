"""The summary of a dataset of which we know what is measured."""

import numpy as np
import pytest

from compressibility.store.schema import Group
from compressibility.store.summary import rows, summarise
from property_tests.datasets import blank_dataset, measured, tasks

SHAPES = {"conv1": (4, 3, 3, 3), "conv2": (8, 4, 1, 1)}


def test_a_blank_dataset_misses_everything() -> None:
    summary = summarise(blank_dataset(SHAPES))
    assert not summary.is_whole
    assert summary.n_images is None
    assert summary.baseline_accuracies == {0: None, 1: None}
    assert {g.group: (g.n_measured, g.n_tasks) for g in summary.groups} == {
        Group.NETWORK: (0, 2),
        Group.TRUNCATION: (0, 4),
        Group.CONTROLS: (0, 4),
        Group.HESSIAN: (0, 2),
        Group.CURVATURE: (0, 4),
    }
    assert dict(rows(summary))["network group"] == "0 of 2 tasks; missing seed 0, 1"


def test_a_partial_dataset_names_what_is_missing_and_where_the_rest_was_measured() -> None:
    dataset = blank_dataset(SHAPES)
    chosen = [task for task in tasks(dataset) if task[1:] != ("conv2", 1)]
    dataset = measured(dataset, chosen, np.random.default_rng(0))
    summary = summarise(dataset)
    by_group = {g.group: g for g in summary.groups}
    assert by_group[Group.TRUNCATION].missing == (("conv2", 1),)
    assert by_group[Group.TRUNCATION].devices == ("cpu (Émile)",)
    assert by_group[Group.TRUNCATION].precisions == ("float32",)
    assert by_group[Group.HESSIAN].is_whole
    assert summary.n_images == 100
    assert summary.baseline_accuracies[1] == pytest.approx(
        dataset["baseline_accuracy"].sel(seed=1).item()
    )
    told = dict(rows(summary))
    assert told["whole"].startswith("no")
    assert told["truncation group"] == (
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
    dataset = blank_dataset(SHAPES, experiment={"hessian": None})
    chosen = [t for t in tasks(dataset) if t[0] not in (Group.HESSIAN, Group.CURVATURE)]
    summary = summarise(measured(dataset, chosen, np.random.default_rng(0)))
    assert summary.is_whole
    assert "hessian group" not in dict(rows(summary))


def test_the_experiments_settings_are_told_in_words() -> None:
    experiment = {"recipe": {"batch_size": 128, "flip": True}, "hessian": None, "name": "drawn"}
    told = dict(rows(summarise(blank_dataset(SHAPES, experiment=experiment))))
    assert told["recipe"] == "batch size 128, flip True"
    assert told["hessian"] == "none"
    assert told["name"] == "drawn"


def test_long_lists_are_shortened() -> None:
    dataset = blank_dataset({f"conv{i}": (2, 2, 1, 1) for i in range(12)})
    told = dict(rows(summarise(dataset)))
    assert told["layers"].endswith("conv7, and 4 more")
