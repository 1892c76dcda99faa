"""Choosing what takes the place of every layer, by single losses first and then by joint ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from compressibility.compressing.knapsack import chosen
from compressibility.compressing.options import Layer, Option
from compressibility.evaluation import Evaluator, Variant
from compressibility.tensors.arrays import Floats

Measure: TypeAlias = Literal["macs", "parameters"]
Choice: TypeAlias = Mapping[str, Option]
Report: TypeAlias = Callable[[int, int], None]


def cost_of(option: Option, measure: Measure) -> int:
    """What an option costs: its multiply-accumulates for one image, or its parameters."""
    return option.macs if measure == "macs" else option.parameters


def undominated(options: Sequence[Option], measure: Measure) -> tuple[Option, ...]:
    """The options than which none is both cheaper and better, by rising cost; the layer as it is.

    The layer as it is stays among them though another option may have lost no image: few images
    cannot tell that they lose nothing.
    """
    found: list[Option] = []
    for option in sorted(options, key=lambda o: (cost_of(o, measure), o.loss, o.metric)):
        if not found or option.loss < found[-1].loss:
            found.append(option)
    dense = [option for option in options if option.is_dense and option not in found]
    return (*found, *dense)


@dataclass
class Search:
    """The networks of one budget after the other, from the mildest to the hardest.

    Losses of single layers do not add up, so that the sum is asked for a first choice alone. Then
    each layer's other options are tried with everything else as chosen, all jointly, and the
    losses found there are what the next choice adds up; it is taken if the network then loses
    less. The next budget goes on from there.

    Attributes:
        layers: What can take each layer's place.
        evaluator: Answers on the images that choices are made on, in float32.
        measure: What is limited.
        rounds: How often the other options are tried for each budget; 0 for the plain sum.
        report: Called with the number of networks tried and that of those to be tried in a round.
    """

    layers: Mapping[str, Layer]
    evaluator: Evaluator
    measure: Measure = "macs"
    rounds: int = 2
    report: Report = lambda *_: None
    _kernels: dict[Option, Floats] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Leave out what another option beats."""
        self._options = {
            name: undominated(layer.options, self.measure) for name, layer in self.layers.items()
        }
        self._losses: Mapping[str, list[float]] = {
            name: [max(0.0, option.loss) for option in options]
            for name, options in self._options.items()
        }
        self._tried = False

    @property
    def cheapest(self) -> int:
        """What the cheapest options cost together."""
        return sum(
            min(cost_of(option, self.measure) for option in options)
            for options in self._options.values()
        )

    def within(self, limit: float) -> Choice | None:
        """The choice for layers that cost ``limit`` together, at most; None if there is none."""
        if self.rounds and not self._tried:
            dense = {name: layer.options[0] for name, layer in self.layers.items()}
            _, self._losses = self._around(dense)
            self._tried = True
        choice = self._chosen(limit)
        if choice is None:
            return None
        for _ in range(self.rounds):
            loss, losses = self._around(choice)
            self._losses = losses
            other = self._chosen(limit)
            assert other is not None
            if other == choice or self._loss([self._variant(other)])[0] >= loss:
                break
            choice = other
        return choice

    def _chosen(self, limit: float) -> Choice | None:
        costs = {
            name: [float(cost_of(option, self.measure)) for option in options]
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
            self.report(first, len(variants))
            some = self.evaluator.joint(variants[first : first + _AT_ONCE])
            found += [evaluation.loss for evaluation in some]
        self.report(len(variants), len(variants))
        return found

    def _variant(self, choice: Choice) -> Variant:
        return {
            name: self._kernel(option) for name, option in choice.items() if not option.is_dense
        }

    def _kernel(self, option: Option) -> Floats:
        if option not in self._kernels:
            self._kernels[option] = self.layers[option.layer].kernel(option)
        return self._kernels[option]


_AT_ONCE = 32
