"""Tests, intervals and corrections for a handful of independently trained networks.

The unit is one number per network (seed). Everything here is exact where it can be: with few
networks a test has few possible p-values, and asymptotics would pretend otherwise.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import scipy.stats
from numpy.typing import NDArray
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec
from statsmodels.stats.power import TTestPower

Floats = NDArray[np.float64]

ALPHA: Final = 0.05
POWER: Final = 0.8
MINIMUM_SEEDS: Final = 6
"""Below this many networks no two-sided sign-flip test can reach p < 0.05."""
ENUMERATED: Final = 16
"""Up to this many networks every sign pattern is enumerated."""
RESAMPLES: Final = 99_999


@dataclass(frozen=True)
class Interval:
    """An interval for an effect: its two ends, and how it was obtained."""

    low: float
    high: float
    kind: str

    def __contains__(self, value: float) -> bool:
        """Whether the interval covers a value."""
        return self.low <= value <= self.high


def p_floor(n: int) -> float:
    """The smallest p-value a two-sided sign-flip test of n networks can give, 2^(1-n)."""
    return 2.0 ** (1 - n)


@lru_cache(maxsize=4)
def _subsets(n: int) -> NDArray[np.bool_]:
    """All 2^n subsets of n networks, the empty one first, (2^n, n)."""
    subsets: NDArray[np.bool_] = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1
    subsets.flags.writeable = False
    return subsets


def _drawn_subsets(n: int, rng: np.random.Generator | None) -> NDArray[np.bool_]:
    if n <= ENUMERATED:
        return _subsets(n)
    if rng is None:
        raise ValueError(
            f"{n} networks exceed the {ENUMERATED} whose sign patterns are enumerated: pass rng"
        )
    subsets = rng.random((RESAMPLES + 1, n)) < 0.5
    subsets[0] = False
    return subsets


def _sample(values: Sequence[float] | Floats) -> Floats:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"a sample is a list of one number per network, got shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError(
            f"the sample holds {np.count_nonzero(~np.isfinite(sample))} missing values"
        )
    return sample


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
    x = _sample(values) - centre
    flipped = x.sum() - 2.0 * (_drawn_subsets(x.size, rng) @ x)
    tolerance = 1e-12 * np.abs(x).sum()
    return float(np.mean(np.abs(flipped) >= abs(x.sum()) - tolerance))


def one_sided_sign_flip_test(
    values: Sequence[float] | Floats,
    centre: float = 0.0,
    *,
    rng: np.random.Generator | None = None,
) -> float:
    """P-value of symmetry about ``centre`` or below it, against a centre above."""
    x = _sample(values) - centre
    flipped = x.sum() - 2.0 * (_drawn_subsets(x.size, rng) @ x)
    return float(np.mean(flipped >= x.sum() - 1e-12 * np.abs(x).sum()))


def _typical_values(x: Floats, rng: np.random.Generator | None) -> Floats:
    """Sorted means of the non-empty subsets of the sample (Hartigan's typical values)."""
    subsets = _drawn_subsets(x.size, rng)[1:]
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
    x = _sample(values)
    typical = _typical_values(x, rng)
    k = math.floor(alpha * (typical.size + 1) / 2 + 1e-9)
    kind = f"{100 * (1 - alpha):.0f} % interval, by inverting the sign-flip test"
    if k == 0:
        return Interval(-math.inf, math.inf, kind)
    return Interval(float(typical[k - 1]), float(typical[-k]), kind)


def t_interval(values: Sequence[float] | Floats, *, alpha: float = ALPHA) -> Interval:
    """Student's interval for the mean; not a number at both ends for a single value."""
    x = _sample(values)
    kind = f"{100 * (1 - alpha):.0f} % t-interval"
    if x.size < 2:
        return Interval(math.nan, math.nan, "no interval from one network")
    half = scipy.stats.t.ppf(1 - alpha / 2, x.size - 1) * x.std(ddof=1) / math.sqrt(x.size)
    return Interval(float(x.mean() - half), float(x.mean() + half), kind)


def interval(
    values: Sequence[float] | Floats, *, rng: np.random.Generator | None = None
) -> Interval:
    """By inverting the sign-flip test where there are six networks or more, else Student's."""
    x = _sample(values)
    return t_interval(x) if x.size < MINIMUM_SEEDS else sign_flip_interval(x, rng=rng)


def equivalence_test(
    values: Sequence[float] | Floats, margin: float, *, rng: np.random.Generator | None = None
) -> float:
    """P-value that the centre lies outside (-margin, margin): two one-sided sign-flip tests.

    Source: Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657.
    """
    if not margin > 0:
        raise ValueError(f"an equivalence margin is positive, got {margin}")
    x = _sample(values)
    return max(
        one_sided_sign_flip_test(x, -margin, rng=rng),
        one_sided_sign_flip_test(-x, -margin, rng=rng),
    )


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Holm's step-down p-values of one family; missing ones stay missing and are not counted.

    Source: Holm, Scand. J. Stat. 6 (1979) 65.
    """
    p = np.asarray(p_values, dtype=np.float64)
    present = np.flatnonzero(~np.isnan(p))
    order = present[np.argsort(p[present], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted


def benjamini_yekutieli(p_values: Sequence[float] | Floats) -> Floats:
    """False-discovery-rate p-values valid under any dependence, for maps of layers and cuts.

    Missing ones stay missing and are not counted.

    Source: Benjamini and Yekutieli, Ann. Stat. 29 (2001) 1165.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.size, np.nan)
    present = np.flatnonzero(~np.isnan(p.ravel()))
    order = present[np.argsort(p.ravel()[present], kind="stable")]
    position = np.arange(1, order.size + 1)
    scaled = p.ravel()[order] * order.size * np.sum(1 / position) / position
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted.reshape(p.shape)


