"""Oracle: the dataset, by plain NumPy and scipy. Finds a figure of another variable."""

import numpy as np
import pytest

from compressibility.tensors.spectra import Spectrum
from tests.by_hand import change_above_chance, crossing_by_hand, interpolated, mean_and_t
from tests.drawn import NAMES, SEVEN, SHAPES


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("cuts-norm-loss", "cut"),
        ("cuts-parameters", "cut"),
        ("noise", "series"),
        ("first-conv4-out-kw", "cut"),
        ("first-conv1-out", "series"),
    ],
)
def test_accuracies_are_those_of_the_dataset(three, name, cut):
    table = three.tables[name].dropna(subset=["accuracy"])
    x = "log2_compression_ratio" if name == "cuts-parameters" else "norm_loss"
    checked = set()
    for row in table.dropna(subset=[x]).iloc[::5].to_dict("records"):
        if row[cut] not in SEVEN or row.get("what", "mean") != "mean":
            continue
        here = three.dataset.sel(layer=row.get("layer", "conv1"), mode=row[cut])
        along = np.log2(here["compression_ratio"]) if name == "cuts-parameters" else here[x]
        values = [
            interpolated(row[x], along.sel(seed=s), 100 * here["accuracy"].sel(seed=s))
            for s in here["seed"]
        ]
        mean, low, high = mean_and_t(values)
        assert row["accuracy"] == pytest.approx(mean, rel=1e-9)
        if not (name == "noise" and row[cut] != "OUT"):
            assert row["low"] == pytest.approx(max(low, 0), rel=1e-9)
            assert row["high"] == pytest.approx(min(high, 100), rel=1e-9)
        checked.add(row[cut])
    assert len(checked) == {"first-conv1-out": 1, "first-conv4-out-kw": 2}.get(name, 7)


def test_a_dot_is_the_mean_of_a_rank(three):
    table = three.tables["cuts-norm-loss"]
    dots = table[table["what"].str.startswith("rank")]
    assert set(dots["cut"]) >= {"KH", "KW", "OUT,IN"}
    for row in dots.to_dict("records"):
        here = three.dataset.sel(layer=row["layer"], mode=row["cut"])
        chosen = here["rank"] == int(row["what"].removeprefix("rank "))
        assert row["norm_loss"] == pytest.approx(float(here["norm_loss"].where(chosen).mean()))
        assert row["accuracy"] == pytest.approx(100 * float(here["accuracy"].where(chosen).mean()))


@pytest.mark.parametrize("name", ["noise", "first-conv1-out"])
def test_noise_is_that_of_the_perturbation(three, name):
    table = three.tables[name]
    rows = table[table["series"] == "random perturbation"]
    for row in rows.iloc[::7].to_dict("records"):
        here = three.dataset.sel(layer=row.get("layer", "conv1"))
        levels = [0.0, *here["norm_loss_level"].values]
        values = [
            interpolated(
                row["norm_loss"],
                levels,
                [
                    float(here["baseline_n_correct"].sel(seed=s)) / 20,
                    *(here["perturbed_n_correct"].sel(seed=s).values / 20),
                ],
            )
            for s in here["seed"]
        ]
        assert row["accuracy"] == pytest.approx(np.mean(values))
    assert len(rows)


def test_changes_over_layers_are_those_of_the_accuracy_above_chance(three):
    layers = [name for name, shape in zip(NAMES, SHAPES, strict=True) if shape[2] > 1]
    ds = three.dataset
    for row in three.tables["two-mode-cuts"].iloc[::11].to_dict("records"):
        by_norm = row["compared"] == "at equal norm loss"
        x = ds["norm_loss"] if by_norm else np.log2(ds["compression_ratio"])
        at = row["norm_loss"] if by_norm else row["log2_compression_ratio"]
        values = [
            np.mean(
                [
                    change_above_chance(at, x, ds, where)
                    for layer in layers
                    if (where := {"layer": layer, "mode": row["cut"], "seed": seed})
                ]
            )
            for seed in ds["seed"].values
        ]
        found = (row["change_of_accuracy_above_chance"], row["low"], row["high"])
        assert found == pytest.approx(mean_and_t(values), rel=1e-9)


def test_critical_norm_losses_are_their_definition(three):
    table = three.tables["depth"]
    panel = "where 1 point of accuracy is lost"
    rows = table[(table["panel"] == panel) & (table["network"] != "mean")]
    assert len(rows) == len(NAMES) * 3
    for row in rows.to_dict("records"):
        here = three.dataset.sel(layer=row["layer"], mode="OUT", seed=int(row["network"]))
        counts = here["n_correct"].values.tolist(), int(here["baseline_n_correct"])
        value, censored = crossing_by_hand(here["norm_loss"].values.tolist(), *counts, 2000, 1)
        assert (row["value"], row["censored"]) == (pytest.approx(value), censored)
        assert row["relative_depth"] == float(here["relative_depth"])
    means = table[(table["panel"] == panel) & (table["network"] == "mean")]
    for row in means.to_dict("records"):
        values = rows["value"][rows["layer"] == row["layer"]].tolist()
        assert (row["value"], row["low"], row["high"]) == pytest.approx(mean_and_t(values))


