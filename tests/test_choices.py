"""Oracle: the scales written out for single truncations, in plain Python."""

import math

import numpy as np
import pytest

from analyses.choices import KEPT, LOG_ODDS, LOSS
from compressibility.store.reading import LayerData
from tests.synthetic_dataset import make


@pytest.mark.parametrize("n_classes", [10, 4])
def test_each_scale_is_its_definition_and_above_zero_is_better(n_classes):
    ds = make(n_seeds=3, n_images=500).assign_attrs(n_classes=n_classes)
    data = LayerData(ds)
    where = {"layer": "conv3", "mode": "OUT", "threshold": 0.4, "seed": 1}
    level = {"layer": "conv3", "norm_loss_level": 0.4, "seed": 1}
    base, loss = (float(ds[n].sel(seed=1)) for n in ("baseline_n_correct", "baseline_loss"))
    for changed, count, lost in (
        (lambda s: s.truncated(data).sel(where), ds["n_correct"].sel(where), ds["loss"].sel(where)),
        (
            lambda s: s.perturbed(data).sel(level),
            ds["perturbed_n_correct"].sel(level),
            ds["perturbed_loss"].sel(level),
        ),
    ):
        after, chance = int(count), 1 / n_classes
        expected = {
            KEPT: (after / 500 - chance) / (base / 500 - chance) - 1,
            LOG_ODDS: math.log((after + 0.5) / (500.5 - after) / ((base + 0.5) / (500.5 - base))),
            LOSS: loss - float(lost),
        }
        for scale, value in expected.items():
            assert float(changed(scale)) == pytest.approx(value), scale.name
            assert value < 0


def test_a_network_at_chance_has_no_accuracy_to_keep():
    ds = make(n_seeds=3, n_images=500)
    ds["baseline_n_correct"].values[1] = 50
    kept = KEPT.truncated(LayerData(ds)).sel(mode="OUT")
    assert kept.sel(seed=1).isnull().all()
    assert np.isfinite(kept.sel(seed=[0, 2])).all()
