"""Oracles: datasets whose values are known; definitions written out in plain Python."""

import math

import numpy as np
import pytest
import xarray as xr

from analyses.report.chapters import chapter
from analyses.report.pages import page
from analyses.topics import CLAIMS
from analyses.verdicts import answer
from compressibility.errors import UserError
from compressibility.store.layout import blank
from compressibility.store.reading import Coverage, LayerData, NotMeasuredError
from compressibility.store.rules import validate
from tests.by_hand import crossing_by_hand
from tests.synthetic_dataset import NAMES, SHAPES, Effects, Layer, make


@pytest.fixture(scope="module")
def dataset():
    return make(Effects(structure=1.0), np.random.default_rng(4), n_seeds=3)


@pytest.fixture(scope="module")
def data(dataset):
    return LayerData(dataset)


def test_missing_counts_are_not_answers(dataset, data):
    assert (dataset["n_correct"].sel(layer="conv1", mode="IN") == -1).all()  # a trivial cut
    for name in ("n_correct", "rank", "n_lost"):
        assert data[name].sel(layer="conv1", mode="IN").isnull().all()
        assert data[name].sel(layer="conv2").notnull().all()
        assert data[name].dtype == np.float64
    assert data.logit_change.sel(layer="conv1", mode="IN").isnull().all()


def test_changes_are_after_minus_before(dataset, data):
    where = {"layer": "conv3", "mode": "OUT,KW", "threshold": 0.3, "seed": 1}
    before = int(dataset["baseline_n_correct"].sel(seed=1))
    after, n = int(dataset["n_correct"].sel(where)), 599
    odds = (after + 0.5) / (n - after + 0.5), (before + 0.5) / (n - before + 0.5)
    assert float(data.accuracy_change.sel(where)) == pytest.approx((after - before) / n)
    assert float(data.logit_change.sel(where)) == pytest.approx(math.log(odds[0] / odds[1]))
    loss = float(dataset["loss"].sel(where)) - float(dataset["baseline_loss"].sel(seed=1))
    assert float(data.loss_change.sel(where)) == pytest.approx(loss)


def test_the_perturbation_starts_where_nothing_is_changed(dataset, data):
    for change in (data.perturbed_accuracy_change, data.perturbed_logit_change):
        assert change["norm_loss_level"].values.tolist() == [
            0.0,
            *dataset["norm_loss_level"].values.tolist(),
        ]
        assert (change.sel(norm_loss_level=0.0) == 0).all()
    unmeasured = dataset.copy(deep=True)
    unmeasured["perturbed_n_correct"].loc[{"layer": "conv2"}] = -1
    change = LayerData(unmeasured).perturbed_accuracy_change
    assert change.sel(layer="conv2").isnull().all()
    assert change.sel(layer="conv1").notnull().all()


def test_values_are_found_by_name_whatever_the_order_and_the_choice(dataset):
    shuffled = dataset.isel(weights=[2, 0], layer=[2, 0, 1], mode=[3, 0], seed=[1, 0])
    data = LayerData(shuffled.transpose(*reversed(list(dataset.sizes))))
    expected = dataset["schmidt_value"].sel(
        weights="shuffled", layer="conv3", mode="KW", seed=1, schmidt_index=1
    )
    found = data.of_weights("schmidt_value", "shuffled")
    assert float(found.sel(layer="conv3", mode="KW", seed=1, schmidt_index=1)) == float(expected)
    assert data.layers == ("conv3", "conv1", "conv2")
    with pytest.raises(NotMeasuredError, match="no initial weights"):
        data.of_weights("schmidt_value", "initial")
    with pytest.raises(NotMeasuredError, match="no cut IN"):
        data.of_cut(data["rank"], "IN")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"n_classes": np.int64(7), "experiment": '{"images": "cifar100"}'}, 7),
        ({"experiment": '{"images": "digits"}'}, 10),
        ({"experiment": '{"images": "cifar10"}'}, 10),
        ({"experiment": '{"images": "cifar100"}'}, 100),
        ({"experiment": '{"images": "flowers"}'}, None),
        ({"experiment": "no JSON"}, None),
        ({}, None),
    ],
)
def test_the_number_of_classes_is_told_or_that_of_known_images(attributes, expected):
    data = LayerData(xr.Dataset(attrs=attributes))
    if expected is None:
        with pytest.raises(NotMeasuredError, match="set its attribute n_classes"):
            _ = data.n_classes
    else:
        assert data.n_classes == expected


