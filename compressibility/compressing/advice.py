"""What to truncate of a measured network, within a budget, and what it will cost in accuracy."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from compressibility.compressing.judgement import Judgement
from compressibility.compressing.options import Layer, Option, layers_of
from compressibility.compressing.realised import Judge, realised
from compressibility.compressing.search import Choice, Measure, Search
from compressibility.errors import UserError
from compressibility.evaluation import Evaluator
from compressibility.networks.kernels import find_kernels
from compressibility.store.reading import LayerData
from compressibility.subjects import Subject

FRONT: Final = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Shares of the dense network's cost at which the front is shown."""
_STEP: Final = 0.05
_HALVINGS: Final = 3


@dataclass(frozen=True)
class Budget:
    """What is asked for: a share of the cost to keep, or points of accuracy to lose at most.

    Attributes:
        measure: What the network shall have less of.
        share: Share of the dense network's to keep, at most; None where the points are given.
        max_drop: Points of accuracy to lose at most; None where the share is given.

    Raises:
        UserError: Neither or both are given, the share is outside (0, 1], or the points are below
            0.
    """

    measure: Measure = "macs"
    share: float | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        """Refuse what asks for nothing, or for two things."""
        if (self.share is None) == (self.max_drop is None):
            raise UserError(
                "a budget is a share of the cost to keep or the points of accuracy that may be "
                "lost: give one of them"
            )
        if self.share is not None and not 0 < self.share <= 1:
            raise UserError(
                f"a budget of {self.share:.4g} of the {self.measure}: give more than 0 and at most "
                "1 (100%)"
            )
        if self.max_drop is not None and not 0 <= self.max_drop < 100:
            raise UserError(f"a drop of {self.max_drop:g} points: give 0 or more, below 100")

    @property
    def in_words(self) -> str:
        """Such as ``at most 50 % of the macs, 2.00 times fewer``."""
        if self.share is not None:
            return (
                f"at most {100 * self.share:g} % of the {self.measure}, {1 / self.share:.2f} times "
                "fewer"
            )
        return f"as few {self.measure} as lose at most {self.max_drop:g} points"


class BudgetError(UserError):
    """A budget that cannot be met; the message shows the best that can."""


@dataclass(frozen=True)
class Candidate:
    """A network within a budget.

    Attributes:
        choice: What takes the place of each layer.
        parameters: Of the whole network, weights of its convolutions and linear layers.
        macs: Of the whole network, for one image.
        on_choosing: Its answers to the images that it was chosen on.
        on_judging: To those that nothing was chosen on.
    """

    choice: Choice
    parameters: int
    macs: int
    on_choosing: Judgement
    on_judging: Judgement

    @property
    def truncated(self) -> tuple[Option, ...]:
        """The layers that do not stay as they are."""
        return tuple(option for option in self.choice.values() if not option.is_dense)


@dataclass(frozen=True)
class Advice:
    """What was found within a budget, and the front around it.

    Attributes:
        budget: What was asked for.
        dense: The network as it is.
        chosen: What the advice is.
        front: Candidates by falling cost.
    """

    budget: Budget
    dense: Candidate
    chosen: Candidate
    front: tuple[Candidate, ...]

    def cost(self, candidate: Candidate) -> int:
        """What the budget limits."""
        return candidate.macs if self.budget.measure == "macs" else candidate.parameters

    def share(self, candidate: Candidate) -> float:
        """The share of it that a candidate keeps."""
        return self.cost(candidate) / self.cost(self.dense)


