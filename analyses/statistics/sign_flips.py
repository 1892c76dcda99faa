"""Sign-flip tests over a handful of networks, and the interval of what they do not reject.

The unit is one number per network (seed). Everything is exact where it can be: with few networks a
test has few possible p-values, and asymptotics would pretend otherwise.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyses.statistics.intervals import ALPHA, Floats, Interval, finite, t_interval

MINIMUM_SEEDS: Final = 6
"""Below this many networks no two-sided sign-flip test can reach p < 0.05."""
ENUMERATED: Final = 16
"""Up to this many networks every sign pattern is enumerated."""
RESAMPLES: Final = 99_999


def p_floor(n: int) -> float:
    """The smallest p-value a two-sided sign-flip test of n networks can give, 2^(1-n)."""
    return 2.0 ** (1 - n)


@lru_cache(maxsize=4)
def every_subset(n: int) -> NDArray[np.bool_]:
    """All 2^n subsets of n networks, the empty one first, (2^n, n)."""
    subsets: NDArray[np.bool_] = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1
    subsets.flags.writeable = False
    return subsets


def drawn_subsets(n: int, rng: np.random.Generator | None) -> NDArray[np.bool_]:
    """All subsets of up to 16 networks; of more 99,999 drawn ones, and the empty one first."""
    if n <= ENUMERATED:
        return every_subset(n)
    if rng is None:
        raise ValueError(
            f"{n} networks exceed the {ENUMERATED} whose sign patterns are enumerated: pass rng"
        )
    subsets = rng.random((RESAMPLES + 1, n)) < 0.5
    subsets[0] = False
    return subsets


def sign_flip_test(
    values: Sequence[float] | Floats,
    centre: float = 0.0,
    *,
    rng: np.random.Generator | None = None,
) -> float:
    """Two-sided p-value that the values are symmetric about ``centre``.

    Under the null each network's sign is a fair coin, independent of its size. The p-value is the
    share of sign patterns whose mean is at least as far from zero as the observed one: exact, by
    enumeration, up to 16 networks; beyond, over 99,999 drawn patterns and the observed one.

    Source: Fisher, The Design of Experiments (1935), section 21.

    Raises:
        ValueError: if a value is missing, or more than 16 values come without ``rng``.
    """
    x = finite(values) - centre
    flipped = x.sum() - 2.0 * (drawn_subsets(x.size, rng) @ x)
    tolerance = 1e-12 * np.abs(x).sum()
    return float(np.mean(np.abs(flipped) >= abs(x.sum()) - tolerance))


def one_sided_sign_flip_test(
    values: Sequence[float] | Floats,
    centre: float = 0.0,
    *,
    rng: np.random.Generator | None = None,
) -> float:
    """P-value of symmetry about ``centre`` or below it, against a centre above."""
    x = finite(values) - centre
    flipped = x.sum() - 2.0 * (drawn_subsets(x.size, rng) @ x)
    return float(np.mean(flipped >= x.sum() - 1e-12 * np.abs(x).sum()))


def _typical_values(x: Floats, rng: np.random.Generator | None) -> Floats:
    """Sorted means of the non-empty subsets of the sample (Hartigan's typical values)."""
    subsets = drawn_subsets(x.size, rng)[1:]
    sizes = subsets.sum(axis=1)
    return np.sort((subsets @ x)[sizes > 0] / sizes[sizes > 0])


def sign_flip_interval(
    values: Sequence[float] | Floats,
    *,
    alpha: float = ALPHA,
    rng: np.random.Generator | None = None,
) -> Interval:
    """The centres that the two-sided sign-flip test does not reject at ``alpha``.

    Flipping a subset F of the values about a centre c lowers their sum below or to the negative
    side exactly where the mean of F is on the other side of c, so the ends are order statistics of
    the 2^n - 1 subset means: Hartigan, J. Am. Stat. Assoc. 64 (1969) 1303, typical values. Below
    six values no centre is rejected at 0.05 and the ends are infinite.
    """
    x = finite(values)
    typical = _typical_values(x, rng)
    k = math.floor(alpha * (typical.size + 1) / 2 + 1e-9)
    kind = f"{100 * (1 - alpha):.0f} % interval, by inverting the sign-flip test"
    if k == 0:
        return Interval(-math.inf, math.inf, kind)
    return Interval(float(typical[k - 1]), float(typical[-k]), kind)


def interval(
    values: Sequence[float] | Floats, *, rng: np.random.Generator | None = None
) -> Interval:
    """By inverting the sign-flip test where there are six networks or more, else Student's."""
    x = finite(values)
    return t_interval(x) if x.size < MINIMUM_SEEDS else sign_flip_interval(x, rng=rng)


def equivalence_test(
    values: Sequence[float] | Floats, margin: float, *, rng: np.random.Generator | None = None
) -> float:
    """P-value that the centre lies outside (-margin, margin): two one-sided sign-flip tests.

    Source: Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657.
    """
    if not margin > 0:
        raise ValueError(f"an equivalence margin is positive, got {margin}")
    x = finite(values)
    return max(
        one_sided_sign_flip_test(x, -margin, rng=rng),
        one_sided_sign_flip_test(-x, -margin, rng=rng),
    )