def test_losses_against_depth_are_means_of_the_accuracy_above_chance(three):
    """Riemann sums over many points of the curves interpolated at the coarsest curve's knots."""
    ds = three.dataset
    table = three.tables["depth"]
    rows = table[(table["panel"] == "mean loss of accuracy") & (table["series"] == "truncation")]
    for seed in ds["seed"].values:
        x = {
            name: np.unique(ds["norm_loss"].sel(layer=name, mode="OUT", seed=seed))
            for name in NAMES
        }
        end = min(0.5, *(v[-1] for v in x.values()))
        coarse = min((v[v <= end] for v in x.values()), key=len)
        knots = np.unique([*coarse, end])
        fine = np.linspace(knots[0], knots[-1], 20_001)
        for name in NAMES:
            where = {"layer": name, "mode": "OUT", "seed": seed}
            y = change_above_chance(knots, ds["norm_loss"], ds, where)
            row = rows[(rows["network"] == str(seed)) & (rows["layer"] == name)]
            assert row["value"].item() == pytest.approx(
                interpolated(fine, knots, y).mean(), rel=1e-3
            )


def test_entropies_and_spectra_are_those_of_the_schmidt_values(three):
    values = three.dataset["schmidt_value"]

    def spectra(weights, layer, cut):
        here = values.sel(weights=weights, layer=layer, mode=cut).transpose("seed", ...)
        return [Spectrum(s[np.isfinite(s)]) for s in here.values]

    def shares(weights, layer, cut):
        return [s.entropy / np.log(len(s)) for s in spectra(weights, layer, cut)]

    for row in three.tables["entropy"].to_dict("records"):
        assert NAMES[int(row["place"]) - 1] == row["layer"]
        if row["weights"] != "random matrix":
            mean, low, high = mean_and_t(shares(row["weights"], row["layer"], row["cut"]))
            found = (row["entropy"], row["low"], row["high"])
            assert found == pytest.approx((mean, low, min(high, 1)), rel=1e-9)
    table = three.tables["spectra"]
    for (layer, weights), rows in table.groupby(["layer", "weights"]):
        if weights != "random matrix":
            units = [s.schmidt_values / s.norm for s in spectra(weights, layer, "OUT")]
            assert rows["schmidt_value"].tolist() == pytest.approx(np.mean(units, axis=0).tolist())
    for row in three.tables["entropy-map"].dropna().to_dict("records"):
        initial, trained = (
            np.mean(shares(weights, row["layer"], row["cut"])) for weights in ("initial", "trained")
        )
        assert row["difference_in_percent"] == pytest.approx(100 * (initial - trained), abs=1e-9)


def test_the_map_shows_every_cell_of_its_table(three):
    table = three.tables["entropy-map"]
    (axes,) = three.figures["entropy-map"].axes
    (mesh,) = axes.collections
    np.testing.assert_array_equal(
        np.ma.filled(mesh.get_array(), np.nan).ravel(), table["difference_in_percent"]
    )
    written = [text.get_text().rstrip("•") for text in axes.texts]
    assert written == [f"{v:.1f}" for v in table["difference_in_percent"].dropna()]
    marked = [text.get_text().endswith("•") for text in axes.texts]
    assert marked == table.dropna()["not_zero"].tolist()


def test_the_critical_map_is_the_definition_written_out(three):
    """Oracle: the definition in plain Python, network by network."""
    table = three.tables["critical-map"]
    ds = three.dataset
    n = int(ds["n_images"])
    for row in table.to_dict("records"):
        here = ds.sel(layer=row["layer"], mode=row["cut"])
        found = [
            crossing_by_hand(
                here["norm_loss"].sel(seed=s).values,
                here["n_correct"].sel(seed=s).values,
                int(ds["baseline_n_correct"].sel(seed=s)),
                n,
                1,
            )
            for s in ds["seed"]
        ]
        assert row["critical_norm_loss"] == pytest.approx(np.mean([v for v, _ in found]))
        assert row["censored"] == sum(ended for _, ended in found)
        assert row["networks"] == 3
    (axes,) = three.figures["critical-map"].axes
    written = [text.get_text() for text in axes.texts]
    assert written == [
        f"{'≥' if censored else ''}{value:.2f}"
        for value, censored in zip(table["critical_norm_loss"], table["censored"], strict=True)
    ]
    assert len(axes.patches) == (table["censored"] > 0).sum()
    assert 0 < len(axes.patches) < len(table)