class Adviser:
    """A measured network, and the networks that can be made of it."""

    def __init__(
        self,
        data: LayerData,
        subject: Subject,
        *,
        measure: Measure = "macs",
        rounds: int = 2,
        multiple_of: int = 1,
        excluded: Sequence[str] = (),
        report: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        """Split the held-out images: on the first half is chosen, on the second judged.

        The stored counts of single layers, with which the search begins, are of both halves.

        Args:
            data: The dataset that has measured the network.
            subject: The network.
            measure: What shall become less.
            rounds: See `compressibility.compressing.search.Search`.
            multiple_of: Ranks are raised to a multiple of it.
            excluded: Patterns of layers that stay as they are.
            report: Called with what is in hand, the number of networks tried and that of all.

        Raises:
            UserError: As for `compressibility.compressing.options.layers_of`.
        """
        self._subject, self._measure, self._report = subject, measure, report
        self._layers = layers_of(data, subject, multiple_of=multiple_of, excluded=excluded)
        assert subject.held_out_images is not None
        images, labels = subject.held_out_images(None)
        half = len(labels) // 2
        self._choosing = Judge(subject, images[:half], labels[:half])
        self._judging = Judge(subject, images[half:], labels[half:])
        self._in_hand = ""
        self._search = Search(
            self._layers,
            Evaluator(subject.network, images[:half], labels[:half], device=subject.device),
            measure,
            rounds,
            report=lambda done, total: report(self._in_hand, done, total),
        )
        kernels = find_kernels(subject.network, subject.images[:1], kinds=("Conv2d", "Linear"))
        self._whole = {
            "parameters": sum(kernel.parameters for kernel in kernels),
            "macs": sum(kernel.macs for kernel in kernels),
        }
        self.dense = self._candidate({name: each.options[0] for name, each in self._layers.items()})

    @property
    def layers(self) -> dict[str, Layer]:
        """What can take each layer's place."""
        return self._layers

    @property
    def least_share(self) -> float:
        """The share of the whole network's cost that the cheapest options leave."""
        dense = sum(self._of_layers(each.options[0]) for each in self._layers.values())
        whole = self._whole[self._measure]
        return (whole - dense + self._search.cheapest) / whole

    def within(self, share: float) -> Candidate:
        """The network that keeps at most a share of the cost.

        Raises:
            BudgetError: There is none; the message says what can be kept at least.
        """
        self._in_hand = f"{share:.0%} of the {self._measure}"
        whole = self._whole[self._measure]
        rest = whole - sum(self._of_layers(each.options[0]) for each in self._layers.values())
        choice = self._search.within(share * whole - rest)
        if choice is None:
            raise BudgetError(
                f"no truncation keeps as little as {share:.1%} of the {self._measure}: the least "
                f"is {self.least_share:.1%}"
            )
        return self._candidate(choice)

    def losing_at_most(self, points: float) -> tuple[Candidate, list[Candidate]]:
        """The cheapest network found that loses no more than some points where it is chosen.

        Returns:
            It, and all that were tried.
        """
        tried: list[Candidate] = []
        best, low = self.dense, self.least_share
        share, misses = 1 - _STEP, 0
        while share > low and misses < 2:
            candidate = self.within(share)
            tried.append(candidate)
            if candidate.on_choosing.points_lost <= points:
                best, misses = candidate, 0
            else:
                misses += 1
                low = max(low, share) if misses == 1 else low
            share -= _STEP
        high = self._share(best)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if not self.least_share < middle < high:
                break
            candidate = self.within(middle)
            tried.append(candidate)
            if candidate.on_choosing.points_lost <= points:
                best, high = candidate, self._share(candidate)
            else:
                low = middle
        return best, tried

    def advise(self, budget: Budget) -> Advice:
        """What to truncate, with the front of all that was tried.

        Raises:
            BudgetError: The budget cannot be met; the message says what can.
        """
        if budget.max_drop is not None:
            best, tried = self.losing_at_most(budget.max_drop)
            if best is self.dense:
                least = min(tried, key=lambda each: each.on_choosing.points_lost)
                raise BudgetError(
                    f"nothing that was tried loses at most {budget.max_drop:g} points: the least "
                    f"was {least.on_choosing.points_lost:.2f}, at {self._share(least):.0%} of the "
                    f"{self._measure}"
                )
            return Advice(budget, self.dense, best, _by_cost(tried, self._measure))
        assert budget.share is not None
        if budget.share < self.least_share:
            self.within(budget.share)
        shares = sorted({*FRONT, budget.share}, reverse=True)
        found = {share: self.within(share) for share in shares if share >= self.least_share}
        return Advice(
            budget, self.dense, found[budget.share], _by_cost(found.values(), self._measure)
        )

    def _candidate(self, choice: Choice) -> Candidate:
        chains = {
            name: self._layers[name].chain(option)
            for name, option in choice.items()
            if not option.is_dense
        }
        network = realised(self._subject, chains)
        dense = [each.options[0] for each in self._layers.values()]
        return Candidate(
            choice=choice,
            parameters=self._whole["parameters"]
            + sum(o.parameters for o in choice.values())
            - sum(o.parameters for o in dense),
            macs=self._whole["macs"]
            + sum(o.macs for o in choice.values())
            - sum(o.macs for o in dense),
            on_choosing=self._choosing.judge(network),
            on_judging=self._judging.judge(network),
        )

    def _of_layers(self, option: Option) -> int:
        return option.macs if self._measure == "macs" else option.parameters

    def _share(self, candidate: Candidate) -> float:
        cost = candidate.macs if self._measure == "macs" else candidate.parameters
        return cost / self._whole[self._measure]


def _by_cost(candidates: Iterable[Candidate], measure: Measure) -> tuple[Candidate, ...]:
    def cost(candidate: Candidate) -> int:
        return candidate.macs if measure == "macs" else candidate.parameters

    distinct = {cost(each): each for each in candidates}
    return tuple(distinct[each] for each in sorted(distinct, reverse=True))
