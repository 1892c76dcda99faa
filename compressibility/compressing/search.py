"""Choosing what takes the place of every layer, by what the layers lose together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from compressibility.compressing.cost import Measure
from compressibility.compressing.knapsack import chosen
from compressibility.compressing.options import METRICS, Layer, Option
from compressibility.evaluation import Evaluator, Variant
from compressibility.tensors.arrays import Floats

Choice: TypeAlias = Mapping[str, Option]
Report: TypeAlias = Callable[[int, int], None]


def undominated(options: Sequence[Option], measure: Measure) -> tuple[Option, ...]:
    """The options than which none is both cheaper and better, by rising cost; the layer as it is.

    The layer as it is stays among them though another option may have lost no image: few images
    cannot tell that they lose nothing.
    """

    def order(option: Option) -> tuple[float, float, int]:
        return option.cost.of(measure), option.loss, METRICS.index(option.metric)

    found: list[Option] = []
    for option in sorted(options, key=order):
        if not found or option.loss < found[-1].loss:
            found.append(option)
    dense = [option for option in options if option.is_dense and option not in found]
    return (*found, *dense)


class Search:
    """The networks of one budget after the other, from the mildest to the hardest.

    Losses of single layers do not add up. So each layer's options are tried with everything else
    as chosen, all jointly, and the losses found there are what the next choice adds up; it is taken
    if the network then loses less. The next budget goes on from there.
    """

    def __init__(
        self,
        layers: Mapping[str, Layer],
        evaluator: Evaluator,
        measure: Measure = "macs",
        rounds: int = 2,
        report: Report = lambda *_: None,
    ) -> None:
        """Leave out what another option beats, and try the rest, one layer at a time.

        Args:
            layers: What can take each layer's place.
            evaluator: Answers on the images that choices are made on, in float32.
            measure: What is limited.
            rounds: How often options are tried for each budget; with 0 none is, and the stored
                losses of single layers are added up.
            report: Called with the number of networks tried and that of those to be tried.
        """
        self._layers, self._evaluator, self._measure = layers, evaluator, measure
        self._rounds, self._report = rounds, report
        self._kernels: dict[Option, Floats] = {}
        self._options = {
            name: undominated(layer.options, measure) for name, layer in layers.items()
        }
        self._losses: Mapping[str, list[float]] = {
            name: [max(0.0, option.loss) for option in options]
            for name, options in self._options.items()
        }
        if rounds:
            _, self._losses = self._around(self.dense)

    @property
    def dense(self) -> Choice:
        """Every layer as it is."""
        return {name: layer.options[0] for name, layer in self._layers.items()}

    @property
    def cheapest(self) -> float:
        """What the cheapest options cost together."""
        return sum(
            min(option.cost.of(self._measure) for option in options)
            for options in self._options.values()
        )

    def within(self, limit: float) -> Choice | None:
        """The choice for layers that cost ``limit`` together, at most; None if there is none."""
        choice = self._chosen(limit)
        if choice is None:
            return None
        for _ in range(self._rounds):
            loss, self._losses = self._around(choice)
            other = self._chosen(limit)
            assert other is not None
            if other == choice or self._loss([self._variant(other)])[0] >= loss:
                break
            choice = other
        return choice

    def _chosen(self, limit: float) -> Choice | None:
        costs = {
            name: [option.cost.of(self._measure) for option in options]
            for name, options in self._options.items()
        }
        numbers = chosen(costs, self._losses, limit)
        if numbers is None:
            return None
        return {name: self._options[name][number] for name, number in numbers.items()}

    def _around(self, choice: Choice) -> tuple[float, dict[str, list[float]]]:
        """The loss of a choice, nat, and what each option of each layer changes in it."""
        others = [
            option
            for name, options in self._options.items()
            for option in options
            if option != choice[name]
        ]
        variants = [self._variant(choice)]
        variants += [self._variant({**choice, option.layer: option}) for option in others]
        base, *changed = self._loss(variants)
        found = dict(zip(others, changed, strict=True))
        losses = {
            name: [found.get(option, base) - base for option in options]
            for name, options in self._options.items()
        }
        return base, losses

    def _loss(self, variants: Sequence[Variant]) -> list[float]:
        """The mean cross-entropy of each, nat."""
        found: list[float] = []
        for first in range(0, len(variants), _AT_ONCE):
            self._report(first, len(variants))
            some = self._evaluator.joint(variants[first : first + _AT_ONCE])
            found += [evaluation.loss for evaluation in some]
        self._report(len(variants), len(variants))
        return found

    def _variant(self, choice: Choice) -> Variant:
        return {
            name: self._kernel(option) for name, option in choice.items() if not option.is_dense
        }

    def _kernel(self, option: Option) -> Floats:
        if option not in self._kernels:
            self._kernels[option] = self._layers[option.layer].kernel(option)
        return self._kernels[option]


_AT_ONCE: Final = 32
"""Networks tried between one report and the next."""
