"""A trend over layers in a mixed model, in which networks and layers are crossed."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import scipy.stats
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

from analyses.statistics.intervals import Floats


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
