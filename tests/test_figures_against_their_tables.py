"""Oracle: the table. Finds a drawing that leaves something out, or draws another column."""

import numpy as np
import pytest

from tests.drawn import PLOTS, SEVEN, Drawn


@pytest.fixture(scope="module")
def one():
    return Drawn(1)


LINES = {
    "cp": ("layer", "series", "log2_compression_ratio", "kept"),
    "headline": ("panel", "allowed", "norm_loss", "share_of_layers"),
    "cuts-norm-loss": ("layer", "cut", "norm_loss", "accuracy"),
    "cuts-parameters": ("layer", "cut", "log2_compression_ratio", "accuracy"),
    "noise": ("layer", "series", "norm_loss", "accuracy"),
    "entropy": ("cut", "weights", "place", "entropy"),
    "spectra": ("layer", "weights", "index_over_number", "schmidt_value"),
    "correlation-loss": ("against", "cut", "loss", "change_of_accuracy"),
    "depth": ("panel", "series", "relative_depth", "value"),
    "first-conv4-out-kw": ("layer", "cut", "norm_loss", "accuracy"),
    "accuracy-kept": ("layer", "series", "norm_loss", "accuracy_kept"),
    "pareto": ("layer", "cut", "parameters", "accuracy"),
}


def series_of(name, table):
    """The rows that each line shows, by panel and label, with the names of x and y."""
    if name == "two-mode-cuts":
        for (panel, series), rows in table.groupby(["compared", "cut"]):
            x = "norm_loss" if "norm loss" in panel else "log2_compression_ratio"
            yield (panel, series), rows, x, "change_of_accuracy_above_chance"
        return
    if name == "first-conv1-out":
        for (panel, series), rows in table.groupby(["panel", "series"]):
            x, y = ("index", "schmidt_value") if "Schmidt" in panel else ("norm_loss", "accuracy")
            if series != "untouched network":
                yield (panel, series), rows, x, y
        return
    if name == "formats":
        for (panel, series), rows in table.groupby(["panel", "series"]):
            x = "relative_error" if "error" in panel else "log2_compression_ratio"
            yield (panel, series), rows, x, "kept"
        return
    if name == "joint":
        for (panel, series), rows in table.groupby(["panel", "layer_set"]):
            against = "sum" in panel
            x, y = ("sum_of_changes", "joint_change") if against else ("threshold", "accuracy")
            yield (panel, series), rows, x, y
        return
    if name == "minimum":
        for (panel, path), rows in table.groupby(["panel", "path"]):
            y = {"test loss": "loss", "training loss": "training_loss", "test error": "error"}
            yield (panel, path), rows, "path_point", y[panel]
        return
    if name == "recovery":
        for (panel, arm), rows in table.groupby(["panel", "arm"]):
            yield (panel, arm), rows, "epoch", "norm_loss" if "rank" in panel else "accuracy"
        return
    if name == "curvature":
        rows = table[table["norm_loss"].notna()]
        for key, here in rows.groupby(["layer", "series"]):
            yield key, here, "norm_loss", "over_average"
        return
    panel, series, x, y = LINES[name]
    if name == "pareto":
        for layer, rows in table[table["on_front"]].groupby("layer"):
            yield (layer, "front"), rows.sort_values(x), x, y
        table = table[table[x] < 250]
    for (a, b), rows in table.groupby([panel, series]):
        if name.startswith("cuts"):
            yield (a, b), rows[rows["what"] == "mean"], x, y
            if len(ranks := rows[rows["what"] != "mean"]):
                yield (a, f"{b}, ranks"), ranks, x, y
        elif name == "accuracy-kept":
            for network, here in rows.groupby("network"):
                yield (a, b if network == "mean" else f"{b}, {network}"), here, x, y
        elif name == "depth":
            for network, here in rows.groupby("network"):
                yield (a, b if network == "mean" else f"{b}, {network}"), here, x, y
            if len(ended := rows[rows["censored"].eq(True)]):
                yield (a, f"{b}, censored"), ended, x, y
        elif b not in ("random matrix", "untouched network") or name in ("entropy", "pareto"):
            yield (a, b), rows, x, y


