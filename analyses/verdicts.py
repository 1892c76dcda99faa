"""From a claim and a dataset to an answer: tests, per-layer tests, verdicts."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from analyses.findings import (
    Answer,
    Claim,
    Comparison,
    Evidence,
    Finding,
    Kind,
    LayerFinding,
    Robustness,
    Rule,
    Told,
    Verdict,
)
from analyses.samples import Floats, Sample
from analyses.sensitivity import as_one, hangs_on_choices, sensitivities
from analyses.statistics import (
    ALPHA,
    MINIMUM_SEEDS,
    Adjusted,
    equivalence_test,
    step_down,
    t_interval,
)
from compressibility.store.reading import LayerData, NotMeasuredError


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
    tables = sensitivities(claim, data, samples)
    told = claim.tell(Evidence(data, found, samples))
    if tables:
        told = replace(told, sure=f"{told.sure} {hangs_on_choices(found, tables)}")
    whole = Answer(claim, decided(found, claim), told, found, sensitivity=as_one(tables))
    planned = n_planned(data)
    return _interim(whole, planned) if whole.n_seeds < planned else whole


def n_planned(data: LayerData) -> int:
    """Networks that the dataset's experiment plans; 0 where it does not say."""
    with suppress(ValueError, TypeError, AttributeError):
        experiment = json.loads(str(data.dataset.attrs.get("experiment", "{}")))
        return len(experiment.get("seeds", ()))
    return 0


def _interim(found: Answer, planned: int) -> Answer:
    note = f"Interim: {found.n_seeds} of {planned} planned networks."
    if found.n_seeds >= MINIMUM_SEEDS:
        note += (
            " Who looks again as networks arrive, and stops at a small p, is wrong more often than "
            f"{ALPHA:.0%}."
        )
    return replace(found, interim=True, told=replace(found.told, sure=f"{found.told.sure} {note}"))


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
    """Test one claim's comparisons as one family, by step-down max-t over whole networks.

    A claim of equivalence takes two one-sided tests against its margin, and, where the estimate is
    beyond it, the test that the centre is.
    """
    equivalent = claim.kind is Kind.EQUIVALENCE
    tested = _equivalences(claim, samples) if equivalent else _family(list(samples.values()))
    layers = {} if equivalent else by_layer(samples)
    found = []
    for (comparison, s), test in zip(samples.items(), tested, strict=True):
        n, of_layers = len(s.values), layers.get(comparison, ())
        enough = n >= MINIMUM_SEEDS
        single = (equivalent_or_not if equivalent else above_or_below)(
            test.estimate, test.p_adjusted, n, *([claim.margin] if equivalent else [])
        )
        if claim.needs_check and not confirmed(test.estimate, checks.get(comparison)):
            single = Verdict.UNDECIDED
        half_width = test.half_width if enough else math.inf
        found.append(
            Finding(
                claim=claim,
                comparison=comparison,
                test=_test_name(claim, n, len(samples)),
                estimate=test.estimate,
                interval=test.interval if enough else t_interval(s.values),
                p=test.p,
                p_adjusted=test.p_adjusted,
                half_width=math.nan if equivalent else half_width,
                verdict=Verdict.DEPENDS if depends(of_layers) else single,
                robustness=checks.get(comparison),
                caveats=(*s.left_out, *limits.get(comparison, ())),
                per_seed=tuple(float(v) for v in s.values),
                layers=of_layers,
            )
        )
    return tuple(found)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)  # reached only beyond 16 networks


def _joined(samples: Sequence[Sample], columns: Sequence[Floats]) -> Floats:
    """Numbers of several samples by network, (networks, all columns), missing where one has none.

    Columns are (networks of the sample, its columns).
    """
    seeds = sorted({seed for s in samples for seed in s.seeds})
    joined = []
    for s, values in zip(samples, columns, strict=True):
        whole = np.full((len(seeds), values.shape[1]), np.nan)
        whole[[seeds.index(seed) for seed in s.seeds]] = values
        joined.append(whole)
    return np.hstack(joined)


def _family(samples: Sequence[Sample], shift: float = 0.0) -> tuple[Adjusted, ...]:
    """Step-down max-t of the samples, each moved towards zero by ``shift``."""
    moved = [s.values - math.copysign(shift, s.values.mean()) for s in samples]
    return step_down(_joined(samples, [m[:, None] for m in moved]), rng=_rng())


