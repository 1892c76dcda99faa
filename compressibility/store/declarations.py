"""What the tables of a layer dataset are declared with.

Everything that the store knows of a variable is said where the variable is declared: how it is
laid out, what it means, its bounds, the direction in which it descends, the flag beside it. Blank
datasets, validation, documentation and the datasets of the tests all read these declarations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from compressibility.store.view import MISSING_INTEGER, View

PARTED: Final = "weights"
"""The dimension along which a table may measure a part of a variable, and another one the rest."""

FLOAT32: Final = "float32"
"""The precision in which everything is measured, losses too."""

EXPERIMENT: Final = "the experiment"
PAPER: Final = "arXiv 2403.14379"

Dtype: TypeAlias = Literal["float64", "int64", "int8", "str"]
Order: TypeAlias = Literal["labels", "ascending", "counted"]


class Flag(Enum):
    """Why a value is there, or why it is missing (CF conventions: flag_values, flag_meanings)."""

    MEASURED = 0
    NOT_MEASURED = 1
    SAME_AS_OTHER_CUT = 2
    TRIVIAL_CUT = 3
    NO_DIRECTION = 4
    FAILED = 5
    DIVERGED = 6
    NO_BATCH_NORM = 7


_MISSING: Final[Mapping[str, float | int | str]] = {
    "float64": float("nan"),
    "int64": MISSING_INTEGER,
    "int8": Flag.NOT_MEASURED.value,
    "str": "",
}


@dataclass(frozen=True)
class Bounds:
    """Where the values of a variable lie.

    Attributes:
        minimum: The least value.
        maximum: The greatest value; infinite for none.
        open_below: Whether the least value itself is outside.
        open_above: Whether the greatest value itself is outside.
        maximum_from: Name of a variable without dimensions that holds the greatest value.
        tolerance: How far rounding may carry a value beyond them.
    """

    minimum: float
    maximum: float = float("inf")
    open_below: bool = False
    open_above: bool = False
    maximum_from: str = ""
    tolerance: float = 0.0

    def greatest(self, view: View) -> float:
        """The greatest value in the dataset under inspection."""
        return float(view[self.maximum_from]) if self.maximum_from else self.maximum

    def inside(self, values: xr.Variable, view: View) -> xr.Variable:
        """Where values lie inside; what is not a number lies nowhere."""
        low, high = self.minimum - self.tolerance, self.greatest(view) + self.tolerance
        above = values > low if self.open_below else values >= low
        below = values < high if self.open_above else values <= high
        return above & below

    def told(self, view: View) -> str:
        """What is wrong with a value outside, to follow the value."""
        if self.maximum_from:
            return f"is outside {self.minimum:g} … {self.maximum_from} = {self.greatest(view):g}"
        if self.maximum < float("inf"):
            left, right = "(["[not self.open_below], "])"[self.open_above]
            return f"is outside {left}{self.minimum:g}, {self.maximum:g}{right}"
        if self.minimum:
            return f"must be at least {self.minimum:g}"
        return "is not positive" if self.open_below else "is negative"


NOT_NEGATIVE: Final = Bounds(0)
POSITIVE: Final = Bounds(0, open_below=True)
AT_LEAST_ONE: Final = Bounds(1)
FRACTION: Final = Bounds(0, 1, tolerance=1e-9)
NORM_LOSS: Final = Bounds(0, 1, open_above=True)
COUNT: Final = Bounds(0, maximum_from="n_images")
"""A number of test images."""


@dataclass(frozen=True)
class Variable:
    """One variable or coordinate: how it is laid out, what it means, what its values obey.

    Missing is NaN for floats, -1 for integers (without ``_FillValue``), the empty string for text.

    Attributes:
        name: Its name in the file.
        dims: Its dimensions; found by name, in any order.
        dtype: A NumPy name, or ``str``.
        units: Of its values; ``1`` for a bare number.
        long_name: What it is, in a few words.
        definition: What it is, exactly.
        source: Where the definition or the value comes from.
        flag: The variable that says why a value is missing; empty for what no task measures.
        bounds: Where its values lie, besides being finite.
        descends_along: A dimension along which its values never rise.
        part: The labels along ``weights`` that the table measures; empty where the variable is
            not along ``weights``.
        float32_only: Whether rounding in lower precision shifts it, so that it is missing then.
        reasons: Of a flag, the reasons why an existing cut may have no value besides those that
            every flag knows.
    """

    name: str
    dims: tuple[str, ...]
    dtype: Dtype
    units: str
    long_name: str
    definition: str
    source: str
    flag: str = ""
    bounds: Bounds | None = None
    descends_along: str = ""
    part: tuple[str, ...] = ()
    float32_only: bool = False
    reasons: tuple[Flag, ...] = ()

    @property
    def missing(self) -> float | int | str:
        """The value that stands for a missing one; for a flag, that of ``NOT_MEASURED``."""
        return _MISSING[self.dtype]

    @property
    def numpy_dtype(self) -> np.dtype[np.generic]:
        """The type of its arrays: object for text, so that no text is ever cut short."""
        return np.dtype(object if self.dtype == "str" else self.dtype)


@dataclass(frozen=True)
class Dimension:
    """A dimension, its coordinate, and what else is told of each of its entries.

    Attributes:
        coordinate: The variable of the dimension's name.
        meaning: What one entry is, in a few words.
        order: ``labels`` stand once each, those of ``known`` in its order; ``ascending`` numbers
            rise; ``counted`` is 1, 2, 3, ….
        known: All labels there can be; empty where any can.
        described_by: Variables that tell of each entry, present wherever the dimension is.
        exists: Where an entry stands for something, among the layers and cuts; everywhere if not
            given. Values are missing elsewhere.
        longest: How many entries kernels of some shapes, (layers, 4), need at least.
    """

    coordinate: Variable
    meaning: str
    order: Order
    known: tuple[str, ...] = ()
    described_by: tuple[Variable, ...] = ()
    exists: Callable[[View], xr.Variable] | None = None
    longest: Callable[[NDArray[np.int64]], int] | None = None

    @property
    def name(self) -> str:
        """The name of the dimension and of its coordinate."""
        return self.coordinate.name


@dataclass(frozen=True)
class Family:
    """Variables of one table that share their dimensions, their source and their flag.

    Called, it declares one of them.
    """

    dims: tuple[str, ...]
    source: str
    flag: Variable

    def __call__(
        self,
        name: str,
        dtype: Dtype,
        long_name: str,
        definition: str,
        bounds: Bounds,
        *,
        units: str = "1",
        dims: tuple[str, ...] | None = None,
        source: str | None = None,
    ) -> Variable:
        """A variable; ``dims`` and ``source`` where they are others than the family's."""
        return Variable(
            name,
            self.dims if dims is None else dims,
            dtype,
            units,
            long_name,
            definition,
            self.source if source is None else source,
            flag=self.flag.name,
            bounds=bounds,
        )


