"""What to truncate of a measured network, within a budget, and what it will cost in accuracy."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from compressibility.compressing.cost import MEASURES, Cost, Measure, cost_of, total
from compressibility.compressing.judgement import Judgement
from compressibility.compressing.options import Layer, Option, layers_of
from compressibility.compressing.realised import Judge, realised
from compressibility.compressing.search import Choice, Search
from compressibility.errors import UserError, nearest
from compressibility.evaluation import Evaluator
from compressibility.store.reading import LayerData
from compressibility.subjects import Subject

FRONT: Final = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Shares of the dense network's cost at which the front is shown."""
_STEP: Final = 0.05
_MISSES: Final = 2
_HALVINGS: Final = 3


@dataclass(frozen=True)
class Budget:
    """What is asked for: a share of the cost to keep, or points of accuracy to lose at most.

    Attributes:
        measure: What the network shall have less of.
        share: Share of the dense network's to keep, at most; None where the points are given.
        max_drop: Points of accuracy to lose at most; None where the share is given.

    Raises:
        UserError: The measure is unknown, neither or both of the others are given, the share is
            outside (0, 1], or the points are below 0.
    """

    measure: Measure = "macs"
    share: float | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        """Refuse what asks for nothing, or for two things."""
        if self.measure not in MEASURES:
            raise UserError(f"unknown measure {self.measure!r}: {nearest(self.measure, MEASURES)}")
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
        cost: Of the whole network.
        on_choosing: Its answers to the images that the layers were chosen on together.
        on_judging: To the others that are held out.
    """

    choice: Choice
    cost: Cost
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

        The stored counts of single layers, which say what options are worth trying (and with 0
        rounds what is chosen), are of both halves.

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
        self._subject, self._measure = subject, measure
        self._in_hand = "the layers, one at a time"
        report(self._in_hand, 0, 0)
        self.layers: dict[str, Layer] = layers_of(
            data, subject, multiple_of=multiple_of, excluded=excluded
        )
        assert subject.held_out_images is not None
        images, labels = subject.held_out_images(None)
        half = len(labels) // 2
        self._choosing = Judge(subject, images[:half], labels[:half])
        self._judging = Judge(subject, images[half:], labels[half:])
        self._search = Search(
            self.layers,
            Evaluator(subject.network, images[:half], labels[:half], device=subject.device),
            measure,
            rounds,
            report=lambda done, all_of_them: report(self._in_hand, done, all_of_them),
        )
        whole = cost_of(subject.network, subject.images[:1])
        self._rest = whole - total(option.cost for option in self._search.dense.values())
        self.dense = self._candidate(self._search.dense)

    @property
    def least_share(self) -> float:
        """The share of the whole network's cost that the cheapest options leave."""
        least = self._rest.of(self._measure) + self._search.cheapest
        return least / self.dense.cost.of(self._measure)

    def within(self, share: float) -> Candidate:
        """The network that keeps at most a share of the cost.

        Raises:
            BudgetError: There is none; the message says what can be kept at least.
        """
        self._in_hand = f"{share:.0%} of the {self._measure}"
        limit = share * self.dense.cost.of(self._measure) - self._rest.of(self._measure)
        choice = self._search.within(limit)
        if choice is None:
            raise BudgetError(
                f"no truncation keeps as little as {share:.1%} of the {self._measure}: the least "
                f"is {self.least_share:.1%}"
            )
        return self._candidate(choice)

    def losing_at_most(self, points: float) -> tuple[Candidate, list[Candidate]]:
        """The cheapest network found that loses no more than some points where it is chosen.

        Shares are tried in steps until two in a row lose more, then between the best and the next.

        Returns:
            It, and all that were tried.
        """
        tried: list[Candidate] = []

        def best() -> Candidate:
            good = [each for each in tried if each.on_choosing.points_lost <= points]
            return min((self.dense, *good), key=self._share)

        share = 1 - _STEP
        while share > self.least_share:
            tried.append(self.within(share))
            last = tried[-_MISSES:]
            if len(last) == _MISSES and all(o.on_choosing.points_lost > points for o in last):
                break
            share -= _STEP
        for _ in range(_HALVINGS):
            high = self._share(best())
            cheaper = [self._share(each) for each in tried if self._share(each) < high]
            middle = (max(cheaper, default=self.least_share) + high) / 2
            if not self.least_share < middle < high:
                break
            tried.append(self.within(middle))
        return best(), tried

    def advise(self, budget: Budget) -> Advice:
        """What to truncate, with the front of all that was tried.

        Raises:
            BudgetError: The budget cannot be met; the message says what can.
        """
        if budget.max_drop is not None:
            best, tried = self.losing_at_most(budget.max_drop)
            if best is self.dense:
                raise BudgetError(f"nothing that was tried {self._too_much(budget, tried)}")
            return Advice(budget, self.dense, best, self._by_cost(tried))
        assert budget.share is not None
        if budget.share < self.least_share:
            self.within(budget.share)
        shares = sorted({*FRONT, budget.share}, reverse=True)
        found = {share: self.within(share) for share in shares if share >= self.least_share}
        return Advice(budget, self.dense, found[budget.share], self._by_cost(found.values()))

    def _too_much(self, budget: Budget, tried: Sequence[Candidate]) -> str:
        lost = f"loses at most {budget.max_drop:g} points"
        if not tried:
            return f"{lost}: the layers that may be truncated leave {self.least_share:.0%}"
        least = min(tried, key=lambda each: each.on_choosing.points_lost)
        return (
            f"{lost}: the least was {least.on_choosing.points_lost:.2f}, at "
            f"{self._share(least):.0%} of the {self._measure}"
        )

    def _candidate(self, choice: Choice) -> Candidate:
        chains = {
            name: self.layers[name].chain(option)
            for name, option in choice.items()
            if not option.is_dense
        }
        network = realised(self._subject, chains)
        return Candidate(
            choice=choice,
            cost=self._rest + total(option.cost for option in choice.values()),
            on_choosing=self._choosing.judge(network),
            on_judging=self._judging.judge(network),
        )

    def _share(self, candidate: Candidate) -> float:
        return candidate.cost.of(self._measure) / self.dense.cost.of(self._measure)

    def _by_cost(self, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
        """Those of different cost, the dearest first."""
        distinct = {self._share(each): each for each in candidates}
        return tuple(distinct[share] for share in sorted(distinct, reverse=True))
