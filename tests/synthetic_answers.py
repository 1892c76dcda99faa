"""Answers and curvature of a synthetic dataset, drawn under the effects that are planted in it."""

import numpy as np
import xarray as xr

from compressibility.store.arms import ARMS, RANK_KEPT, TRAINED_ON, TRUNCATED
from compressibility.store.layer_sets import LAYER_SETS, members
from compressibility.store.paths import (
    PATHS,
    RECOVERED,
    STATES,
    THROUGH_TRUNCATED,
    TO_ANOTHER_NETWORK,
    TO_RECOVERED,
)
from compressibility.store.schema import Flag
from compressibility.tensors.cp import highest_rank
from compressibility.tensors.formats import BONDS, TUCKER
from compressibility.tensors.modes import CUTS, matrix_shape, same_as
from tests.synthetic_whitened import answer_for_outputs


def answer(ds: xr.Dataset, effects, rng: np.random.Generator) -> xr.Dataset:
    """Fill in, in place, answers and curvature drawn anew under these effects."""
    v = {name: ds[name].values for name in ds.data_vars}
    n = int(ds["n_images"])
    n_layers, n_cuts, n_thresholds, n_seeds = v["norm_loss"].shape
    base = 3.5 + 0.2 * rng.normal(size=n_seeds)

    def counted(log_odds):
        expected = n / (1 + np.exp(-log_odds))
        return np.rint(expected).astype(np.int64)

    correct = counted(base)
    v["baseline_n_correct"][...] = correct
    v["baseline_accuracy"][...] = correct / n
    v["baseline_loss"][...] = 0.1
    start = np.log((correct + 0.5) / (n - correct + 0.5))
    depth = ds["relative_depth"].values
    factor = np.array([effects.cut.get(c.label, 1.0) for c in CUTS])
    spread = np.exp(effects.noise * rng.normal(size=(n_layers, n_cuts, 1, n_seeds)))
    fall = np.exp(-effects.depth * depth)[:, None, None, None] * factor[None, :, None, None]
    lost = effects.strength * fall * spread * v["norm_loss"] ** 2
    jitter = 0.02 * rng.normal(size=lost.shape) * (lost > 0)
    measured = np.isfinite(lost)
    counts = counted(np.maximum(start - np.nan_to_num(lost) + jitter * measured, -2.2))
    v["n_correct"][...] = np.where(measured, counts, -1)
    v["accuracy"][...] = np.where(measured, counts / n, np.nan)
    v["n_lost"][...] = np.where(measured, np.maximum(correct - counts, 0), -1)
    v["n_gained"][...] = np.where(measured, np.maximum(counts - correct, 0), -1)
    v["loss"][...] = 0.1 + 0.5 * lost
    answer_held_out(ds)
    answer_jointly(ds, effects, start, lost, rng.spawn(1)[0])
    answer_decomposed(ds, effects, start)
    answer_recovered(ds, effects, rng.spawn(1)[0])
    answer_on_paths(ds, effects, rng.spawn(1)[0])
    answer_in_formats(ds, effects, start)
    answer_for_outputs(ds, effects, start, lost)
    spread = np.exp(effects.noise * rng.normal(size=(n_layers, 1, n_seeds)))
    fall = np.exp(-effects.perturbation_depth * depth)[:, None, None]
    levels = ds["norm_loss_level"].values[None, :, None]
    lost = effects.strength * effects.perturbation * fall * spread * levels**2
    counts = counted(np.maximum(start - lost, -2.2))
    v["perturbed_n_correct"][...] = counts
    v["perturbed_loss"][...] = 0.1 + 0.5 * lost
    size = (n_layers, n_seeds)
    average = effects.average_curvature * np.exp(effects.noise * rng.normal(size=size))
    parameters = ds["parameters"].values
    random = average[:, None] * skewed(
        (n_layers, v["random_directional_curvature"].shape[1], n_seeds), rng
    )
    v["random_directional_curvature"][...] = random
    mean, error = random.mean(axis=1), random.std(axis=1, ddof=1) / np.sqrt(random.shape[1])
    v["hessian_layer_trace"][...] = mean * parameters[:, None]
    v["hessian_layer_trace_standard_error"][...] = error * parameters[:, None]
    v["hessian_layer_eigenvalue"][...] = 40 * average
    cut_by_cut = skewed((n_layers, n_cuts, n_thresholds, n_seeds), rng, along=2)
    along = effects.flatness * average[:, None, None, :] * cut_by_cut
    directed = measured & (v["norm_loss"] > 0)
    v["directional_curvature"][...] = np.where(directed, along, np.nan)
    flags = v["directional_curvature_flag"]
    flags[directed] = Flag.MEASURED.value
    flags[measured & ~directed] = Flag.NO_DIRECTION.value
    top = np.sort(v["hessian_layer_eigenvalue"], axis=0)[::-1]
    v["hessian_eigenvalue"][...] = top[:1] * np.linspace(1.2, 0.5, 5)[:, None]
    v["hessian_eigenvalue_residual"][...] = 1e-4
    v["hessian_trace"][...] = v["hessian_layer_trace"].sum(axis=0)
    v["hessian_trace_standard_error"][...] = 0.02 * v["hessian_trace"]
    return ds


