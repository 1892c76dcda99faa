"""Oracles: plain PyTorch, logits to the last bit, a process without this package."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

import compressibility
from compressibility.compressing import folder
from compressibility.compressing.comparison import Comparison, Side
from compressibility.compressing.compress import chains_of, compress, fine_tuning
from compressibility.compressing.cost import Cost
from compressibility.compressing.figure import front_figure
from compressibility.compressing.judgement import Judgement
from compressibility.compressing.measured import measured
from compressibility.compressing.realised import realised
from compressibility.compressing.recipe import (
    FrontPoint,
    Prediction,
    RecipeError,
    Truncated,
    read_recipe,
)
from compressibility.errors import UserError
from compressibility.experiments.experiment import ExperimentError
from compressibility.networks.latency import Latency
from compressibility.store import netcdf
from tests.learnt import recipe_by_hand
from tests.small_experiment import place_in


def test_statistics_are_those_of_training_images(learnt) -> None:
    network = realised(
        learnt.subject, chains_of(recipe_by_hand(learnt, stage2_conv=("OUT", 2)), learnt)
    )
    images, _ = learnt.subject.training_images(2_048)
    batches = torch.split(images[: len(images) // 128 * 128], 128)
    with torch.no_grad():
        means = torch.stack([network.stage1.conv(each).mean((0, 2, 3)) for each in batches])
    torch.testing.assert_close(network.stage1.norm.running_mean, means.mean(0))
    whole = realised(learnt.subject, {})
    assert torch.equal(
        whole.stage1.norm.running_mean, learnt.subject.network.stage1.norm.running_mean
    )


def test_in_the_metric_of_the_outputs_their_principal_components_are_kept(learnt) -> None:
    recipe = recipe_by_hand(learnt, stage2_conv=("OUT", 3, "outputs"))
    kernel = chains_of(recipe, learnt)["stage2.conv"].kernel()
    own = learnt.subject.kernel("stage2.conv")
    images, _ = learnt.subject.training_images(1_024)
    with torch.no_grad():
        inputs = learnt.subject.network.stage1(images).double()
        outputs = F.conv2d(inputs, torch.from_numpy(own), padding=1)
    U = np.linalg.svd(outputs.transpose(0, 1).flatten(1).numpy(), full_matrices=False)[0][:, :3]
    expected = U @ U.T @ own.reshape(len(own), -1)
    np.testing.assert_allclose(kernel.reshape(len(own), -1), expected, atol=1e-6)


@pytest.fixture(scope="module")
def written(learnt, tmp_path_factory) -> tuple[Path, object]:
    out = tmp_path_factory.mktemp("out") / "small"
    recipe = recipe_by_hand(
        learnt, stage1_conv=("OUT,KW", 2), stage2_conv=("OUT", 3, "outputs"), stage3_conv=("IN", 4)
    )
    return out, compress(learnt, recipe, out, state_folder=out.parent)


def test_a_folder_gives_its_network_back_to_the_last_bit(learnt, written) -> None:
    out, compressed = written
    again = compressibility.load(out)
    with torch.no_grad():
        logits = compressed.network(learnt.subject.images)
        assert torch.equal(again(learnt.subject.images), logits)
    assert not again.training
    right = int((logits.argmax(1) == learnt.subject.labels).sum())
    assert compressed.comparison.compressed.judgement.n_correct == right


def test_the_exported_network_runs_where_this_package_is_not(learnt, written, tmp_path) -> None:
    out, compressed = written
    torch.save(learnt.subject.images[:7].clone(), tmp_path / "images.pt")
    program = f"""
