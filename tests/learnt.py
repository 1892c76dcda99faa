"""The small experiment as it is compressed: three convolutions that have learnt."""

from dataclasses import replace

from compressibility.compressing.measured import Measured
from compressibility.compressing.recipe import CompressionRecipe, Truncated
from compressibility.networks.architectures import VanillaCNN
from compressibility.quantities.held_out import HeldOut
from compressibility.quantities.truncations import Truncation
from compressibility.quantities.whitened import WhitenedTruncation
from tests.small_experiment import SMALL

LEARNT = replace(
    SMALL,
    architecture=VanillaCNN(channels=(6, 10, 12), pooled=(1,)),
    recipe=replace(SMALL.recipe, epochs=6),
    seeds=(0,),
    plans=(Truncation(), HeldOut(), WhitenedTruncation(images=64)),
)


def recipe_by_hand(found: Measured, **layers: tuple) -> CompressionRecipe:
    return CompressionRecipe(
        "small", 0, found.subject.weights_hash, found.images_checksum, "by hand", "macs",
        {name.replace("_", "."): Truncated(*each) for name, each in layers.items()},
    )  # fmt: skip
