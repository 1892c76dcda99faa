"""Tucker-2 and tensor trains of every kernel, to every threshold: ranks, errors, answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from compressibility.errors import UserError
from compressibility.evaluation import Variant
from compressibility.quantities.quantity import FLOAT32, Scope, Values
from compressibility.quantities.truncations import answers
from compressibility.store.tables.formats import BOND_LABELS
from compressibility.store.view import MISSING_INTEGER
from compressibility.subjects import Subject
from compressibility.tensors.arrays import Floats
from compressibility.tensors.formats import BONDS, FORMATS, format_ranks, in_format, require_format
from compressibility.tensors.tensor_train import TensorTrain
from compressibility.tensors.thresholds import THRESHOLDS, require_thresholds
from compressibility.tensors.tucker import Tucker2


@dataclass(frozen=True)
class TensorFormats:
    """One kernel replaced by its decomposition in each of ``formats``, to each of ``thresholds``.

    Raises:
        UserError: There is no format or no threshold, a format is unknown, or a threshold is
            outside [0, 1).
    """

    thresholds: tuple[float, ...] = THRESHOLDS
    formats: tuple[str, ...] = FORMATS

    table: ClassVar[str] = "formats"
    revision: ClassVar[int] = 1
    stream: ClassVar[int] = 8

    def __post_init__(self) -> None:
        """Refuse what decomposes nothing; bring the formats into their order, each once."""
        if not self.formats or not self.thresholds:
            raise UserError(
                "decompositions need a tensor format and a threshold: give at least one of each, "
                f"formats of {', '.join(FORMATS)}"
            )
        require_thresholds(self.thresholds)
        chosen = {require_format(name) for name in self.formats}
        object.__setattr__(self, "formats", tuple(name for name in FORMATS if name in chosen))

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """The formats, their bonds and the thresholds."""
        return {"format": self.formats, "bond": self._bonds, "threshold": self.thresholds}

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """Images, thresholds and formats."""
        return {
            "test_images": scope.test_images,
            "thresholds": self.thresholds,
            "formats": self.formats,
        }

    def precision(self, subject: Subject, layer: str) -> str:
        """The evaluator's behind the layer."""
        return subject.evaluator.precision_behind(layer)

    def measure(self, subject: Subject, layer: str, rng: np.random.Generator) -> Values:
        """Format by format, threshold by threshold."""
        kernel = subject.kernel(layer)
        by_format = [_decompositions(kernel, name, self.thresholds) for name in self.formats]
        kernels = {each: each.kernel() for found in by_format for each in found}
        variants: list[Variant] = [{layer: kernels[each]} for found in by_format for each in found]
        found = answers(subject.evaluator.joint(variants), len(subject.labels))
        if self.precision(subject, layer) != FLOAT32:
            found["loss"] = np.full(len(variants), np.nan)
        shape = (len(self.formats), len(self.thresholds))
        values = {f"format_{name}": column.reshape(shape) for name, column in found.items()}
        ranks = [
            [self._along_bonds(name, each.ranks) for each in found]
            for name, found in zip(self.formats, by_format, strict=True)
        ]
        return values | {
            "format_rank": np.array(ranks),
            "format_norm_loss": np.array([[e.norm_loss for e in some] for some in by_format]),
            "format_relative_error": np.array(
                [[e.relative_error for e in some] for some in by_format]
            ),
            "format_parameters": np.array(
                [[e.stored_parameters for e in some] for some in by_format]
            ),
        }

    @property
    def _bonds(self) -> tuple[str, ...]:
        crossed = {cut.label for name in self.formats for cut in BONDS[name]}
        return tuple(label for label in BOND_LABELS if label in crossed)

    def _along_bonds(self, format_name: str, ranks: Sequence[int]) -> NDArray[np.int64]:
        """Ranks of one decomposition along all bonds, those of other formats missing."""
        own = {cut.label: rank for cut, rank in zip(BONDS[format_name], ranks, strict=True)}
        return np.array([own.get(bond, MISSING_INTEGER) for bond in self._bonds])


def _decompositions(
    kernel: Floats, format_name: str, thresholds: Sequence[float]
) -> list[Tucker2 | TensorTrain]:
    """One for each threshold; thresholds of equal ranks share theirs."""
    ranks = [tuple(row) for row in format_ranks(kernel, format_name, thresholds).tolist()]
    made = {each: in_format(kernel, format_name, each) for each in set(ranks)}
    return [made[each] for each in ranks]
