"""A finding: one statistic, its test, how sure it is, and what could not have been seen."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from analyses.samples import Sample
from analyses.statistics import (
    ALPHA,
    MINIMUM_SEEDS,
    Interval,
    equivalence_test,
    holm,
    interval,
    minimal_detectable_effect,
    sign_flip_test,
)
from compressibility.store.reading import LayerData, NotMeasuredError


class Verdict(Enum):
    """What the networks say about a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"


class Kind(Enum):
    """What a claim says of its statistic: that it is above zero, or within a margin of it."""

    DIFFERENCE = "difference"
    EQUIVALENCE = "equivalence"


class Rule(Enum):
    """How the comparisons of a claim decide it.

    Under the first two it is contradicted where one comparison is, and supported where each of
    those planned, or each of those that exist in the network and are measured, is supported.
    Under the third it is what all comparisons are, and undecided where they differ.
    """

    EVERY = "every planned comparison"
    EVERY_MEASURED = "every measured comparison"
    UNANIMOUS = "all alike"


@dataclass(frozen=True)
class Comparison:
    """What is compared: the statistic is that of ``reference`` minus that of ``other``.

    Attributes:
        reference: The first; alone where the statistic is no difference of two.
        other: The second, or empty.
        condition: Where the same two are compared, such as ``at equal norm loss``, or empty.
    """

    reference: str
    other: str = ""
    condition: str = ""

    @property
    def label(self) -> str:
        """The comparison in a few words, for tables."""
        difference = f"{self.reference} − {self.other}" if self.other else self.reference
        return self.condition or difference


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
class Told:
    """What a reader takes home, in plain words: what was found, how sure, what was not seen."""

    found: str
    sure: str
    unseen: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Claim:
    """A question and the one statistic chosen for it beforehand, signed so that > 0 supports it.

    Attributes:
        key: Its name in links and files.
        title: Its name in tables.
        question: What is asked.
        claim: What is claimed.
        null: What a test has to reject.
        statistic: The statistic in words.
        unit: Its unit.
        comparisons: What is compared; one family for Holm's method.
        needs: Tables that a dataset must have for it.
        lacking: What to say where one of them, or all of its values, is missing.
        measure: The statistic of each network for one comparison.
        check: The same by another method, given the statistic's sample.
        tell: The findings in words.
        limits: What limits one comparison, in words.
        kind: Whether a difference is claimed or equivalence.
        margin: For equivalence, how far from zero is as good as zero.
        rule: How the comparisons decide the claim.
        needs_check: Whether nothing is decided unless the check agrees, with p of at most 0.05.
        exploratory: Not one of the paper's: it counts as a hint only.
    """

    key: str
    title: str
    question: str
    claim: str
    null: str
    statistic: str
    unit: str
    comparisons: tuple[Comparison, ...]
    needs: tuple[str, ...]
    lacking: str
    measure: Callable[[LayerData, Comparison], Sample]
    check: Callable[[LayerData, Comparison, Sample], Robustness | None]
    tell: "Callable[[Evidence], Told]"
    limits: Callable[[LayerData, Comparison, Sample], tuple[str, ...]] = lambda *_: ()
    kind: Kind = Kind.DIFFERENCE
    margin: float = math.nan
    rule: Rule = Rule.EVERY
    needs_check: bool = False
    exploratory: bool = False


@dataclass(frozen=True, eq=False)
class Finding:
    """One comparison, whole.

    ``estimate`` is the mean over networks of the claim's statistic. ``p_adjusted`` is Holm's over
    the comparisons of the same claim; the interval is each comparison's own. The minimal detectable
    effect is what the test would have found with 80 % power (infinite: no effect, however large;
    not a number for a claim of equivalence, whose margin takes its place).
    """

    claim: Claim
    comparison: Comparison
    test: str
    estimate: float
    interval: Interval
    p: float
    p_adjusted: float
    minimal_detectable_effect: float
    verdict: Verdict
    robustness: Robustness | None
    caveats: tuple[str, ...]
    per_seed: tuple[float, ...]

    @property
    def n_seeds(self) -> int:
        """Networks that it rests on."""
        return len(self.per_seed)

    @property
    def reference(self) -> str:
        """What is compared."""
        return self.comparison.reference

    @property
    def other(self) -> str:
        """What it is compared with; empty where the statistic is no difference of two."""
        return self.comparison.other


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a claim is told from: the dataset, the findings, and the samples behind them."""

    data: LayerData
    findings: tuple[Finding, ...]
    samples: Mapping[Comparison, Sample]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a reader takes home from one question, with the findings behind it."""

    claim: Claim
    verdict: Verdict
    told: Told
    findings: tuple[Finding, ...]

    @property
    def n_seeds(self) -> int:
        """Networks that every comparison rests on."""
        return min((f.n_seeds for f in self.findings), default=0)


