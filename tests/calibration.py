"""How often each verdict rule is wrong, simulated: ``python -m tests.calibration [DRAWS]``.

Every situation of `tests.situations` by every law of `tests.laws`, with six and with eight
networks: what is added there is simulated, printed and (its first hundred draws) tested.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import xarray as xr
from scipy.stats import binom

from analyses.findings import Answer, Comparison, Robustness, Told, Verdict
from analyses.samples import Sample
from analyses.verdicts import answer
from compressibility.store.reading import LayerData, NotMeasuredError
from tests.laws import ABOUT_MEDIANS, LAWS, SKEWED, SYMMETRIC, Law
from tests.situations import EVERY, IDLE, LARGE, NONE_OF_SEVEN, SITUATIONS, Situation

DRAWS = 2000
FAST = 100
N_NETWORKS = 8
SIZES = (6, N_NETWORKS)
PLANNED = (8, 10, 12)
EMPTY = LayerData(xr.Dataset())


@cache
def _there(shape: tuple[int, int]) -> xr.DataArray:
    places = {"seed": range(shape[0]), "layer": range(shape[1])}
    return xr.DataArray(np.ones(shape, dtype=bool), places, tuple(places))


def whole(table: np.ndarray) -> Sample:
    """The means over the layers of a complete table (networks, layers)."""
    there = _there(table.shape)
    return Sample(table.mean(axis=1), there.copy(deep=False, data=table), there)


def answered(situation: Situation, tables: np.ndarray) -> Answer:
    """By the analyses' own code, of tables (comparisons, networks, layers).

    Comparisons of the claim that have no table are not measured.
    """
    claim = situation.claim
    held = dict(zip(claim.comparisons, map(whole, tables), strict=False))

    def measure(_: LayerData, comparison: Comparison) -> Sample:
        if comparison not in held:
            raise NotMeasuredError("it has no table")
        return situation.sampled(held[comparison])

    def check(_: LayerData, comparison: Comparison, found: Sample) -> Robustness | None:
        return situation.checked(found)

    tried = replace(
        claim,
        needs=(),
        measure=measure,
        check=check,
        tell=lambda _: Told("", "", ()),
        limits=lambda *_: (),
        choices=None,
    )
    return answer(tried, EMPTY)


def noise(situation: Situation, law: Law, rng: np.random.Generator, n: int) -> np.ndarray:
    """How networks differ from the truth, (networks, comparisons, layers)."""
    shape = n_comparisons, n_layers = situation.effects.shape
    drawn = law.draw(rng, (n, n_comparisons * n_layers)).reshape(n, *shape)
    if situation.shared:
        common = law.draw(rng, (n, n_layers))[:, None]
        drawn = np.sqrt(1 - situation.shared) * drawn + np.sqrt(situation.shared) * common
    if situation.claim.needs_check:  # layers differ, and networks agree on how
        drawn = 0.3 * drawn + law.draw(rng, (n_layers, n_comparisons)).T
    return drawn


def verdicts(situation: Situation, law: Law, draws: int, n: int = N_NETWORKS) -> Iterator[Verdict]:
    """The verdicts on tables drawn anew."""
    rng = np.random.default_rng(0)
    for _ in range(draws):
        tables = situation.effects + noise(situation, law, rng, n)
        yield answered(situation, tables.transpose(1, 0, 2)).verdict


def n_wrong(situation: Situation, law: Law, draws: int, n: int = N_NETWORKS) -> int:
    return sum(verdict in situation.wrong for verdict in verdicts(situation, law, draws, n))


def most(rate: float, draws: int) -> int:
    """The 99.9 % binomial limit: more wrong verdicts than that are no chance."""
    return int(binom.ppf(0.999, draws, rate))


def fewest(rate: float, draws: int) -> int:
    """The 0.1 % binomial limit."""
    return int(binom.ppf(0.001, draws, rate))


def first_decided(law: Law, draws: int, planned: int) -> np.ndarray:
    """Networks at which one who looks after each from six on first decides what has no effect.

    Beyond ``planned`` where he never does.
    """
    rng = np.random.default_rng(0)

    def first(values: np.ndarray) -> int:
        for n in range(SIZES[0], planned + 1):
            if answered(IDLE, values[None, :n]).verdict is not Verdict.UNDECIDED:
                return n
        return planned + 1

    return np.array([first(law.draw(rng, (planned, 1))) for _ in range(draws)])


def coverage(law: Law, draws: int, n: int = N_NETWORKS) -> float:
    """How often all simultaneous intervals hold their centres: three comparisons, two large."""
    rng, truth, held = np.random.default_rng(0), (LARGE, LARGE, 0.0), 0
    three = replace(IDLE, claim=EVERY)
    for _ in range(draws):
        found = answered(three, (law.draw(rng, (n, 3)) + truth).T[:, :, None]).findings
        held += all(c in f.interval for c, f in zip(truth, found, strict=True))
    return held / draws


def named(*names: str) -> tuple[Situation, ...]:
    """Situations of these names, or whose names end so."""
    return tuple(s for s in SITUATIONS if s.name.endswith(names))


STATED: Mapping[str, tuple[Sequence[Situation], Sequence[Law]]] = {
    "median_one": ((IDLE,), ABOUT_MEDIANS),
    "median_layers": (named("4 layers, no effect: any"), ABOUT_MEDIANS),
    "median_depends": (named(": depends"), ABOUT_MEDIANS),
    "mean_one": ((IDLE,), SKEWED),
    "mean_equivalence": (named("margin: supported", "margin: contradicted"), SKEWED),
    "mean_three": (named("every of 3, none has an effect"), SKEWED),
    "mean_seven": ((NONE_OF_SEVEN,), SKEWED),
    "mean_depends": (named(": depends"), SKEWED),
}
"""What the rates of `analyses.report.rates` are the largest of."""


def table(laws: Sequence[Law], draws: int, n: int) -> Mapping[tuple[str, str], int]:
    """Print the rates with ``n`` networks; how many verdicts are wrong, by situation and law."""
    told = [law.name if law.symmetric else f"*{law.name}*" for law in laws]
    print("| situation | at most | " + " | ".join(told) + " |")
    print("|---|---|" + "---|" * len(laws))
    found = {}
    for situation in SITUATIONS:
        cells = [situation.name, f"{situation.at_most:g}"]
        for law in laws:
            wrong = found[situation.name, law.name] = n_wrong(situation, law, draws, n)
            bold = "**" * (wrong > most(situation.at_most, draws))
            cells.append(f"{bold}{wrong / draws:.3f}{bold}")
        print("| " + " | ".join(cells) + " |", flush=True)
    return found


def worst(found: Mapping[tuple[str, str], int], key: str) -> tuple[int, str, str]:
    """The most wrong verdicts of those that a stated rate is of; their law and situation."""
    situations, laws = STATED[key]
    return max((found[s.name, law.name], law.name, s.name) for s in situations for law in laws)


def print_all(draws: int, n: int) -> int:
    """Every rate with ``n`` networks as Markdown; how many of symmetric laws pass their limit."""
    print(f"\nWrong verdicts of {draws} draws, {n} networks.\n")
    found = dict(table(LAWS, draws, n))
    print("\nThe laws that are not symmetric, about their medians:\n")
    found |= table(ABOUT_MEDIANS, draws, n)
    print("\nThe largest rates of laws that are not symmetric:\n")
    for key in STATED:
        wrong, law, situation = worst(found, key)
        print(f"- {key}: {wrong / draws:.3f} ({law}; {situation})")
    print("\nAll intervals of a family of three hold their centres:")
    print(", ".join(f"{law.name} {coverage(law, draws, n):.3f}" for law in LAWS) + ".", flush=True)
    limits = {s.name: most(s.at_most, draws) for s in SITUATIONS}
    return sum(found[s, law.name] > limit for s, limit in limits.items() for law in SYMMETRIC)


def print_looks(draws: int) -> None:
    """How often looking again and stopping is wrong, as Markdown."""
    print("\nWho looks again after each network from six on, and stops at a small p:\n")
    print("| law | " + " | ".join(f"up to {n}" for n in PLANNED) + " |")
    print("|---|" + "---|" * len(PLANNED))
    for law in SYMMETRIC:
        first = first_decided(law, draws, max(PLANNED))
        rates = [f"{(first <= n).mean():.3f}" for n in PLANNED]
        print("| " + " | ".join([law.name, *rates]) + " |", flush=True)


def main(draws: int = DRAWS) -> int:
    """Print every rate; the number of those beyond their limit."""
    print("Bold: beyond the 99.9 % binomial limit; *italic*: laws that are not symmetric.")
    beyond = sum(print_all(draws, n) for n in SIZES)
    print_looks(draws)
    return beyond


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else DRAWS) > 0)
