"""Oracle: counts of 1,000 test and 400 held-out images, set by hand and subtracted."""

import numpy as np
import pytest

from analyses.claims.recovery import MORE_THAN_CONTROLS, RECOVERS, accuracy, epochs_to_recover
from analyses.verdicts import answer
from compressibility.store.arms import FRESH, PERTURBED, RESET, TRAINED_ON, TRUNCATED
from compressibility.store.reading import LayerData
from compressibility.store.schema import Flag
from tests.synthetic_dataset import make

TEST = (100, 600, 700, 800, 850, 890)
HELD_OUT = (40, 340, 350, 357, 358, 360)
"""Of the truncated network after each epoch; the one trained on has 900 and 360 throughout."""


@pytest.fixture
def retrained():
    """Three networks alike, trained on without any change and truncated as above."""
    dataset = make(n_seeds=3, n_images=1_000)
    for arm in dataset["arm"].values:
        count(dataset, arm, [900] * 6, [360] * 6)
    count(dataset, TRUNCATED, TEST, HELD_OUT)
    dataset["baseline_n_correct"][...] = 900
    return dataset


def count(dataset, arm, right=None, held_out=None, seed=slice(None)):
    """Set an arm's right images after each epoch, of all networks or of one."""
    here = {"arm": arm, "seed": seed}
    shape = (-1, 1) if isinstance(seed, slice) else (-1,)
    if right is not None:
        right = np.reshape(right, shape)
        dataset["recovery_n_correct"].loc[here] = right
        dataset["recovery_accuracy"].loc[here] = right / 1_000
    if held_out is not None:
        dataset["recovery_held_out_n_correct"].loc[here] = np.reshape(held_out, shape)


def diverge(dataset, arm, seed, first):
    """Take away what a re-training that diverges in an epoch does not answer any more."""
    here = {"arm": arm, "seed": seed, "epoch": slice(first, None)}
    dataset["recovery_flag"].loc[here] = Flag.DIVERGED.value
    for name in ("recovery_n_correct", "recovery_held_out_n_correct"):
        dataset[name].loc[here] = -1
    dataset["recovery_accuracy"].loc[here] = np.nan


def recovered(dataset):
    """The answer, and its finding along OUT."""
    found = answer(RECOVERS, LayerData(dataset))
    return found, found.findings[0]


def test_the_epoch_is_the_first_within_a_point_on_held_out_images(retrained):
    """After three epochs 3 of 400 images are missing, and of the test images 100 of 1,000."""
    assert epochs_to_recover(LayerData(retrained), "OUT") == 3
    found, along_out = recovered(retrained)
    assert along_out.per_seed == pytest.approx([-0.09] * 3)
    assert "along OUT after 3 epochs, the first within the margin" in found.told.found
    assert "the accuracy is −10 points from that of the network trained on" in found.told.found
    assert "right after the truncation −80 points" in found.told.found
    assert "within 0.5 point first after 4 epochs on held-out images" in found.told.found


def test_test_images_have_no_say_in_the_epoch(retrained):
    count(retrained, TRUNCATED, [100, 900, 900, 850, 900, 900])
    assert epochs_to_recover(LayerData(retrained), "OUT") == 3
    assert recovered(retrained)[1].per_seed == pytest.approx([-0.04] * 3)


def test_held_out_images_choose_the_epoch(retrained):
    count(retrained, TRUNCATED, held_out=[40, 340, 357, 340, 340, 340])
    assert epochs_to_recover(LayerData(retrained), "OUT") == 2
    assert recovered(retrained)[1].per_seed == pytest.approx([-0.19] * 3)


def test_the_epoch_is_chosen_by_the_mean_over_networks(retrained):
    """Seed 2 never comes near; of all images 22, 15 and 11 are missing after 2 to 4 epochs."""
    count(retrained, TRUNCATED, held_out=[40, *[348] * 5], seed=2)
    count(retrained, TRUNCATED, held_out=[40, 360, 360, 360, 363, 363], seed=0)
    assert epochs_to_recover(LayerData(retrained), "OUT") == 4


def test_a_truncation_within_the_margin_has_not_yet_recovered(retrained):
    count(retrained, TRUNCATED, held_out=[360, 340, 360, 360, 360, 360])
    assert epochs_to_recover(LayerData(retrained), "OUT") == 2