def test_what_a_dataset_does_not_hold_is_named(dataset):
    data = LayerData(dataset.drop_vars(["perturbed_n_correct"]))
    assert "rank" in data
    assert "perturbed_n_correct" not in data
    with pytest.raises(NotMeasuredError, match="no variable perturbed_n_correct"):
        _ = data.perturbed_logit_change


@pytest.fixture(scope="module")
def of_some_tables(dataset):
    """The dataset with no more than some of its tables."""
    layers = [
        Layer(name, shape, depth)
        for depth, (name, shape) in enumerate(zip(NAMES, SHAPES, strict=True), 1)
    ]

    def chosen(*tables):
        labels = {n: dataset[n].values for n in dataset.sizes if n not in ("layer", "seed")}
        labels = {n: v for n, v in labels.items() if n not in ("mode", "weights")}
        found = blank(
            layers,
            seeds=dataset["seed"].values,
            coordinates=labels,
            tables=tables,
            attributes=dataset.attrs,
        )
        for name in found.data_vars:
            here = dataset[name]
            if "weights" in here.dims:
                here = here.sel(weights=found["weights"].values)
            found[name].values[...] = here.transpose(*found[name].dims).values
        validate(found)
        return LayerData(found)

    return chosen


def test_a_dataset_without_truncations_is_read_as_far_as_it_goes(of_some_tables):
    data = of_some_tables("hessian")
    assert data.modes == ()
    assert data.coverage == Coverage(0, 0)
    assert data.measured_layers == NAMES
    assert data.n_images == 599
    for asked in (lambda: data.measured, lambda: data.distinct, data.critical_norm_loss):
        with pytest.raises(NotMeasuredError, match="no variable"):
            asked()
    with pytest.raises(NotMeasuredError, match="no cut OUT"):
        data.along("conv1", "OUT")


def test_each_table_answers_its_claims_alone(of_some_tables):
    answered = {
        ("truncation",): {
            "cuts-norm",
            "cuts-norm-pairs",
            "cuts-parameters",
            "cuts-parameters-pairs",
            "depth",
            "correlation",
            "depth-cuts",
            "headline-out",
            "two-mode",
        },
        ("controls",): {"null"},
        ("truncation", "controls"): {claim.key for claim in CLAIMS}
        - {
            "cp",
            "cp-error",
            "curvature",
            "formats",
            "formats-error",
            "headline",
            "joint",
            "recovery",
            "recovery-controls",
            "minimum",
            "minimum-curvature",
            "whitened",
            "whitened-proxy",
        },
        ("hessian",): set(),
    }
    for tables, expected in answered.items():
        answers = [answer(claim, of_some_tables(*tables)) for claim in CLAIMS]
        assert {a.claim.key for a in answers if a.findings} == expected
        for a in answers:
            assert a.findings or a.told.found.startswith("Nothing can be said")
    text = page(chapter("hessian", of_some_tables("hessian").dataset))
    assert "truncations along OUT are not measured" in text
    assert "no truncations measured" in text


def test_cuts_that_are_another_one_are_told_apart(data):
    assert data.distinct.sel(layer="conv2").all()
    assert data.distinct.sel(layer="conv1").sum() == 3  # of (16, 1, 3, 3): OUT, KH, KW
    assert not data.distinct.sel(layer="conv1", mode="OUT,KH")
    there = data.of_cut(data["norm_loss"], "OUT,KH").notnull().any(["threshold", "seed"])
    assert there["layer"].values[there.values].tolist() == ["conv2", "conv3", "conv4"]
    assert data.matrix_shape("conv2", "OUT,KH") == (72, 48)