BY_PANEL = ("curvature", "joint", "formats", "recovery", "minimum")
CURVES = (*LINES, "two-mode-cuts", "first-conv1-out", *BY_PANEL)


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_every_line_is_its_rows_and_every_row_has_its_line(one, three, name, n_seeds):
    drawn = one if n_seeds == 1 else three
    lines = drawn.lines(name)
    if name == "curvature":
        lines = {k: line for k, line in lines.items() if k[1] in SEVEN}
    seen = set()
    for key, rows, x, y in series_of(name, drawn.tables[name]):
        np.testing.assert_allclose(lines[key].get_xdata(), rows[x], 1e-14, err_msg=str(key))
        np.testing.assert_allclose(lines[key].get_ydata(), rows[y], 1e-14, err_msg=str(key))
        seen.add(key)
    assert seen == set(lines)
    assert len(seen) > 1


def rounded(x, y):
    return {(float(f"{a:.12g}"), float(f"{b:.12g}")) for a, b in zip(x, y, strict=True)}


def corners(band):
    (path,) = band.get_paths()
    return rounded(*path.vertices.T)


@pytest.mark.parametrize("name", CURVES)
def test_every_band_runs_from_low_to_high(three, name):
    bands = three.bands(name)
    seen = set()
    for key, rows, x, _ in series_of(name, three.tables[name]):
        if name == "noise" and key[1] not in ("OUT", "random perturbation"):
            continue  # the other cuts are thin lines
        if name == "cp" and not key[1].startswith("CP"):
            continue  # the cuts are thin lines
        if rows["low"].notna().all() if "low" in rows else False:
            assert rounded(rows[x], rows["low"]) <= corners(bands[key])
            assert rounded(rows[x], rows["high"]) <= corners(bands[key])
            seen.add(key)
    assert seen or name in ("correlation-loss", "pareto")
    assert {k for k in bands if k[1] not in ("random matrix", "random directions")} == seen


@pytest.mark.parametrize("name", PLOTS)
def test_one_network_has_no_band_but_those_of_random_directions_and_matrices(one, name):
    table = one.tables[name]
    if "low" in table:
        chance = table.isin(["random matrix", "random directions"]).any(axis=1)
        assert table.loc[~chance, ["low", "high"]].isna().all(axis=None)
    labels = {label for _, label in one.bands(name)}
    assert labels <= {"random matrix", "random directions"}
    assert "interval" not in " ".join(label for _, label in one.lines(name))


def test_chance_is_drawn_as_the_table_says(three):
    table = three.tables["curvature"]
    for layer, axes in three.axes("curvature").items():
        rows = table[table["layer"] == layer].set_index("series")
        levels = {line.get_label(): line.get_ydata()[0] for line in axes.lines}
        assert levels["random directions"] == rows["over_average"]["random directions"]
        assert levels["top eigenvalue"] == rows["over_average"]["top eigenvalue"]
        (span,) = axes.patches
        assert span.get_y() == rows["low"]["random directions"]
        assert span.get_y() + span.get_height() == pytest.approx(rows["high"]["random directions"])
    table = three.tables["spectra"]
    for layer, axes in three.axes("spectra").items():
        rows = table[(table["layer"] == layer) & (table["weights"] == "random matrix")]
        band = next(c for c in axes.collections if c.get_label() == "random matrix")
        assert rounded(rows["index_over_number"], rows["high"]) <= corners(band)


@pytest.mark.parametrize("name", ["cuts-norm-loss", "cuts-parameters", "first-conv4-out-kw"])
def test_the_untouched_network_is_a_dotted_line(three, name):
    accuracy = 100 * float(three.dataset["baseline_accuracy"].mean())
    table = three.tables[name]
    what = "what" if "what" in table else "cut"
    assert table["accuracy"][table[what] == "untouched network"].to_numpy() == pytest.approx(
        accuracy
    )
    for axes in three.axes(name).values():
        dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert [line.get_ydata()[0] for line in dotted] == pytest.approx([accuracy])