def test_exactly_a_point_is_within_the_margin(retrained):
    count(retrained, TRUNCATED, held_out=[40, 355, 356, 356, 356, 356])
    assert epochs_to_recover(LayerData(retrained), "OUT") == 2


@pytest.mark.parametrize("none_held_out", [False, True])
def test_the_last_epoch_stands_where_none_is_within_the_margin(retrained, none_held_out):
    if none_held_out:
        retrained["recovery_n_held_out"][...] = retrained["recovery_held_out_n_correct"][...] = 0
    else:
        count(retrained, TRUNCATED, held_out=[40, 340, 345, 350, 355, 355])
    assert epochs_to_recover(LayerData(retrained), "OUT") is None
    found, along_out = recovered(retrained)
    assert along_out.per_seed == pytest.approx([0.0] * 3)
    assert "after 5 epochs, though at no epoch within the margin" in found.told.found


def test_statistics_alone_bring_back_their_share_of_what_is_lost(retrained):
    """Of 600, 800 and 700 images lost, 300, 100 and 230 come back: 630 of 2,100."""
    for seed, (before, after) in enumerate([(300, 600), (100, 200), (200, 430)]):
        count(retrained, TRUNCATED, [before, *TEST[1:]], seed=seed)
        retrained["recovery_re_estimated_n_correct"].loc[
            {"arm": TRUNCATED, "seed": seed, "epoch": 0}
        ] = after
    told = recovered(retrained)[0].told.found
    assert "without a step of training, alone bring back 30 % of what the truncation" in told
    retrained["recovery_re_estimated_n_correct"][...] = -1
    assert "The network has no batch norm" in recovered(retrained)[0].told.found


def test_a_network_that_diverges_is_counted_and_answers_at_chance(retrained):
    """Its held-out images too: 1 of 3 at 40 of 400, no epoch comes within a point on average."""
    diverge(retrained, TRUNCATED, seed=1, first=2)
    found, along_out = recovered(retrained)
    after = accuracy(LayerData(retrained), TRUNCATED, "OUT").sel(seed=1)
    assert after.values.tolist() == [0.1, 0.6, 0.1, 0.1, 0.1, 0.1]
    assert epochs_to_recover(LayerData(retrained), "OUT") is None
    assert along_out.per_seed == pytest.approx([0.0, -0.79, 0.0])
    counted = "1 of the networks diverged in the arm truncated, and answer at chance"
    assert counted in found.told.unseen
    assert "The worst network is −80 points away, along OUT." in found.told.unseen


def test_a_network_whose_yardstick_diverges_is_left_out_and_named(retrained):
    diverge(retrained, TRAINED_ON, seed=1, first=2)
    found, along_out = recovered(retrained)
    assert epochs_to_recover(LayerData(retrained), "OUT") == 3
    assert along_out.per_seed == pytest.approx([-0.09] * 2)
    assert {
        "networks not (wholly) measured: seed 1",
        "1 of the networks diverged in the arm trained on, which leaves nothing to compare",
    } <= set(found.told.unseen)


def test_the_worst_network_of_either_cut_is_told(retrained):
    count(retrained, TRUNCATED, [100, 600, 700, 590, 850, 890], seed=1)
    shown = "The worst network is {} points away, along {}."
    assert shown.format("−31", "OUT") in recovered(retrained)[0].told.unseen
    along = {"arm": TRUNCATED, "seed": 2, "epoch": 3, "recovery_mode": "OUT,KW"}
    retrained["recovery_accuracy"].loc[along] = 0.48
    assert shown.format("−42", "OUT,KW") in recovered(retrained)[0].told.unseen


def test_controls_are_held_against_the_truncated_network_over_the_epochs(retrained):
    """The truncated one misses 300, 200, 100, 50 and 10 images of 900: 132 on average."""
    for arm, right in ((RESET, 500), (PERTURBED, 768)):
        count(retrained, arm, [0, *[right] * 5])
    diverge(retrained, RESET, seed=0, first=5)
    found = {f.other: f for f in answer(MORE_THAN_CONTROLS, LayerData(retrained)).findings}
    assert found[RESET].per_seed == pytest.approx([0.268] * 2)
    assert found[FRESH].per_seed == pytest.approx([-0.132] * 3)
    assert found[PERTURBED].per_seed == pytest.approx([0.0] * 3, abs=1e-12)
    assert found[RESET].robustness.estimate == pytest.approx(0.39)
    assert any("1 of the networks diverged in the arm reset" in c for c in found[RESET].caveats)
