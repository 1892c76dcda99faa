import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from PIL import Image
from safetensors.torch import load_file, save_file

import compressibility
from compressibility import cli
from compressibility.errors import NumericalError
from compressibility.experiments import networks
from compressibility.experiments.named import EXPERIMENTS
from compressibility.networks import checkpoints
from compressibility.networks.image_sets import digits
from compressibility.networks.kernels import find_kernels
from compressibility.networks.training import rounded_to_float16
from compressibility.quantities.quantity import coordinates
from compressibility.store import layout, netcdf
from compressibility.store.cache import default
from compressibility.store.provenance import attributes
from tests.small_experiment import SMALL
from tests.taught import assert_taught

DIGITS = EXPERIMENTS["digits-vanilla"]


@pytest.fixture
def small(monkeypatch) -> None:
    """The command line knows the small experiment alone."""
    monkeypatch.setattr("compressibility.experiments.named.EXPERIMENTS", {"small": SMALL})


@pytest.fixture(scope="module")
def blank_digits() -> xr.Dataset:
    network, example = networks.example(DIGITS, digits())
    return layout.blank(
        find_kernels(network, example),
        seeds=(0, 1),
        coordinates=coordinates(DIGITS.quantities),
        tables=[quantity.table for quantity in DIGITS.quantities],
        attributes=attributes(
            title=DIGITS.title,
            experiment=DIGITS.as_data(),
            images_checksum=digits().checksum,
            left_out={"head": "it is Linear"},
            event="made blank",
        ),
    )


@pytest.fixture
def blank_dataset(cache, blank_digits) -> Path:
    """A dataset of the digits with nothing measured."""
    path = cache.dataset("digits-vanilla")
    netcdf.save(blank_digits, path)
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("measure", "digit-vanilla"), ("'digit-vanilla'", "did you mean digits-vanilla")),
        (("measure", "digits-vanilla", "--device", "tpu"), ("'tpu'", "auto, cpu")),
        (("measure", "digits-vanilla", "--device", "cuda:99"), ("'cuda:99'", "auto, cpu")),
        (("measure", "digits-vanilla", "--seeds", "7-9"), ("no seed 8", "0-7")),
        (("measure", "digits-vanilla", "--seeds", "all"), ("'all'", "0-7")),
        (("measure", "digits-vanilla", "--seeds", ""), ("''", "0-7")),
        (("measure", "digits-vanilla", "--layers", ""), ("no layer ''", "stage")),
        (("measure", "digits-vanilla", "--out", "README.md"), ("README.md", ".nc")),
        (("measure", "digits-vanilla", "--layers", "stage9.conv"), ("'stage9.conv'", "stage")),
        (("inspect", "nowhere.nc"), ("no dataset at nowhere.nc", "give the path")),
        (("inspect", "nothing"), ("no dataset 'nothing'", "(there: none)", "experiments")),
        (("verify",), ("no dataset in", "measure digits-vanilla")),
        (("verify", "nothing"), ("no dataset 'nothing'",)),
        (("verify", "--images", "."), ("--images .", "name it")),
        (("measure", "digits-vanilla", "--images", "nowhere"), ("nowhere is no folder", "class")),
    ],
)
def test_a_wrong_argument_is_named_with_what_to_do(call, arguments, words) -> None:
    assert_taught(call(*arguments), *words)


def test_a_cut_without_its_layer_is_not_passed_over(call, blank_dataset) -> None:
    assert_taught(call("inspect", str(blank_dataset), "--mode", "KW"), "--mode KW", "--layer")


def test_a_misspelt_dataset_is_named_with_the_nearest(call, blank_dataset) -> None:
    for command in ("inspect", "verify"):
        assert_taught(call(command, "digit-vanilla"), "digits-vanilla", "did you mean")


