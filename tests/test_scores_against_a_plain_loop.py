"""Any task, any metric. Oracle: NumPy's singular values put into the weights by hand."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

import compressibility as cz
from compressibility.errors import UserError
from compressibility.networks.kernels import find_kernels
from compressibility.scored import ScoreError

THRESHOLDS = (0.0, 0.1, 0.4)


class Denoiser(nn.Module):
    """Called by name, with a picture and how much noise there is in it; answers with a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Conv2d(2, 6, 3, padding=1)
        self.by_level = nn.Linear(4, 6)
        self.out = nn.Conv2d(6, 2, 3, padding=1)

    def forward(self, *, noisy: Tensor, level: Tensor) -> Tensor:
        hidden = self.into(noisy) + self.by_level(level)[:, :, None, None]
        return self.out(torch.relu(hidden))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return Denoiser().train()


EXAMPLE = {
    "noisy": torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(1)),
    "level": torch.randn(3, 4, generator=torch.Generator().manual_seed(2)),
}


def error(network: nn.Module) -> float:
    assert not network.training
    with torch.no_grad():
        return float((network(**EXAMPLE) - EXAMPLE["noisy"]).double().square().mean())


def scored(
    network: nn.Module, score: Callable[[nn.Module], float] = error, **options
) -> xr.Dataset:
    options = {"thresholds": THRESHOLDS, "report": lambda _: None} | options
    return cz.scores(network, EXAMPLE, score, **options)


def by_hand(network: nn.Module, layer: str, rank: int) -> float:
    """The error with a layer truncated along OUT."""
    copy = deepcopy(network).eval()
    weight = copy.get_submodule(layer).weight
    rows = weight.detach().double().reshape(len(weight), -1).numpy()
    u, s, v = np.linalg.svd(rows, full_matrices=False)
    with torch.no_grad():
        weight.copy_(torch.from_numpy(u[:, :rank] * s[:rank] @ v[:rank]).view_as(weight))
    return error(copy)


def test_scores_are_those_of_networks_truncated_by_hand(network) -> None:
    before = deepcopy(network.state_dict())
    found = scored(network)
    assert found["layer"].values.tolist() == ["into", "by_level", "out"]
    assert float(found["baseline_score"]) == error(deepcopy(network).eval())
    along = found.sel(mode="OUT")
    assert len(np.unique(along["rank"])) > 3
    for layer in found["layer"].values.tolist():
        for threshold in THRESHOLDS:
            here = along.sel(layer=layer, threshold=threshold)
            assert float(here["norm_loss"]) <= threshold
            expected = by_hand(network, layer, int(here["rank"]))
            assert float(here["score"]) == pytest.approx(expected, rel=1e-5)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_cuts_that_a_layer_lacks_hold_nothing(network) -> None:
    found = scored(network, cuts=("OUT", "KW", "IN"))
    assert found["mode"].values.tolist() == ["OUT", "IN", "KW"]
    linear = found.sel(layer="by_level")
    assert np.isfinite(linear["score"].sel(mode="OUT")).all()
    for mode in ("IN", "KW"):
        assert np.isnan(linear["score"].sel(mode=mode)).all()
        assert (linear["rank"].sel(mode=mode) == -1).all()


def test_each_distinct_truncation_is_asked_once(network) -> None:
    asked = []

    def counting(network: nn.Module) -> float:
        asked.append(1)
        return error(network)

    found = scored(network, counting, layers=["out"])
    distinct = {
        (mode, rank)
        for mode in found["mode"].values.tolist()
        for rank in found["rank"].sel(layer="out", mode=mode).values.tolist()
        if rank > 0
    }
    assert len(asked) == 2 + len(distinct)


def test_what_a_file_holds_is_not_asked_again(network, tmp_path) -> None:
    out, calls = tmp_path / "scores.nc", []

    def stops(network: nn.Module) -> float:
        calls.append(1)
        if len(calls) == 25:
            raise KeyboardInterrupt
        return error(network)

    with pytest.raises(KeyboardInterrupt):
        scored(network, stops, out=out)
    with xr.open_dataset(out) as partial:
        assert (partial["rank"].sel(layer="into") > 0).any()
        assert (partial["rank"].sel(layer="out") == -1).all()
    calls.clear()
    found = scored(network, lambda n: (calls.append(1), error(n))[1], out=out)
    whole = scored(network)
    xr.testing.assert_identical(found, whole)
    calls_of_the_rest = len(calls)
    calls.clear()
    scored(network, lambda n: (calls.append(1), error(n))[1], out=out)
    assert len(calls) == 2 < calls_of_the_rest


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"thresholds": (0.0, 0.2)}, "grid"),
        ({"score": lambda network: error(network) + 1}, "score"),
        ({"network": Denoiser()}, "network and score"),
    ],
)
def test_a_file_of_something_else_is_refused(network, tmp_path, changed, what) -> None:
    out = tmp_path / "scores.nc"
    scored(network, layers=["by_level"], out=out)
    with pytest.raises(UserError, match=f"holds the scores of another {what}: choose"):
        scored(changed.pop("network", network), out=out, **changed)
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(UserError, match=r"text\.nc holds no scores"):
        scored(network, out=tmp_path / "text.nc")


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda _: float("nan"), "the score of the network as it is is nan"),
        (lambda _: None, "the score of the network as it is is no number"),
        (
            lambda network, state=[]: (state.append(1), len(state))[1],
            "changes between two calls, 1",
        ),
        (
            lambda network: 1 / (network.by_level.weight.abs().sum() > 4.4),
            r"by_level truncated along OUT to rank \d is inf",
        ),
    ],
)
def test_a_score_that_tells_nothing_is_refused(network, score, message) -> None:
    with pytest.raises(ScoreError, match=message):
        scored(network, score)


def test_unknown_names_are_told(network) -> None:
    with pytest.raises(UserError, match="no measurable layer 'int': did you mean into"):
        scored(network, layers=["int"])
    with pytest.raises(UserError, match="OUTT"):
        scored(network, cuts=("OUTT",))
    with pytest.raises(UserError, match="no layer that can be measured"):
        cz.scores(nn.ReLU(), torch.zeros(1, 2), lambda _: 0.0)


# what a network is called with


def test_layers_are_found_whatever_a_network_is_called_with(network) -> None:
    by_name = find_kernels(network, EXAMPLE, kinds=("Conv2d", "Linear"))
    assert [kernel.macs for kernel in by_name] == [64 * 108, 24, 64 * 108]

    class InARow(Denoiser):
        def forward(self, noisy: Tensor, level: Tensor) -> Tensor:
            return super().forward(noisy=noisy, level=level)

    in_a_row = find_kernels(InARow(), tuple(EXAMPLE.values()), kinds=("Conv2d", "Linear"))
    assert in_a_row == by_name


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({}, "holds no tensor"),
        (("a", 3), "holds no tensor"),
        ({"noisy": torch.zeros(0, 2, 8, 8)}, "empty batch"),
        ({"noisy": torch.zeros(1, 2, 8, 8)}, r"shape \(1, 2, 8, 8\), torch.float32: .*'level'"),
    ],
)
def test_an_example_that_is_not_taken_is_named(network, example, message) -> None:
    with pytest.raises(UserError, match=message):
        find_kernels(network, example)
