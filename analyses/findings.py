"""A finding: one statistic, its test, how sure it is, and what could not have been seen."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Self

import numpy as np
import xarray as xr
from pandas import DataFrame

from analyses.choices import Reaches, Scale
from analyses.samples import Floats, Sample, sample
from analyses.statistics import MINIMUM_SEEDS, Interval, sign_flip_test
from compressibility.store.reading import LayerData


class Verdict(Enum):
    """What the networks say about a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    DEPENDS = "depends on the layer"


class Kind(Enum):
    """What a claim says of its statistic: that it is above zero, or within a margin of it."""

    DIFFERENCE = "difference"
    EQUIVALENCE = "equivalence"


class Rule(Enum):
    """How the comparisons of a claim decide it.

    Under the first two it is contradicted where one comparison is, by the adjusted p, and supported
    where each of those planned, or each of those that exist in the network and are measured, is
    above zero. Under the third it is what all comparisons are, and undecided where they differ.

    What is claimed of every comparison is false where it is false of one (an intersection-union
    test): each is tested at the full level, unadjusted. Source: Berger, Technometrics 24 (1982)
    295.
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

    @classmethod
    def by_sign_flips(cls, method: str, values: Floats, unit: str, note: str = "") -> Self:
        """The mean of one number for each network, (networks,), tested by flipping their signs."""
        p = sign_flip_test(values, rng=np.random.default_rng(0))
        return cls(method, float(values.mean()), unit, p, note)

    @classmethod
    def asked_again(cls, method: str, table: xr.DataArray, found: Sample, unit: str) -> Self:
        """The same of another table (seed, layer), where the first one has numbers."""
        return cls.by_sign_flips(method, sample(table.where(found.present)).values, unit)

    def agrees_with(self, estimate: float) -> bool | None:
        """Whether it points the same way; None where it points neither way."""
        product = self.estimate * estimate
        return product > 0 if product != 0 and not math.isnan(product) else None


@dataclass(frozen=True)
class Told:
    """What a reader takes home, in plain words: what was found, how sure, what was not seen."""

    found: str
    sure: str
    unseen: tuple[str, ...]


@dataclass(frozen=True)
class Choices:
    """What a claim's effect may hang on.

    Attributes:
        measure: The statistic of each network by another scale, averaged up to another end.
        reaches: The ends that are asked, for one comparison; the last is the claim's own.
    """

    measure: Callable[[LayerData, Comparison, Scale, float], Sample]
    reaches: Callable[[Comparison], Reaches]


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
        comparisons: What is compared; one family, tested by step-down max-t.
        needs: Tables that a dataset must have for it.
        lacking: What to say where one of them, or all of its values, is missing.
        measure: The statistic of each network for one comparison.
        check: The same by another method, given the statistic's sample.
        tell: The findings in words.
        limits: What limits one comparison, in words.
        choices: The choices that its effect may hang on, where it has such.
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
    choices: Choices | None = None
    kind: Kind = Kind.DIFFERENCE
    margin: float = math.nan
    rule: Rule = Rule.EVERY
    needs_check: bool = False
    exploratory: bool = False


@dataclass(frozen=True)
class LayerFinding:
    """One comparison in one layer; p adjusted over all layers and comparisons of the claim.

    The interval ``low`` to ``high`` is simultaneous over them. With too few networks only the
    estimate is a number.
    """

    layer: str
    estimate: float
    low: float
    high: float
    p: float
    p_adjusted: float
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class Finding:
    """One comparison, whole.

    Attributes:
        estimate: The mean over networks of the claim's statistic.
        interval: Simultaneous over the claim's comparisons; Student's own below six networks.
        p: Of this comparison alone. For an equivalence whose estimate is beyond the margin it is
            that of lying inside, else that of lying outside.
        p_adjusted: By step-down max-t over the claim's comparisons.
        half_width: Of the interval: an effect of that size is seen about every other time. Infinite
            where none can be decided, not a number for an equivalence, which has its margin.
        layers: The same in each layer, where the statistic is a mean over layers.
    """

    claim: Claim
    comparison: Comparison
    test: str
    estimate: float
    interval: Interval
    p: float
    p_adjusted: float
    half_width: float
    verdict: Verdict
    robustness: Robustness | None
    caveats: tuple[str, ...]
    per_seed: tuple[float, ...]
    layers: tuple[LayerFinding, ...] = ()

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

    @property
    def is_decidable(self) -> bool:
        """Whether there are networks enough for a verdict."""
        return self.n_seeds >= fewest(self.claim)

    @property
    def leaning(self) -> Verdict:
        """The verdict; with too few networks, which way the estimate points."""
        equivalent = self.claim.kind is Kind.EQUIVALENCE
        if self.is_decidable or (self.estimate == 0 and not equivalent):
            return self.verdict
        speaks_for = abs(self.estimate) <= self.claim.margin if equivalent else self.estimate > 0
        return Verdict.SUPPORTED if speaks_for else Verdict.CONTRADICTED

    def layers_that_are(self, verdict: Verdict) -> tuple[str, ...]:
        """Names of the layers of this verdict."""
        return tuple(found.layer for found in self.layers if found.verdict is verdict)


def fewest(claim: Claim) -> int:
    """Networks below which a claim is not decided; the tests of an equivalence are one-sided."""
    return MINIMUM_SEEDS - (claim.kind is Kind.EQUIVALENCE)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a claim is told from: the dataset, the findings, and the samples behind them."""

    data: LayerData
    findings: tuple[Finding, ...]
    samples: Mapping[Comparison, Sample]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a reader takes home from one question, with the findings behind it.

    ``interim``: networks that the experiment planned are still to come. ``sensitivity``: the effect
    by scale (rows) and by where averages end (columns), for claims with such choices.
    """

    claim: Claim
    verdict: Verdict
    told: Told
    findings: tuple[Finding, ...]
    interim: bool = False
    sensitivity: DataFrame | None = None

    @property
    def n_seeds(self) -> int:
        """Networks that every comparison rests on."""
        return min((f.n_seeds for f in self.findings), default=0)

    @property
    def is_decidable(self) -> bool:
        """Whether every comparison has networks enough for a verdict."""
        return self.n_seeds >= fewest(self.claim)