@dataclass(frozen=True)
class Rule:
    """What a variable's values obey among those of others: an equation, or an upper limit.

    A rule is asked wherever all its numbers are there: a missing one compares with nothing.

    Attributes:
        variable: The variable that is refused where the rule is violated.
        relation: ``equals`` or ``at most``.
        needs: The other variables that the rule reads.
        right: The right side.
        what: What is wrong with a value that violates it, to follow the value.
        left: The left side; the variable's values if not given.
        tolerance: How far the sides may be apart, or the left one above the right.
    """

    variable: str
    relation: Literal["equals", "at most"]
    needs: tuple[str, ...]
    right: Callable[[View], xr.Variable]
    what: str
    left: Callable[[View], xr.Variable] | None = None
    tolerance: float = 0.0

    def violated(self, view: View) -> xr.Variable:
        """Where the rule is violated, along the dimensions of its sides."""
        values = view.numbers(self.variable) if self.left is None else self.left(view)
        apart = values - self.right(view)
        return (abs(apart) if self.relation == "equals" else apart) > self.tolerance


def at_most(variable: str, other: str) -> Rule:
    """The rule that a variable does not exceed another."""
    return Rule(variable, "at most", (other,), lambda view: view.numbers(other), f"exceeds {other}")


@dataclass(frozen=True)
class Table:
    """What one kind of task measures: its variables, and what they lie along and obey.

    A dataset has a table wholly or not at all; it has one if it has the table's key.

    Attributes:
        name: Begins the names of the table's bookkeeping.
        what: What is measured, in a few words.
        per: The dimensions along which tasks are independent of one another.
        dimensions: All that its variables lie along.
        variables: What its tasks measure.
        flags: Why values are missing.
        rules: What the values obey among each other and those of other tables.
        given: What is told with the table and measured by no task.
    """

    name: str
    what: str
    per: tuple[str, ...]
    dimensions: tuple[Dimension, ...]
    variables: tuple[Variable, ...]
    flags: tuple[Variable, ...]
    rules: tuple[Rule, ...] = ()
    given: tuple[Variable, ...] = ()

    def book(self, entry: str) -> str:
        """The name of one of the table's bookkeeping variables, such as its ``key``."""
        return f"{self.name}_{entry}"

    @property
    def bookkeeping(self) -> tuple[Variable, ...]:
        """What is told of each task: its content key, and where its values come from."""
        return tuple(
            Variable(
                self.book(entry), self.per, "str", "1", f"{what} of the {self.name} table",
                definition, source,
            )
            for entry, what, definition, source in _BOOKKEEPING
        )  # fmt: skip

    @property
    def measured(self) -> tuple[Variable, ...]:
        """What its tasks find: values, and flags where there are none."""
        return (*self.variables, *self.flags)

    @property
    def stored(self) -> tuple[Variable, ...]:
        """Every variable that a dataset has for the table, besides coordinates."""
        return (*self.given, *self.measured, *self.bookkeeping)

    def labels_along(self, dimension: Dimension) -> tuple[str, ...]:
        """The known labels along a dimension that its tasks measure."""
        if dimension.name != PARTED:
            return dimension.known
        parts = {label for variable in self.variables for label in variable.part}
        return tuple(label for label in dimension.known if label in parts)


