"""Numbers, verdicts and how sure they are, in words."""

import math
from collections.abc import Sequence
from typing import Final

from analyses.findings import Answer, Finding, Kind, Verdict, fewest
from analyses.statistics import ALPHA, Interval, p_floor

NOT_MEASURED: Final = "not measured"
_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 2) -> str:
    """A signed number with this many significant digits, as text with a true minus sign."""
    if math.isnan(value):
        return "not known"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if abs(value) >= 10**digits:
        return f"{value:+,.0f}".replace("-", "−")
    if 0 < abs(value) < 1e-4:
        factor, exponent = f"{value:+.1e}".split("e")
        return f"{factor}×10{str(int(exponent)).translate(_RAISED)}".replace("-", "−")
    return f"{value:+#.{digits}g}".rstrip(".").replace("-", "−")


def plain(value: float, digits: int = 2) -> str:
    """A number with this many significant digits and a sign only where negative."""
    return number(value, digits).removeprefix("+")


def points(share: float) -> str:
    """A difference of shares, of 1, in points of a hundred."""
    return f"{number(100 * share)} points"


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
    said = {
        Verdict.SUPPORTED: supported,
        Verdict.CONTRADICTED: contradicted,
        Verdict.UNDECIDED: undecided,
    }
    if found.verdict is Verdict.DEPENDS:
        return depending(found, supported, contradicted)
    chosen = said[found.leaning]
    if found.is_decidable or not first or found.leaning is Verdict.UNDECIDED:
        return chosen
    networks = "this one network" if found.n_seeds == 1 else f"these {found.n_seeds} networks"
    return f"By the estimate from {networks} alone, {lowered(chosen)}"


def depending(found: Finding, supported: str, contradicted: str) -> str:
    """In which layers the one holds, and in which the other."""
    above, below = map(found.layers_that_are, (Verdict.SUPPORTED, Verdict.CONTRADICTED))
    return (
        f"It depends on the layer: in {and_others(above)}, {lowered(supported)}; in "
        f"{and_others(below)}, {lowered(contradicted)}"
    )


def lowered(sentence: str) -> str:
    """With a small first letter, unless more of the first word is capital."""
    return sentence if sentence[1:2].isupper() else f"{sentence[0].lower()}{sentence[1:]}"


def raised(sentence: str) -> str:
    """With a capital first letter."""
    return f"{sentence[0].upper()}{sentence[1:]}"


def and_others(names: Sequence[str]) -> str:
    """Up to six names in words, and how many more."""
    if len(names) > 6:
        return f"{', '.join(names[:5])} and {len(names) - 5} more"
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def sureness(found: tuple[Finding, ...]) -> str:
    """How sure one claim's findings are, in one or two sentences."""
    n = min(f.n_seeds for f in found)
    claim = found[0].claim
    equivalence = claim.kind is Kind.EQUIVALENCE
    if n < fewest(claim):
        few = "One network" if n == 1 else f"{n} networks"
        reason = (
            "is nothing decided"
            if equivalence
            else f"can no two-sided sign-flip test reach p < {ALPHA}"
        )
        return (
            f"{few}: an estimate only. Below {fewest(claim)} networks {reason}, so the verdict is "
            "undecided whatever the numbers say."
        )
    smallest = p_floor(n) / (2 if equivalence else 1)
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
    widths = [f.half_width for f in found]
    unit = unit_text(found[0].claim.unit)
    if math.isinf(max(widths)):
        return "No effect, however large, can be decided with so few networks."
    if max(widths) == 0:
        return (
            "These networks do not differ in this number at all; how far others would is not to be "
            "seen from them."
        )
    low, high = plain(min(widths)), plain(max(widths))
    between = f"up to {high}" if min(widths) == 0 else f"{low} to {high}"
    size = f"{high}{unit}" if low == high else f"{between}{unit} (by comparison)"
    return (
        f"An effect of about {size}, half the width of the interval, is missed every other time at "
        "the spread seen between these networks; a smaller one more often."
    )


def verdict_text(answer: Answer) -> str:
    """The verdict, or that there is nothing to judge."""
    return answer.verdict.value if answer.findings else NOT_MEASURED