import sys, torch
sys.modules["compressibility"] = None
network = torch.export.load({str(out / folder.EXPORTED)!r}).module()
torch.save(network(torch.load({str(tmp_path / "images.pt")!r})), {str(tmp_path / "logits.pt")!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    with torch.no_grad():
        expected = compressed.network(learnt.subject.images[:7])
    torch.testing.assert_close(torch.load(tmp_path / "logits.pt"), expected)


def test_the_layers_are_pytorchs_own(written) -> None:
    out, _ = written
    for module in compressibility.load(out).modules():
        assert type(module).__module__.startswith("torch.nn")


def test_the_comparison_is_of_the_two_networks(learnt, written) -> None:
    out, compressed = written
    dense, small = compressed.comparison.dense, compressed.comparison.compressed
    assert dense.cost.parameters == sum(p.numel() for p in learnt.subject.network.parameters())
    assert small.cost.parameters == sum(p.numel() for p in compressed.network.parameters())
    assert small.bytes == (out / folder.WEIGHTS).stat().st_size
    assert (out / folder.EXPORTED).stat().st_size < 200_000
    assert dense.judgement.n_correct == int(
        learnt.data.dataset["baseline_n_correct"].sel(seed=0).item()
    )
    card = (out / "README.md").read_text()
    for number in (
        f"{small.cost.parameters:,}",
        f"{small.cost.macs:,}",
        f"{small.judgement.accuracy:.2%}",
    ):
        assert number in card


@pytest.mark.parametrize(
    ("dense", "small", "told"),
    [
        ((1.0, 0.9, 1.1), (0.5, 0.4, 0.6), "faster here: 2.00 times"),
        ((0.5, 0.4, 0.6), (1.0, 0.9, 1.1), "slower here, 2.00 times"),
        ((1.0, 0.9, 1.1), (0.8, 0.7, 0.95), "not faster here"),
        ((0.8, 0.7, 0.95), (1.0, 0.9, 1.1), "not faster here"),
    ],
)
def test_a_network_is_called_faster_only_where_the_intervals_say_so(dense, small, told) -> None:
    sides = [
        Side(Judgement(1, 1, 0, 0), Cost(1, 1), 1, Latency(*each, 50, 1, 1), 1)
        for each in (dense, small)
    ]
    assert Comparison(*sides).verdict.startswith(told)


def test_the_front_is_at_what_is_kept_of_the_measure() -> None:
    prediction = Prediction(2.0, 1.5, 3.0, 0.9, Judgement(100, 90, 3, 1))
    front = [FrontPoint(Cost(0.3, 0.6), prediction)]
    sides = [Side(Judgement(100, 90, 4, 1), Cost(*each), 1, None, 1) for each in ((10, 10), (4, 7))]
    for measure, kept, built in (("macs", 60, 70), ("parameters", 30, 40)):
        [axes] = front_figure(front, measure, Comparison(*sides)).axes
        [drawn] = axes.containers
        points, _, [bar] = drawn
        assert points.get_xydata().tolist() == [[kept, -2.0]]
        assert sorted(bar.get_segments()[0][:, 1]) == [-3.0, -1.5]
        assert axes.lines[-1].get_xydata().tolist() == [[pytest.approx(built), -3.0]]


def test_a_folder_is_renamed_whole_and_gone_where_it_fails(tmp_path) -> None:
    out = tmp_path / "a" / "small"
    with folder.written(out) as aside:
        (aside / "x").write_text("x")
        assert not out.exists()
        number = aside.stat().st_ino
    assert out.stat().st_ino == number

    def fail(aside: Path) -> None:
        (aside / "x").write_text("x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), folder.written(tmp_path / "b") as aside:
        fail(aside)
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    assert [each.name for each in out.parent.iterdir()] == ["small"]


def test_fine_tuning_is_the_training_again_at_a_fifth_of_its_rate(learnt) -> None:
    recipe = learnt.experiment.recipe
    expected = replace(recipe, epochs=3, peak_learning_rate=recipe.peak_learning_rate / 5)
    found = fine_tuning(learnt, 3)
    assert replace(found, peak_learning_rate=0) == replace(expected, peak_learning_rate=0)
    assert found.peak_learning_rate == pytest.approx(expected.peak_learning_rate)
    assert fine_tuning(learnt, 0) is None
    with pytest.raises(UserError, match="-1 epochs"):
        fine_tuning(learnt, -1)


def test_a_network_that_is_not_the_measured_one_is_refused(learnt, learnt_home, tmp_path) -> None:
    dataset = learnt.data.dataset.copy(deep=True)
    dataset["weights_hash"][...] = "0" * 64
    netcdf.save(dataset, tmp_path / "other.nc")
    with pytest.raises(ExperimentError, match="is not the network that was measured"):
        measured(tmp_path / "other.nc", 0, place_in(learnt_home))


def test_the_front_is_drawn_against_what_the_budget_limits(learnt, tmp_path) -> None:
    recipe = recipe_by_hand(learnt, stage2_conv=("OUT", 2))
    for measure, label in (("macs", "multiply-accumulates"), ("parameters", "parameters")):
        out = tmp_path / measure
        compress(learnt, replace(recipe, measure=measure), out, state_folder=tmp_path)
        assert f"<!-- {label} kept" in (out / "front.svg").read_text()


def test_what_is_done_is_told_while_it_is_done(learnt, tmp_path) -> None:
    told = []
    recipe = recipe_by_hand(learnt, stage2_conv=("OUT", 2))
    compress(
        learnt, recipe, tmp_path / "out", epochs=1, state_folder=tmp_path,
        report=lambda what, progress: told.append((what, progress and progress.epoch)),
    )  # fmt: skip
    assert told == [
        ("building the network", None),
        ("fine-tuning", 1),
        ("asking the test images", None),
        ("timing", None),
        ("exporting", None),
    ]


def test_fine_tuning_goes_on_where_it_was_stopped(learnt, tmp_path) -> None:
    recipe = recipe_by_hand(learnt, stage2_conv=("OUT", 2))

    def stopping(_, progress) -> None:
        if progress is not None and progress.epoch == 2:
            raise KeyboardInterrupt

    out = tmp_path / "tuned"
    with pytest.raises(KeyboardInterrupt):
        compress(learnt, recipe, out, epochs=3, state_folder=tmp_path / "state", report=stopping)
    assert list(tmp_path.glob("*tuned*")) == []
    epochs = []

    def noting(_, progress) -> None:
        if progress is not None:
            epochs.append(progress.epoch)

    resumed = compress(learnt, recipe, out, epochs=3, state_folder=tmp_path / "state",
                       report=noting)  # fmt: skip
    assert epochs == [3]
    whole = compress(learnt, recipe, tmp_path / "whole", epochs=3, state_folder=tmp_path / "other")
    for one, other in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(one, other)
    assert list((tmp_path / "state").iterdir()) == []


def test_a_recipe_of_another_network_or_layer_is_refused(learnt) -> None:
    good = recipe_by_hand(learnt, stage2_conv=("OUT", 2))
    for changed, told in (
        (replace(good, weights_hash="0" * 64), "of other network"),
        (replace(good, images_checksum="0" * 64), "of other images"),
        (replace(good, layers={"stage2.con": Truncated("OUT", 2)}), "did you mean stage2.conv"),
        (replace(good, layers={"stage2.conv": Truncated("OUT", 11)}), "rank 11 exceeds the 10"),
    ):
        with pytest.raises(RecipeError, match=told):
            chains_of(changed, learnt)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no JSON"),
        ("[]", "no recipe of version 1"),
        ('{"version": 2}', "no recipe of version 1"),
        ('{"version": 1}', "is no recipe"),
    ],
)
def test_files_that_are_no_recipes_are_refused(text, told, tmp_path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(RecipeError, match=told):
        read_recipe(path)


def test_a_folder_whose_files_are_not_of_one_another_is_refused(written, tmp_path) -> None:
    out, _ = written

    def copied(**files: bytes) -> Path:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        for name in (folder.WEIGHTS, folder.CONFIG):
            (place / name).write_bytes(files.get(name.partition(".")[0], (out / name).read_bytes()))
        return place

    compressibility.load(copied())
    weights, config = (out / folder.WEIGHTS).read_bytes(), (out / folder.CONFIG).read_text()
    changed = bytearray(weights)
    changed[-1] ^= 1
    for files, told in (
        ({"model": bytes(changed)}, "is not the file that config.json tells of"),
        ({"model": weights[:100]}, "cannot be read"),
        ({"config": config.replace('"rank": 3', '"rank": 2').encode()}, "does not fit the network"),
        ({"config": config.replace('"version": 1', '"version": 9').encode()}, "version 1"),
        ({"config": b"{}"}, "version 1"),
        ({"config": b"?"}, "no JSON"),
        ({"config": config.replace("VanillaCNN", "Other").encode()}, "architecture"),
    ):
        with pytest.raises(folder.FolderError, match=told):
            compressibility.load(copied(**files))
