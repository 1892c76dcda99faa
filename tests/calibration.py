"""How often each verdict rule is wrong, simulated: ``python -m tests.calibration [DRAWS]``.

A situation is a rule, effects for which some verdicts are wrong, and how often these may come out.
A law is how single networks differ from the truth. Both are data: a new one is a line in `LAWS` or
`SITUATIONS`, and is then simulated, printed and (its first few hundred draws) tested.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy.stats import binom

from analyses.claims.depth import DEEPER, OVER_ALL
from analyses.claims.noise import GENTLER
from analyses.claims.null import CALIBRATED
from analyses.findings import Claim, Comparison, Robustness, Rule, Verdict
from analyses.samples import Sample
from analyses.statistics import slope, trend
from analyses.verdicts import decided, findings

DRAWS = 2000
FAST = 300
N_NETWORKS = 8

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Law:
    """How networks differ from the truth: draws of a shape (networks, columns), spread about 1.

    ``symmetric``: whole networks are symmetric about the truth, as the tests suppose. Where they
    are not, the rates are told and not held.
    """

    name: str
    draw: Draw
    symmetric: bool = True


def normal(rng, shape):
    return rng.normal(size=shape)


def akin(rng, shape):
    """Columns of one network have much in common."""
    return 0.6 * rng.normal(size=shape) + 0.8 * rng.normal(size=(shape[0], 1))


def heavy(rng, shape):
    """Student's t with two degrees of freedom, whole networks being far out."""
    return rng.normal(size=shape) / np.sqrt(rng.chisquare(2, size=(shape[0], 1)) / 2)


def uneven(rng, shape):
    """The spread of networks goes from 1 to 8 (over 5)."""
    return rng.normal(size=shape) * np.linspace(0.2, 1.6, shape[0])[:, None]


def ties(rng, shape):
    return rng.integers(-2, 3, size=shape) / np.sqrt(2)


def zeros(rng, shape):
    return rng.normal(size=shape) * (rng.random(shape) < 0.4) * 1.6


def lognormals(rng, shape):
    first, second = rng.lognormal(size=(2, *shape))
    return (first - second) / 3


def exponential(rng, shape):
    return rng.exponential(size=shape) - 1


def uniform(rng, shape):
    return rng.uniform(-1.7, 1.7, size=shape)


def cauchy(rng, shape):
    return rng.standard_cauchy(size=shape)


def lognormal(rng, shape):
    return rng.lognormal(size=shape) - np.exp(0.5)


def mild_lognormal(rng, shape):
    return (rng.lognormal(sigma=0.5, size=shape) - np.exp(0.125)) / 0.6


def failures(rng, shape):
    """One training in ten fails, and is far off in every column; about the mean."""
    return rng.normal(size=shape) + 5 * (rng.random((shape[0], 1)) < 0.1) - 0.5


LAWS = (
    Law("normal", normal),
    Law("akin", akin),
    Law("t(2)", heavy),
    Law("uneven spread", uneven),
    Law("ties", ties),
    Law("60 % zeros", zeros),
    Law("difference of lognormals", lognormals),
    Law("uniform", uniform),
    Law("Cauchy", cauchy),
    Law("lognormal(0.5)", mild_lognormal, symmetric=False),
    Law("exponential", exponential, symmetric=False),
    Law("lognormal(1)", lognormal, symmetric=False),
    Law("10 % failures", failures, symmetric=False),
)


@dataclass(frozen=True)
class Situation:
    """Where some verdicts of a rule are wrong.

    Attributes:
        name: What is so.
        claim: The claim whose rule is tried, with its comparisons.
        effects: The truth, (comparisons, layers), in spreads between networks.
        wrong: Verdicts that are wrong then.
        at_most: How often they may come out.
        sampled: From the means over layers of one comparison's table to the claim's numbers.
        checked: The check of a sample, for rules that need one.
    """

    name: str
    claim: Claim
    effects: np.ndarray
    wrong: tuple[Verdict, ...]
    at_most: float
    sampled: Callable[[Sample], Sample] = lambda found: found
    checked: Callable[[Sample], Robustness | None] = lambda _: None


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
UNANIMOUS = ruled(Rule.UNANIMOUS, 2)
EQUIVALENT = replace(CALIBRATED, margin=1.0)
DEPTHS = np.linspace(0, 1, 6)
IDLE = effects([0.0])


def over_depth(found: Sample) -> Sample:
    """The slope of each network's layers against depth."""
    return found.with_values(np.array([slope(DEPTHS, row) for row in found.table.values]))


def over_layers(found: Sample) -> Robustness:
    over = trend(DEPTHS, found.table.values.mean(axis=0))
    return Robustness("trend of the layers", over.slope, "1", over.p)


SITUATIONS = (
    Situation("one comparison, no effect", ONE, IDLE, (FOR, AGAINST), 0.05),
    Situation("one comparison, no effect: supported", ONE, IDLE, (FOR,), 0.025),
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
    Situation("equivalence, at the margin: supported", EQUIVALENT, effects([1.0]), (FOR,), 0.05),
    Situation(
        "equivalence, at the margin: contradicted", EQUIVALENT, effects([-1.0]), (AGAINST,), 0.05
    ),
    Situation(
        "trend over 6 layers, which differ without one",
        replace(DEEPER, comparisons=(OVER_ALL,)),
        np.zeros((1, 6)),
        (FOR, AGAINST),
        0.05,
        over_depth,
        over_layers,
    ),
)


