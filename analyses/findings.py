"""A finding: one statistic, its test, how sure it is, and what could not have been seen."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from analyses.curves import NotMeasuredError, Sample
from analyses.statistics import (
    ALPHA,
    MINIMUM_SEEDS,
    Interval,
    equivalence_test,
    holm,
    interval,
    minimal_detectable_effect,
    p_floor,
    sign_flip_test,
)

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Verdict(Enum):
    """What the networks say about a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Claim:
    """A question and the one statistic chosen for it beforehand, signed so that > 0 supports it.

    An exploratory claim is not one of the paper's: it counts as a hint only.
    """

    key: str
    title: str
    question: str
    claim: str
    null: str
    statistic: str
    unit: str
    exploratory: bool = False


@dataclass(frozen=True)
class Robustness:
    """The same question asked by another method; not a second chance to decide it."""

    method: str
    estimate: float
    unit: str
    p: float
    note: str = ""

    def agrees_with(self, estimate: float) -> bool:
        """Whether it points the same way."""
        return self.estimate * estimate > 0


@dataclass(frozen=True)
class Finding:
    """One comparison, whole.

    ``estimate`` is the mean over networks of the claim's statistic. ``p_adjusted`` is Holm's over
    the comparisons of the same claim; the interval is each comparison's own. The minimal detectable
    effect is what the test would have found with 80 % power (infinite: no effect, however large;
    not a number for a claim of no effect, whose margin takes its place).
    """

    question: str
    claim: str
    comparison: str
    null: str
    test: str
    statistic: str
    estimate: float
    unit: str
    interval: Interval
    p: float
    p_adjusted: float
    n_seeds: int
    minimal_detectable_effect: float
    verdict: Verdict
    robustness: Robustness | None
    caveats: tuple[str, ...]
    per_seed: tuple[float, ...]


@dataclass(frozen=True)
class Answer:
    """What a reader takes home from one question, in plain words, with the findings behind it."""

    claim: Claim
    verdict: Verdict
    found: str
    sure: str
    unseen: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def n_seeds(self) -> int:
        """Networks that every comparison rests on."""
        return min((f.n_seeds for f in self.findings), default=0)


def decided(estimate: float, p_adjusted: float, n_seeds: int) -> Verdict:
    """Supported or contradicted where p is below 0.05 with six networks or more, by the sign."""
    if n_seeds < MINIMUM_SEEDS or not p_adjusted <= ALPHA or estimate == 0:
        return Verdict.UNDECIDED
    return Verdict.SUPPORTED if estimate > 0 else Verdict.CONTRADICTED


def findings(
    claim: Claim,
    samples: Mapping[str, Sample],
    robustness: Mapping[str, Robustness] | None = None,
    caveats: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[Finding, ...]:
    """Test one claim's comparisons as one family: sign-flip over networks, Holm over comparisons.

    Args:
        claim: What is claimed, and the statistic.
        samples: One sample of per-network statistics for each comparison, by its label.
        robustness: The other method's result, by the same labels.
        caveats: What limits a comparison, by the same labels.
    """
    rng = np.random.default_rng(0)  # reached only beyond 16 networks
    p_values = [sign_flip_test(s.values, rng=rng) for s in samples.values()]
    return tuple(
        Finding(
            question=claim.question,
            claim=claim.claim,
            comparison=label,
            null=claim.null,
            test=_test_name(len(s.values), len(samples)),
            statistic=claim.statistic,
            estimate=float(s.values.mean()),
            unit=claim.unit,
            interval=interval(s.values, rng=rng),
            p=p,
            p_adjusted=float(adjusted),
            n_seeds=len(s.values),
            minimal_detectable_effect=minimal_detectable_effect(s.values, comparisons=len(samples)),
            verdict=decided(float(s.values.mean()), float(adjusted), len(s.values)),
            robustness=(robustness or {}).get(label),
            caveats=(*s.left_out, *(caveats or {}).get(label, ())),
            per_seed=tuple(float(v) for v in s.values),
        )
        for (label, s), p, adjusted in zip(samples.items(), p_values, holm(p_values), strict=True)
    )


def _test_name(n_seeds: int, comparisons: int) -> str:
    exact = "exact" if n_seeds <= 16 else "Monte Carlo"
    family = f", Holm over {comparisons} comparisons" if comparisons > 1 else ""
    return f"{exact} two-sided sign-flip test over {_networks(n_seeds)}{family}"


def _networks(n: int) -> str:
    return f"{n} network{'s' if n != 1 else ''}"


def equivalence(
    claim: Claim, label: str, sample: Sample, margin: float, robustness: Robustness | None = None
) -> Finding:
    """A claim of no effect: supported inside the margin, contradicted outside, by interval and p.

    The estimate is the signed deviation itself; p is that of two one-sided sign-flip tests.
    """
    rng = np.random.default_rng(0)
    n = len(sample.values)
    p, found = equivalence_test(sample.values, margin, rng=rng), interval(sample.values, rng=rng)
    verdict = Verdict.UNDECIDED
    if n >= MINIMUM_SEEDS and p <= ALPHA:
        verdict = Verdict.SUPPORTED
    elif n >= MINIMUM_SEEDS and (found.low > margin or found.high < -margin):
        verdict = Verdict.CONTRADICTED
    return Finding(
        question=claim.question,
        claim=claim.claim,
        comparison=label,
        null=claim.null,
        test=f"two one-sided sign-flip tests over {_networks(n)}, margin ±{margin:g} {claim.unit}",
        statistic=claim.statistic,
        estimate=float(sample.values.mean()),
        unit=claim.unit,
        interval=found,
        p=p,
        p_adjusted=p,
        n_seeds=n,
        minimal_detectable_effect=math.nan,
        verdict=verdict,
        robustness=robustness,
        caveats=sample.left_out,
        per_seed=tuple(float(v) for v in sample.values),
    )


def not_measured(claim: Claim, reason: NotMeasuredError) -> Answer:
    """The plain statement that a dataset cannot answer a question."""
    return Answer(
        claim=claim,
        verdict=Verdict.UNDECIDED,
        found=f"Nothing can be said from this dataset: {reason}.",
        sure="No test was made.",
        unseen=("Any effect at all.",),
        findings=(),
    )


def number(value: float, digits: int = 2) -> str:
    """A signed number with this many significant digits, as text with a true minus sign."""
    if math.isnan(value):
        return "not known"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) >= 10**digits:
        return f"{value:+,.0f}".replace("-", "−")
    if 0 < abs(value) < 1e-4:
        factor, exponent = f"{value:+.1e}".split("e")
        return f"{factor}×10{str(int(exponent)).translate(_RAISED)}".replace("-", "−")
    return f"{value:+#.{digits}g}".rstrip(".").replace("-", "−")