SQUARES = 6
"""Degrees of freedom of the chi-square that curvatures along random directions follow, as those of
a Hessian with few eigenvalues that matter: their spread is 0.58 of their mean (on the digits 0.54
to 0.68)."""


def skewed(shape, rng, along=None):
    """Draws of chi-square over its degrees of freedom; akin along one axis, if one is named."""
    normal = rng.normal(size=(SQUARES, *shape))
    if along is not None:
        common = rng.normal(size=(SQUARES, *(1 if i == along else n for i, n in enumerate(shape))))
        normal = np.sqrt(0.8) * common + np.sqrt(0.2) * normal
    return (normal**2).mean(axis=0)


N_HELD_OUT = 400
SIZES = ("out_channels", "in_channels", "kernel_height", "kernel_width")


def answer_held_out(ds):
    """As on the test images, of which the held-out images are as many like."""
    v = {name: ds[name].values for name in ds.data_vars}
    share = N_HELD_OUT / int(ds["n_images"])
    v["held_out_n_images"][...] = N_HELD_OUT
    v["held_out_baseline_n_correct"][...] = np.rint(share * v["baseline_n_correct"])
    counts = v["n_correct"]
    v["held_out_n_correct"][...] = np.where(counts < 0, -1, np.rint(share * counts))


def answer_decomposed(ds, effects, start):
    """CP with R components errs by the share 0.97^R, and costs what a truncation of that does."""
    v = {name: ds[name].values for name in ds.data_vars}
    n, correct = int(ds["n_images"]), v["baseline_n_correct"]
    for i, shape in enumerate(zip(*(ds[s].values.tolist() for s in SIZES), strict=True)):
        for r, rank in enumerate(ds["cp_rank"].values.tolist()):
            if rank > highest_rank(shape):
                continue
            error = 0.97**rank
            norm_loss = 1 - np.sqrt(1 - error**2)
            lost = effects.cp * effects.strength * norm_loss**2 * np.ones(len(correct))
            for f, form in enumerate(ds["cp_form"].values.tolist()):
                counts = np.rint(n / (1 + np.exp(np.minimum(lost - start, 2.2)))).astype(np.int64)
                at = (f, i, r)
                v["cp_n_correct"][at] = counts
                v["cp_accuracy"][at] = counts / n
                v["cp_n_lost"][at] = np.maximum(correct - counts, 0)
                v["cp_n_gained"][at] = np.maximum(counts - correct, 0)
                v["cp_loss"][at] = 0.1 + 0.5 * lost
                v["cp_relative_error"][at] = error
                v["cp_largest_component"][at] = 2.0 if form == "fitted" else 1.0
                v["cp_sensitivity"][at] = 40.0 if form == "fitted" else 20.0
                v["cp_n_sweeps"][at] = 50
            v["cp_error_spread"][i, r] = 0.01
            v["cp_n_diverged"][i, r] = 0
            v["cp_parameters"][i, r] = rank * sum(shape)