def whole(table: np.ndarray) -> Sample:
    """The means over the layers of a complete table (networks, layers)."""
    places = {"seed": range(len(table)), "layer": range(table.shape[1])}
    labelled = xr.DataArray(table, places, tuple(places))
    return Sample(table.mean(axis=1), labelled, labelled.notnull())


def verdict_on(situation: Situation, tables: np.ndarray) -> Verdict:
    """By the analyses' own rules, of tables (comparisons, networks, layers)."""
    claim = situation.claim
    named = zip(claim.comparisons, tables, strict=True)
    samples = {comparison: situation.sampled(whole(table)) for comparison, table in named}
    checks = {comparison: situation.checked(s) for comparison, s in samples.items()}
    return decided(findings(claim, samples, checks, {}), claim)


def verdicts(situation: Situation, law: Law, draws: int, n: int = N_NETWORKS) -> Iterator[Verdict]:
    """The verdicts on tables drawn anew."""
    rng = np.random.default_rng(0)
    n_comparisons, n_layers = situation.effects.shape
    for _ in range(draws):
        noise = law.draw(rng, (n, n_comparisons * n_layers)).reshape(n, n_comparisons, n_layers)
        if situation.claim.needs_check:  # layers differ, and networks agree on how
            noise = 0.3 * noise + law.draw(rng, (n_layers, n_comparisons)).T
        yield verdict_on(situation, (situation.effects + noise).transpose(1, 0, 2))


def n_wrong(situation: Situation, law: Law, draws: int, n: int = N_NETWORKS) -> int:
    return sum(verdict in situation.wrong for verdict in verdicts(situation, law, draws, n))


def most(situation: Situation, draws: int) -> int:
    """The 99.9 % binomial limit: more wrong verdicts than that are no chance."""
    return int(binom.ppf(0.999, draws, situation.at_most))


def stopped_early(law: Law, draws: int, planned: int) -> float:
    """How often a claim without effect is decided by who looks after each network from six on."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(draws):
        values = law.draw(rng, (planned, 1))
        for n in range(6, planned + 1):
            if verdict_on(SITUATIONS[0], values[None, :n]) is not Verdict.UNDECIDED:
                wrong += 1
                break
    return wrong / draws


def coverage(law: Law, draws: int, n: int = N_NETWORKS) -> float:
    """How often all simultaneous intervals hold their centres: three comparisons, two large."""
    rng, truth, held = np.random.default_rng(0), (LARGE, LARGE, 0.0), 0
    for _ in range(draws):
        tables = (law.draw(rng, (n, 3)) + truth).T[:, :, None]
        samples = dict(zip(EVERY.comparisons, map(whole, tables), strict=True))
        found = findings(EVERY, samples, {}, {})
        held += all(c in f.interval for c, f in zip(truth, found, strict=True))
    return held / draws


def about_its_median(law: Law) -> Law:
    """The law moved so that the median of single networks is the truth."""
    middle = median(law)
    return replace(law, draw=lambda rng, shape: law.draw(rng, shape) - middle)


def median(law: Law) -> float:
    """Of single networks, by so many draws that two digits are sure."""
    return float(np.median(law.draw(np.random.default_rng(1), (1_000_000, 1))))


def table(laws: Sequence[Law], draws: int) -> int:
    """Print the rates of all situations; how many of symmetric laws are beyond their limit."""
    beyond = 0
    named = [law.name if law.symmetric else f"*{law.name}*" for law in laws]
    print("| situation | at most | " + " | ".join(named) + " |")
    print("|---|---|" + "---|" * len(laws))
    for situation in SITUATIONS:
        cells = []
        for law in laws:
            wrong = n_wrong(situation, law, draws)
            over = wrong > most(situation, draws)
            beyond += over and law.symmetric
            cells.append(f"{'**' * over}{wrong / draws:.3f}{'**' * over}")
        told = [situation.name, f"{situation.at_most:g}", *cells]
        print("| " + " | ".join(told) + " |", flush=True)
    return beyond


def main(draws: int = DRAWS) -> int:
    """Print every rate as Markdown; the number of those beyond their limit."""
    print(f"Wrong verdicts of {draws} draws, {N_NETWORKS} networks.\n")
    beyond = table(LAWS, draws)
    print("\nThe laws that are not symmetric, about their medians:\n")
    table([about_its_median(law) for law in LAWS if not law.symmetric], draws)
    print("\nBold: beyond the 99.9 % binomial limit; *italic*: laws that are not symmetric.\n")
    print("All intervals of a family of three hold their centres:")
    print(", ".join(f"{law.name} {coverage(law, draws):.3f}" for law in LAWS) + ".\n")
    for planned in (8, 10, 12):
        print(
            f"Who looks again after 6 to {planned} networks and stops at a small p: "
            f"{stopped_early(LAWS[0], draws, planned):.3f}"
        )
    return beyond


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else DRAWS) > 0)
