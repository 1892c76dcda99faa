"""Paths and curvature, against landscapes that are known.

A network whose logits are linear in its weights has a convex loss: no path has a barrier. Its
Hessian is small enough to be written down whole. Kernels in front of a batch norm may be of any
length: relative curvature is the same. A network and its copy with channels exchanged answer alike
and lie in different places.
"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn
from torch.func import functional_call, hessian

from analyses.claims.minimum import barrier
from compressibility.errors import NumericalError, UserError
from compressibility.networks.kernels import find_kernels
from compressibility.networks.retraining import between, gradient_norm, re_estimated
from compressibility.networks.training import ConstantRate
from compressibility.quantities.minimum import Minimum
from compressibility.quantities.quantity import Scope, generator
from compressibility.quantities.recovery import Recovery
from compressibility.store import layout
from compressibility.store.paths import PATHS, STATES
from compressibility.store.provenance import TaskProvenance
from compressibility.store.rules import validate_shard
from compressibility.store.schema import Flag
from compressibility.subjects import Subject

RECIPE = ConstantRate(epochs=2, batch_size=20, peak_learning_rate=0.05)
PLAN = Minimum(RECIPE, threshold=0.3, epochs_of_another=3, points=5, images=40,
               statistics_images=48, directions=4)  # fmt: skip
AS_STORED, ANEW = 0, 1


def images_of(count: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 2, 4, 4), torch.randint(3, (count,))


def subject_of(network: nn.Module) -> Subject:
    torch.manual_seed(5)
    (images, labels), training = images_of(60), images_of(50)
    initial = copy.deepcopy(network)
    for parameter in initial.parameters():
        parameter.data = torch.randn(parameter.shape)
    return Subject(
        network=network.eval(),
        layers=find_kernels(network, images[:1]),
        images=images,
        labels=labels,
        initial=initial,
        training_images=lambda n: (training[0][:n], training[1][:n]),
    )


def linear() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 3, 4), nn.Flatten())


def normed() -> nn.Module:
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3, padding=1, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(80, 3),
    )
    network[1].weight.data.uniform_(0.5, 1.5)
    return network


def measured(subject: Subject, plan: Minimum = PLAN) -> dict[str, np.ndarray]:
    return dict(plan.measure(subject, "", generator(plan, Scope(0), "")))


@pytest.fixture(scope="module")
def convex() -> dict[str, np.ndarray]:
    return measured(subject_of(linear()), replace(PLAN, directions=400))


@pytest.fixture(scope="module")
def subject() -> Subject:
    return subject_of(normed())


@pytest.fixture(scope="module")
def found(subject) -> dict[str, np.ndarray]:
    return measured(subject)


@pytest.mark.parametrize("path", [path for path in PATHS if path != "through truncated"])
@pytest.mark.parametrize("loss", ["path_loss", "path_training_loss"])
def test_a_convex_loss_has_no_barrier_on_any_straight_path(convex, path, loss) -> None:
    values = convex[loss][PATHS.index(path), :, AS_STORED]
    line = np.linspace(values[0], values[-1], 5)
    assert (values <= line + 1e-6).all()
    assert abs(values[0] - values[-1]) > 1e-4


def test_the_curvature_is_that_of_the_hessian_written_down_whole(convex) -> None:
    subject = subject_of(linear())
    images, labels = subject.training_images(40)
    network = copy.deepcopy(subject.network).double()

    def loss(weight: Tensor) -> Tensor:
        parameters = {"0.weight": weight, "0.bias": network[0].bias}
        logits = functional_call(network, parameters, (images.double(),))
        return nn.functional.cross_entropy(logits, labels)

    kernel = network[0].weight.detach()
    whole = hessian(loss)(kernel).detach().reshape(kernel.numel(), -1).numpy()
    trained = {name: values[STATES.index("trained")] for name, values in convex.items()
               if name.startswith("state")}  # fmt: skip
    assert trained["state_eigenvalue"] == pytest.approx(np.linalg.eigvalsh(whole)[-1], rel=1e-3)
    off = whole - np.diag(np.diag(whole))
    spread = np.sqrt(2 * np.sum(off**2) / 400)
    assert abs(trained["state_trace"] - np.trace(whole)) < 4 * spread
    squared = float((kernel**2).mean())
    assert abs(trained["state_relative_trace"] / squared - np.trace(whole)) < 4 * spread
    slope = torch.autograd.functional.jacobian(loss, kernel).norm()
    assert trained["state_gradient_norm"] == pytest.approx(float(slope), rel=1e-4)
    assert trained["state_training_loss"] == pytest.approx(float(loss(kernel).detach()), rel=1e-5)


def test_longer_kernels_in_front_of_batch_norms_have_the_same_relative_curvature() -> None:
    longer = normed()
    for place in (0, 3):
        longer[place].weight.data *= 8
        longer[place + 1].running_mean *= 8
        longer[place + 1].running_var *= 64
    one, other = (measured(subject_of(network)) for network in (normed(), longer))
    trained = STATES.index("trained")
    relative, plain = (
        other[name][trained] / one[name][trained]
        for name in ("state_relative_trace", "state_trace")
    )
    assert relative == pytest.approx(1, rel=1e-2)
    assert plain == pytest.approx(1 / 64, rel=1e-2)


def test_paths_begin_at_the_trained_network_and_end_at_what_recovery_measures(
    subject, found
) -> None:
    recovery = Recovery(RECIPE, ("OUT",), (0.3,), statistics_images=48)
    ends = {
        arm: recovery.measure(subject, arm, generator(recovery, Scope(0), arm))
        for arm in ("truncated", "trained on")
    }
    for path, arm in (("to recovered", "truncated"), ("to trained on", "trained on")):
        loss = found["path_loss"][PATHS.index(path)]
        for kind, name in ((AS_STORED, "recovery_loss"), (ANEW, "recovery_re_estimated_loss")):
            last = ends[arm][name][0, 0, -1]
            first = ends["trained on"][name][0, 0, 0]
            assert loss[0, kind] == pytest.approx(first, rel=1e-5)
            assert loss[-1, kind] == pytest.approx(last, rel=1e-5)
    half_way = found["path_loss"][PATHS.index("through truncated"), 2, AS_STORED]
    assert half_way == pytest.approx(ends["truncated"]["recovery_loss"][0, 0, 0], rel=1e-5)
    counts = found["path_n_correct"][PATHS.index("to recovered"), -1, AS_STORED]
    assert counts == ends["truncated"]["recovery_n_correct"][0, 0, -1]


def test_every_state_is_looked_at_along_the_same_directions(subject) -> None:
    """Without a step the network trained on is the trained one, and so is what is seen of it."""
    still = measured(subject, replace(PLAN, recipe=replace(RECIPE, peak_learning_rate=0.0)))
    trained, on = STATES.index("trained"), STATES.index("trained on")
    for name, values in still.items():
        if name.startswith("state_") and values.shape == (4,):
            assert values[trained] == values[on]
    traces = still["state_trace"]
    assert traces[STATES.index("truncated")] != traces[trained]


def test_re_trainings_in_another_order_end_elsewhere(found) -> None:
    loss = found["path_loss"][PATHS.index("between re-trainings")]
    on = found["path_loss"][PATHS.index("to trained on"), -1]
    assert loss[0] == pytest.approx(on)
    assert abs(loss[-1, AS_STORED] - loss[0, AS_STORED]) > 1e-6


def test_a_network_half_way_has_the_mean_weights_and_statistics() -> None:
    one, other = normed(), normed()
    other[0].weight.data.mul_(3)
    other[1].running_mean.add_(2)
    half = between(one, other, 0.5)
    torch.testing.assert_close(half[0].weight, 2 * one[0].weight)
    torch.testing.assert_close(half[1].running_mean, one[1].running_mean + 1)
    assert torch.equal(between(one, other, 0.0)[0].weight, one[0].weight)
    assert torch.equal(between(one, other, 1.0)[0].weight, other[0].weight)


def test_a_copy_with_channels_exchanged_lies_behind_a_barrier() -> None:
    subject = subject_of(normed())
    images, labels = subject.images, subject.labels
    network = subject.network
    with torch.no_grad():
        labels = network(images).argmax(1)
    exchanged, order = copy.deepcopy(network), torch.tensor([5, 4, 3, 2, 1, 0])
    for name in ("weight", "bias", "running_mean", "running_var"):
        tensor = getattr(exchanged[1], name)
        tensor.data = tensor.data[order]
    exchanged[0].weight.data = exchanged[0].weight.data[order]
    exchanged[3].weight.data = exchanged[3].weight.data[:, order]
    with torch.no_grad():
        losses = [
            float(nn.functional.cross_entropy(between(network, exchanged, at)(images), labels))
            for at in (0.0, 0.5, 1.0)
        ]
    assert losses[0] == pytest.approx(losses[2], rel=1e-5)
    height = barrier(
        xr.DataArray(
            np.array(losses)[:, None], {"path_point": [0.0, 0.5, 1.0]}, ("path_point", "seed")
        )
    )
    assert float(height[0]) == pytest.approx(losses[1] - losses[0], rel=1e-4)
    assert float(height[0]) > 0.01


def test_the_gradient_leaves_the_network_alone() -> None:
    subject = subject_of(normed())
    before = copy.deepcopy(subject.network.state_dict())
    gradient_norm(subject.network, *subject.training_images(40), ["0", "3"])
    for name, tensor in subject.network.state_dict().items():
        assert torch.equal(tensor, before[name])


def as_shard(values, plan=PLAN):
    return layout.shard(
        "minimum",
        {"seed": 0},
        values,
        coordinates=plan.coordinates(),
        provenance=TaskProvenance("f" * 64, "cpu", "float32", "none", "{}"),
    )


def test_what_is_measured_is_a_valid_shard(found) -> None:
    validate_shard(as_shard(found))


def test_without_batch_norm_no_statistics_are_estimated_anew(convex) -> None:
    assert (convex["path_flag"][:, :, ANEW] == Flag.NO_BATCH_NORM.value).all()
    assert np.isnan(convex["path_loss"][:, :, ANEW]).all()
    assert (convex["path_flag"][:, :, AS_STORED] == Flag.MEASURED.value).all()
    validate_shard(as_shard(convex))


def test_a_network_without_batch_norm_is_left_as_it_is_by_an_estimation_anew() -> None:
    network, (inputs, _) = linear(), images_of(40)
    again = re_estimated(network, inputs, 20)
    assert not again.training
    assert torch.equal(again(inputs), network.eval()(inputs))
    [(name, parameter), *_] = again.named_parameters()
    assert parameter is not network.get_parameter(name)


def test_what_a_subject_lacks_is_named(subject) -> None:
    with pytest.raises(ValueError, match="training images are not known: give the subject some"):
        measured(replace(subject, training_images=None))
    without = replace(subject, initial=None)
    with pytest.raises(ValueError, match="before training is not known: give the subject one"):
        measured(without)
    with pytest.raises(ValueError, match="before training is not known"):
        without.initial_kernel("0")


def test_a_training_that_diverges_fails_the_task(subject) -> None:
    wild = replace(PLAN, recipe=replace(RECIPE, peak_learning_rate=1e30))
    with pytest.raises(NumericalError):
        measured(subject, wild)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"points": 2}, "2 points"),
        ({"directions": 1}, "1 directions"),
        ({"statistics_images": 10}, "10 images for the batch-norm statistics do not fill"),
        ({"cut": "OUTT"}, "OUTT"),
        ({"threshold": 1.0}, "threshold 1.0 is outside"),
    ],
)
def test_plans_that_show_nothing_are_refused(settings, told) -> None:
    with pytest.raises(UserError, match=told):
        replace(PLAN, **settings)