def answer(claim: Claim, data: LayerData) -> Answer:
    """Put one claim to the test on one dataset; what is not measured is said in the answer."""
    if not all(map(data.has_table, claim.needs)):
        return _not_measured(claim, claim.lacking)
    samples: dict[Comparison, Sample] = {}
    missing: list[NotMeasuredError] = []
    for comparison in claim.comparisons:
        try:
            samples[comparison] = claim.measure(data, comparison)
        except NotMeasuredError as reason:
            missing.append(reason)
    if not samples:
        return _not_measured(claim, str(missing[0]))
    checks = {c: _checked(claim, data, c, s) for c, s in samples.items()}
    limits = {c: claim.limits(data, c, s) for c, s in samples.items()}
    found = findings(claim, samples, checks, limits)
    verdict = decided([f.verdict for f in found], claim)
    return Answer(claim, verdict, claim.tell(Evidence(data, found, samples)), found)


def _not_measured(claim: Claim, reason: str) -> Answer:
    told = Told(
        found=f"Nothing can be said from this dataset: {reason}.",
        sure="No test was made.",
        unseen=("Any effect at all.",),
    )
    return Answer(claim, Verdict.UNDECIDED, told, ())


def _checked(
    claim: Claim, data: LayerData, comparison: Comparison, sample: Sample
) -> Robustness | None:
    try:
        return claim.check(data, comparison, sample)
    except NotMeasuredError:
        return None


def findings(
    claim: Claim,
    samples: Mapping[Comparison, Sample],
    checks: Mapping[Comparison, Robustness | None],
    limits: Mapping[Comparison, tuple[str, ...]],
) -> tuple[Finding, ...]:
    """Test one claim's comparisons as one family: sign flips over networks, Holm over comparisons.

    A claim of equivalence takes two one-sided tests against its margin.
    """
    rng = np.random.default_rng(0)  # reached only beyond 16 networks
    equivalent = claim.kind is Kind.EQUIVALENCE
    p_values = [
        equivalence_test(s.values, claim.margin, rng=rng)
        if equivalent
        else sign_flip_test(s.values, rng=rng)
        for s in samples.values()
    ]
    found = []
    for (comparison, s), p, adjusted in zip(samples.items(), p_values, holm(p_values), strict=True):
        ends, n = interval(s.values, rng=rng), len(s.values)
        estimate = float(s.values.mean())
        found.append(
            Finding(
                claim=claim,
                comparison=comparison,
                test=_test_name(claim, n, len(samples)),
                estimate=estimate,
                interval=ends,
                p=p,
                p_adjusted=float(adjusted),
                minimal_detectable_effect=math.nan
                if equivalent
                else minimal_detectable_effect(s.values, comparisons=len(samples)),
                verdict=Verdict.UNDECIDED
                if claim.needs_check and not confirmed(estimate, checks.get(comparison))
                else equivalent_or_not(ends, claim.margin, float(adjusted), n)
                if equivalent
                else above_or_below(estimate, float(adjusted), n),
                robustness=checks.get(comparison),
                caveats=(*s.left_out, *limits.get(comparison, ())),
                per_seed=tuple(float(v) for v in s.values),
            )
        )
    return tuple(found)


def _test_name(claim: Claim, n_seeds: int, comparisons: int) -> str:
    networks = f"{n_seeds} network{'s' if n_seeds != 1 else ''}"
    family = f", Holm over {comparisons} comparisons" if comparisons > 1 else ""
    if claim.kind is Kind.EQUIVALENCE:
        margin = f"margin ±{claim.margin:g} {claim.unit}"
        return f"two one-sided sign-flip tests over {networks}, {margin}{family}"
    exact = "exact" if n_seeds <= 16 else "Monte Carlo"
    return f"{exact} two-sided sign-flip test over {networks}{family}"


def above_or_below(estimate: float, p_adjusted: float, n_seeds: int) -> Verdict:
    """Supported or contradicted where p is below 0.05 with six networks or more, by the sign."""
    if n_seeds < MINIMUM_SEEDS or not p_adjusted <= ALPHA or estimate == 0:
        return Verdict.UNDECIDED
    return Verdict.SUPPORTED if estimate > 0 else Verdict.CONTRADICTED


def confirmed(estimate: float, check: Robustness | None) -> bool:
    """Whether another method points the same way, with p of at most 0.05."""
    return check is not None and check.agrees_with(estimate) and check.p <= ALPHA


def equivalent_or_not(ends: Interval, margin: float, p_adjusted: float, n_seeds: int) -> Verdict:
    """Supported inside the margin by the test; contradicted with the interval outside it."""
    if n_seeds >= MINIMUM_SEEDS and p_adjusted <= ALPHA:
        return Verdict.SUPPORTED
    if n_seeds >= MINIMUM_SEEDS and (ends.low > margin or ends.high < -margin):
        return Verdict.CONTRADICTED
    return Verdict.UNDECIDED


def decided(verdicts: Sequence[Verdict], claim: Claim) -> Verdict:
    """The verdict on a claim from those on its comparisons, by the claim's rule."""
    alike = len(set(verdicts)) == 1
    if claim.rule is Rule.UNANIMOUS:
        return verdicts[0] if alike else Verdict.UNDECIDED
    if Verdict.CONTRADICTED in verdicts:
        return Verdict.CONTRADICTED
    enough = claim.rule is Rule.EVERY_MEASURED or len(verdicts) == len(claim.comparisons)
    return verdicts[0] if alike and enough else Verdict.UNDECIDED
