"""Answers of truncations for the outputs, planted in a synthetic dataset."""

import numpy as np


def answer_for_outputs(ds, effects, start, lost):
    """They lose ``whitened`` times the log-odds that the plain ones lose, on all images alike.

    The output error is the root of what the plain ones lose.
    """
    v = {name: ds[name].values for name in ds.data_vars}
    n, correct = int(ds["n_images"]), v["baseline_n_correct"]
    measured = np.isfinite(lost)
    own = np.where(measured, effects.whitened * lost, 0)
    counts = np.rint(n / (1 + np.exp(np.minimum(own - start, 2.2)))).astype(np.int64)
    counts = np.where(own == 0, correct, counts)
    for name, values, missing in (
        ("whitened_n_correct", counts, -1),
        ("whitened_accuracy", counts / n, np.nan),
        ("whitened_n_lost", np.maximum(correct - counts, 0), -1),
        ("whitened_n_gained", np.maximum(counts - correct, 0), -1),
        ("whitened_loss", 0.1 + 0.5 * own, np.nan),
        ("whitened_relative_error", np.minimum(1.05 * v["relative_error"], 1), np.nan),
        ("output_error", np.sqrt(np.where(measured, lost, 0)), np.nan),
        ("whitened_output_error", 0.8 * np.sqrt(np.where(measured, lost, 0)), np.nan),
        ("whitened_held_out_n_correct", np.minimum(counts, n), -1),
    ):
        v[name][...] = np.where(measured, values, missing)
    v["whitened_n_held_out"][...] = n