def answer_recovered(ds, effects, rng):
    """Re-trained networks lie ``recovery_gap`` below the one trained on, controls further."""
    v = {name: ds[name].values for name in ds.data_vars}
    n, correct = int(ds["n_images"]), v["baseline_n_correct"]
    gaps = {TRAINED_ON: 0.0, TRUNCATED: effects.recovery_gap, RANK_KEPT: effects.recovery_gap}
    shape = v["recovery_n_correct"].shape  # cut, threshold, arm, epoch, seed
    noise, elsewhere = (0.02 * effects.noise * rng.normal(size=shape) for _ in range(2))
    later = np.minimum(np.arange(shape[3]), 1)[:, None, None]
    for a, arm in enumerate(ARMS):
        gap = gaps.get(arm, effects.recovery_gap + effects.control_gap)
        after = correct / n - gap + noise[:, :, a]
        after[:, :, 0] = correct / n if arm == TRAINED_ON else 0.1
        counts = np.rint(n * np.clip(after, 0, 1)).astype(np.int64)
        at = (slice(None), slice(None), a)
        v["recovery_n_correct"][at] = v["recovery_re_estimated_n_correct"][at] = counts
        v["recovery_accuracy"][at] = counts / n
        v["recovery_n_lost"][at] = np.maximum(correct - counts, 0)
        v["recovery_n_gained"][at] = np.maximum(counts - correct, 0)
        held_out = np.clip(counts / n + elsewhere[:, :, a], 0, 1)
        v["recovery_held_out_n_correct"][at] = np.rint(N_HELD_OUT * held_out)
        beyond = 0.5 if arm == TRAINED_ON else later / 20
        spread = np.exp(effects.noise * rng.normal(size=v["recovery_norm_loss"][at].shape))
        v["recovery_norm_loss"][at] = np.minimum(beyond * spread, 1)
    v["recovery_n_held_out"][...] = N_HELD_OUT
    v["recovery_loss"][...] = v["recovery_re_estimated_loss"][...] = 0.1
    v["recovery_distance"][...] = v["recovery_distance_to_trained"][...] = later / 10
    for i, layer in enumerate(zip(*(ds[s].values.tolist() for s in SIZES), strict=True)):
        for m, mode in enumerate(ds["recovery_mode"].values.tolist()):
            held = same_as(layer, mode)
            if held != "trivial":
                values = np.linspace(1, 0.1, min(matrix_shape(layer, held)))
                v["recovery_schmidt_value"][m, :, :, :, i, : values.size] = values[:, None]


def answer_on_paths(ds, effects, rng):
    """Losses on paths are parabolas over the line between their ends."""
    v = {name: ds[name].values for name in ds.data_vars}
    hill = 4 * ds["path_point"].values * (1 - ds["path_point"].values)
    n, n_seeds = int(ds["n_images"]), ds.sizes["seed"]
    heights = {TO_RECOVERED: effects.barrier, TO_ANOTHER_NETWORK: 2.0, THROUGH_TRUNCATED: 1.5}
    for p, path in enumerate(PATHS):
        for name in ("path_loss", "path_training_loss"):
            spread = 1 + 0.5 * effects.noise * rng.normal(size=n_seeds)
            height = heights.get(path, 0.01) * spread
            v[name][p] = 0.1 + (hill[:, None] * height)[:, None, :]
        wrong = 0.2 * n * hill[:, None] * height / (1 + height)
        v["path_n_correct"][p] = np.rint(0.9 * n - wrong)[:, None, :]
    for name, value in STATE_VALUES.items():
        v[name][...] = value * np.exp(effects.noise * rng.normal(size=v[name].shape))
    on = v["state_relative_trace"][STATES.index(TRAINED_ON)]
    spread = np.exp(effects.noise * rng.normal(size=n_seeds))
    v["state_relative_trace"][STATES.index(RECOVERED)] = effects.sharpness * on * spread


