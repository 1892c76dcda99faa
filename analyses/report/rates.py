"""How often verdicts are wrong where networks are skewed: the figures that the texts state.

Of eight networks, as ``python -m tests.calibration 450`` prints them (the largest over the skewed
laws), and ``python -m tests.remedies``. The tests hold them to the simulations, and README.md to
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Rate:
    """A share of simulated verdicts.

    Attributes:
        found: The share that was found.
        meant: The share that it should not exceed, or that it stands beside.
        law: The law of single networks.
        situation: What is so, by the name that the simulation gives it.
    """

    found: float
    meant: float
    law: str
    situation: str


RATES: Final[Mapping[str, Rate]] = {
    "median_one": Rate(0.06, 0.05, "lognormal(1), median 0", "one comparison, no effect"),
    "median_layers": Rate(0.362, 0.1, "lognormal(1), median 0", "4 layers, no effect: any"),
    "median_depends": Rate(
        0.069,
        0.025,
        "lognormal(1), median 0",
        "3 comparisons of 4 layers, one has a large effect each: depends",
    ),
    "mean_one": Rate(0.173, 0.05, "lognormal(1)", "one comparison, no effect"),
    "mean_equivalence": Rate(0.218, 0.05, "lognormal(1)", "equivalence, at the margin: supported"),
    "mean_three": Rate(0.284, 0.05, "lognormal(1)", "every of 3, none has an effect"),
    "mean_seven": Rate(
        0.187, 0.05, "lognormal(1)", "every measured of 7, correlated, none has an effect"
    ),
    "mean_depends": Rate(
        0.44,
        0.025,
        "lognormal(1)",
        "3 comparisons of 4 layers, one has a large effect each: depends",
    ),
    "signs": Rate(0.247, 0.672, "normal", "shifted by 1"),
}


def rate_text(key: str) -> str:
    """A rate beside what it was meant to be, in percent."""
    rate = RATES[key]
    return f"{_percent(rate.found)} % in place of {_percent(rate.meant)} %"


def _percent(share: float) -> str:
    return f"{100 * share:.2g}"
