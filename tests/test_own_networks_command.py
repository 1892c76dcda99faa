"""A network of one's own at the command line: oracles are files, exit statuses and logits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import compressibility
from compressibility import cli
from compressibility.compressing.folder import FolderError
from tests.small_network import BUILDER, TAKES, by_torchvision, draw_images, train
from tests.taught import assert_taught
from tests.written_folders import write_classes, write_image

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with images, weights, and an empty cache."""
    root = tmp_path_factory.mktemp("home")
    images = draw_images(root / "stripes", 30)
    save_file(train(*by_torchvision(images)).state_dict(), root / "w.safetensors")
    return root


def asked(home: Path, **changed: str) -> tuple[str, ...]:
    options = {
        "model": BUILDER,
        "weights": str(home / "w.safetensors"),
        "images": str(home / "stripes"),
    } | changed
    given = (part for name, value in options.items() for part in (f"--{name}", value))
    return ("measure", *given, *TAKES, "--workers", "1")


def called(home: Path, *arguments: str) -> int:
    """Exit status, with the cache and the current directory in ``home``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPRESSIBILITY_CACHE", str(home / "cache"))
        patch.chdir(home)
        patch.setattr(sys, "argv", ["compressibility", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def small(home) -> Path:
    """The folder of the compressed network, by all the commands."""
    for arguments in (
        (*asked(home), "--out", "my.nc"),
        ("inspect", "my.nc"),
        ("verify", "my.nc", "--sample", "5"),
        ("advise", "my.nc", "--macs", "60%", "--rounds", "1"),
        ("compress", "my.nc", "recipe.json", "--out", "small"),
    ):
        assert called(home, *arguments) == 0, arguments
    return home / "small"


def test_the_compressed_network_is_the_exported_one(small) -> None:
    network = compressibility.load(small)
    exported = torch.export.load(small / "model.pt2").module()
    images = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network(images), exported(images))


def test_a_folder_tells_how_images_are_brought_to_its_network(small) -> None:
    config = json.loads((small / "config.json").read_text())
    assert config["architecture"]["builder"] == BUILDER
    assert config["classes"] == ["ant", "bee", "cow"]
    np.testing.assert_allclose(config["input"]["mean"], (0.4, 0.5, 0.6), rtol=1e-6)
    np.testing.assert_allclose(config["input"]["deviation"], (0.2, 0.25, 0.3), rtol=1e-6)
    card = (small / "README.md").read_text()
    assert "Batch-norm statistics are those of 15 held-out images." in card
    assert f"by `{BUILDER}`, which has to be importable" in card


def test_a_folder_whose_builder_is_gone_says_what_runs_without_it(small, monkeypatch) -> None:
    monkeypatch.delattr("tests.small_network.build")
    with pytest.raises(FolderError, match=r"has no build: .*model\.pt2 runs without that"):
        compressibility.load(small)


def test_fine_tuning_is_refused_in_a_line(small, home, capsys) -> None:
    capsys.readouterr()
    arguments = ("compress", "my.nc", "recipe.json", "--out", "tuned", "--epochs", "2")
    status = called(home, *arguments)
    assert_taught((status, *capsys.readouterr()), "--epochs 2", "trained elsewhere")
    assert not (home / "tuned").exists()


def test_the_analyses_say_what_can_be_said(small, home) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COMPRESSIBILITY_CACHE": "nowhere"}
    done = subprocess.run(
        [sys.executable, "-m", "analyses", "my.nc"],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "this dataset has no initial weights" in " ".join(done.stdout.split())
    assert (home / "report" / "my" / "index.html").exists()


def test_moved_images_are_given_anew(small, home, tmp_path) -> None:
    moved = draw_images(tmp_path / "moved", 30)
    (home / "stripes").rename(home / "hidden")
    try:
        assert called(home, "verify", "my.nc", "--sample", "2") == 1
        assert called(home, "verify", "my.nc", "--sample", "2", "--images", str(moved)) == 0
    finally:
        (home / "hidden").rename(home / "stripes")


# mistakes


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "tests.small_network:buidl"}, ("no buidl", "did you mean build")),
        ({"model": "tests.small_network:fewer_classes"}, ("head.weight has shape",)),
        ({"weights": "nowhere.pt"}, ("nowhere.pt", "No such file")),
        ({"images": "nowhere"}, ("nowhere is no folder",)),
        ({"size": "13", "resize": "12"}, ("cannot be cropped",)),
        ({"mean": "1,2"}, ("--mean '1,2'", "0.485,0.456,0.406")),
        ({"std": "0"}, ("above 0",)),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_written(call, cache, home, changed, words) -> None:
    command = [*asked(home), *(p for n, v in changed.items() for p in (f"--{n}", v))]
    assert_taught(call(*command), *words)
    assert list(cache.root.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("nothing to measure", "--model")),
        (("digits-vanilla", "--model", BUILDER), ("digits-vanilla", "give one of them")),
        (("--model", BUILDER), ("lacks --weights",)),
        (("--model", BUILDER, "--weights", "w.pt"), ("lacks --images",)),
        (("digits-vanilla", "--weights", "w.pt"), ("--weights is of a network of your own",)),
        (("digits-vanilla", "--size", "64"), ("--size is of a network of your own",)),
    ],
)
def test_options_that_do_not_go_together_are_named(call, arguments, words) -> None:
    assert_taught(call("measure", *arguments), *words)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("fewer_classes", ("tells 2 classes, and stripes has 3",)),
        ("two_answers", ("of type tuple", "(images, classes)")),
        ("of_one_size", ("does not take images of shape (3, 12, 12)", "--size")),
    ],
)
def test_a_network_that_does_not_take_the_images_is_refused_before_it_is_kept(
    call, cache, home, tmp_path, function, words
) -> None:
    from tests import small_network

    weights = tmp_path / "weights"
    torch.save(getattr(small_network, function)().state_dict(), weights)
    command = asked(home, model=f"tests.small_network:{function}", weights=str(weights))
    weights_alone = {weights}
    assert_taught(call(*command), *words)
    assert set(cache.root.rglob("*")) == weights_alone


def test_images_without_classes_are_refused_before_anything_is_kept(
    call, cache, home, tmp_path
) -> None:
    write_image(tmp_path / "flat" / "0.png")
    assert_taught(call(*asked(home, images=str(tmp_path / "flat"))), "no class folders")
    assert not list(cache.root.rglob("*.safetensors"))


def test_a_folder_named_like_an_image_set_is_refused(call, home, tmp_path) -> None:
    root = write_classes(tmp_path / "digits")
    assert_taught(call(*asked(home, images=str(root))), "my-digits")