def _equivalences(claim: Claim, samples: Mapping[Comparison, Sample]) -> tuple[Adjusted, ...]:
    """Beyond the margin the p of lying within, else that of lying outside.

    The latter needs no adjustment where all comparisons have to lie within.
    """
    chosen = list(samples.values())
    found = []
    for s, plain, beyond in zip(
        chosen, _family(chosen), _family(chosen, claim.margin), strict=True
    ):
        if abs(plain.estimate) > claim.margin:
            p, p_adjusted = beyond.p, beyond.p_adjusted
        else:
            p = p_adjusted = equivalence_test(s.values, claim.margin, rng=_rng())
        found.append(replace(plain, p=p, p_adjusted=p_adjusted))
    return tuple(found)


def by_layer(
    samples: Mapping[Comparison, Sample],
) -> Mapping[Comparison, tuple[LayerFinding, ...]]:
    """Each comparison in each layer, all layers of all comparisons being one family.

    Of samples that are means over several layers; with too few networks, estimates only.
    """
    layered = {c: s for c, s in samples.items() if s.is_mean and len(s.layers) > 1}
    if not layered:
        return {}
    chosen = list(layered.values())
    tested = iter(step_down(_joined(chosen, [s.table.values for s in chosen]), rng=_rng()))
    return {
        comparison: tuple(_in_layer(layer, next(tested), len(s.values)) for layer in s.layers)
        for comparison, s in layered.items()
    }


def _in_layer(layer: str, found: Adjusted, n_seeds: int) -> LayerFinding:
    verdict = above_or_below(found.estimate, found.p_adjusted, n_seeds)
    numbers = (found.interval.low, found.interval.high, found.p, found.p_adjusted)
    if n_seeds < MINIMUM_SEEDS:
        numbers = (math.nan,) * 4
    return LayerFinding(layer, found.estimate, *numbers, verdict)


def depends(layers: Sequence[LayerFinding]) -> bool:
    """Whether two layers are decided in opposite directions: a qualitative interaction.

    Source: Gail and Simon, Biometrics 41 (1985) 361, whose test this is by sign flips.
    """
    return {Verdict.SUPPORTED, Verdict.CONTRADICTED} <= {found.verdict for found in layers}


def _test_name(claim: Claim, n_seeds: int, comparisons: int) -> str:
    networks = f"{n_seeds} network{'s' if n_seeds != 1 else ''}"
    family = f", step-down max-t over {comparisons} comparisons" if comparisons > 1 else ""
    if claim.kind is Kind.EQUIVALENCE:
        margin = f"margin ±{claim.margin:g} {claim.unit}"
        return f"two one-sided sign-flip tests over {networks}, {margin}{family}"
    exact = "exact" if n_seeds <= 16 else "Monte Carlo"
    return f"{exact} two-sided sign-flip test over {networks}{family}"


def above_or_below(estimate: float, p: float, n_seeds: int) -> Verdict:
    """Supported or contradicted where p is at most 0.05 with six networks or more, by the sign."""
    if n_seeds < MINIMUM_SEEDS or not p <= ALPHA or estimate == 0:
        return Verdict.UNDECIDED
    return Verdict.SUPPORTED if estimate > 0 else Verdict.CONTRADICTED


def equivalent_or_not(estimate: float, p: float, n_seeds: int, margin: float) -> Verdict:
    """Supported within the margin with five networks or more, contradicted beyond it with six."""
    within = abs(estimate) <= margin
    if n_seeds < MINIMUM_SEEDS - within or not p <= ALPHA:
        return Verdict.UNDECIDED
    return Verdict.SUPPORTED if within else Verdict.CONTRADICTED


def confirmed(estimate: float, check: Robustness | None) -> bool:
    """Whether another method points the same way, with p of at most 0.05."""
    return check is not None and bool(check.agrees_with(estimate)) and check.p <= ALPHA


def _alone(found: Finding, claim: Claim) -> Verdict:
    """The verdict without correction for the other comparisons."""
    if claim.kind is Kind.EQUIVALENCE:
        return found.verdict
    if claim.needs_check and not confirmed(found.estimate, found.robustness):
        return Verdict.UNDECIDED
    return above_or_below(found.estimate, found.p, found.n_seeds)


def decided(found: Sequence[Finding], claim: Claim) -> Verdict:
    """The verdict on a claim from its comparisons, by the claim's rule."""
    verdicts, alone = {f.verdict for f in found}, {_alone(f, claim) for f in found}
    if claim.rule is not Rule.UNANIMOUS and Verdict.CONTRADICTED in verdicts:
        return Verdict.CONTRADICTED
    if Verdict.DEPENDS in verdicts:
        return Verdict.DEPENDS
    if claim.rule is Rule.UNANIMOUS and alone == {Verdict.CONTRADICTED}:
        return Verdict.CONTRADICTED
    enough = claim.rule is not Rule.EVERY or len(found) == len(claim.comparisons)
    return Verdict.SUPPORTED if enough and alone == {Verdict.SUPPORTED} else Verdict.UNDECIDED