def test_coverage_counts_each_cut_of_each_network(dataset, data):
    assert data.coverage == Coverage(24 * 3, 24 * 3)
    assert data.coverage.is_whole
    partial = dataset.copy(deep=True)
    partial["truncation_flag"].loc[{"layer": "conv2", "seed": 1}] = 1
    partial["schmidt_value"].loc[{"layer": "conv3"}] = np.nan
    assert LayerData(partial).coverage == Coverage(24 * 3 - 7, 24 * 3)
    assert LayerData(partial).measured_layers == ("conv1", "conv2", "conv4")


@pytest.mark.parametrize("points", [1, 5, 60])
def test_the_critical_norm_loss_is_its_definition(dataset, data, points):
    found = data.critical_norm_loss(points)
    assert found.sizes == {"layer": 4, "mode": 7, "seed": 3}
    for layer in data.layers:
        for mode in data.modes:
            for seed in data.seeds:
                where = {"layer": layer, "mode": mode, "seed": seed}
                here = dataset.sel(where)
                there = here["n_correct"].values >= 0
                value, censored = crossing_by_hand(
                    here["norm_loss"].values[there].tolist(),
                    here["n_correct"].values[there].tolist(),
                    int(here["baseline_n_correct"]),
                    599,
                    points,
                )
                cell = found.sel(where)
                assert float(cell["critical_norm_loss"]) == pytest.approx(value, nan_ok=True)
                assert bool(cell["censored"]) == censored
    assert found["censored"].any() == (points > 1)
    assert found["relative_depth"].equals(dataset["relative_depth"])


def test_accuracy_falls_by_more_than_nothing(data):
    with pytest.raises(ValueError, match="points is 0"):
        data.critical_norm_loss(0)


def test_one_layer_along_one_cut(dataset, data):
    found = data.along("conv2", "OUT,KW")
    expected = dataset["accuracy"].sel(layer="conv2", mode="OUT,KW")
    np.testing.assert_array_equal(found["accuracy"], expected)
    assert found["layer"].item() == "conv2"
    means = data.mean_along("conv2", "OUT,KW")
    assert int(means["n_seeds"]) == 3
    np.testing.assert_allclose(means["accuracy"], expected.mean("seed"))
    np.testing.assert_allclose(
        means["loss"], dataset["loss"].sel(layer="conv2", mode="OUT,KW").mean("seed")
    )


@pytest.mark.parametrize("written", ["KW,OUT", "IN,KH", "KH,IN"])
def test_a_cut_may_be_written_by_either_side_in_any_order(data, written):
    assert data.along("conv2", written).identical(data.along("conv2", "OUT,KW"))


def test_the_mean_loss_is_that_of_all_networks_or_none(dataset):
    partial = dataset.copy(deep=True)
    partial["loss"].loc[{"seed": 1}] = np.nan
    assert LayerData(partial).mean_along("conv2", "OUT")["loss"].isnull().all()
    for name in ("rank", "n_correct"):
        partial[name].loc[{"seed": 1}] = -1
    found = LayerData(partial).mean_along("conv2", "OUT")
    assert int(found["n_seeds"]) == 2
    assert found["loss"].notnull().all()


def test_a_cut_that_is_another_one_gives_that_ones_truncations(data):
    found = data.along("conv1", "OUT,KH")
    assert found["mode"].item() == "KW"
    assert found["rank"].notnull().all()


@pytest.mark.parametrize(
    ("layer", "mode", "message"),
    [
        ("conv", "OUT", "no layer 'conv' among the 4 here: did you mean conv"),
        ("conv1", "OUT;IN", "OUT;IN"),
        ("conv1", "IN", "cut IN of conv1 is trivial"),
    ],
)
def test_what_cannot_be_shown_is_refused(data, layer, mode, message):
    with pytest.raises(ValueError, match=message):
        data.along(layer, mode)


def test_a_refusal_is_a_users_matter():
    assert issubclass(NotMeasuredError, UserError)