def plain(value: float, digits: int = 2) -> str:
    """A number with this many significant digits and a sign only where negative."""
    return number(value, digits).removeprefix("+")


def odds(log_odds: float) -> str:
    """A difference in log-odds as the factor on the odds."""
    factor = math.exp(log_odds)
    return f"×{factor:.2f}" if factor < 10 else f"×{factor:,.0f}"


def p_text(p: float) -> str:
    """A p-value as text."""
    if math.isnan(p):
        return "not known"
    return f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def interval_text(found: Interval, digits: int = 2) -> str:
    """An interval as text."""
    if math.isnan(found.low):
        return "no interval from one network"
    return f"{number(found.low, digits)} to {number(found.high, digits)}"


def effect_text(finding: Finding) -> str:
    """Estimate, unit and interval."""
    unit = "" if finding.unit == "1" else f" {finding.unit}"
    estimate = f"{number(finding.estimate)}{unit}"
    if math.isnan(finding.interval.low):
        return f"{estimate} (one network: no interval)"
    return f"{estimate} ({finding.interval.kind.split(',')[0]}: {interval_text(finding.interval)})"


def in_words(
    found: Finding, supported: str, contradicted: str, undecided: str, *, first: bool = True
) -> str:
    """The verdict in words; of few networks, which way the estimate points, and that it is one.

    With ``first`` false that it is but an estimate is not said again.
    """
    if found.n_seeds < MINIMUM_SEEDS and found.estimate != 0 and not first:
        return supported if found.estimate > 0 else contradicted
    if found.n_seeds < MINIMUM_SEEDS and found.estimate != 0:
        chosen = supported if found.estimate > 0 else contradicted
        networks = "this one network" if found.n_seeds == 1 else f"these {found.n_seeds} networks"
        return f"By the estimate from {networks} alone, {chosen[0].lower()}{chosen[1:]}"
    return {
        Verdict.SUPPORTED: supported,
        Verdict.CONTRADICTED: contradicted,
        Verdict.UNDECIDED: undecided,
    }[found.verdict]


def sureness(found: tuple[Finding, ...]) -> str:
    """How sure one claim's findings are, in one or two sentences."""
    n = min(f.n_seeds for f in found)
    if n < MINIMUM_SEEDS:
        few = "One network" if n == 1 else f"{n} networks"
        reason = (
            "is nothing decided"
            if _is_equivalence(found[0])
            else f"can no two-sided sign-flip test reach p < {ALPHA}"
        )
        return (
            f"{few}: an estimate only. Below {MINIMUM_SEEDS} networks {reason}, so the verdict is "
            "undecided whatever the numbers say."
        )
    smallest = min(1.0, p_floor(n) * len(found)) / (2 if _is_equivalence(found[0]) else 1)
    if len(found) == 1:
        return (
            f"p = {p_text(found[0].p_adjusted)} ({found[0].test}; the smallest p possible is "
            f"{p_text(smallest)})."
        )
    clear = sum(f.p_adjusted <= ALPHA for f in found)
    return (
        f"{clear} of {len(found)} comparisons have an adjusted p of at most {ALPHA} "
        f"({found[0].test}; the smallest adjusted p possible is {p_text(smallest)})."
    )


def _is_equivalence(found: Finding) -> bool:
    return "one-sided" in found.test


def undetectable(found: tuple[Finding, ...]) -> str:
    """The effects too small for these networks to show."""
    effects = [f.minimal_detectable_effect for f in found]
    unit = "" if found[0].unit == "1" else f" {found[0].unit}"
    if math.isinf(max(effects)):
        return "No effect, however large, can be decided with so few networks."
    low, high = min(effects), max(effects)
    if plain(low) == plain(high):
        size = f"{plain(high)}{unit}"
    else:
        size = f"{plain(low)} to {plain(high)}{unit} (by comparison)"
    return (
        f"Effects below {size} would have been missed more than one time in five, at the "
        "spread seen between these networks."
    )
