"""Situations in which some verdicts of a rule are wrong. A new one is a line in `SITUATIONS`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyses.claims.depth import DEEPER, OVER_ALL
from analyses.claims.noise import GENTLER
from analyses.claims.null import CALIBRATED
from analyses.findings import Claim, Comparison, Robustness, Rule, Verdict
from analyses.samples import Sample
from analyses.statistics import trend


@dataclass(frozen=True)
class Situation:
    """Where some verdicts of a rule are wrong.

    Attributes:
        name: What is so.
        claim: The claim whose rule is tried, with its comparisons.
        effects: The truth, (comparisons, layers), in spreads between networks; comparisons of the
            claim beyond its rows are not measured.
        wrong: Verdicts that are wrong then.
        at_most: How often they may come out.
        sampled: From the means over layers of one comparison's table to the claim's numbers.
        checked: The check of a sample, for rules that need one.
        shared: The share of a network's variance that its comparisons have in common, beyond what
            they have by the law.
    """

    name: str
    claim: Claim
    effects: np.ndarray
    wrong: tuple[Verdict, ...]
    at_most: float
    sampled: Callable[[Sample], Sample] = lambda found: found
    checked: Callable[[Sample], Robustness | None] = lambda _: None
    shared: float = 0.0


def ruled(rule: Rule, n: int, claim: Claim = GENTLER) -> Claim:
    return replace(
        claim, rule=rule, comparisons=tuple(Comparison(f"{i + 1} of {n}") for i in range(n))
    )


def effects(*rows: Sequence[float]) -> np.ndarray:
    return np.array(rows, dtype=float)


FOR, AGAINST, BOTH = Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.DEPENDS
LARGE = 6.0
ONE = ruled(Rule.EVERY, 1)
EVERY = ruled(Rule.EVERY, 3)
MEASURED = ruled(Rule.EVERY_MEASURED, 7)
UNANIMOUS = ruled(Rule.UNANIMOUS, 2)
EQUIVALENT = replace(CALIBRATED, margin=1.0)
DEPTHS = np.linspace(0, 1, 6)
HALF = 0.5


def over_depth(found: Sample) -> Sample:
    """The slope of each network's layers against depth."""
    return found.with_values(np.polyfit(DEPTHS, found.table.values.T, 1)[0])


def over_layers(found: Sample) -> Robustness:
    over = trend(DEPTHS, found.table.values.mean(axis=0))
    return Robustness("trend of the layers", over.slope, "1", over.p)


IDLE = Situation("one comparison, no effect", ONE, effects([0]), (FOR, AGAINST), 0.05)
TREND = Situation(
    "trend over 6 layers, which differ without one",
    replace(DEEPER, comparisons=(OVER_ALL,)),
    np.zeros((1, 6)),
    (FOR, AGAINST),
    0.05,
    over_depth,
    over_layers,
)
NONE_OF_SEVEN = Situation(
    "every measured of 7, correlated, none has an effect",
    MEASURED,
    np.zeros((7, 1)),
    (FOR, AGAINST),
    0.05,
    shared=HALF,
)
SITUATIONS = (
    IDLE,
    Situation("one comparison, no effect: supported", ONE, effects([0]), (FOR,), 0.025),
    Situation("every of 3, none has an effect", EVERY, np.zeros((3, 1)), (FOR, AGAINST), 0.05),
    Situation(
        "every of 3, two large, one none: supported",
        EVERY,
        effects([LARGE], [LARGE], [0]),
        (FOR,),
        0.025,
    ),
    Situation(
        "every of 3, two large, one none: contradicted",
        EVERY,
        effects([LARGE], [LARGE], [0]),
        (AGAINST,),
        0.025,
    ),
    NONE_OF_SEVEN,
    Situation(
        "every measured of 7, correlated, three large, four none",
        MEASURED,
        effects(*3 * [[LARGE]], *4 * [[0]]),
        (FOR, AGAINST),
        0.05,
        shared=HALF,
    ),
    Situation(
        "every measured of 7, correlated, six large, one none: supported",
        MEASURED,
        effects(*6 * [[LARGE]], [0]),
        (FOR,),
        0.025,
        shared=HALF,
    ),
    Situation(
        "3 measured of 7, correlated, none has an effect",
        MEASURED,
        np.zeros((3, 1)),
        (FOR, AGAINST),
        0.05,
        shared=HALF,
    ),
    Situation(
        "3 measured of 7, correlated, two large, one none: supported",
        MEASURED,
        effects([LARGE], [LARGE], [0]),
        (FOR,),
        0.025,
        shared=HALF,
    ),
    Situation(
        "every measured of 7 in 4 layers, correlated, none has an effect: depends",
        MEASURED,
        np.zeros((7, 4)),
        (BOTH,),
        0.025,
        shared=HALF,
    ),
    Situation("both alike, one large, one none", UNANIMOUS, effects([LARGE], [0]), (FOR,), 0.025),
    Situation("both alike, none", UNANIMOUS, np.zeros((2, 1)), (FOR, AGAINST), 0.05),
    Situation("both alike, opposite", UNANIMOUS, effects([LARGE], [-LARGE]), (FOR, AGAINST), 0.05),
    Situation("4 layers, no effect: depends", ONE, np.zeros((1, 4)), (BOTH,), 0.025),
    Situation("4 layers, no effect: any", ONE, np.zeros((1, 4)), (FOR, AGAINST, BOTH), 0.1),
    Situation(
        "4 layers, one has a large effect: depends",
        ONE,
        effects([LARGE, 0, 0, 0]),
        (BOTH,),
        0.025,
    ),
    Situation(
        "3 comparisons of 4 layers, one has a large effect each: depends",
        EVERY,
        np.eye(3, 4) * LARGE,
        (BOTH,),
        0.025,
    ),
    Situation("equivalence, at the margin: supported", EQUIVALENT, effects([1]), (FOR,), 0.05),
    Situation(
        "equivalence, at the margin: contradicted", EQUIVALENT, effects([-1]), (AGAINST,), 0.05
    ),
    TREND,
)
