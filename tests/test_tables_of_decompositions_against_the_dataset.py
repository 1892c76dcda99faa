"""Oracle: the dataset, by plain NumPy and scipy. Finds a figure of another decomposition."""

import numpy as np
import pytest
import scipy.stats

from tests.by_hand import change_above_chance, kept_between, mean_and_t
from tests.drawn import NAMES, SEVEN, SHAPES


@pytest.mark.parametrize("name", ["Tucker-2", "TT", "CP", "best cut"])
def test_formats_are_drawn_at_their_ratios_and_errors(three, name):
    """Oracle: parameters and errors as stored, each network's counts interpolated anew."""
    ds, table = three.dataset, three.tables["formats"]
    rows = table[table["series"] == name]
    assert set(rows["layer"]) == set(NAMES)
    assert set(rows["against"]) == {"compression ratio", "relative error"}
    for row in rows.iloc[::23].to_dict("records"):
        by_error = row["against"] == "relative error"
        at = row["relative_error"] if by_error else row["log2_compression_ratio"]
        here = ds.sel(layer=row["layer"])
        if name == "best cut":
            x = here["relative_error"] if by_error else np.log2(here["compression_ratio"])
            by_cut = [kept_at(at, x.sel(mode=mode), here["n_correct"].sel(mode=mode), ds)
                      for mode in SEVEN]  # fmt: skip
            assert row["kept"] == pytest.approx(
                np.nanmax([np.mean(kept) for kept in by_cut]), abs=0.2
            )
            continue
        chosen, prefix = (
            (here.sel(cp_form="fitted"), "cp")
            if name == "CP"
            else (here.sel(format=name), "format")
        )
        stored = chosen[f"{prefix}_parameters"]
        ratio = np.log2(chosen["parameters"] / stored.where(stored > 0))
        x = chosen[f"{prefix}_relative_error"] if by_error else ratio
        kept = kept_at(at, x, chosen[f"{prefix}_n_correct"], ds)
        half = scipy.stats.t.ppf(0.975, 2) * np.std(kept, ddof=1) / np.sqrt(3)
        expected = (np.mean(kept), np.mean(kept) - half, np.mean(kept) + half)
        assert (row["kept"], row["low"], row["high"]) == pytest.approx(expected, rel=1e-9)


def kept_at(at, x, right, ds):
    """In % of each untouched network's, of 2,000 images; missing where a curve does not reach."""
    found = []
    for seed in ds["seed"].values:
        before = int(ds["baseline_n_correct"].sel(seed=seed))
        there = np.isfinite(x.sel(seed=seed).values)
        own, counts = (a.sel(seed=seed).values[there] for a in (x, right))
        reaches = own.size and own.min() <= at <= own.max()
        kept = kept_between(at, own, counts, before, 2000) if reaches else np.nan
        found.append(100 + 100 * float(kept))
    return found


def test_cp_decompositions_are_drawn_at_their_ratios(three):
    """Oracle: parameters counted by the shapes, and each network's counts."""
    ds, table = three.dataset, three.tables["cp"]
    shapes = dict(zip(NAMES, SHAPES, strict=True))
    rows = table[table["series"].str.startswith("CP")]
    assert set(rows["layer"]) == set(NAMES)
    for row in rows.to_dict("records"):
        form = row["series"].removeprefix("CP, ")
        shape = shapes[row["layer"]]
        [rank] = [
            r
            for r in ds["cp_rank"].values
            if np.isclose(np.prod(shape) / (r * sum(shape)), 2 ** row["log2_compression_ratio"])
        ]
        here = ds.sel(layer=row["layer"], cp_form=form, cp_rank=rank)
        before = ds["baseline_n_correct"].values
        kept = 100 * (here["cp_n_correct"].values - 200) / (before - 200)
        found = (row["kept"], row["low"], row["high"])
        assert found == pytest.approx(mean_and_t(kept), rel=1e-9)
    for row in table[table["series"].isin(SEVEN)].iloc[::41].to_dict("records"):
        at = row["log2_compression_ratio"]
        where = {"layer": row["layer"], "mode": row["series"]}
        x = np.log2(ds["compression_ratio"])
        kept = [
            100 + float(change_above_chance(at, x, ds, where | {"seed": seed}))
            for seed in ds["seed"].values
        ]
        assert row["kept"] == pytest.approx(np.mean(kept), rel=1e-9)