@lru_cache(maxsize=64)
def _detectable_multiple(n: int, k: int, power: float) -> float:
    """Effect over spread that the sign-flip test detects with this power, for normal values.

    The test rejects to the right where the k-th smallest subset mean is positive, so for values
    d + z the effect needed is minus that of the z: the power-quantile over 2,048 quasi-random
    normal samples (Sobol points, no random numbers).
    """
    points = scipy.stats.qmc.Sobol(n, scramble=False).random_base2(11)
    z = scipy.stats.norm.ppf(points + 0.5 / len(points))
    subsets = _subsets(n)[1:]
    weights = subsets.T / subsets.sum(axis=1)
    needed = np.concatenate(
        [-np.partition(chunk @ weights, k - 1, axis=1)[:, k - 1] for chunk in np.split(z, 16)]
    )
    return float(np.quantile(needed, power))


def minimal_detectable_effect(
    values: Sequence[float] | Floats,
    *,
    comparisons: int = 1,
    alpha: float = ALPHA,
    power: float = POWER,
) -> float:
    """The smallest effect the test would have found with 80 % power, given the observed spread.

    Method: the values are taken as normal with the observed standard deviation, the level is
    alpha over the number of comparisons (Holm's first and hardest step) rounded down to what the
    sign-flip test can attain; up to 12 networks the power is that of the sign-flip test itself,
    beyond that of Student's t-test. Infinite where the level is below the p floor: then no effect,
    however large, could have been found.
    """
    x = _sample(values)
    n = x.size
    if n < 2:
        return math.inf
    spread = float(x.std(ddof=1))
    level = alpha / comparisons
    if n <= 12:
        k = math.floor(level * 2 ** (n - 1) + 1e-9)
        return math.inf if k == 0 else spread * _detectable_multiple(n, k, power)
    if level < p_floor(n):
        return math.inf
    multiple = TTestPower().solve_power(
        nobs=n, alpha=level, power=power, alternative="two-sided", effect_size=None
    )
    return spread * float(np.squeeze(multiple))


def rank_correlation(x: Floats, y: Floats) -> float:
    """Spearman's rank correlation; not a number where either is constant, or for no values."""
    if x.size == 0:
        return math.nan
    rank_x, rank_y = scipy.stats.rankdata(x), scipy.stats.rankdata(y)
    spread = rank_x.std() * rank_y.std()
    if spread == 0:
        return math.nan
    return float(np.mean((rank_x - rank_x.mean()) * (rank_y - rank_y.mean())) / spread)


def slope(x: Floats, y: Floats) -> float:
    """Least-squares slope of y on x, in units of y per unit of x."""
    centred = x - x.mean()
    return float(centred @ (y - y.mean()) / (centred @ centred))


@dataclass(frozen=True)
class CrossedSlope:
    """The slope of a mixed model with crossed random effects of seed and layer."""

    estimate: float
    standard_error: float
    p: float
    seed_variance: float
    layer_variance: float
    usable: bool
    """False where the fit failed; ``reason`` says how."""
    reason: str


def crossed_slope(x: Floats, y: Floats) -> CrossedSlope:
    """Slope of y (seeds, layers) on x (layers,), layers and seeds being crossed random effects.

    y[s, l] = a + b x[l] + u[s] + v[l] + e[s, l], by restricted maximum likelihood. Unlike the
    sign-flip test over seeds it also counts the chance of having met these layers, so its t has the
    layers' degrees of freedom, their number less two. The fit can
    report convergence with effects of exactly zero or a singular covariance; both are refused.
    """
    n_seeds, n_layers = y.shape
    seed, layer = (a.ravel() for a in np.indices(y.shape))
    indicators = [np.eye(n_seeds)[seed], np.eye(n_layers)[layer]]
    names = [[f"seed {i}" for i in range(n_seeds)], [f"layer {i}" for i in range(n_layers)]]
    components = VCSpec(["seed", "layer"], [[n] for n in names], [[m] for m in indicators])
    exog = np.column_stack([np.ones(y.size), x[layer]])
    spread = float(y.std())
    if spread == 0 or n_seeds < 2 or n_layers < 3:
        return _refused("too little variation for a mixed model")
    model = MixedLM(
        y.ravel() / spread, exog, groups=np.zeros(y.size), exog_re=None, exog_vc=components
    )
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they warn of is checked below
            fit = model.fit(reml=True, method=["lbfgs", "bfgs"])
    except (ValueError, np.linalg.LinAlgError) as failure:
        return _refused(f"the mixed model did not fit: {failure}")
    estimate, error = float(fit.fe_params[1]), float(fit.bse_fe[1])
    variances = np.asarray(fit.vcomp, dtype=np.float64)
    covariance = np.asarray(fit.cov_re, dtype=np.float64)
    if not (np.isfinite(variances).all() and np.isfinite(covariance).all()):
        return _refused("the mixed model's covariance of random effects is not finite")
    if estimate == 0.0 or not (np.isfinite(error) and error > 0):
        return _refused("the mixed model returned no usable slope")
    p = float(2 * scipy.stats.t.sf(abs(estimate / error), n_layers - 2))
    reason = "" if fit.converged else "the mixed model did not converge"
    return CrossedSlope(
        estimate * spread,
        error * spread,
        p,
        float(variances[0]) * spread**2,
        float(variances[1]) * spread**2,
        bool(fit.converged),
        reason,
    )


def _refused(reason: str) -> CrossedSlope:
    return CrossedSlope(math.nan, math.nan, math.nan, math.nan, math.nan, False, reason)
