"""What every quantity has: the table it fills, its random numbers, its plan, its measurement."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from compressibility.errors import UserError
from compressibility.store.schema import TABLES
from compressibility.subjects import Subject

Values: TypeAlias = Mapping[str, NDArray[Any]]
"""Variable to its values of one task, along its dimensions without those that the task fixes."""

FLOAT32 = "float32"


@dataclass(frozen=True)
class Scope:
    """What a task's values depend on beside its weights, its images and its plan.

    Attributes:
        seed: The seed that its random numbers start from.
        test_images: How many of the first test images are evaluated; None for all.
        stream: See `compressibility.subjects.Subject`.
    """

    seed: int
    test_images: int | None = None
    stream: str | None = None


class Quantity(Protocol):
    """A quantity as a plan fixes it: a frozen dataclass whose fields are the plan.

    Attributes:
        table: Name of its table in the store.
        revision: Part of the content key: it rises when the values, or the random numbers that
            they come from, change their meaning.
        stream: Number of its random numbers. No two quantities share one, and none changes its own
            without a new revision.
    """

    table: ClassVar[str]
    revision: ClassVar[int]
    stream: ClassVar[int]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """The coordinates that the plan chooses, by dimension."""

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """What the values depend on beside weights, images and part: in the content key."""

    def precision(self, subject: Subject, part: str, /) -> str:
        """The arithmetic in which the values are measured."""

    def measure(self, subject: Subject, part: str, rng: np.random.Generator, /) -> Values:
        """The values of one task: of one part, a label along `divided_along`, such as a layer.

        The part is empty where the quantity is measured whole.

        Raises:
            compressibility.errors.NumericalError: They diverge, overflow or do not converge.
        """


def coordinates(quantities: Iterable[Quantity]) -> dict[str, tuple[Any, ...]]:
    """The coordinates of some quantities together, by dimension: labels are put together.

    Raises:
        UserError: Two of them have different numbers along one dimension.
    """
    together: dict[str, tuple[Any, ...]] = {}
    for quantity in quantities:
        for dimension, values in quantity.coordinates().items():
            held = together.setdefault(dimension, tuple(values))
            if all(isinstance(value, str) for value in held):
                together[dimension] = tuple(dict.fromkeys((*held, *values)))
            elif held != tuple(values):
                raise UserError(
                    f"two grids of {dimension} are planned, {list(held)} and, for "
                    f"{quantity.table}, {list(values)}: give one"
                )
    return together


def divided_along(quantity: Quantity) -> str | None:
    """The dimension along which the quantity is measured part by part; None if it is whole."""
    return next((name for name in TABLES[quantity.table].per if name != "seed"), None)


def generator(quantity: Quantity, scope: Scope, part: str) -> np.random.Generator:
    """The random numbers of one task, the same in every run."""
    mixed = [] if scope.stream is None else list(scope.stream.encode("utf-8"))
    return np.random.default_rng([scope.seed, quantity.stream, *part.encode("utf-8"), *mixed])
