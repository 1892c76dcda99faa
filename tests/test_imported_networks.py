"""Oracles: the function and the weights that are given, and what an attack leaves behind."""

import pickle
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from compressibility.errors import UserError
from compressibility.networks.given_weights import WeightsError, given, read_weights
from compressibility.networks.imported import BuilderError, Imported, built_by
from compressibility.networks.kernels import weights_hash
from tests.small_network import BUILDER, build

MODULE = """
import torch
from torch import nn

THREE = 3


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(3, 4, 3)


def broken():
    raise RuntimeError("no such\\nfile")


def with_arguments(n):
    return nn.Linear(n, n)


def no_network():
    return "a network"
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A current directory with modules, which no path leads to."""
    for name, text in {
        "some_model": MODULE,
        "ends_model": "raise SystemExit(3)",
        "wrong_model": "x = = 3",
        "needs_model": "import a_package_that_nobody_has",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    yield tmp_path
    for name in [each for each in sys.modules if each.endswith("_model")]:
        del sys.modules[name]


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(3)
    return build()


def same(one: nn.Module, other: nn.Module) -> bool:
    held, found = one.state_dict(), other.state_dict()
    return held.keys() == found.keys() and all(torch.equal(held[n], found[n]) for n in held)


# builders


def test_a_network_is_what_its_function_returns() -> None:
    assert type(built_by("torchvision.models:squeezenet1_0")).__name__ == "SqueezeNet"


def test_modules_of_the_current_directory_are_found(here) -> None:
    assert type(built_by("some_model:Wrapped")).__name__ == "Wrapped"


def test_building_leaves_the_random_numbers_as_they_were() -> None:
    before = torch.get_rng_state()
    built_by(BUILDER)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("builder", "words"),
    [
        ("some_model", ("'some_model'", "module:function")),
        ("some_model.py:Wrapped", ("such as some_model:Wrapped",)),
        ("nets/some_model.py", ("such as nets.some_model:build",)),
        ("some_modle:Wrapped", ("no module some_modle", "did you mean some_model?")),
        ("torchvision.modls:resnet18", ("no module torchvision.modls", "torchvision.models?")),
        ("qqqq.zzzz:build", ("no module qqqq", "stand in the folder")),
        ("torchvision.models:resnet19", ("has no resnet19", "did you mean resnet18?")),
        ("needs_model:build", ("a_package_that_nobody_has", "install it")),
        ("wrong_model:build", ("importing wrong_model failed", "SyntaxError")),
        ("ends_model:build", ("ends the program", "__main__")),
        ("some_model:THREE", ("is of type int",)),
        ("some_model:broken", ("no such", "without arguments", "my_model:build")),
        ("some_model:with_arguments", ("'n'", "without arguments", "my_model:build")),
        ("some_model:no_network", ("of type str", "torch.nn.Module")),
    ],
)
def test_what_builds_no_network_is_refused_in_a_line(here, builder, words) -> None:
    with pytest.raises(BuilderError) as caught:
        built_by(builder)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_images_and_classes_do_not_change_what_is_built() -> None:
    architecture = Imported(BUILDER, "")
    shapes = [
        [p.shape for p in architecture.build(*asked).parameters()] for asked in ((1, 2), (3, 10))
    ]
    assert shapes[0] == shapes[1] == [p.shape for p in build().parameters()]


# weights


def _safetensors(tensors, path) -> None:
    save_file(tensors, path)


def _torch(tensors, path) -> None:
    torch.save(tensors, path)


def _old_torch(tensors, path) -> None:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def _of_a_training(tensors, path) -> None:
    torch.save({"epoch": 3, "optimizer": {"state": {}}, "state_dict": tensors}, path)


def _of_a_model(tensors, path) -> None:
    torch.save({"model": tensors, "loss": 0.5}, path)


@pytest.mark.parametrize("save", [_safetensors, _torch, _old_torch, _of_a_training, _of_a_model])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_weights_are_those_that_were_saved_to_the_bit(tmp_path, network, save, prefix) -> None:
    path = tmp_path / "weights"
    save({prefix + name: each for name, each in network.state_dict().items()}, path)
    loaded = given(build(), read_weights(path), path)
    assert same(loaded, network)
    assert weights_hash(loaded) == weights_hash(network)
    assert not loaded.training


def test_weights_of_another_precision_take_that_of_the_network(tmp_path, network) -> None:
    path = tmp_path / "weights"
    torch.save(network.half().state_dict(), path)
    loaded = given(build(), read_weights(path), path)
    assert {each.dtype for each in loaded.parameters()} == {torch.float32}
    assert same(loaded, network.float())


class Attack:
    """What runs a command when it is loaded by pickle."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def test_weights_that_want_to_execute_code_are_refused_and_execute_none(tmp_path) -> None:
    path, marker = tmp_path / "weights", tmp_path / "executed"
    torch.save({"state_dict": {"a": torch.ones(1)}, "more": Attack(marker)}, path)
    with pytest.raises(WeightsError, match=r"want to execute code \(.*\), and are not loaded"):
        read_weights(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_a_whole_network_that_was_pickled_is_refused(tmp_path, network) -> None:
    torch.save(network, tmp_path / "weights")
    with pytest.raises(WeightsError, match=r"execute code \(torch.nn.modules.*state_dict\(\)"):
        read_weights(tmp_path / "weights")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "neither safetensors nor of torch.save"),
        (b"hello, world", "neither safetensors nor of torch.save"),
        (b"PK\x03\x04 and no more", "are damaged"),
        (pickle.dumps([1, 2]), "are damaged"),
    ],
)
def test_what_holds_no_weights_is_refused_in_a_line(tmp_path, content, words) -> None:
    path = tmp_path / "weights"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=words) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([torch.ones(1)], "are a list and no state dict"),
        ({"epoch": 3, "loss": 0.5}, "hold 'epoch', 'loss', which are no tensor"),
        ({}, "no state dict"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, words) -> None:
    torch.save(content, tmp_path / "weights")
    with pytest.raises(WeightsError, match=words):
        read_weights(tmp_path / "weights")


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        read_weights(tmp_path / "nowhere.pt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda held: [held.pop(name) for name in list(held)[:5]],
            r"it lacks 0\.bias, 0\.weight, 1\.bias and 2 more",
        ),
        (
            lambda held: held.update({f"x{n}": torch.ones(1) for n in range(4)}),
            "it holds x0, x1, x2 and 1 more, which the network has not",
        ),
        (
            lambda held: held.update({"head.bias": torch.ones(2), "0.bias": torch.ones(1)}),
            r"0\.bias has shape \(1,\), not \(6,\), head\.bias has shape \(2,\), not \(3,\)$",
        ),
        (
            lambda held: held.update({"0.bias": torch.full((6,), torch.nan)}),
            r"0\.bias holds NaN",
        ),
    ],
    ids=["absent", "foreign", "another shape", "not finite"],
)
def test_weights_that_do_not_fit_name_the_first_three(network, change, words) -> None:
    held = network.state_dict()
    change(held)
    with pytest.raises(WeightsError, match=words):
        given(build(), held, Path("w.pt"))


def test_a_network_that_does_not_know_its_shapes_is_refused() -> None:
    with pytest.raises(UserError, match="uninitialised"):
        given(nn.Sequential(nn.LazyConv2d(3, 3)), {}, Path("w.pt"))
