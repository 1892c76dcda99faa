"""Numbers, verdicts and how sure they are, in words."""

import math
from typing import Final

from analyses.findings import Answer, Finding, Kind, Verdict
from analyses.statistics import ALPHA, MINIMUM_SEEDS, Interval, p_floor

NOT_MEASURED: Final = "not measured"
_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


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


def unit_text(unit: str) -> str:
    """A unit to stand behind a number; nothing for pure numbers."""
    return "" if unit == "1" else f" {unit}"


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
    equivalence = found[0].claim.kind is Kind.EQUIVALENCE
    if n < MINIMUM_SEEDS:
        few = "One network" if n == 1 else f"{n} networks"
        reason = (
            "is nothing decided"
            if equivalence
            else f"can no two-sided sign-flip test reach p < {ALPHA}"
        )
        return (
            f"{few}: an estimate only. Below {MINIMUM_SEEDS} networks {reason}, so the verdict is "
            "undecided whatever the numbers say."
        )
    smallest = min(1.0, p_floor(n) * len(found)) / (2 if equivalence else 1)
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


def undetectable(found: tuple[Finding, ...]) -> str:
    """The effects too small for these networks to show."""
    effects = [f.minimal_detectable_effect for f in found]
    unit = unit_text(found[0].claim.unit)
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


def verdict_text(answer: Answer) -> str:
    """The verdict, or that there is nothing to judge."""
    return answer.verdict.value if answer.findings else NOT_MEASURED
