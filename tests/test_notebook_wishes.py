"""What a researcher does in a notebook, in five lines each; the oracle is the longer way."""

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import compressibility as cz
from compressibility.errors import UserError
from compressibility.evaluation import plain_evaluation
from compressibility.measuring.progress import Step
from compressibility.store.rules import validate


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 16, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 4),
    )
    return network.eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(200, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def labels(network, images) -> torch.Tensor:
    return network(images).argmax(dim=1)


@pytest.fixture(scope="module")
def dataset(network, images, labels) -> xr.Dataset:
    return cz.measure(network, images, labels, name="mine")


def test_the_spectra_of_a_network_are_one_labelled_dataset(network, images) -> None:
    found = cz.spectra(network, images[:1])
    kernel = network[2].weight.detach().numpy().astype(float)
    expected = np.linalg.svd(kernel.reshape(16, -1), compute_uv=False)
    values = found["schmidt_value"].sel(layer="2", mode="OUT")
    np.testing.assert_allclose(values[:16], expected, rtol=1e-10)
    p = expected**2 / (expected**2).sum()
    assert float(found["entropy"].sel(layer="2", mode="OUT")) == pytest.approx(
        -(p * np.log(p)).sum()
    )


def test_a_network_of_ones_own_becomes_a_valid_dataset_that_opens_in_xarray(
    dataset, network, images, labels, tmp_path
) -> None:
    validate(dataset)
    cz.save(dataset, tmp_path / "mine.nc")
    with xr.open_dataset(tmp_path / "mine.nc") as opened:
        here = opened.sel(layer="2", mode="IN", threshold=0.3, seed=0)
        truncated = cz.truncate(network[2].weight.detach().numpy(), "IN", int(here["rank"]))
        plain = plain_evaluation(network, images, labels, {"2": truncated})
        assert int(here["n_correct"]) == plain.n_correct < 200
    assert set(dataset["weights"].values) == {"trained", "shuffled"}
    head = dataset.sel(layer="6", seed=0)
    assert int(head["n_correct"].sel(mode="OUT", threshold=0.0)) == 200
    assert head["same_as"].values.tolist()[:4] == ["OUT", "OUT", "trivial", "trivial"]


def test_what_a_notebook_misspells_is_told(network, images, labels) -> None:
    with pytest.raises(UserError, match="no measurable layer '3': choose from 0, 2"):
        cz.measure(network, images, labels, layers=["3"])
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    with pytest.raises(UserError, match="the network has no Conv2d that"):
        cz.spectra(flat, images, kinds=("Conv2d",))
    with pytest.raises(UserError, match="unknown kind 'Conv1d'"):
        cz.spectra(flat, images, kinds=("Conv1d",))


def test_some_kinds_of_layers_are_measured_alone(network, images, labels) -> None:
    asked = {"kinds": ("Conv2d",), "thresholds": (0.0, 0.2)}
    dataset = cz.measure(network, images, labels, **asked)
    assert dataset["layer"].values.tolist() == ["0", "2"]
    left = json.loads(dataset.attrs["left_out"])
    assert left == {"6": "it is a Linear, and only Conv2d kernels are measured"}
    chains = cz.truncations(network, images[:1], norm_loss=0.2, kinds=("Linear",))
    assert set(chains) == {"6"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"thresholds": (0.2, 0.1)}, "no grid of allowed norm losses"),
        ({"thresholds": (0.1, 0.2)}, "ascending ones from 0"),
        ({"thresholds": (0, 0.2, 0.2)}, "no grid"),
        ({"thresholds": ()}, "no grid"),
        ({"layers": []}, "at least one"),
        ({"layers": "0"}, "no list of layers"),
        ({"name": ""}, "needs a name"),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"images": np.zeros((2, 3, 8, 8))}, "the images are"),
        ({"labels": [0, 1]}, "the labels are"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(
    network, images, labels, changed, message
) -> None:
    asked = {"images": images, "labels": labels} | changed
    steps: list[Step] = []
    with pytest.raises(UserError, match=message):
        cz.measure(network, asked.pop("images"), asked.pop("labels"), report=steps.append, **asked)
    assert steps == []


def test_layers_that_were_not_asked_for_are_left_out_by_name(network, images, labels) -> None:
    dataset = cz.measure(network, images, labels, layers=["0"], thresholds=(0.0, 0.2))
    assert dataset.attrs["n_classes"] == len(set(labels.tolist()))
    assert json.loads(dataset.attrs["left_out"])["2"] == "it was not asked for"


def test_chains_are_short_to_read_and_single_variants_are_told(network, images, labels) -> None:
    chains = cz.truncations(network, images[:1], norm_loss=0.2)
    assert len(repr(chains)) < 500
    with pytest.raises(UserError, match="give a list of variants"):
        cz.Evaluator(network, images, labels).joint(chains)
    with pytest.raises(UserError, match="unknown layer 'conv9'"):
        cz.compress(network, {"conv9": chains["0"]})


def test_every_step_of_a_measurement_is_told(network, images, labels) -> None:
    steps: list[Step] = []
    cz.measure(network, images, labels, layers=["0"], thresholds=(0.0, 0.2), report=steps.append)
    assert [(step.done, step.total) for step in steps] == [(n, 3) for n in range(4)]
    assert [step.in_hand for step in steps] == [
        ("network",),
        ("0 · truncation",),
        ("0 · controls",),
        (),
    ]


def test_all_layers_truncated_at_once_are_evaluated(network, images, labels) -> None:
    chains = cz.truncations(network, images[:1], norm_loss=0.2, cut="OUT")
    [found] = cz.Evaluator(network, images, labels).joint([chains])
    kernels = {layer: chain.kernel() for layer, chain in chains.items()}
    plain = plain_evaluation(network, images, labels, kernels)
    assert set(chains) == {"0", "2", "6"}
    assert found.n_correct == plain.n_correct < 200


def test_a_smaller_network_gives_the_truncated_ones_logits(network, images) -> None:
    chains = cz.truncations(network, images[:1], norm_loss=0.2, cut="OUT")
    small = cz.compress(network, chains)
    parameters = [sum(p.numel() for p in each.parameters()) for each in (small, network)]
    assert parameters[0] < parameters[1]
    truncated = nn.Sequential(*network)
    truncated.load_state_dict(network.state_dict())
    expected = small(images)
    for layer, chain in chains.items():
        copy = deepcopy(network.get_submodule(layer))
        copy.load_state_dict(
            {"weight": torch.from_numpy(chain.kernel()).view_as(copy.weight), "bias": copy.bias}
        )
        truncated.set_submodule(layer, copy)
    torch.testing.assert_close(expected, truncated(images), rtol=1e-4, atol=1e-5)


def test_critical_norm_losses_have_a_censored_flag(dataset) -> None:
    found = cz.LayerData(dataset).critical_norm_loss(points=5)
    assert set(found["censored"].dims) == {"layer", "mode", "seed"}
    here = dataset.sel(layer="2", mode="OUT", seed=0)
    fallen = here["accuracy"] < float(here["baseline_accuracy"]) - 0.05
    assert bool(fallen.any()) != bool(found["censored"].sel(layer="2", mode="OUT", seed=0))


def test_every_name_that_is_handed_on_is_there_and_documented() -> None:
    for name in cz.__all__:
        assert getattr(cz, name) is not None
        assert name == "__version__" or getattr(cz, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'measures'"):
        _ = cz.measures


def test_reading_datasets_loads_no_torch() -> None:
    check = "import sys, compressibility as cz; cz.read, cz.LayerData, cz.save, cz.Cut; "
    check += "print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", check],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout.strip() == "False"


def test_what_is_measured_by_whole_passes_is_told_in_the_history() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 10)
    )
    network = network.eval()
    network[0].register_forward_hook(lambda module, given, output: 2 * output)
    images = torch.randn(20, 3, 8, 8)
    dataset = cz.measure(network, images, torch.arange(20) % 10, report=lambda step: None)
    told = "0 is measured by whole forward passes: it carries a forward hook"
    assert dataset.attrs["history"].splitlines()[-1].endswith(told)
