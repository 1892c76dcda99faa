"""CP decompositions of every kernel, by rank: fitted from several starts, and corrected."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from compressibility.errors import NumericalError, UserError
from compressibility.evaluation import Variant
from compressibility.quantities.quantity import FLOAT32, Scope, Values
from compressibility.quantities.truncations import answers
from compressibility.store.view import MISSING_INTEGER
from compressibility.subjects import Subject
from compressibility.tensors.arrays import Floats
from compressibility.tensors.cp import CP, CP_FORMS, HIGHEST_RANK, CPStarts, cp_starts, highest_rank
from compressibility.tensors.cp_correction import corrected


@dataclass(frozen=True)
class CPDecomposition:
    """One kernel replaced by a CP decomposition, for each of ``ranks`` that it can have.

    The best of ``starts``, the first from singular vectors and the others random, and its
    error-preserving correction, each of ``sweeps`` at most.

    Raises:
        UserError: There is no rank, one is below 1 or above the highest of any kernel, or there is
            no start.
    """

    ranks: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    starts: int = 3
    sweeps: int = 500

    table: ClassVar[str] = "cp"
    revision: ClassVar[int] = 1
    stream: ClassVar[int] = 7

    def __post_init__(self) -> None:
        """Refuse what decomposes nothing; bring the ranks into order, each once."""
        if not self.ranks or self.starts < 1 or self.sweeps < 1:
            raise UserError("a CP decomposition needs a rank, a start and a sweep: give each")
        for rank in self.ranks:
            if not 1 <= rank <= HIGHEST_RANK:
                raise UserError(
                    f"CP rank {rank} is outside 1 … {HIGHEST_RANK}: choose ranks between them"
                )
        object.__setattr__(self, "ranks", tuple(sorted(set(self.ranks))))

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """The ranks, and the two forms."""
        return {"cp_rank": self.ranks, "cp_form": CP_FORMS}

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """Images, ranks, starts, sweeps and seed."""
        plan = {name: getattr(self, name) for name in ("ranks", "starts", "sweeps")}
        return {"test_images": scope.test_images, "plan": plan, "seed": scope.seed}

    def precision(self, subject: Subject, layer: str) -> str:
        """The evaluator's behind the layer."""
        return subject.evaluator.precision_behind(layer)

    def measure(self, subject: Subject, layer: str, rng: np.random.Generator) -> Values:
        """Fit by fit, in ascending rank; ranks beyond the kernel's highest are missing.

        Raises:
            NumericalError: No start of a rank leads to a finite fit.
        """
        kernel = subject.kernel(layer)
        ranks = [rank for rank in self.ranks if rank <= highest_rank(kernel.shape)]
        starts = [self._fitted(kernel, rank, rng) for rank in ranks]
        fits = [each.best for each in starts]
        settled = [corrected(fit, kernel, max_sweeps=self.sweeps) for fit in fits]
        norm = float(np.linalg.norm(kernel)) or 1.0
        variants: list[Variant] = [{layer: fit.kernel()} for fit in (*fits, *settled)]
        found = answers(subject.evaluator.joint(variants), len(subject.labels))
        if self.precision(subject, layer) != FLOAT32:
            found["loss"] = np.full(len(variants), np.nan)
        forms = {name: values.reshape(len(CP_FORMS), -1) for name, values in found.items()}
        forms |= {
            name: np.array([[of_fit(fit, norm) for fit in form] for form in (fits, settled)])
            for name, of_fit in _HEALTH.items()
        }
        once = {
            "error_spread": np.array([each.spread for each in starts]),
            "n_diverged": np.array([sum(f.diverged for f in each.fits) for each in starts]),
            "parameters": np.array([fit.stored_parameters for fit in fits]),
        }
        return {f"cp_{name}": self._laid_out(values) for name, values in (forms | once).items()}

    def _fitted(self, kernel: Floats, rank: int, rng: np.random.Generator) -> CPStarts:
        found = cp_starts(
            kernel,
            rank,
            rng,
            n_starts=self.starts,
            max_sweeps=self.sweeps,
            singular_first=True,
        )
        if np.isnan(found.best.relative_error):
            raise NumericalError(f"no start of CP rank {rank} led to a finite fit")
        return found

    def _laid_out(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the first ranks along all of them, the others missing."""
        missing = MISSING_INTEGER if values.dtype.kind == "i" else np.nan
        whole = np.full((*values.shape[:-1], len(self.ranks)), missing, values.dtype)
        whole[..., : values.shape[-1]] = values
        return whole


_HEALTH: Final[dict[str, Callable[[CP, float], float]]] = {
    "relative_error": lambda fit, _: fit.relative_error,
    "largest_component": lambda fit, _: fit.largest_component,
    "sensitivity": lambda fit, norm: fit.sensitivity / norm**1.5,
    "n_sweeps": lambda fit, _: fit.n_sweeps,
}
