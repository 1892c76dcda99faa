"""Re-trainings, against networks changed and trained by hand.

The oracle knows nothing of arms, quantities or recipes: it truncates by NumPy, trains by PyTorch's
own optimiser in a loop written out, and averages batch-norm statistics by hand.
"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from compressibility.errors import NumericalError, UserError
from compressibility.networks.kernels import find_kernels
from compressibility.networks.retraining import mean_cross_entropy, re_estimated, redrawn
from compressibility.networks.training import ConstantRate
from compressibility.quantities.quantity import Scope, generator
from compressibility.quantities.recovery import Recovery
from compressibility.quantities.retrainings import unchanged_by_a_cut
from compressibility.store import layout
from compressibility.store.arms import ARMS, WITHOUT_A_CUT
from compressibility.store.provenance import TaskProvenance
from compressibility.store.rules import validate_shard
from compressibility.store.schema import Flag
from compressibility.subjects import Subject

RECIPE = ConstantRate(epochs=2, batch_size=20, peak_learning_rate=0.05)
PLAN = Recovery(RECIPE, cuts=("OUT", "IN"), thresholds=(0.0, 0.4), statistics_images=40)
FULL, CUT = 0, 1
"""Places of the two thresholds."""


def network_of(rng: int, *, norms: bool = True) -> nn.Module:
    torch.manual_seed(rng)
    layers = [
        nn.Conv2d(1, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6) if norms else nn.Identity(),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3, padding=1, stride=2),
        nn.BatchNorm2d(5) if norms else nn.Identity(),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(80, 4),
    ]
    network = nn.Sequential(*layers).eval()
    for module in network:
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return network


def images_of(count: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 1, 8, 8), torch.randint(4, (count,))


def subject_of(network: nn.Module, **settings) -> Subject:
    torch.manual_seed(5)
    (images, labels), training, held_out = images_of(70), images_of(50), images_of(30)
    first = [lambda n, part=part: (part[0][:n], part[1][:n]) for part in (training, held_out)]
    return Subject(
        network=network,
        layers=find_kernels(network, images[:1]),
        images=images,
        labels=labels,
        initial=network_of(9),
        training_images=first[0],
        held_out_images=first[1],
        **settings,
    )


@pytest.fixture(scope="module")
def subject() -> Subject:
    return subject_of(network_of(3))


def measured(subject: Subject, arm: str, plan: Recovery = PLAN) -> dict[str, np.ndarray]:
    return dict(plan.measure(subject, arm, generator(plan, Scope(0), arm)))


@pytest.fixture(scope="module")
def found(subject) -> dict[str, dict[str, np.ndarray]]:
    return {arm: measured(subject, arm) for arm in ARMS}


def truncated_by_hand(kernel: np.ndarray, axis: int, threshold: float) -> tuple[np.ndarray, int]:
    """The kernel cut along one mode against the others, by NumPy; and the rank."""
    matrix = np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    kept = np.sqrt(np.cumsum(s**2) / np.sum(s**2))
    rank = len(s) if threshold == 0 else int(np.argmax(1 - kept <= threshold)) + 1
    moved = ((u[:, :rank] * s[:rank]) @ v[:rank]).reshape(np.moveaxis(kernel, axis, 0).shape)
    return np.moveaxis(moved, 0, axis), rank


def changed_by_hand(subject: Subject, axis: int, threshold: float) -> nn.Module:
    network = copy.deepcopy(subject.network)
    for layer in (network[0], network[3]):
        kernel = layer.weight.detach().double().numpy()
        if kernel.shape[axis] > 1:
            cut, _ = truncated_by_hand(kernel, axis, threshold)
            layer.weight.data = torch.from_numpy(cut).float()
    return network


def order_of(plan: Recovery, seed: int = 0) -> Generator:
    drawn = np.random.default_rng([seed, 9]).integers(2**63)
    return Generator().manual_seed(int(drawn))


def trained_by_hand(network: nn.Module, subject: Subject, epochs: int) -> nn.Module:
    images, labels = subject.training_images(None)
    kernels = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim == 1]
    optimizer = torch.optim.SGD(
        [{"params": kernels, "weight_decay": 5e-4}, {"params": vectors, "weight_decay": 0}],
        lr=0.05,
        momentum=0.9,
        nesterov=True,
    )
    numbers = order_of(PLAN)
    network.train()
    for _ in range(epochs):
        order = torch.randperm(50, generator=numbers)
        for batch in (order[:20], order[20:40]):
            optimizer.zero_grad()
            functional.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
    return network.eval()


def right(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return network(images).argmax(1) == labels


@pytest.mark.parametrize("epoch", [0, 1, 2])
@pytest.mark.parametrize(("cut", "axis"), [(0, 0), (1, 1)])
def test_the_truncated_arm_is_truncating_and_training_by_hand(
    subject, found, cut, axis, epoch
) -> None:
    network = trained_by_hand(changed_by_hand(subject, axis, 0.4), subject, epoch)
    values = {name: each[cut, CUT, epoch] for name, each in found["truncated"].items() if each.ndim}
    before = right(subject.network, subject.images, subject.labels)
    after = right(network, subject.images, subject.labels)
    assert values["recovery_n_correct"] == int(after.sum())
    assert values["recovery_n_lost"] == int((before & ~after).sum())
    assert values["recovery_n_gained"] == int((after & ~before).sum())
    assert values["recovery_accuracy"] == pytest.approx(int(after.sum()) / 70)
    with torch.no_grad():
        loss = functional.cross_entropy(network(subject.images), subject.labels)
    assert values["recovery_loss"] == pytest.approx(float(loss), rel=1e-4)
    held_out = right(network, *subject.held_out_images(None))
    assert values["recovery_held_out_n_correct"] == int(held_out.sum())
    assert found["truncated"]["recovery_n_held_out"] == 30


def test_distances_and_spectra_are_those_of_the_kernels_trained_by_hand(subject, found) -> None:
    start = changed_by_hand(subject, 0, 0.4)
    end = trained_by_hand(copy.deepcopy(start), subject, 2)
    for number, place in enumerate((0, 3)):
        original, first, last = (
            each[place].weight.detach().double().numpy() for each in (subject.network, start, end)
        )
        held = {name: each[0, CUT, 2, number] for name, each in found["truncated"].items()
                if each.ndim > 3}  # fmt: skip
        moved = np.linalg.norm(last - first) / np.linalg.norm(first)
        away = np.linalg.norm(last - original) / np.linalg.norm(original)
        assert held["recovery_distance"] == pytest.approx(moved, rel=1e-3)
        assert held["recovery_distance_to_trained"] == pytest.approx(away, rel=1e-4)
        spectrum = np.linalg.svd(last.reshape(len(last), -1), compute_uv=False)
        values = held["recovery_schmidt_value"][: len(spectrum)]
        np.testing.assert_allclose(values, spectrum, rtol=1e-3, atol=1e-5)
        assert np.isnan(held["recovery_schmidt_value"][len(spectrum) :]).all()
        _, rank = truncated_by_hand(original, 0, 0.4)
        beyond = 1 - np.sqrt(np.sum(spectrum[:rank] ** 2) / np.sum(spectrum**2))
        assert held["recovery_norm_loss"] == pytest.approx(beyond, abs=1e-5)
        assert beyond > 1e-4


def test_the_rank_that_is_kept_never_grows_and_that_of_the_free_kernels_does(found) -> None:
    kept, free = (found[arm]["recovery_norm_loss"][0, CUT] for arm in ("rank kept", "truncated"))
    assert (kept < 1e-12).all()
    assert (free[0] < 1e-12).all()
    assert (free[1:] > 1e-4).all()
    moved = found["rank kept"]["recovery_distance"][0, CUT]
    assert (moved[0] == 0).all()
    assert (moved[1:] > 1e-3).all()


def test_the_rank_that_is_kept_begins_as_the_truncated_network(found) -> None:
    for name in ("recovery_n_correct", "recovery_re_estimated_n_correct"):
        np.testing.assert_array_equal(
            found["rank kept"][name][..., 0], found["truncated"][name][..., 0]
        )


@pytest.mark.parametrize("arm", ["truncated", "perturbed"])
def test_what_changes_nothing_is_trained_as_the_network_that_is_trained_on(found, arm) -> None:
    changed, on = found[arm], found["trained on"]
    np.testing.assert_array_equal(
        changed["recovery_n_correct"][:, FULL], on["recovery_n_correct"][:, FULL]
    )
    np.testing.assert_allclose(
        changed["recovery_loss"][:, FULL], on["recovery_loss"][:, FULL], rtol=1e-4
    )


def test_the_perturbed_kernels_have_the_norm_loss_of_the_truncated_ones(subject, found) -> None:
    """Their distance from the trained kernel follows from the norm loss v: sqrt(1 - (1 - v)²)."""
    for number, layer in enumerate("03"):
        kernel = subject.kernel(layer)
        cut, _ = truncated_by_hand(kernel, 0, 0.4)
        left = np.linalg.norm(cut) / np.linalg.norm(kernel)
        away = found["perturbed"]["recovery_distance_to_trained"][0, CUT, 0, number]
        assert away == pytest.approx(np.sqrt(1 - left**2), rel=1e-5)


@pytest.mark.parametrize("arm", WITHOUT_A_CUT)
def test_what_knows_of_no_truncation_answers_alike_for_every_one(found, arm) -> None:
    for name in ("recovery_n_correct", "recovery_loss", "recovery_distance"):
        values = found[arm][name]
        np.testing.assert_array_equal(values, np.broadcast_to(values[:1, :1], values.shape))
    spectra = found[arm]["recovery_schmidt_value"]
    assert not np.array_equal(spectra[0, 0], spectra[1, 0], equal_nan=True)


def test_reset_kernels_have_the_entries_of_the_initial_ones_and_nothing_else_changes(
    subject, found
) -> None:
    start = found["reset"]["recovery_schmidt_value"][0, CUT, 0]
    for number, layer in enumerate("03"):
        norm = np.linalg.norm(subject.initial_kernel(layer))
        assert np.linalg.norm(start[number][np.isfinite(start[number])]) == pytest.approx(norm)
    assert (found["reset"]["recovery_distance_to_trained"][0, CUT, 0] > 0.5).all()


def test_reset_kernels_are_not_the_initial_ones(subject) -> None:
    """The network before training may hold what training leads back from: another draw does not."""
    reset = unchanged_by_a_cut("reset", subject, np.random.default_rng(0))
    for place, layer in ((0, "0"), (3, "3")):
        kernel, initial = reset[place].weight, torch.from_numpy(subject.initial_kernel(layer))
        assert torch.equal(kernel.double().flatten().sort().values, initial.flatten().sort().values)
        assert not torch.allclose(kernel.double(), initial)
    assert torch.equal(reset[7].weight, subject.network[7].weight)
    assert torch.equal(reset[1].running_var, subject.network[1].running_var)


def test_a_fresh_network_is_another_draw_of_the_initial_one() -> None:
    initial = network_of(9)
    fresh = redrawn(initial, np.random.default_rng(0))
    for before, after in zip(initial.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)
    assert not torch.equal(initial[0].weight, fresh[0].weight)


def test_without_a_step_the_statistics_alone_move(subject) -> None:
    still = replace(PLAN, recipe=replace(RECIPE, peak_learning_rate=0.0))
    values = measured(subject, "truncated", still)
    np.testing.assert_array_equal(values["recovery_distance"], 0)
    again = values["recovery_re_estimated_loss"]
    np.testing.assert_allclose(again, again[..., :1].repeat(3, axis=-1), rtol=1e-5)
    assert not np.allclose(values["recovery_loss"][..., 0], values["recovery_loss"][..., 2])


def test_statistics_are_the_averages_over_whole_batches_by_hand(subject) -> None:
    inputs, _ = subject.training_images(None)
    again = re_estimated(subject.network, inputs, 20)
    with torch.no_grad():
        maps = [subject.network[0](batch) for batch in (inputs[:20], inputs[20:40])]
    mean = torch.stack([each.mean((0, 2, 3)) for each in maps]).mean(0)
    variance = torch.stack([each.var((0, 2, 3), unbiased=True) for each in maps]).mean(0)
    torch.testing.assert_close(again[1].running_mean, mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(again[1].running_var, variance, rtol=1e-4, atol=1e-6)
    assert not again.training
    assert not torch.allclose(subject.network[1].running_mean, mean, atol=1e-2)


def as_shard(values: dict[str, np.ndarray], plan: Recovery = PLAN):
    return layout.shard(
        "recovery",
        {"seed": 0, "arm": "truncated"},
        values,
        coordinates={"layer": ["0", "3"]} | plan.coordinates(),
        provenance=TaskProvenance("f" * 64, "cpu", "float32", "none", "{}"),
    )


def test_a_network_without_batch_norm_says_so_in_place_of_repeating_the_truncated_value() -> None:
    values = measured(subject_of(network_of(3, norms=False)), "truncated")
    assert (values["recovery_statistics_flag"] == Flag.NO_BATCH_NORM.value).all()
    assert (values["recovery_re_estimated_n_correct"] == -1).all()
    assert np.isnan(values["recovery_re_estimated_loss"]).all()
    assert (values["recovery_flag"] == Flag.MEASURED.value).all()
    validate_shard(as_shard(values))


def test_a_training_that_diverges_is_recorded_with_what_came_before(subject) -> None:
    wild = replace(PLAN, recipe=replace(RECIPE, peak_learning_rate=1e30))
    values = measured(subject, "truncated", wild)
    flags = values["recovery_flag"]
    assert (flags[..., 0] == Flag.MEASURED.value).all()
    assert (flags[..., 1:] == Flag.DIVERGED.value).all()
    assert (values["recovery_n_correct"][..., 0] >= 0).all()
    assert (values["recovery_n_correct"][..., 1:] == -1).all()
    validate_shard(as_shard(values, wild))


def test_a_measured_arm_is_a_valid_shard(found) -> None:
    validate_shard(as_shard(found["truncated"]))


def test_without_held_out_images_none_are_right(subject) -> None:
    values = measured(replace(subject, held_out_images=None), "trained on")
    assert values["recovery_n_held_out"] == 0
    assert (values["recovery_held_out_n_correct"] == 0).all()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cuts": ()}, "needs a cut"),
        ({"thresholds": ()}, "a threshold"),
        ({"arms": ()}, "an arm"),
        ({"recipe": replace(RECIPE, epochs=0)}, "an epoch"),
        ({"cuts": ("OUTT",)}, "OUTT"),
        ({"thresholds": (1.0,)}, "threshold 1.0 is outside"),
        ({"arms": ("truncatd",)}, "unknown arm 'truncatd'.*truncated"),
        ({"statistics_images": 5}, "5 images for the batch-norm statistics do not fill"),
    ],
)
def test_plans_that_re_train_nothing_are_refused(settings, told) -> None:
    with pytest.raises(UserError, match=told):
        replace(PLAN, **settings)


def test_the_mean_cross_entropy_is_finite_or_refused() -> None:
    labels = torch.tensor([0, 1])
    logits = torch.tensor([[0.0, 0.0], [0.0, np.log(3)]])
    expected = (np.log(2) + np.log(4 / 3)) / 2
    assert mean_cross_entropy(logits, labels) == pytest.approx(expected, rel=1e-6)
    for value in (np.nan, np.inf):
        logits[0, 1] = value
        with pytest.raises(NumericalError, match="the loss of a network is"):
            mean_cross_entropy(logits, labels)


def test_too_few_training_images_for_a_batch_are_counted(subject) -> None:
    large = replace(
        PLAN, recipe=replace(RECIPE, batch_size=60), statistics_images=60, thresholds=(0.4,)
    )
    with pytest.raises(UserError, match="50 training images do not fill one batch of 60"):
        measured(subject, "trained on", large)
