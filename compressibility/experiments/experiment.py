"""An experiment as data: networks of one architecture on one image set, and what is measured."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import cattrs
import xarray as xr

from compressibility.errors import UserError
from compressibility.evaluation import Precision
from compressibility.networks import architectures, image_sets
from compressibility.networks.architectures import Architecture
from compressibility.networks.training import Recipe
from compressibility.quantities.controls import Controls
from compressibility.quantities.network import Network
from compressibility.quantities.quantity import Quantity, Scope, coordinates
from compressibility.quantities.registry import PLANNED, QUANTITIES
from compressibility.quantities.truncations import Truncation
from compressibility.store.keys import content_key


class ExperimentError(UserError):
    """A request that no experiment can meet; the message says what to do."""


@dataclass(frozen=True)
class Experiment:
    """Networks of one architecture, measured on the test images of one image set.

    They are trained on it, unless the architecture is `Imported`.

    Attributes:
        name: Short; the dataset is named by it.
        title: One line.
        images: Name of an image set, or the path of a folder.
        architecture: Of the networks.
        recipe: Of their training; None of networks that were trained elsewhere.
        seeds: Of the networks that are planned.
        plans: What is measured beside the baseline.
        test_images: Limits the measurement to the first test images.
        precision: That of the evaluations; below float32 the counts stay those of float32, and
            losses are not measured.
        kinds: Of the layers whose kernels are measured, out of
            `compressibility.networks.refusals.KINDS`.
        stream: Name of the random numbers of the networks' weights and trainings and of the
            measurements. Experiments of one stream share the initial kernels of equal seeds, so
            each new one has its own; without any (those of the first datasets) it is the seed.
    """

    name: str
    title: str
    images: str
    architecture: Architecture
    recipe: Recipe | None
    seeds: tuple[int, ...]
    plans: tuple[Quantity, ...] = (Truncation(), Controls())
    test_images: int | None = None
    precision: Precision = "float32"
    kinds: tuple[str, ...] = ("Conv2d",)
    stream: str | None = None

    def __post_init__(self) -> None:
        """Each quantity has one plan, and plans agree on the coordinates that they share."""
        tables = [plan.table for plan in self.plans]
        if repeated := {table for table in tables if tables.count(table) > 1}:
            raise ExperimentError(f"{self.name} has two plans for {repeated.pop()}: give one")
        coordinates(self.plans)

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What is measured, in the order of the tables."""
        planned = {quantity.table: quantity for quantity in (Network(), *self.plans)}
        return tuple(planned[table] for table in QUANTITIES if table in planned)

    @property
    def images_name(self) -> str:
        """The image set's name; a folder's is its last part."""
        return Path(self.images).name

    @property
    def identity(self) -> str:
        """See `identity`."""
        return identity(self.as_data())

    def scope(self, seed: int) -> Scope:
        """What the values of one seed depend on beside weights, images and plan."""
        return Scope(seed, self.test_images, self.stream)

    def as_data(self) -> dict[str, Any]:
        """Every setting, as data that JSON can hold; what is not set leaves no trace."""
        data: dict[str, Any] = {
            "name": self.name,
            "title": self.title,
            "images": self.images_name,
            "architecture": architectures.as_data(self.architecture),
            "recipe": None if self.recipe is None else asdict(self.recipe),
            "seeds": self.seeds,
            "plans": {plan.table: asdict(plan) for plan in self.plans},
            "test_images": self.test_images,
            "precision": self.precision,
        }
        if self.kinds != Experiment.kinds:
            data["kinds"] = self.kinds
        return data if self.stream is None else data | {"stream": self.stream}


def identity(data: Mapping[str, Any]) -> str:
    """SHA-256 of what makes an experiment's networks and test images what they are.

    Two datasets of one identity can be one file. Names, titles, seeds, plans and the precision do
    not count: plans have content keys of their own.

    Args:
        data: As `Experiment.as_data` gives it, or JSON of it.
    """
    return content_key({name: data.get(name) for name in IDENTIFYING}, {})


IDENTIFYING: Final = ("architecture", "recipe", "images", "test_images", "kinds", "stream")


def from_data(data: Mapping[str, Any]) -> Experiment:
    """The experiment of which `Experiment.as_data`, or JSON of it, tells.

    Raises:
        ExperimentError: It tells of settings that this version does not have.
    """
    if "architecture" not in data:
        raise ExperimentError(
            "it is of a network of one's own, of which the dataset keeps no weights: it cannot be "
            "measured again from here"
        )
    converter = architectures.converter()
    try:
        plans = {
            table: converter.structure(plan, PLANNED[table])
            for table, plan in data["plans"].items()
        }
        rest = {name: value for name, value in data.items() if name != "plans"}
        experiment = converter.structure(rest, Experiment)
        return replace(experiment, plans=tuple(plans[t] for t in PLANNED if t in plans))
    except cattrs.BaseValidationError as error:
        reason = "; ".join(cattrs.transform_error(error))
    except KeyError as error:
        reason = f"no {error}"
    raise ExperimentError(
        f"the dataset tells of settings that this version of compressibility does not have "
        f"({reason}): take the version that measured it"
    )


def of_dataset(dataset: xr.Dataset, images: Path | None = None) -> Experiment:
    """The experiment that a dataset has measured.

    Args:
        dataset: A layer dataset.
        images: The folder of images of one's own, if it has been moved.

    Raises:
        ExperimentError: As for `from_data`.
    """
    experiment = from_data(json.loads(dataset.attrs["experiment"]))
    return experiment if images is None else replace(experiment, images=str(images.resolve()))


def on_folder(experiment: Experiment, folder: Path) -> Experiment:
    """The experiment with the images of a folder of class sub-folders in the place of its own.

    It is named for the folder: ``cifar10-vanilla`` on ``flowers`` is ``flowers-vanilla``, and has
    the stream of that name, so that its networks start from kernels of their own.

    Raises:
        ExperimentError: There is no such folder, or it is named like an image set.
    """
    path = folder_of(folder)
    network = experiment.title.rpartition(" on ")[0]
    name = f"{path.name}-{experiment.name.removeprefix(f'{experiment.images}-')}"
    return replace(
        experiment,
        name=name,
        title=f"{network} on {path.name}",
        images=str(path),
        stream=name,
    )


def folder_of(images: Path) -> Path:
    """The whole path of a folder of images of one's own.

    Raises:
        ExperimentError: There is no such folder, or it is named like an image set.
    """
    path = images.resolve()
    if not path.is_dir():
        raise ExperimentError(f"{images} is no folder: give one with a sub-folder for each class")
    if path.name in image_sets.NAMES:
        raise ExperimentError(
            f"{images} is named like the image set {path.name}, and its dataset would be taken for "
            f"that one's: give it another name, such as my-{path.name}"
        )
    return path
