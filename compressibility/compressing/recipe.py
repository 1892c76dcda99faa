"""What to truncate of which network, as data: the file ``recipe.json``."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from compressibility.compressing.advice import Advice, Candidate
from compressibility.compressing.cost import Cost, Measure
from compressibility.compressing.documents import document, structured
from compressibility.compressing.judgement import Judgement
from compressibility.compressing.options import Metric
from compressibility.errors import UserError
from compressibility.files import write_whole
from compressibility.store.keys import content_key
from compressibility.tensors.modes import Cut

VERSION: Final = 1
LEVEL: Final = 0.9
"""How often the interval of a prediction holds what is found."""


class RecipeError(UserError):
    """A recipe that cannot be used; the message says why."""


@dataclass(frozen=True)
class Truncated:
    """One layer's truncation: the label of the cut, the components kept, and the metric."""

    cut: str
    rank: int
    metric: Metric = "weights"


@dataclass(frozen=True)
class Prediction:
    """What a recipe's network is expected to lose on the test images.

    Attributes:
        points_lost: Points of accuracy lost on the held-out images that the layers were not chosen
            on together.
        low: Lower end of the interval for the test images.
        high: Upper end.
        level: How often the interval holds what is found, about.
        on: What the network answered there.
    """

    points_lost: float
    low: float
    high: float
    level: float
    on: Judgement


@dataclass(frozen=True)
class FrontPoint:
    """A network that was tried: what it keeps of the dense one, and what it is expected to lose.

    Attributes:
        kept: Shares of the dense network's cost.
        prediction: Without any training.
    """

    kept: Cost
    prediction: Prediction


@dataclass(frozen=True)
class CompressionRecipe:
    """What is truncated of one network of one experiment, and what that is expected to cost.

    Attributes:
        experiment: Its name.
        seed: Number of the network.
        weights_hash: SHA-256 of the network.
        images_checksum: Of the images that it was measured on.
        budget: What was asked for, in words.
        measure: What it limits.
        layers: Module path to truncation; the other layers stay as they are.
        prediction: Without any training; None where a recipe is written or edited by hand.
        front: Everything that was tried, by falling cost.
        version: Of this file's form.
    """

    experiment: str
    seed: int
    weights_hash: str
    images_checksum: str
    budget: str
    measure: Measure
    layers: Mapping[str, Truncated]
    prediction: Prediction | None = None
    front: tuple[FrontPoint, ...] = ()
    version: int = VERSION

    def save(self, path: Path) -> None:
        """Write it whole.

        Raises:
            WriteError: The file cannot be written.
        """
        write_whole(path, self.json().encode())

    def json(self) -> str:
        """As JSON, with an identity of its content that tells of later edits."""
        data = asdict(self)
        return json.dumps(data | {"identity": content_key(data, {})}, indent=2) + "\n"


def recipe_of(
    advice: Advice,
    *,
    experiment: str,
    seed: int,
    weights_hash: str,
    images_checksum: str,
    n_test: int,
) -> CompressionRecipe:
    """The recipe of what was advised, for a network and ``n_test`` test images."""
    return CompressionRecipe(
        experiment=experiment,
        seed=seed,
        weights_hash=weights_hash,
        images_checksum=images_checksum,
        budget=advice.budget.in_words,
        measure=advice.budget.measure,
        layers={
            option.layer: Truncated(option.cut, option.rank, option.metric)
            for option in advice.chosen.truncated
        },
        prediction=prediction_of(advice.chosen, n_test),
        front=tuple(
            FrontPoint(
                kept=each.cost / advice.dense.cost,
                prediction=prediction_of(each, n_test),
            )
            for each in advice.front
        ),
    )


def prediction_of(candidate: Candidate, n_test: int) -> Prediction:
    """What a candidate is expected to lose on so many test images."""
    judged = candidate.on_judging
    low, high = judged.points_lost_on_others(n_test, LEVEL)
    return Prediction(judged.points_lost, low, high, LEVEL, judged)


def read_recipe(path: Path) -> CompressionRecipe:
    """The recipe in a file; one that was edited by hand loses its prediction.

    Raises:
        RecipeError: The file is none, or of a version that is not known.
        UserError: A cut is none.
    """
    data = document(path, "recipe", VERSION, "compressibility advise", RecipeError)
    told = {name: value for name, value in data.items() if name != "identity"}
    recipe = structured(told, CompressionRecipe, path, "recipe", RecipeError)
    for layer, each in recipe.layers.items():
        Cut.parse(each.cut)
        if each.rank < 1:
            raise RecipeError(f"{path}: rank {each.rank} of {layer} is below 1")
    if data.get("identity") != content_key(told, {}):
        return replace(recipe, prediction=None, front=(), budget="edited by hand")
    return recipe
