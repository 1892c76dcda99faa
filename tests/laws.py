"""Laws of how single networks differ from the truth. A new one is a line in `LAWS`."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Law:
    """How networks differ from the truth: draws of a shape (networks, columns), spread about 1.

    Attributes:
        name: What it is.
        draw: Draws of it.
        source: The statistical reason to try it.
        symmetric: Whether whole networks are symmetric about the truth, as the tests suppose.
            Where they are not, the rates are told and not held.
    """

    name: str
    draw: Draw
    source: str
    symmetric: bool = True


def normal(rng, shape):
    return rng.normal(size=shape)


def akin(rng, shape):
    return 0.6 * rng.normal(size=shape) + 0.8 * rng.normal(size=(shape[0], 1))


def heavy(rng, shape):
    return rng.normal(size=shape) / np.sqrt(rng.chisquare(2, size=(shape[0], 1)) / 2)


def uneven(rng, shape):
    return rng.normal(size=shape) * np.linspace(0.2, 1.6, shape[0])[:, None]


def ties(rng, shape):
    return rng.integers(-2, 3, size=shape) / np.sqrt(2)


def zeros(rng, shape):
    return rng.normal(size=shape) * (rng.random(shape) < 0.4) * 1.6


def lognormals(rng, shape):
    first, second = rng.lognormal(size=(2, *shape))
    return (first - second) / 3


def uniform(rng, shape):
    return rng.uniform(-1.7, 1.7, size=shape)


def cauchy(rng, shape):
    return rng.standard_cauchy(size=shape)


def mild_lognormal(rng, shape):
    return (rng.lognormal(sigma=0.5, size=shape) - np.exp(0.125)) / 0.6


def exponential(rng, shape):
    return rng.exponential(size=shape) - 1


def lognormal(rng, shape):
    return rng.lognormal(size=shape) - np.exp(0.5)


def failures(rng, shape):
    return rng.normal(size=shape) + 5 * (rng.random((shape[0], 1)) < 0.1) - 0.5


NORMAL = Law("normal", normal, "sums of many small causes; the law that Student's t supposes")
LAWS = (
    NORMAL,
    Law("normal, correlated", akin, "numbers of one network share causes: a correlation of 0.64"),
    Law(
        "t with 2 degrees of freedom",
        heavy,
        "heavy tails, without a variance, and networks that are far out as a whole",
    ),
    Law("spread 1 to 8", uneven, "networks of unequal spread: no two of one law"),
    Law("ties", ties, "counts: few values, of which many are equal or zero"),
    Law("60 % zeros", zeros, "a difference that most networks do not have at all"),
    Law(
        "difference of lognormals",
        lognormals,
        "two skewed quantities of one law, subtracted: symmetric, with heavy tails",
    ),
    Law("uniform", uniform, "light tails: bounded shares and ranks"),
    Law("Cauchy", cauchy, "the heaviest tails: not even a mean, only a centre"),
    Law("lognormal(0.5)", mild_lognormal, "mild skewness, as of products of causes", False),
    Law("exponential", exponential, "a quantity with a floor, most networks near it", False),
    Law("lognormal(1)", lognormal, "strong skewness, as of ratios and curvatures", False),
    Law(
        "10 % failures",
        failures,
        "a mixture: one training in ten fails, and is far off in every number",
        False,
    ),
)
SYMMETRIC = tuple(law for law in LAWS if law.symmetric)
SKEWED = tuple(law for law in LAWS if not law.symmetric)


def about_its_median(law: Law) -> Law:
    """The law moved so that the median of single networks is the truth."""
    middle = median(law)
    return replace(
        law, name=f"{law.name}, median 0", draw=lambda rng, shape: law.draw(rng, shape) - middle
    )


def median(law: Law) -> float:
    """Of single networks, by so many draws that two digits are sure."""
    return float(np.median(law.draw(np.random.default_rng(1), (1_000_000, 1))))


ABOUT_MEDIANS = tuple(map(about_its_median, SKEWED))
