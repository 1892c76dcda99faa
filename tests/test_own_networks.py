"""Oracles: a plain PyTorch loop over torchvision's images, and the network that was given."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import resnet18

from compressibility.experiments.experiment import Experiment, ExperimentError, from_data
from compressibility.experiments.given import own_network
from compressibility.experiments.networks import Place, subject
from compressibility.measuring.sweep import measure
from compressibility.measuring.tasks import Bench
from compressibility.measuring.verify import verify
from compressibility.measuring.workers import Beside, processes
from compressibility.networks.checkpoints import CheckpointError
from compressibility.networks.image_sets import Preprocessing
from compressibility.networks.imported import BuilderError
from compressibility.networks.kernels import weights_hash
from compressibility.quantities.controls import Controls
from compressibility.quantities.held_out import HeldOut
from compressibility.quantities.joint import Joint
from compressibility.quantities.truncations import Truncation
from compressibility.store.keys import canonical_json
from tests.small_experiment import assert_same_values, place_in
from tests.small_network import (
    BUILDER,
    DEVIATION,
    MEAN,
    SIZE,
    build,
    by_torchvision,
    draw_images,
    train,
)

THRESHOLDS = (0.0, 0.1, 0.3, 0.6)
PLANS = (
    Truncation(THRESHOLDS),
    HeldOut(THRESHOLDS),
    Controls((0.1, 0.3), initial=False),
    Joint(THRESHOLDS),
)
TAKES = Preprocessing(SIZE, 14, MEAN, DEVIATION)


@dataclass(frozen=True, eq=False)
class Given:
    """What a user has: images, a trained network, its weights; and the experiment made of them."""

    images: Path
    network: nn.Module
    weights: Path

    def experiment(self, plans=PLANS) -> tuple[Experiment, tuple[nn.Module, ...]]:
        made, networks = own_network(BUILDER, [self.weights], self.images, TAKES)
        return replace(made, plans=plans), networks

    def measured(self, root: Path, plans=PLANS, **options) -> xr.Dataset:
        experiment, networks = self.experiment(plans)
        place = place_in(root)
        options = {"given": networks, "out": place.cache.dataset(experiment.name)} | options
        return measure(experiment, (0,), place=place, **options)


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Given:
    root = tmp_path_factory.mktemp("given")
    for part, count, seed in (("train", 40, 0), ("val", 20, 1), ("test", 30, 2)):
        draw_images(root / "stripes" / part, count, seed)
    network = train(*by_torchvision(root / "stripes" / "train"))
    save_file(network.state_dict(), root / "w.safetensors")
    return Given(root / "stripes", network, root / "w.safetensors")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def dataset(given, home) -> xr.Dataset:
    return given.measured(home)


def right(network: nn.Module, images: Tensor, labels: Tensor) -> int:
    with torch.no_grad():
        return int((network(images).argmax(1) == labels).sum())


def truncated(kernel: np.ndarray, rank: int) -> Tensor:
    """The best approximation of a rank along OUT, by NumPy."""
    rows = kernel.astype(np.float64).reshape(len(kernel), -1)
    u, s, v = np.linalg.svd(rows, full_matrices=False)
    return torch.from_numpy((u[:, :rank] * s[:rank] @ v[:rank]).reshape(kernel.shape))


@pytest.mark.parametrize(("part", "name"), [("test", "n_correct"), ("val", "held_out_n_correct")])
def test_counts_are_those_of_a_plain_loop_with_the_kernel_overwritten(
    given, dataset, part, name
) -> None:
    images, labels = by_torchvision(given.images / part)
    seen = set()
    for layer in ("0", "3"):
        held = dataset.sel(layer=layer, mode="OUT", seed=0)
        for threshold in THRESHOLDS:
            network = build().eval()
            network.load_state_dict(given.network.state_dict())
            weight = network.get_submodule(layer).weight
            rank = int(held["rank"].sel(threshold=threshold))
            with torch.no_grad():
                weight.copy_(truncated(weight.numpy(), rank))
            count = right(network, images, labels)
            assert int(held[name].sel(threshold=threshold)) == count
            seen.add(count)
    assert len(seen) > 2


def test_the_baseline_is_the_network_that_was_given(given, dataset) -> None:
    images, labels = by_torchvision(given.images / "test")
    count = right(given.network, images, labels)
    assert 60 < count < 90
    assert float(dataset["baseline_accuracy"].item()) == pytest.approx(count / 90)
    assert int(dataset["n_images"]) == 90
    assert str(dataset["weights_hash"].item()) == weights_hash(given.network)


def test_the_network_is_kept_to_the_bit(given, dataset, home) -> None:
    experiment, _ = given.experiment()
    kept = load_file(place_in(home).cache.checkpoint(experiment.name, 0))
    for name, tensor in given.network.state_dict().items():
        assert kept[name].dtype == tensor.dtype
        assert torch.equal(kept[name], tensor)


def test_what_needs_a_beginning_is_not_measured_and_the_rest_is_left_out(dataset) -> None:
    assert dataset["weights"].values.tolist() == ["trained", "shuffled"]
    assert dataset["layer"].values.tolist() == ["0", "3", "head"]
    assert json.loads(dataset.attrs["left_out"]) == {}


def test_it_comes_back_from_json(given) -> None:
    experiment, _ = given.experiment()
    told = from_data(json.loads(canonical_json(experiment.as_data())))
    assert replace(told, images=experiment.images) == experiment


def test_a_measurement_that_was_stopped_goes_on_to_the_same_values(
    given, dataset, tmp_path, monkeypatch
) -> None:
    perform, done = Bench.perform, []

    def stopped(bench, job, *rest):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(str(job))
        return perform(bench, job, *rest)

    monkeypatch.setattr(Bench, "perform", stopped)
    with pytest.raises(KeyboardInterrupt):
        given.measured(tmp_path)
    first = set(done)
    monkeypatch.setattr(Bench, "perform", lambda *job: (done.append(str(job[1])), perform(*job))[1])
    again = given.measured(tmp_path)
    assert first.isdisjoint(done[4:])
    assert len(done) == 11
    assert_same_values(again, dataset)


def test_processes_beside_each_other_measure_the_same(given, dataset, tmp_path) -> None:
    with processes(2) as pool:
        spread = given.measured(tmp_path, hands=Beside(pool, place_in(tmp_path), 2))
    np.testing.assert_array_equal(spread["n_correct"], dataset["n_correct"])
    np.testing.assert_allclose(spread["loss"], dataset["loss"], rtol=1e-5)


def test_what_is_measured_needs_the_weights_no_more(given, dataset, home) -> None:
    assert_same_values(given.measured(home, given=()), dataset)


def test_every_variant_is_verified_by_whole_passes(given, dataset, home) -> None:
    experiment, _ = given.experiment()
    rng = np.random.default_rng(0)
    checks = verify(dataset, experiment, place_in(home), sample=30, rng=rng)
    assert len(checks) == 30
    assert all(check.holds for check in checks)


# names and content


def test_names_tell_networks_apart_and_checkpoints_are_of_the_network_alone(
    given, tmp_path
) -> None:
    other = tmp_path / "other.pt"
    torch.save(build().state_dict(), other)
    mine, _ = given.experiment()
    theirs, _ = own_network(BUILDER, [other], given.images, TAKES)
    larger, networks = own_network(BUILDER, [given.weights], given.images, Preprocessing(20, 20))
    assert mine.name != theirs.name
    assert mine.identity != theirs.identity
    assert mine.name == larger.name
    assert mine.identity != larger.identity
    plans = (Truncation((0.0, 0.3)),)
    given.measured(tmp_path, plans)
    place = place_in(tmp_path)
    found = measure(
        replace(larger, plans=plans), (0,), place=place, out=tmp_path / "l.nc", given=networks
    )
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    assert (
        found.attrs["images_checksum"] != given.measured(tmp_path, plans).attrs["images_checksum"]
    )


def test_several_networks_are_the_seeds_of_one_experiment(given, dataset, tmp_path) -> None:
    torch.manual_seed(5)
    other = build().eval()
    torch.save(other.state_dict(), tmp_path / "other.pt")
    made, networks = own_network(
        BUILDER, [given.weights, tmp_path / "other.pt"], given.images, TAKES
    )
    assert made.seeds == (0, 1)
    experiment = replace(made, plans=(Truncation(THRESHOLDS),))
    place, out = place_in(tmp_path), tmp_path / "both.nc"
    both = measure(experiment, (0, 1), place=place, out=out, given=networks)
    images, labels = by_torchvision(given.images / "test")
    for seed, network in enumerate((given.network, other)):
        assert both["weights_hash"].sel(seed=seed) == weights_hash(network)
        assert both["baseline_n_correct"].sel(seed=seed) == right(network, images, labels)
    np.testing.assert_array_equal(both["n_correct"].sel(seed=0), dataset["n_correct"].sel(seed=0))


def test_a_network_given_twice_is_refused(given, tmp_path) -> None:
    again = tmp_path / "again.pt"
    torch.save(given.network.state_dict(), again)
    with pytest.raises(ExperimentError, match=r"w\.safetensors and .*again\.pt hold one network"):
        own_network(BUILDER, [given.weights, again], given.images, TAKES)


def test_the_same_weights_in_another_file_are_the_same_experiment(given, tmp_path) -> None:
    other = tmp_path / "w.safetensors"
    torch.save({"state_dict": {f"module.{n}": t for n, t in given.network.state_dict().items()}},
               other)  # fmt: skip
    found, _ = own_network(BUILDER, [other], given.images, TAKES)
    assert replace(found, plans=PLANS) == given.experiment()[0]


def _place_with_the_network(given: Given, root: Path) -> tuple[Experiment, Place]:
    given.measured(root, (Truncation((0.0, 0.3)),), layers=("0",))
    return given.experiment()[0], place_in(root)


def test_another_network_in_the_checkpoints_place_is_refused(given, tmp_path) -> None:
    experiment, place = _place_with_the_network(given, tmp_path)
    path = place.cache.checkpoint(experiment.name, 0)
    tensors = load_file(path)
    tensors["0.bias"] += 1
    changed = {"training": json.dumps({"builder": BUILDER, "weights": weights_hash(given.network)})}
    save_file(tensors, path, metadata=changed)
    with pytest.raises(CheckpointError, match="builds another network than it did"):
        subject(experiment, 0, Bench(place).images(experiment), place)


def test_a_builder_that_is_gone_is_named(given, tmp_path, monkeypatch) -> None:
    experiment, place = _place_with_the_network(given, tmp_path)
    monkeypatch.delattr("tests.small_network.build")
    with pytest.raises(BuilderError, match=r"module tests\.small_network has no build"):
        subject(experiment, 0, Bench(place).images(experiment), place)


# a network of others


@pytest.fixture
def resnet(tmp_path) -> Iterator[tuple[nn.Module, Path]]:
    torch.manual_seed(1)
    network = resnet18()
    with torch.no_grad():
        network.fc.bias[3:] -= 5  # of its thousand classes three are answered
    torch.save(network.state_dict(), tmp_path / "resnet18.pt")
    return network.eval(), tmp_path / "resnet18.pt"


def test_torchvisions_resnet18_counts_as_a_plain_loop(given, resnet, tmp_path) -> None:
    network, weights = resnet
    experiment, networks = own_network(
        "torchvision.models:resnet18", [weights], given.images, TAKES
    )
    notes: list[str] = []
    layer = "layer2.0.conv2"
    found = measure(
        replace(experiment, plans=(Truncation((0.0, 0.5)),)),
        (0,),
        place=place_in(tmp_path),
        out=tmp_path / "r.nc",
        layers=(layer,),
        given=networks,
        report=lambda step: notes.append(step.note),
    )
    assert any("tells 1000 classes: those of the 3 folders" in note for note in notes)
    images, labels = by_torchvision(given.images / "test")
    held = found.sel(layer=layer, mode="OUT", seed=0)
    assert int(held["n_correct"].sel(threshold=0.0)) == right(network, images, labels) > 0
    weight = network.get_submodule(layer).weight
    with torch.no_grad():
        weight.copy_(truncated(weight.numpy(), int(held["rank"].sel(threshold=0.5))))
    assert int(held["n_correct"].sel(threshold=0.5)) == right(network, images, labels)


def test_one_bench_brings_the_images_to_each_network_as_it_takes_them(given, tmp_path) -> None:
    bench = Bench(place_in(tmp_path))
    mine, _ = given.experiment()
    larger, _ = own_network(BUILDER, [given.weights], given.images, Preprocessing(16, 16))
    sizes = [bench.images(each).test.images.shape[-1] for each in (mine, larger, mine)]
    assert sizes == [SIZE, 16, SIZE]
