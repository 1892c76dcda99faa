"""Whether re-training leads back: paths between networks, and the loss about their ends."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from compressibility.errors import UserError
from compressibility.networks.copies import copied
from compressibility.networks.curvature import (
    curvatures_along,
    largest_eigenvalues,
    random_directions,
)
from compressibility.networks.kernels import kernel_array
from compressibility.networks.landscape import TrainingLoss
from compressibility.networks.retraining import (
    answers,
    between,
    gradient_norm,
    has_batch_norm,
    mean_cross_entropy,
    re_estimated,
    retrained,
)
from compressibility.networks.training import ConstantRate
from compressibility.quantities.quantity import FLOAT32, Scope, Values
from compressibility.quantities.recovery import Recovery
from compressibility.quantities.retrainings import changed, truncations_of, unchanged_by_a_cut
from compressibility.store import arms, paths
from compressibility.store.schema import Flag
from compressibility.store.view import MISSING_INTEGER
from compressibility.subjects import Subject
from compressibility.tensors.arrays import Floats


@dataclass(frozen=True)
class Minimum:
    """Paths from the trained network to its re-trained ones, and the loss about four of them.

    Every layer is truncated along ``cut`` to ``threshold``, and trained again by ``recipe``, as
    `compressibility.quantities.recovery.Recovery` does it; another network is drawn anew and
    trained ``epochs_of_another`` epochs by it. Paths have ``points`` places; ``images`` of the
    first training images give the training loss and its curvature, from ``directions`` random
    directions; ``statistics_images`` of the first estimate batch-norm statistics.

    Raises:
        UserError: There are fewer than three points, fewer than two directions, or fewer images
            than one batch for the statistics.
    """

    recipe: ConstantRate
    cut: str = "OUT"
    threshold: float = 0.5
    epochs_of_another: int = 20
    points: int = 11
    images: int = 256
    statistics_images: int = 2_048
    directions: int = 16

    table: ClassVar[str] = "minimum"
    revision: ClassVar[int] = 1
    stream: ClassVar[int] = 10

    def __post_init__(self) -> None:
        """Refuse what shows no path and no curvature."""
        if self.points < 3 or self.directions < 2:
            raise UserError(
                f"{self.points} points and {self.directions} directions: a path needs three points "
                "and a trace two directions, at least"
            )
        object.__setattr__(self, "cut", self._recovery.cuts[0])

    @property
    def _recovery(self) -> Recovery:
        return Recovery(
            self.recipe,
            (self.cut,),
            (self.threshold,),
            statistics_images=self.statistics_images,
        )

    def coordinates(self) -> Mapping[str, Sequence[float | str]]:
        """The places on the paths."""
        return {"path_point": tuple(np.linspace(0, 1, self.points).round(12).tolist())}

    def settings(self, scope: Scope) -> Mapping[str, object]:
        """Images, plan and seed."""
        return {"test_images": scope.test_images, "plan": asdict(self), "seed": scope.seed}

    def precision(self, subject: Subject, part: str) -> str:
        """Float32: of every answer, and of every product with a Hessian."""
        return FLOAT32

    def measure(self, subject: Subject, part: str, rng: np.random.Generator) -> Values:
        """The other order of the images, the other network and all directions come from ``rng``.

        Raises:
            NumericalError: A training diverges, or a loss on a path is not finite.
            ValueError: The training images, or the network before training, are not known.
        """
        images = _Images(subject, self.images, self.statistics_images)
        truncations = truncations_of(subject, self.cut, self.threshold)
        order = self._recovery.order(subject)
        another_order = int(rng.integers(2**63))
        trained = copied(subject.network).to(subject.device).eval()
        truncated = changed(arms.TRUNCATED, subject, truncations, rng).to(subject.device).eval()
        longer = replace(self.recipe, epochs=self.epochs_of_another)
        fresh = unchanged_by_a_cut(arms.FRESH, subject, rng)
        recovered = images.trained(copied(truncated), self.recipe, order)
        on, on_again = (
            images.trained(copied(trained), self.recipe, number)
            for number in (order, another_order)
        )
        another = images.trained(fresh, longer, another_order)
        lines = {
            paths.TO_RECOVERED: (trained, recovered),
            paths.TO_TRAINED_ON: (trained, on),
            paths.BETWEEN_RETRAININGS: (on, on_again),
            paths.TO_ANOTHER_NETWORK: (trained, another),
        }
        places = self.coordinates()["path_point"]
        found = {
            path: [images.on_path(between(*ends, float(at)), self.recipe) for at in places]
            for path, ends in lines.items()
        }
        found[paths.THROUGH_TRUNCATED] = [
            images.on_path(_by_way_of(trained, truncated, recovered, float(at)), self.recipe)
            for at in places
        ]
        states = (trained, truncated, recovered, on)
        return _laid_out([found[path] for path in paths.PATHS]) | self._about(
            states, subject, images, rng
        )

    def _about(
        self,
        states: Sequence[nn.Module],
        subject: Subject,
        images: "_Images",
        rng: np.random.Generator,
    ) -> dict[str, Floats]:
        """The training loss about each state, statistics estimated anew, by variable."""
        layers = [kernel.layer for kernel in subject.layers]
        size = sum(kernel.parameters for kernel in subject.layers)
        directions = random_directions(self.directions, size, rng)
        seed = int(rng.integers(2**63))
        rows = []
        for state in states:
            network = images.anew(state, self.recipe)
            hessian = TrainingLoss(network, [images.training]).hessian(layers)
            scale = np.concatenate([_root_mean_square(network, layer) for layer in layers])
            plain, scaled = (
                curvatures_along(hessian, each, at_once=hessian.at_once)
                for each in (directions, directions * scale)
            )
            lengths = np.sum((directions * scale) ** 2, axis=1)
            top = largest_eigenvalues(hessian, 1, np.random.default_rng(seed))
            logits = answers(network, images.training[0]).double()
            rows.append(
                {
                    "training_loss": mean_cross_entropy(logits, images.training[1]),
                    "gradient_norm": gradient_norm(network, *images.training, layers),
                    "logit_norm": float((logits - logits.mean(1, True)).norm(dim=1).mean()),
                    "eigenvalue": float(top.eigenvalues[0]),
                    "trace": float(plain.mean()) * size,
                    "relative_trace": float(np.mean(scaled * lengths)),
                }
            )
        return {f"state_{name}": np.array([row[name] for row in rows]) for name in rows[0]}


_PATH_VALUES = ("loss", "n_correct", "training_loss")


class _Images:
    """The images of one subject on its device, and what networks answer to them."""

    def __init__(self, subject: Subject, count: int, n_of_statistics: int) -> None:
        device = subject.device
        [(inputs, labels)] = subject.training_batches()
        self._inputs, self._labels = inputs.to(device), labels.to(device)
        self._test, self._classes = subject.images.to(device), subject.labels
        self._of_statistics = self._inputs[:n_of_statistics]
        self.training: tuple[Tensor, Tensor] = (self._inputs[:count], self._labels[:count])

    def trained(self, network: nn.Module, recipe: ConstantRate, order: int) -> nn.Module:
        """A network at the end of its training."""
        network = network.to(self._inputs.device)
        numbers = Generator().manual_seed(order)
        *_, last = retrained(network, self._inputs, self._labels, recipe, numbers)
        return last

    def anew(self, network: nn.Module, recipe: ConstantRate) -> nn.Module:
        """A copy whose batch-norm statistics are those of the first training images."""
        return re_estimated(network, self._of_statistics, recipe.batch_size)

    def on_path(
        self, network: nn.Module, recipe: ConstantRate
    ) -> list[dict[str, float | int] | None]:
        """What a network answers with each kind of statistics; None without batch norm."""
        again = self.anew(network, recipe) if has_batch_norm(network) else None
        return [self._answers(network), None if again is None else self._answers(again)]

    def _answers(self, network: nn.Module) -> dict[str, float | int]:
        test, training = (answers(network, each) for each in (self._test, self.training[0]))
        return {
            "loss": mean_cross_entropy(test, self._classes),
            "n_correct": int((test.argmax(dim=1) == self._classes).sum()),
            "training_loss": mean_cross_entropy(training, self.training[1]),
        }


def _root_mean_square(network: nn.Module, layer: str) -> Floats:
    """That of a kernel's entries, once for each entry."""
    kernel = kernel_array(network, layer).astype(np.float64)
    return np.full(kernel.size, np.linalg.norm(kernel) / kernel.size**0.5)


def _by_way_of(first: nn.Module, middle: nn.Module, last: nn.Module, share: float) -> nn.Module:
    """On two straight lines, the middle one's end at one half."""
    if share <= 0.5:
        return between(first, middle, 2 * share)
    return between(middle, last, 2 * share - 1)


def _laid_out(
    by_path: Sequence[Sequence[Sequence[Mapping[str, float | int] | None]]],
) -> dict[str, NDArray[Any]]:
    """By variable, (path, point, statistics)."""
    shape = (len(by_path), len(by_path[0]), len(paths.STATISTICS))
    found: dict[str, NDArray[Any]] = {
        "loss": np.full(shape, np.nan),
        "n_correct": np.full(shape, MISSING_INTEGER, np.int64),
        "training_loss": np.full(shape, np.nan),
        "flag": np.full(shape, Flag.NO_BATCH_NORM.value),
    }
    for place in np.ndindex(shape):
        each = by_path[place[0]][place[1]][place[2]]
        if each is not None:
            found["flag"][place] = Flag.MEASURED.value
            for name, value in each.items():
                found[name][place] = value
    return {f"path_{name}": values for name, values in found.items()}
