"""Several layers truncated at once, all along one cut and to one threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from compressibility.errors import UserError
from compressibility.evaluation import Variant
from compressibility.quantities.quantity import FLOAT32, Scope, Values
from compressibility.quantities.truncations import answers
from compressibility.store.cuts import MODES
from compressibility.store.layer_sets import LAYER_SETS, members
from compressibility.subjects import Subject
from compressibility.tensors.arrays import Floats
from compressibility.tensors.modes import TRIVIAL, Cut, same_as
from compressibility.tensors.schmidt import decompose, stored_parameters
from compressibility.tensors.thresholds import THRESHOLDS, ranks_at


@dataclass(frozen=True)
class Joint:
    """Every set of layers truncated along each of ``cuts``, to each of ``thresholds``.

    Raises:
        UserError: There is no cut, or a label names none.
    """

    thresholds: tuple[float, ...] = THRESHOLDS
    cuts: tuple[str, ...] = ("OUT", "IN", "OUT,KW")

    table: ClassVar[str] = "joint"
    revision: ClassVar[int] = 1
    stream: ClassVar[int] = 5

    def __post_init__(self) -> None:
        """Bring the cuts into the order of their labels, each once."""
        if not self.cuts:
            raise UserError("a joint truncation needs a cut: give at least one")
        labels = {Cut.parse(cut).label for cut in self.cuts}
        object.__setattr__(self, "cuts", tuple(mode for mode in MODES if mode in labels))

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """The sets, the cuts and the thresholds."""
        return {"layer_set": LAYER_SETS, "joint_mode": self.cuts, "threshold": self.thresholds}

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """Images, thresholds and cuts."""
        return {
            "test_images": scope.test_images,
            "thresholds": self.thresholds,
            "cuts": self.cuts,
        }

    def precision(self, subject: Subject, part: str) -> str:
        """The lowest in which the evaluator takes any layer."""
        found = {subject.evaluator.precision_behind(kernel.layer) for kernel in subject.layers}
        return next(iter(found - {FLOAT32}), FLOAT32)

    def measure(self, subject: Subject, part: str, rng: np.random.Generator) -> Values:
        """Norms, parameters and answers of every set, cut and threshold."""
        layers = [kernel.layer for kernel in subject.layers]
        sets = [members(label, layers) for label in LAYER_SETS]
        by_cut = [self._along(subject, cut, sets) for cut in self.cuts]
        values = {name: np.stack([each[name] for each in by_cut], axis=1) for name in by_cut[0]}
        if self.precision(subject, part) != FLOAT32:
            values["joint_loss"] = np.full_like(values["joint_loss"], np.nan)
        return values | {"joint_n_layers": np.array([len(chosen) for chosen in sets])}

    def _along(
        self, subject: Subject, cut: str, sets: Sequence[Sequence[str]]
    ) -> dict[str, Floats]:
        """What is known of the truncations along one cut, by variable, (sets, thresholds)."""
        truncated = {
            kernel.layer: _truncated(subject.kernel(kernel.layer), cut, self.thresholds)
            for kernel in subject.layers
        }
        variants: list[Variant] = [
            {layer: kernels[place] for layer in chosen if (kernels := truncated[layer].kernels)}
            for chosen in sets
            for place in range(len(self.thresholds))
        ]
        found = answers(subject.evaluator.joint(variants), len(subject.labels))
        found |= {
            name: np.array([of_set([truncated[layer] for layer in chosen]) for chosen in sets])
            for name, of_set in (
                ("norm_loss", _norm_loss),
                ("compression_ratio", _compression_ratio),
            )
        }
        shape = (len(sets), len(self.thresholds))
        return {f"joint_{name}": values.reshape(shape) for name, values in found.items()}


@dataclass(frozen=True, eq=False)
class _Truncated:
    """One layer's truncations along one cut, in the order of the thresholds.

    Attributes:
        kernels: What takes the kernel's place; none where the cut is trivial.
        norm: Of the kernel.
        norms: What is left of it.
        parameters: Of the kernel.
        stored: Those of the layers that realise each truncation.
    """

    kernels: Sequence[Floats]
    norm: float
    norms: Floats
    parameters: int
    stored: NDArray[np.int64]


def _truncated(kernel: Floats, cut: str, thresholds: Sequence[float]) -> _Truncated:
    norm, n = float(np.linalg.norm(kernel)), len(thresholds)
    held = same_as(kernel.shape, cut)
    if held == TRIVIAL:
        return _Truncated((), norm, np.full(n, norm), kernel.size, np.full(n, kernel.size))
    decomposition = decompose(kernel, held)
    ranks = ranks_at(decomposition.spectrum, thresholds).tolist()
    kernels = {rank: decomposition.truncated(rank) for rank in set(ranks)}
    losses = np.array([decomposition.spectrum.norm_loss(rank) for rank in ranks])
    return _Truncated(
        kernels=[kernels[rank] for rank in ranks],
        norm=norm,
        norms=(1 - losses) * norm,
        parameters=kernel.size,
        stored=np.array([stored_parameters(kernel.shape, held, rank) for rank in ranks]),
    )


def _norm_loss(layers: Sequence[_Truncated]) -> Floats:
    """Of the kernels of some layers together; nothing is lost of kernels that are all zero."""
    left, whole = (
        np.linalg.norm(norms, axis=0)
        for norms in ([layer.norms for layer in layers], [[layer.norm] for layer in layers])
    )
    return np.asarray(1 - left / whole if whole.any() else np.zeros_like(left))


def _compression_ratio(layers: Sequence[_Truncated]) -> Floats:
    parameters = sum(layer.parameters for layer in layers)
    return np.asarray(parameters / np.sum([layer.stored for layer in layers], axis=0))