def test_a_dataset_that_cannot_be_verified_is_told_and_counted(call, blank_dataset) -> None:
    status, out, err = call("verify")
    assert status == 1
    assert out == "0 of 1 dataset verified\n"
    assert "digits-vanilla: not verified: nothing is measured yet" in err


def test_the_version_is_told(call) -> None:
    assert call("--version") == (0, f"{compressibility.__version__}\n", "")


def test_an_unknown_layer_or_cut_of_a_dataset_is_named(call, blank_dataset) -> None:
    file = str(blank_dataset)
    assert_taught(call("inspect", file, "--layer", "conv1"), "'conv1'", "did you mean")
    assert_taught(
        call("inspect", file, "--layer", "stage1.conv", "--mode", "OUT;IN"), "'OUT;IN'", "OUT,KW"
    )


@pytest.mark.parametrize("damage", ["truncated", "foreign", "text", "newer"])
def test_a_damaged_dataset_is_refused_and_left_alone(call, blank_dataset, damage) -> None:
    match damage:
        case "truncated":
            blank_dataset.write_bytes(blank_dataset.read_bytes()[:5000])
        case "foreign":
            blank_dataset.unlink()
            with netCDF4.Dataset(blank_dataset, "w") as file:
                file.createDimension("time", 3)
                file.createVariable("temperature", "f8", ("time",))
        case "text":
            blank_dataset.write_text("not netCDF")
        case "newer":
            dataset = xr.load_dataset(blank_dataset, engine="netcdf4")
            dataset.assign_attrs(schema_version=99).to_netcdf(blank_dataset, engine="netcdf4")
    before = blank_dataset.read_bytes()
    for command in (("inspect", str(blank_dataset)), ("measure", "digits-vanilla")):
        assert_taught(call(*command), str(blank_dataset))
    assert blank_dataset.read_bytes() == before


