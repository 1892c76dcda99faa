import json

import pytest
import torch
import xarray as xr
from safetensors import safe_open
from torch import Generator

from compressibility.experiments import named
from compressibility.measuring import tasks
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
        assert kept == json.loads(tasks.training_json(experiment, seed, images)), path


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


def test_nothing_half_written_is_left_beside_a_checkpoint(checkpoint) -> None:
    assert [path.name for path in checkpoint.parent.iterdir()] == ["seed-1.safetensors"]
