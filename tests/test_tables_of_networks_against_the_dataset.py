"""Oracle: the dataset, by plain NumPy and scipy. Finds a figure of other networks or arms."""

import numpy as np
import pytest
import xarray as xr

from analyses.figures.tables import whole
from compressibility.store.arms import ARMS, PERTURBED, RANK_KEPT, TRAINED_ON, TRUNCATED
from compressibility.store.paths import ESTIMATED_ANEW, PATHS
from tests.by_hand import mean_and_t
from tests.drawn import NAMES


def test_sets_of_layers_along_out_at_once_and_one_by_one(three):
    """Every layer here has the cut OUT."""
    ds, sets = three.dataset, {"first 2/4": NAMES[:3], "last 1/4": NAMES[3:], "all": NAMES}
    table = three.tables["joint"].set_index(["panel", "layer_set", "threshold"])
    change, joint_change = (ds[n] - ds["baseline_loss"] for n in ("loss", "joint_loss"))
    for layer_set, layers in sets.items():
        panel = "from the output" if layer_set.startswith("last") else "from the input"
        for threshold in ds["threshold"].values.tolist():
            at = {"layer_set": layer_set, "joint_mode": "OUT", "threshold": threshold}
            row = table.loc[panel, layer_set, threshold]
            mean, low, high = mean_and_t(100 * ds["joint_accuracy"].sel(at).values)
            assert row["accuracy"] == pytest.approx(mean)
            assert row[["low", "high"]].tolist() == pytest.approx(np.clip([low, high], 0, 100))
            row = table.loc["joint against the sum", layer_set, threshold]
            assert row["joint_change"] == pytest.approx(float(joint_change.sel(at).mean()))
            alone = change.sel(mode="OUT", threshold=threshold, layer=list(layers)).sum("layer")
            assert row["sum_of_changes"] == pytest.approx(float(alone.mean()))


def test_accuracies_after_re_training_are_those_of_each_arm(three):
    """One threshold is measured; the diamond is the truncated network before the first epoch."""
    ds = three.dataset.isel(recovery_threshold=0)
    table = three.tables["recovery"]
    for mode in ("OUT", "OUT,KW"):
        rows = table[table["panel"] == f"along {mode}"]
        here = ds.sel(recovery_mode=mode)
        expected = {
            arm: 100 * here["recovery_accuracy"].sel(arm=arm).transpose("epoch", "seed").values
            for arm in ARMS
        }
        alone = here["recovery_re_estimated_n_correct"].sel(arm=TRUNCATED, epoch=[0])
        expected["statistics alone"] = alone.transpose("epoch", "seed").values / 20
        assert_rows(rows, "arm", "epoch", "accuracy", ds["epoch"].values, expected, highest=100)


def test_what_returns_is_averaged_over_layers(three):
    ds = three.dataset.isel(recovery_threshold=0).sel(recovery_mode="OUT")
    table = three.tables["recovery"]
    rows = table[table["panel"] == "norm beyond the kept rank"]
    loss = ds["recovery_norm_loss"].mean("layer")
    expected = {
        arm: loss.sel(arm=arm).transpose("epoch", "seed").values
        for arm in (TRUNCATED, RANK_KEPT, PERTURBED, TRAINED_ON)
    }
    assert_rows(rows, "arm", "epoch", "norm_loss", ds["epoch"].values, expected, highest=1)


@pytest.mark.parametrize(
    ("panel", "column"),
    [("test loss", "loss"), ("training loss", "training_loss"), ("test error", "error")],
)
def test_paths_are_drawn_with_statistics_estimated_anew(three, panel, column):
    ds = three.dataset.sel(statistics=ESTIMATED_ANEW)
    values = {
        "test loss": ds["path_loss"],
        "training loss": ds["path_training_loss"],
        "test error": 100 - ds["path_n_correct"] / 20,
    }[panel]
    expected = {
        path: values.sel(path=path).transpose("path_point", "seed").values for path in PATHS
    }
    rows = three.tables["minimum"].query("panel == @panel")
    at = ds["path_point"].values
    assert_rows(rows, "path", "path_point", column, at, expected)


def assert_rows(rows, series, x, y, at, expected, highest=np.inf):
    """Rows of just these series are means and t-intervals of their values, (places, networks)."""
    assert set(rows[series]) == set(expected)
    for name, values in expected.items():
        here = rows[rows[series] == name]
        assert here[x].tolist() == pytest.approx(at[: len(values)].tolist())
        for row, of_networks in zip(here.to_dict("records"), values, strict=True):
            mean, low, high = mean_and_t(of_networks)
            assert row[y] == pytest.approx(mean)
            assert row["low"] == pytest.approx(max(low, 0), abs=1e-9)
            assert row["high"] == pytest.approx(min(high, highest), abs=1e-9)


def test_only_networks_that_have_every_place_are_averaged():
    places = {"epoch": [0, 1, 2], "seed": [0, 1]}
    values = xr.DataArray([[1.0, 4.0], [2.0, np.nan], [3.0, 6.0]], places, tuple(places))
    curve = whole(values, "epoch")
    assert (curve.x.tolist(), curve.y.tolist()) == ([0, 1, 2], [[1, 2, 3]])
    assert whole(values.sel(seed=[1]), "epoch") is None
