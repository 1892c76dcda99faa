import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from compressibility.cli import seeds_from
from compressibility.errors import UserError
from compressibility.experiments.experiment import ExperimentError, from_data, identity, on_folder
from compressibility.experiments.named import EXPERIMENTS, named
from compressibility.experiments.networks import initial
from compressibility.networks import image_sets
from compressibility.networks.architectures import VanillaCNN
from compressibility.quantities.curvature import Curvature
from compressibility.quantities.registry import QUANTITIES
from compressibility.quantities.truncations import Truncation
from compressibility.store.keys import canonical_json
from tests.small_experiment import PLANS, SMALL, planning

CIFARS = ("cifar10", "cifar100")
DIGITS = EXPERIMENTS["digits-vanilla"]


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0-7", tuple(range(8))), ("3", (3,)), ("0,2,5", (0, 2, 5)), ("4-5, 0,4", (0, 4, 5))],
)
def test_a_list_of_seeds_is_read(text: str, seeds: tuple[int, ...]) -> None:
    assert seeds_from(text, DIGITS.seeds, DIGITS.name) == seeds


@pytest.mark.parametrize("text", ["", "a", "1-", "3-1", "-1", "1,,2", "0.5"])
def test_what_is_no_list_of_seeds_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="not a list"):
        seeds_from(text, DIGITS.seeds, DIGITS.name)


def test_a_seed_that_the_experiment_lacks_is_refused() -> None:
    with pytest.raises(UserError, match="has no seed 8: choose from 0-7"):
        seeds_from("0-8", DIGITS.seeds, DIGITS.name)


def test_an_unknown_experiment_names_the_nearest() -> None:
    with pytest.raises(ExperimentError, match="did you mean digits-vanilla"):
        named("digit-vanilla")


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda e: e.name)
def test_an_experiment_is_told_whole_in_json(experiment) -> None:
    told = json.loads(json.dumps(experiment.as_data()))
    assert told["name"] == experiment.name
    assert told["recipe"]["epochs"] == experiment.recipe.epochs
    assert told["architecture"]["kind"] == type(experiment.architecture).__name__
    assert set(told["plans"]) == {plan.table for plan in experiment.plans}


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda e: e.name)
def test_an_experiment_comes_back_from_json(experiment) -> None:
    assert from_data(json.loads(canonical_json(experiment.as_data()))) == experiment


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": VanillaCNN(channels=(8, 6), pooled=(0,))},
        {"recipe": replace(SMALL.recipe, epochs=3)},
        {"images": "cifar10"},
        {"test_images": 101},
        {"stream": "another"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_makes_the_networks_and_images_makes_the_identity(change) -> None:
    assert replace(SMALL, **change).identity != SMALL.identity


@pytest.mark.parametrize(
    "change",
    [{"name": "a"}, {"title": "A"}, {"seeds": (5,)}, {"plans": ()}, {"precision": "bfloat16"}],
    ids=lambda change: next(iter(change)),
)
def test_names_seeds_and_plans_leave_the_identity(change) -> None:
    changed = replace(SMALL, **change)
    assert changed.identity == SMALL.identity
    assert identity(json.loads(canonical_json(changed.as_data()))) == SMALL.identity


def test_a_folders_path_is_told_by_its_name_alone() -> None:
    experiment = replace(SMALL, images=str(Path("/somewhere/private/flowers")))
    assert "private" not in canonical_json(experiment.as_data())
    assert experiment.as_data()["images"] == "flowers"


def test_plans_that_disagree_on_a_grid_are_refused() -> None:
    other = replace(PLANS["curvature"], thresholds=(0.0, 0.2))
    with pytest.raises(UserError, match="two grids of threshold"):
        planning(curvature=other)


def test_two_plans_of_one_quantity_are_refused() -> None:
    with pytest.raises(ExperimentError, match="two plans for truncation"):
        replace(SMALL, plans=(Truncation(), Truncation()))


def test_quantities_stand_in_the_order_of_the_tables() -> None:
    backwards = replace(SMALL, plans=tuple(reversed(SMALL.plans)))
    assert [quantity.table for quantity in backwards.quantities] == list(QUANTITIES)


def test_no_two_quantities_share_their_random_numbers() -> None:
    streams = [quantity.stream for quantity in QUANTITIES.values()]
    assert len(set(streams)) == len(streams)
    assert Curvature.stream == 4


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


def test_a_network_of_ones_own_is_no_experiment_of_another_version() -> None:
    with pytest.raises(ExperimentError, match="a network of one's own"):
        from_data({"name": "mine", "images": "own", "seeds": [0], "plans": {}})


FIRST = {f"{images}-vanilla" for images in ("digits", *CIFARS)}
"""Measured before experiments had streams: the seed alone chooses their initial kernels."""


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda e: e.name)
def test_every_experiment_but_the_first_ones_has_a_stream_of_its_own(experiment) -> None:
    assert experiment.stream == (None if experiment.name in FIRST else experiment.name)


def test_an_experiment_on_a_folder_has_a_stream_of_its_own(tmp_path) -> None:
    (tmp_path / "flowers").mkdir()
    found = on_folder(EXPERIMENTS["cifar10-vanilla"], tmp_path / "flowers")
    assert found.stream == found.name == "flowers-vanilla"


def first_kernel(experiment, seed=0):
    network, generator = initial(experiment, seed, image_sets.load(experiment.images, Path()))
    return next(network.parameters()), torch.rand(3, generator=generator)


def test_a_stream_chooses_the_initial_kernels_and_the_training() -> None:
    """Without one two experiments start alike; with one each they do not."""
    first, second = SMALL, replace(SMALL, name="b", recipe=replace(SMALL.recipe, epochs=1))
    for found, other in zip(first_kernel(first), first_kernel(second), strict=True):
        assert torch.equal(found, other)
    first, second = (replace(e, stream=e.name) for e in (first, second))
    for found, other in zip(first_kernel(first), first_kernel(second), strict=True):
        assert not torch.equal(found, other)
    for found, other in zip(first_kernel(first), first_kernel(first), strict=True):
        assert torch.equal(found, other)
