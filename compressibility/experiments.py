"""The named experiments, as data."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from compressibility.evaluation.evaluator import Precision
from compressibility.networks.architectures import Architecture, ResNet50, VanillaCNN
from compressibility.networks.training import Recipe
from compressibility.tensors.thresholds import THRESHOLDS

ALL_CORES: Final = 0


class ExperimentError(ValueError):
    """A request that no experiment can meet; the message says what to do."""


@dataclass(frozen=True)
class HessianPlan:
    """What is estimated of the Hessian of the training loss.

    ``images`` are the first training images, ``eigenvalues`` the number of top eigenvalues of
    the whole network, ``directions`` the random directions a trace is estimated from.
    """

    images: int
    eigenvalues: int
    directions: int


@dataclass(frozen=True)
class Experiment:
    """Networks of one architecture, trained on one image set, measured on its test images.

    ``test_images`` limits the measurement to the first test images. ``precision`` is that of the
    evaluations; below float32 the counts stay those of float32, and losses are not measured.
    ``threads`` is how many cores one task uses well: tasks run side by side on what is left
    (``ALL_CORES``: one by one).
    """

    name: str
    title: str
    images: str
    architecture: Architecture
    recipe: Recipe
    seeds: tuple[int, ...]
    hessian: HessianPlan | None = None
    thresholds: tuple[float, ...] = THRESHOLDS
    norm_loss_levels: tuple[float, ...] = THRESHOLDS[1:]
    test_images: int | None = None
    precision: Precision = "float32"
    threads: int = ALL_CORES

    def as_data(self) -> dict[str, Any]:
        """Every setting, as data that JSON can hold."""
        architecture = {"kind": type(self.architecture).__name__, **asdict(self.architecture)}
        return {**asdict(self), "architecture": architecture}


_CIFAR_RECIPE: Final = Recipe(
    epochs=16,
    batch_size=128,
    peak_learning_rate=0.15,
    label_smoothing=0.05,
    shift=3,
    flip=True,
    precision="bfloat16",
)
_CIFAR_VANILLA: Final = VanillaCNN(channels=(32, 64, 128, 256), pooled=(0, 1, 2))
_RESNET_RECIPE: Final = Recipe(
    epochs=40,
    batch_size=512,
    peak_learning_rate=0.4,
    label_smoothing=0.1,
    shift=4,
    flip=True,
    precision="bfloat16",
)
_SMALL_RESNET_RECIPE: Final = replace(
    _RESNET_RECIPE,
    epochs=12,
    batch_size=128,
    peak_learning_rate=0.2,
)
_THREE_SEEDS: Final = (0, 1, 2)
_EIGHT_SEEDS: Final = tuple(range(8))

EXPERIMENTS: Final[Mapping[str, Experiment]] = MappingProxyType(
    {
        experiment.name: experiment
        for experiment in (
            Experiment(
                name="digits-vanilla",
                title="Vanilla CNN of four convolutions on handwritten digits",
                images="digits",
                architecture=VanillaCNN(channels=(16, 32, 48, 64), pooled=(1,)),
                recipe=Recipe(epochs=20, batch_size=64, peak_learning_rate=0.1, shift=1),
                seeds=_EIGHT_SEEDS,
                hessian=HessianPlan(images=256, eigenvalues=3, directions=32),
                threads=1,
            ),
            Experiment(
                name="cifar10-vanilla",
                title="Vanilla CNN of four convolutions on CIFAR-10",
                images="cifar10",
                architecture=_CIFAR_VANILLA,
                recipe=_CIFAR_RECIPE,
                seeds=_EIGHT_SEEDS,
                hessian=HessianPlan(images=256, eigenvalues=3, directions=32),
            ),
            Experiment(
                name="cifar100-vanilla",
                title="Vanilla CNN of four convolutions on CIFAR-100",
                images="cifar100",
                architecture=_CIFAR_VANILLA,
                recipe=_CIFAR_RECIPE,
                seeds=_EIGHT_SEEDS,
                hessian=HessianPlan(images=256, eigenvalues=3, directions=32),
            ),
            Experiment(
                name="cifar10-resnet50",
                title="ResNet-50 on CIFAR-10",
                images="cifar10",
                architecture=ResNet50(),
                recipe=_RESNET_RECIPE,
                seeds=_THREE_SEEDS,
                precision="bfloat16",
            ),
            Experiment(
                name="cifar100-resnet50",
                title="ResNet-50 on CIFAR-100",
                images="cifar100",
                architecture=ResNet50(),
                recipe=_RESNET_RECIPE,
                seeds=_THREE_SEEDS,
                precision="bfloat16",
            ),
            Experiment(
                name="cifar10-resnet50-small",
                title="ResNet-50 with a stride-2 stem on CIFAR-10",
                images="cifar10",
                architecture=ResNet50(stem_stride=2),
                recipe=_SMALL_RESNET_RECIPE,
                seeds=_THREE_SEEDS,
                test_images=2_000,
                precision="bfloat16",
            ),
            Experiment(
                name="cifar100-resnet50-small",
                title="ResNet-50 with a stride-2 stem on CIFAR-100",
                images="cifar100",
                architecture=ResNet50(stem_stride=2),
                recipe=_SMALL_RESNET_RECIPE,
                seeds=_THREE_SEEDS,
                test_images=2_000,
                precision="bfloat16",
            ),
        )
    }
)


def named(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ExperimentError: There is none.
    """
    if name not in EXPERIMENTS:
        near = get_close_matches(name, EXPERIMENTS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ExperimentError(
            f"unknown experiment {name!r}: {hint}choose from {', '.join(EXPERIMENTS)}"
        )
    return EXPERIMENTS[name]


def from_data(data: Mapping[str, Any]) -> Experiment:
    """The experiment of which `Experiment.as_data`, or JSON of it, tells.

    Raises:
        ExperimentError: It tells of settings that this version does not have.
    """
    kinds = {kind.__name__: kind for kind in (VanillaCNN, ResNet50)}
    settings = {name: _frozen(value) for name, value in data.items()}
    try:
        if "plans" in settings:
            plans = settings.pop("plans")
            settings["thresholds"] = plans["truncation"]["thresholds"]
            settings["norm_loss_levels"] = plans["controls"]["norm_loss_levels"]
            settings["hessian"] = plans.get("hessian")
        architecture, hessian = dict(settings["architecture"]), settings["hessian"]
        return Experiment(
            **settings
            | {
                "architecture": kinds[architecture.pop("kind")](**architecture),
                "recipe": Recipe(**settings["recipe"]),
                "hessian": hessian and HessianPlan(**hessian),
            }
        )
    except (KeyError, TypeError) as error:
        raise ExperimentError(
            f"the dataset tells of settings that this version of compressibility does not have "
            f"({error}): take the version that measured it"
        ) from error


def _frozen(value: Any) -> Any:
    match value:
        case list():
            return tuple(map(_frozen, value))
        case dict():
            return {name: _frozen(item) for name, item in value.items()}
    return value


def on_folder(experiment: Experiment, folder: Path) -> Experiment:
    """The experiment with the images of a folder of class sub-folders in the place of its own.

    It is named for the folder: ``cifar10-vanilla`` on ``flowers`` is ``flowers-vanilla``.

    Raises:
        ExperimentError: There is no such folder.
    """
    path = folder.resolve()
    if not path.is_dir():
        raise ExperimentError(f"{folder} is no folder: give one with a sub-folder for each class")
    network = experiment.title.rpartition(" on ")[0]
    return replace(
        experiment,
        name=f"{path.name}-{experiment.name.removeprefix(f'{experiment.images}-')}",
        title=f"{network} on {path.name}",
        images=str(path),
    )


def seeds_from(text: str, experiment: Experiment) -> tuple[int, ...]:
    """The seeds that ``text`` names, such as ``0-3,5``, ascending.

    Raises:
        ExperimentError: It is no such list, or names a seed that the experiment lacks.
    """
    seeds: set[int] = set()
    for part in text.split(","):
        spelled = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        span = range(int(spelled[1]), int(spelled[2] or spelled[1]) + 1) if spelled else None
        if not span:
            raise ExperimentError(
                f"seeds {text!r} are not a list such as 0-{experiment.seeds[-1]} or 0,2,5"
            )
        seeds.update(span)
    unknown = sorted(seeds - set(experiment.seeds))
    if unknown:
        raise ExperimentError(
            f"{experiment.name} has no seed {unknown[0]}: "
            f"choose from {experiment.seeds[0]}-{experiment.seeds[-1]}"
        )
    return tuple(sorted(seeds))
