"""The named experiments."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from compressibility.errors import nearest
from compressibility.experiments.experiment import Experiment, ExperimentError
from compressibility.networks.architectures import ResNet50, VanillaCNN
from compressibility.networks.training import ConstantRate, Recipe
from compressibility.quantities.controls import Controls
from compressibility.quantities.cp import CPDecomposition
from compressibility.quantities.curvature import Curvature
from compressibility.quantities.formats import TensorFormats
from compressibility.quantities.held_out import HeldOut
from compressibility.quantities.hessian import Hessian
from compressibility.quantities.joint import Joint
from compressibility.quantities.minimum import Minimum
from compressibility.quantities.recovery import Recovery
from compressibility.quantities.truncations import Truncation
from compressibility.quantities.whitened import WhitenedTruncation

_CIFAR_RECIPE: Final = Recipe(
    epochs=16,
    batch_size=128,
    peak_learning_rate=0.15,
    label_smoothing=0.05,
    shift=3,
    flip=True,
    precision="bfloat16",
)
_RESNET_RECIPE: Final = Recipe(
    epochs=40,
    batch_size=512,
    peak_learning_rate=0.4,
    label_smoothing=0.1,
    shift=4,
    flip=True,
    precision="bfloat16",
)
_OF_VANILLA_CNNS: Final = (
    Truncation(),
    HeldOut(),
    Controls(),
    Hessian(images=256, eigenvalues=3, directions=32),
    Curvature(images=256, eigenvalues=3, directions=32),
    Joint(),
    TensorFormats(),
)
_CIFAR_RECOVERY: Final = Recovery(
    ConstantRate(
        epochs=5,
        batch_size=128,
        peak_learning_rate=0.01,
        label_smoothing=0.05,
        shift=3,
        flip=True,
    ),
    thresholds=(0.5,),
)
_DIGITS_RECOVERY: Final = Recovery(
    ConstantRate(epochs=5, batch_size=64, peak_learning_rate=0.01, shift=1),
    statistics_images=256,
)
_OF_RESNETS: Final = (Truncation(), HeldOut(images=1_000), Controls())
_THREE_SEEDS: Final = (0, 1, 2)
_EIGHT_SEEDS: Final = tuple(range(8))

_CIFARS: Final = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}

_EVERY: Final = (
    Experiment(
        name="digits-vanilla",
        title="Vanilla CNN of four convolutions on handwritten digits",
        images="digits",
        architecture=VanillaCNN(channels=(16, 32, 48, 64), pooled=(1,)),
        recipe=Recipe(epochs=20, batch_size=64, peak_learning_rate=0.1, shift=1),
        seeds=_EIGHT_SEEDS,
        plans=(
            *_OF_VANILLA_CNNS,
            CPDecomposition(sweeps=100),
            _DIGITS_RECOVERY,
            Minimum(_DIGITS_RECOVERY.recipe, statistics_images=256),
            WhitenedTruncation(images=256),
        ),
    ),
    *(
        Experiment(
            name=f"{images}-vanilla",
            title=f"Vanilla CNN of four convolutions on {title}",
            images=images,
            architecture=VanillaCNN(channels=(32, 64, 128, 256), pooled=(0, 1, 2)),
            recipe=_CIFAR_RECIPE,
            seeds=_EIGHT_SEEDS,
            plans=(
                *_OF_VANILLA_CNNS,
                CPDecomposition((1, 4, 16, 64, 256), sweeps=100),
                _CIFAR_RECOVERY,
                Minimum(_CIFAR_RECOVERY.recipe),
                WhitenedTruncation(),
            ),
        )
        for images, title in _CIFARS.items()
    ),
    *(
        Experiment(
            name=f"{images}-resnet50",
            title=f"ResNet-50 on {title}",
            images=images,
            architecture=ResNet50(),
            recipe=_RESNET_RECIPE,
            seeds=_THREE_SEEDS,
            plans=_OF_RESNETS,
            test_images=2_000,
            precision="bfloat16",
            stream=f"{images}-resnet50",
        )
        for images, title in _CIFARS.items()
    ),
    *(
        Experiment(
            name=f"{images}-resnet50-small",
            title=f"ResNet-50 with a stride-2 stem on {title}",
            images=images,
            architecture=ResNet50(stem_stride=2),
            recipe=_RESNET_RECIPE,
            seeds=_THREE_SEEDS,
            plans=_OF_RESNETS,
            test_images=2_000,
            precision="bfloat16",
            stream=f"{images}-resnet50-small",
        )
        for images, title in _CIFARS.items()
    ),
)

EXPERIMENTS: Final[Mapping[str, Experiment]] = MappingProxyType(
    {each.name: each for each in _EVERY}
)


def named(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ExperimentError: There is none.
    """
    if name not in EXPERIMENTS:
        raise ExperimentError(f"unknown experiment {name!r}: {nearest(name, EXPERIMENTS)}")
    return EXPERIMENTS[name]