STATE_VALUES = {
    "state_training_loss": 0.01,
    "state_gradient_norm": 0.1,
    "state_logit_norm": 20.0,
    "state_eigenvalue": 3.0,
    "state_trace": 10.0,
    "state_relative_trace": 5.0,
}


def answer_in_formats(ds, effects, start):
    """Tucker-2 and TT lose 0.8 of the threshold, and cost what a truncation of that loss does."""
    v = {name: ds[name].values for name in ds.data_vars}
    n, correct = int(ds["n_images"]), v["baseline_n_correct"]
    norm_loss = 0.8 * ds["threshold"].values
    lost = effects.formats * effects.strength * norm_loss[:, None] ** 2
    counts = np.rint(n / (1 + np.exp(np.minimum(lost - start, 2.2)))).astype(np.int64)
    for f, name in enumerate(ds["format"].values.tolist()):
        for i, shape in enumerate(zip(*(ds[s].values.tolist() for s in SIZES), strict=True)):
            at = (f, i)
            v["format_n_correct"][at] = counts
            v["format_accuracy"][at] = counts / n
            v["format_n_lost"][at] = np.maximum(correct - counts, 0)
            v["format_n_gained"][at] = np.maximum(counts - correct, 0)
            v["format_loss"][at] = 0.1 + 0.5 * lost
            v["format_norm_loss"][at] = norm_loss[:, None]
            v["format_relative_error"][at] = np.sqrt(1 - (1 - norm_loss[:, None]) ** 2)
            sizes = [min(matrix_shape(shape, cut)) for cut in BONDS[name]]
            ranks = [np.ceil(size * (1 - ds["threshold"].values)).astype(int) for size in sizes]
            for cut, rank in zip(BONDS[name], ranks, strict=True):
                bond = ds["bond"].values.tolist().index(cut.label)
                v["format_rank"][(*at, slice(None), bond)] = rank[:, None]
            v["format_parameters"][at] = stored_in_format(name, shape, *ranks)[:, None]


def stored_in_format(name, shape, *ranks):
    """Entries of the layers that realise a decomposition, counted by hand."""
    out, in_, height, width = shape
    if name == TUCKER:
        a, b = ranks
        return out * a + a * b * height * width + in_ * b
    a, b, c = ranks
    return out * a + a * in_ * b + b * height * c + c * width


def answer_jointly(ds, effects, start, lost, rng):
    """Several layers lose ``interaction`` times the sum of the log-odds that each loses alone."""
    v = {name: ds[name].values for name in ds.data_vars}
    n, correct = int(ds["n_images"]), v["baseline_n_correct"]
    places = {name: i for i, name in enumerate(ds["layer"].values.tolist())}
    labels = [cut.label for cut in CUTS]
    factor = effects.interaction * np.exp(0.1 * effects.noise * rng.normal(size=len(correct)))
    for i, layer_set in enumerate(LAYER_SETS):
        layers = members(layer_set, list(places))
        v["joint_n_layers"][i] = len(layers)
        for j, mode in enumerate(ds["joint_mode"].values.tolist()):
            held = {name: v["same_as"][places[name], labels.index(mode)] for name in layers}
            alone = [lost[places[k], labels.index(m)] for k, m in held.items() if m != "trivial"]
            total = factor * np.sum(alone, axis=0) if alone else np.zeros(lost.shape[2:])
            counts = np.rint(n / (1 + np.exp(np.minimum(total - start, 2.2)))).astype(np.int64)
            counts = np.where(total == 0, correct, counts)
            v["joint_loss"][i, j] = 0.1 + 0.5 * total
            v["joint_n_correct"][i, j] = counts
            v["joint_accuracy"][i, j] = counts / n
            v["joint_n_lost"][i, j] = np.maximum(correct - counts, 0)
            v["joint_n_gained"][i, j] = np.maximum(counts - correct, 0)
            v["joint_norm_loss"][i, j] = 0.9 * ds["threshold"].values[:, None]
            v["joint_compression_ratio"][i, j] = 2.0
