import errno
import json
import os

import pytest
import torch
import xarray as xr
from safetensors import safe_open
from safetensors.torch import save as serialize
from torch import Generator

from compressibility.experiments.named import named
from compressibility.experiments.networks import training_json
from compressibility.files import WriteError
from compressibility.networks import checkpoints
from compressibility.networks.architectures import VanillaCNN, initialised
from compressibility.networks.checkpoints import CheckpointError
from compressibility.networks.training import rounded_to_float16
from compressibility.store import cache

SHIPPED = cache.default().root / "checkpoints"
TRAINING = '{"seed": 1}'


def _network(seed: int, channels: int = 4) -> torch.nn.Module:
    architecture = VanillaCNN(channels=(channels, 6), pooled=(0,))
    return rounded_to_float16(initialised(architecture, 1, 10, Generator().manual_seed(seed)))


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "networks" / "seed-1.safetensors"
    checkpoints.save(_network(1), path, TRAINING)
    return path


def test_the_shipped_networks_come_from_the_experiments_present_settings() -> None:
    shipped = sorted(SHIPPED.glob("cifar*/seed-*.safetensors"))
    assert shipped
    for path in shipped:
        experiment = named(path.parent.name)
        with xr.open_dataset(cache.default().dataset(experiment.name)) as dataset:
            images = dataset.attrs["images_checksum"]
        seed = int(path.stem.removeprefix("seed-"))
        with safe_open(path, framework="pt") as file:
            kept = json.loads(file.metadata()["training"])
        assert kept == json.loads(training_json(experiment, seed, images)), path


def test_a_loaded_network_is_the_saved_one_to_the_bit(checkpoint) -> None:
    loaded = checkpoints.load(_network(2), checkpoint, TRAINING).state_dict()
    for name, tensor in _network(1).state_dict().items():
        assert torch.equal(loaded[name], tensor), name
        assert loaded[name].dtype == tensor.dtype


def test_a_checkpoint_takes_two_bytes_a_parameter(checkpoint) -> None:
    parameters = sum(p.numel() for p in _network(1).parameters())
    assert checkpoint.stat().st_size < 2 * parameters + 2500


def test_another_training_is_refused(checkpoint) -> None:
    with pytest.raises(CheckpointError, match="other settings"):
        checkpoints.load(_network(2), checkpoint, '{"seed": 2}')


def test_a_truncated_checkpoint_is_refused(checkpoint) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="move it away"):
        checkpoints.load(_network(2), checkpoint, TRAINING)


def test_another_architectures_checkpoint_is_refused_in_one_line(checkpoint) -> None:
    with pytest.raises(CheckpointError, match="not a checkpoint of this network") as caught:
        checkpoints.load(_network(2, channels=5), checkpoint, TRAINING)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda n: setattr(n, "head", torch.nn.Identity()),
            "holds head.bias, head.weight, wh",
        ),
        (
            lambda n: n.add_module("tail", torch.nn.Linear(10, 2)),
            "it lacks tail.bias, tail.weight;",
        ),
        (
            lambda n: setattr(n, "head", torch.nn.Linear(24, 9)),
            r"head.weight has shape \(10, 24\), not \(9, 24\), head.bias has shape",
        ),
    ],
    ids=["foreign", "absent", "another shape"],
)
def test_a_checkpoint_that_does_not_fit_says_where(checkpoint, change, message: str) -> None:
    network = _network(2)
    change(network)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load(network, checkpoint, TRAINING)


def test_a_file_whose_training_is_no_json_is_refused(tmp_path) -> None:
    path = tmp_path / "seed-1.safetensors"
    path.write_bytes(serialize(_network(1).state_dict(), metadata={"training": "by hand"}))
    with pytest.raises(CheckpointError, match="other settings"):
        checkpoints.load(_network(2), path, TRAINING)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one_and_nothing_else(
    checkpoint, monkeypatch
) -> None:
    before = checkpoint.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"cannot write .*: No space left on device; free"):
        checkpoints.save(_network(2), checkpoint, TRAINING)
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]
    assert checkpoint.read_bytes() == before


@pytest.mark.parametrize("wrap", [torch.nn.DataParallel, lambda n: torch.compile(n)])
def test_a_wrapped_network_is_saved_and_loaded_as_what_is_in_it(tmp_path, wrap) -> None:
    checkpoints.save(wrap(_network(1)), tmp_path / "seed-1", TRAINING)
    loaded = checkpoints.load(wrap(_network(2)), tmp_path / "seed-1", TRAINING)
    assert all(
        torch.equal(one, other)
        for one, other in zip(loaded.parameters(), _network(1).parameters(), strict=True)
    )


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_with_a_wrappers_prefix_are_read(tmp_path, prefix) -> None:
    path = tmp_path / "seed-1"
    tensors = {prefix + name: each.half() for name, each in _network(1).state_dict().items()}
    path.write_bytes(serialize(tensors, metadata={"training": TRAINING}))
    loaded = checkpoints.load(_network(2), path, TRAINING).state_dict()
    assert all(torch.equal(loaded[name], each) for name, each in _network(1).state_dict().items())


def test_another_prefix_is_named(tmp_path) -> None:
    path = tmp_path / "seed-1"
    tensors = {f"ema.{name}": each.half() for name, each in _network(1).state_dict().items()}
    path.write_bytes(serialize(tensors, metadata={"training": TRAINING}))
    with pytest.raises(CheckpointError, match=r"its names begin with 'ema\.': save the state_dict"):
        checkpoints.load(_network(2), path, TRAINING)
