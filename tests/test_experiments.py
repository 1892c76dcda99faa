import json

import pytest

from compressibility.experiments import (
    EXPERIMENTS,
    ExperimentError,
    from_data,
    named,
    seeds_from,
)
from compressibility.store.keys import canonical_json

DIGITS = EXPERIMENTS["digits-vanilla"]


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0-7", tuple(range(8))), ("3", (3,)), ("0,2,5", (0, 2, 5)), ("4-5, 0,4", (0, 4, 5))],
)
def test_a_list_of_seeds_is_read(text: str, seeds: tuple[int, ...]) -> None:
    assert seeds_from(text, DIGITS) == seeds


@pytest.mark.parametrize("text", ["", "a", "1-", "3-1", "-1", "1,,2", "0.5"])
def test_what_is_no_list_of_seeds_is_refused(text: str) -> None:
    with pytest.raises(ExperimentError, match="not a list"):
        seeds_from(text, DIGITS)


def test_a_seed_that_the_experiment_lacks_is_refused() -> None:
    with pytest.raises(ExperimentError, match="has no seed 8: choose from 0-7"):
        seeds_from("0-8", DIGITS)


def test_an_unknown_experiment_names_the_nearest() -> None:
    with pytest.raises(ExperimentError, match="did you mean digits-vanilla"):
        named("digit-vanilla")


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda e: e.name)
def test_an_experiment_is_told_whole_in_json(experiment) -> None:
    told = json.loads(json.dumps(experiment.as_data()))
    assert told["name"] == experiment.name
    assert told["recipe"]["epochs"] == experiment.recipe.epochs
    assert told["architecture"]["kind"] == type(experiment.architecture).__name__
    assert tuple(told["thresholds"]) == experiment.thresholds


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda e: e.name)
def test_an_experiment_comes_back_from_json(experiment) -> None:
    assert from_data(json.loads(canonical_json(experiment.as_data()))) == experiment


@pytest.mark.parametrize(
    "damage",
    [
        {"architecture": {"kind": "Transformer"}},
        {"recipe": {"epochs": 1, "optimiser": "Adam"}},
        {"colour": "blue"},
    ],
    ids=["architecture", "recipe", "setting"],
)
def test_settings_of_another_version_are_told(damage) -> None:
    with pytest.raises(ExperimentError, match=r"does not have .*take the version"):
        from_data(DIGITS.as_data() | damage)