def test_accuracy_kept_is_above_chance_and_over_each_networks_own(three):
    ds, table = three.dataset, three.tables["accuracy-kept"]
    before = ds["baseline_n_correct"]
    assert set(table["layer"]) == set(NAMES)
    for row in table[table["network"] != "mean"].iloc[::11].to_dict("records"):
        here = {"layer": row["layer"], "seed": int(row["network"])}
        if row["series"] in SEVEN:
            of_cut = ds.sel(here, drop=True).sel(mode=row["series"])
            x, y = of_cut["norm_loss"].values, of_cut["n_correct"].values
        else:
            x = np.array([0, *ds["norm_loss_level"].values])
            y = np.array([int(before.sel(seed=here["seed"])), *ds["perturbed_n_correct"].sel(here)])
        kept = 100 * (y - 200) / (int(before.sel(seed=here["seed"])) - 200)
        assert np.isclose(kept[np.isclose(x, row["norm_loss"])], row["accuracy_kept"]).any()
    mean = table[(table["network"] == "mean") & (table["layer"] == "conv1")].iloc[::9]
    for row in mean[mean["series"].isin(SEVEN)].to_dict("records"):
        here = ds.sel(layer="conv1", mode=row["series"])
        values = [
            interpolated(
                row["norm_loss"],
                here["norm_loss"].sel(seed=s),
                100 * (here["n_correct"].sel(seed=s) - 200) / (int(before.sel(seed=s)) - 200),
            )
            for s in ds["seed"]
        ]
        found = (row["accuracy_kept"], row["low"], row["high"])
        assert found == pytest.approx(mean_and_t(values), rel=1e-9)


def test_the_front_is_what_nothing_dominates(three):
    """Oracle: every pair compared, and xarray's means."""
    table = three.tables["pareto"]
    for _, rows in table.groupby("layer"):
        points = rows[["parameters", "accuracy"]].to_numpy()
        for i, (parameters, accuracy) in enumerate(points):
            dominated = any(
                (p <= parameters and a >= accuracy and (p < parameters or a > accuracy))
                or (p == parameters and a == accuracy and j < i)
                for j, (p, a) in enumerate(points)
            )
            assert rows["on_front"].iloc[i] == (not dominated)
    assert set(table["cut"]) == {*SEVEN, "untouched network"}
    for row in table[table["cut"].isin(SEVEN)].iloc[::7].to_dict("records"):
        here = three.dataset.sel(layer=row["layer"], mode=row["cut"], threshold=row["threshold"])
        assert row["accuracy"] == pytest.approx(100 * float(here["accuracy"].mean()))
        assert row["parameters"] == pytest.approx(float((100 / here["compression_ratio"]).mean()))


def test_curvatures_are_in_units_of_the_layers_average_and_of_its_top(three):
    table = three.tables["curvature"]
    average = three.dataset["hessian_layer_trace"] / three.dataset["parameters"]
    for layer, rows in table.groupby("layer"):
        ds, unit = three.dataset.sel(layer=layer), average.sel(layer=layer)
        highest = float((ds["hessian_layer_eigenvalue"] / unit).mean())
        np.testing.assert_allclose(rows["over_top_eigenvalue"], rows["over_average"] / highest)
        for row in rows.to_dict("records"):
            if row["series"] in SEVEN:
                here = ds.sel(mode=row["series"], threshold=slice(0.001, None))
                values = [
                    interpolated(
                        row["norm_loss"],
                        here["norm_loss"].sel(seed=s),
                        here["directional_curvature"].sel(seed=s) / unit.sel(seed=s),
                    )
                    for s in ds["seed"]
                ]
                assert row["over_average"] == pytest.approx(np.mean(values))
            elif row["series"] == "top eigenvalue":
                assert row["over_average"] == pytest.approx(highest)
            else:
                random = ds["random_directional_curvature"] / unit
                found = (row["over_average"], row["low"], row["high"])
                assert found == pytest.approx(
                    (float(random.mean()), *np.percentile(random, [5, 95]))
                )
    assert set(table["series"]) == {*SEVEN, "top eigenvalue", "random directions"}


def test_dots_are_means_of_one_truncation(three):
    ds = three.dataset
    change = 100 * (ds["accuracy"] - ds["baseline_accuracy"])
    for row in three.tables["correlation-loss"].to_dict("records"):
        where = {"layer": row["layer"], "mode": row["cut"], "threshold": row["threshold"]}
        loss = ds[row["against"].replace(" ", "_")].sel(where)
        assert row["loss"] == pytest.approx(float(loss.mean()))
        assert row["change_of_accuracy"] == pytest.approx(float(change.sel(where).mean()))


def test_differences_are_the_findings(three):
    table = three.tables["cuts-differences"]
    panels = {"cuts-norm": "at equal norm loss", "cuts-parameters": "at equal parameters"}
    panels |= {f"{claim}-pairs": panel for claim, panel in panels.items()}
    lines = three.lines("cuts-differences")
    for claim, panel in panels.items():
        for f in three.answers[claim].findings:
            rows = table[(table["compared"] == panel) & (table["other"] == f.other)]
            mean, networks = 100 * f.estimate, [100 * value for value in f.per_seed]
            interval = [100 * f.interval.low, 100 * f.interval.high]
            assert rows["difference"].tolist() == [mean, *networks]
            assert rows[["low", "high"]].iloc[0].tolist() == interval
            assert lines[panel, f.other].get_xdata() == [mean]
            assert lines[panel, f"{f.other}, networks"].get_xdata().tolist() == networks
            ends = lines[panel, f"{f.other}, interval"].get_xdata()
            assert list(ends) == interval