_PROVENANCE: Final = "compressibility.store.provenance"
_BOOKKEEPING: Final = (
    (
        "key",
        "content key",
        "SHA-256 of the weights, the images and the settings that the values depend on; empty "
        "where nothing is measured.",
        "compressibility.store.keys",
    ),
    ("device", "device", "Name of the device that measured the values.", _PROVENANCE),
    (
        "precision",
        "precision",
        "Arithmetic of the network's evaluation. Below float32, answers in doubt are repeated in "
        "float32, so that counts are those of float32.",
        _PROVENANCE,
    ),
    (
        "commit",
        "commit",
        "Commit of the checkout that measured the values, as git describe tells it, or unknown. Of "
        "a task that a file of schema version 1 held, that of the file's last measurement.",
        _PROVENANCE,
    ),
    (
        "versions",
        "versions",
        "JSON of the versions of this package, of Python and of the libraries that measured. Of a "
        "task that a file of schema version 1 held, those of the file's last measurement.",
        _PROVENANCE,
    ),
    (
        "failure",
        "failure",
        "Why the numbers did not come about, such as a divergence; empty where they did.",
        _PROVENANCE,
    ),
)
BOOKS: Final = tuple(entry for entry, *_ in _BOOKKEEPING)
"""What is told of each task, by the ends of the names."""


def flag(name: str, dims: str, what: str, reasons: tuple[Flag, ...] = ()) -> Variable:
    """The variable that says why values are missing; ``dims`` are apart by blanks."""
    return Variable(
        name,
        tuple(dims.split()),
        "int8",
        "1",
        f"status of the {what}",
        "0 where measured, else the reason why the values are missing.",
        "compressibility.store.schema",
        reasons=reasons,
    )