def test_an_unwritable_place_is_refused_before_anything_is_measured(call, tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    answer = call("measure", "digits-vanilla", "--out", str(blocked / "layers" / "x.nc"))
    assert_taught(answer, str(blocked))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_network_with_a_nan_is_refused(call, cache) -> None:
    images = digits()
    network, _ = networks.initial(DIGITS, 0, images)
    path = cache.checkpoint(DIGITS.name, 0)
    training = networks.training_json(DIGITS, 0, images.checksum)
    checkpoints.save(rounded_to_float16(network), path, training)
    tensors = load_file(path)
    tensors["stage2.conv.weight"][0, 0, 0, 0] = float("nan")
    save_file(tensors, path, metadata={"training": training})
    assert_taught(
        call("measure", "digits-vanilla", "--seeds", "0", "--workers", "1"),
        str(path),
        "stage2.conv.weight",
        "NaN",
    )
    assert not cache.dataset(DIGITS.name).exists()


def test_inspect_takes_the_name_of_an_experiment_and_either_side_of_a_cut(
    call, blank_dataset
) -> None:
    whole = call("inspect", "digits-vanilla")
    assert (0, whole[1]) == whole[:2]
    assert "Vanilla CNN" in whole[1]
    by_name = call("inspect", "digits-vanilla", "--layer", "stage2.conv", "--mode", "IN,KH")
    by_label = call("inspect", str(blank_dataset), "--layer", "stage2.conv", "--mode", "OUT,KW")
    assert by_name[0] == by_label[0] == 0
    assert "means over 0 seeds" in by_label[1]


def test_inspect_says_what_is_missing(call, blank_dataset) -> None:
    status, out, _ = call("inspect", str(blank_dataset))
    assert status == 0
    assert "not measured" in out
    assert DIGITS.title in out


@pytest.mark.usefixtures("small")
def test_layers_that_are_left_out_are_named_with_the_reason(call, cache) -> None:
    measured = call("measure", "small", "--seeds", "0", "--layers", "stage1.conv", "--workers", "1")
    assert measured[0] == 0
    inspected = call("inspect", "small")
    for _, out, _ in (measured, inspected):
        assert "head" in out
        assert "Linear" in out


@pytest.mark.usefixtures("small")
def test_what_failed_is_told_and_the_status_says_so(call, cache, monkeypatch) -> None:
    def diverging(*_: object) -> None:
        raise NumericalError("training loss is nan in epoch 1 of 2")

    monkeypatch.setattr(networks, "train", diverging)
    status, out, err = call("measure", "small", "--seeds", "1", "--workers", "1")
    assert status == cli.FAILED
    assert "0 networks" in out
    assert "seed 1" in err
    assert "training loss is nan in epoch 1 of 2" in err
    assert "Traceback" not in err
    assert "training loss is nan" in call("inspect", "small")[1]


def test_a_defect_is_no_mistake_of_the_users(call, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr("compressibility.measuring.sweep.measure", broken)
    monkeypatch.setattr(sys, "argv", ["compressibility", "measure", "digits-vanilla"])
    with pytest.raises(ValueError, match="broadcast"):
        cli.main()


@pytest.mark.parametrize("arguments", [("--help",), ("measure", "--help"), ("inspect", "--help")])
def test_help_is_there(call, arguments) -> None:
    status, out, _ = call(*arguments)
    assert status == 0
    assert "Usage" in out


def test_the_cache_is_the_checkouts_unless_named(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("COMPRESSIBILITY_CACHE", raising=False)
    assert default().root == Path(__file__).parents[1] / "datasets_cache"
    monkeypatch.setenv("COMPRESSIBILITY_CACHE", str(tmp_path))
    assert default().root == tmp_path


@pytest.mark.usefixtures("small")
def test_a_folder_of_class_sub_folders_is_measured_in_the_place_of_an_experiments_images(
    call, cache, tmp_path
) -> None:
    folder = tmp_path / "shades"
    rng = np.random.default_rng(0)
    for name, brightness in (("dark", 100), ("bright", 160)):
        (folder / name).mkdir(parents=True)
        for number in range(60):
            pixels = np.full((8, 8, 3), np.clip(rng.normal(brightness, 30), 0, 255), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    asked = ("measure", "small", "--images", str(folder), "--seeds", "0")
    status, out, err = call(*asked, "--layers", "stage1.conv", "--workers", "1")
    assert status == 0, err
    path = cache.dataset("shades-small")
    dataset = xr.load_dataset(path, engine="netcdf4")
    assert str(path) in out
    assert dataset.attrs["title"] == "Two convolutions on shades"
    assert int(dataset["n_images"]) == 120 // 6
    assert float(dataset["baseline_accuracy"].sel(seed=0)) > 0.6
    assert str(tmp_path) not in str(dataset.attrs)
    asked_to_verify = ("verify", "shades-small", "--sample", "3", "--images")
    status, out, err = call(*asked_to_verify, str(folder))
    assert status == 0, err
    assert out.startswith("shades-small: 3 of 3 variants hold")
    assert out.endswith("1 of 1 dataset verified\n")
    moved = folder.rename(tmp_path / "elsewhere")
    status, out, err = call("verify")
    assert (status, out) == (1, "0 of 1 dataset verified\n")
    assert "--images" in err
    assert call(*asked_to_verify, str(moved))[0] == 0
    moved.rename(folder)
    (folder / "bright" / "60.png").write_bytes((folder / "dark" / "00.png").read_bytes())
    assert_taught(
        call(*asked, "--layers", "stage1.conv"), "shades-small", "other images", "another name"
    )
    assert_taught(call(*asked), "shades-small", "other images")


def test_too_few_images_for_a_batch_are_refused(call, tmp_path) -> None:
    for name in ("dark", "bright"):
        (tmp_path / "few" / name).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (8, 8), (number,) * 3).save(tmp_path / "few" / name / f"{number}.png")
    asked = ("measure", "digits-vanilla", "--images", str(tmp_path / "few"), "--workers", "1")
    assert_taught(call(*asked), "few: 32 training images", "batch of 64")
