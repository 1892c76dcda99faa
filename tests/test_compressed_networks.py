"""Oracles: layers counted in the network that is built, logits to the last bit, plain PyTorch."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import compressibility
from compressibility.compressing import folder
from compressibility.compressing.advice import Adviser, Budget, BudgetError
from compressibility.compressing.comparison import macs_of
from compressibility.compressing.compress import chains_of, compress
from compressibility.compressing.measured import Measured, measured
from compressibility.compressing.options import held_out_losses, layers_of
from compressibility.compressing.realised import Judge, realised
from compressibility.compressing.recipe import (
    CompressionRecipe,
    RecipeError,
    Truncated,
    read_recipe,
)
from compressibility.compressing.search import Search, cost_of, undominated
from compressibility.errors import UserError
from compressibility.evaluation import Evaluator
from compressibility.networks.architectures import VanillaCNN
from compressibility.quantities.held_out import HeldOut
from compressibility.quantities.truncations import Truncation
from compressibility.quantities.whitened import WhitenedTruncation
from compressibility.store.reading import NotMeasuredError
from tests.small_experiment import SMALL, measure_in, place_in
from tests.taught import assert_taught

LEARNT = replace(
    SMALL,
    architecture=VanillaCNN(channels=(6, 10, 12), pooled=(1,)),
    recipe=replace(SMALL.recipe, epochs=6),
    seeds=(0,),
    plans=(Truncation(), HeldOut(), WhitenedTruncation(images=64)),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A cache in which the small experiment is measured."""
    root = tmp_path_factory.mktemp("cache")
    measure_in(root, LEARNT)
    return root


@pytest.fixture(scope="module")
def found(home) -> Measured:
    return measured(place_in(home).cache.dataset("small"), 0, place_in(home))


@pytest.fixture(scope="module")
def adviser(found) -> Adviser:
    return Adviser(found.data, found.subject)


@pytest.fixture(scope="module")
def advice(adviser):
    return adviser.advise(Budget(share=0.6))


def recipe_by_hand(found: Measured, **layers: tuple) -> CompressionRecipe:
    return CompressionRecipe(
        "small", 0, found.subject.weights_hash, found.images_checksum, "by hand", "macs",
        {name.replace("_", "."): Truncated(*each) for name, each in layers.items()},
    )  # fmt: skip


# options


def test_parameters_and_macs_of_options_are_those_of_the_network_that_is_built(found) -> None:
    layers = layers_of(found.data, found.subject)
    dense = macs_of(found.subject.network, found.subject.images[:1])
    weights = sum(p.numel() for p in found.subject.network.parameters())
    checked = 0
    for layer in layers.values():
        for option in layer.options[1:]:
            network = realised(found.subject, {option.layer: layer.chain(option)})
            before = layer.options[0]
            assert macs_of(network, found.subject.images[:1]) == dense + option.macs - before.macs
            found_weights = sum(p.numel() for p in network.parameters())
            assert found_weights == weights + option.parameters - before.parameters
            assert option.macs < before.macs
            assert option.parameters < before.parameters
            checked += 1
    assert checked > 20


def test_the_loss_of_an_option_is_what_the_dataset_counted(found) -> None:
    data = found.data
    for layer in layers_of(data, found.subject).values():
        for option in layer.options[1:]:
            ranks = data["rank"].sel(layer=option.layer, seed=0, mode=option.cut)
            place = int(np.flatnonzero(ranks.values == option.rank)[0])
            counts = found.data.dataset.sel(layer=option.layer, seed=0)
            name = {"weights": "held_out_n_correct", "outputs": "whitened_held_out_n_correct"}
            lost = (
                int(counts["held_out_baseline_n_correct"])
                - int(counts[name[option.metric]].sel(mode=option.cut)[place])
            ) / int(counts["held_out_n_images"])
            assert option.loss == pytest.approx(lost)


def test_ranks_are_raised_to_a_multiple_and_never_lowered(found) -> None:
    plain = layers_of(found.data, found.subject)
    for name, layer in layers_of(found.data, found.subject, multiple_of=4).items():
        measured_ranks = {(o.cut, o.metric, o.rank) for o in plain[name].options}
        for option in layer.options[1:]:
            assert option.rank % 4 == 0
            raised_from = {(option.cut, option.metric, option.rank - less) for less in range(4)}
            assert raised_from & measured_ranks


def test_layers_that_are_excluded_stay_as_they_are(found) -> None:
    layers = layers_of(found.data, found.subject, excluded=["stage[12].*"])
    assert [len(layer.options) for layer in layers.values()][:2] == [1, 1]
    assert len(layers["stage3.conv"].options) > 1
    with pytest.raises(UserError, match=r"the pattern 'stage9\*' fits no layer: they are stage1"):
        layers_of(found.data, found.subject, excluded=["stage9*"])
    with pytest.raises(UserError, match="multiples of 0"):
        layers_of(found.data, found.subject, multiple_of=0)


def test_without_held_out_images_nothing_is_chosen(found) -> None:
    dataset = found.data.dataset.copy(deep=True)
    dataset["held_out_n_images"][...] = 0
    with pytest.raises(NotMeasuredError, match="held out"):
        held_out_losses(type(found.data)(dataset), 0)


# search


def test_no_undominated_option_is_beaten_by_another(found) -> None:
    for layer in layers_of(found.data, found.subject).values():
        kept = undominated(layer.options, "macs")
        assert layer.options[0] in kept
        for option in set(layer.options) - set(kept):
            assert any(
                o.macs <= option.macs and o.loss <= option.loss and o != option for o in kept
            )
        for option in kept[:-1]:
            others = [o for o in layer.options if o.macs <= option.macs and o != option]
            assert all(o.loss >= option.loss for o in others)


@pytest.mark.parametrize("measure", ["macs", "parameters"])
@pytest.mark.parametrize("rounds", [0, 2])
def test_a_choice_costs_no_more_than_its_limit(found, measure, rounds) -> None:
    images, labels = found.subject.held_out_images(None)
    layers = layers_of(found.data, found.subject)
    search = Search(layers, Evaluator(found.subject.network, images, labels), measure, rounds)
    whole = sum(cost_of(layer.options[0], measure) for layer in layers.values())
    for share in (0.9, 0.5, 0.3):
        choice = search.within(share * whole)
        assert sum(cost_of(option, measure) for option in choice.values()) <= share * whole
    assert search.within(0.99 * search.cheapest) is None


def test_a_choice_after_joint_trials_loses_no_more_than_the_sums(found) -> None:
    images, labels = found.subject.held_out_images(None)
    layers = layers_of(found.data, found.subject)
    evaluator = Evaluator(found.subject.network, images, labels)
    whole = sum(layer.options[0].macs for layer in layers.values())

    def loss(choice) -> float:
        network = realised_without_statistics(found.subject.network, layers, choice)
        with torch.no_grad():
            return float(F.cross_entropy(network(images).double(), labels))

    sums = [Search(layers, evaluator, rounds=0).within(s * whole) for s in (0.7, 0.5, 0.35)]
    tried = Search(layers, evaluator, rounds=3)
    joint = [tried.within(share * whole) for share in (0.7, 0.5, 0.35)]
    losses = [(loss(one), loss(other)) for one, other in zip(joint, sums, strict=True)]
    assert sum(one for one, _ in losses) < sum(other for _, other in losses)


def realised_without_statistics(network, layers, choice) -> nn.Module:
    return compressibility.compress(
        network,
        {name: layers[name].chain(option) for name, option in choice.items() if option.cut},
    )


# advice


def test_advice_keeps_what_it_was_asked_for(advice) -> None:
    assert advice.share(advice.chosen) <= 0.6
    shares = [advice.share(each) for each in advice.front]
    assert shares == sorted(shares, reverse=True)
    assert advice.chosen in advice.front


def test_the_whole_networks_cost_is_that_of_the_network_that_is_built(adviser, found) -> None:
    for candidate in (adviser.dense, adviser.within(0.5)):
        chains = {
            name: adviser.layers[name].chain(option)
            for name, option in candidate.choice.items()
            if option.cut
        }
        network = realised(found.subject, chains)
        assert candidate.macs == macs_of(network, found.subject.images[:1])
        # the head's biases and the batch norms, which have no kernel, stay
        others = sum(p.numel() for p in network.parameters() if p.ndim == 1)
        assert candidate.parameters == sum(p.numel() for p in network.parameters()) - others


def test_chosen_and_judged_are_on_the_two_halves_of_the_held_out_images(advice, found) -> None:
    images, labels = found.subject.held_out_images(None)
    half = len(labels) // 2
    layers = layers_of(found.data, found.subject)
    chains = {o.layer: layers[o.layer].chain(o) for o in advice.chosen.truncated}
    network = realised(found.subject, chains)
    for judged, part in (
        (advice.chosen.on_choosing, slice(None, half)),
        (advice.chosen.on_judging, slice(half, None)),
    ):
        with torch.no_grad():
            before, after = (
                each(images[part]).argmax(1) == labels[part]
                for each in (found.subject.network, network)
            )
        assert judged.n_images == len(labels[part])
        assert judged.n_correct == int(after.sum())
        assert judged.n_lost == int((before & ~after).sum())
        assert judged.n_gained == int((after & ~before).sum())


def test_the_largest_drop_is_kept_where_it_was_chosen(adviser) -> None:
    strict, loose = (adviser.advise(Budget(max_drop=drop)) for drop in (2.0, 10.0))
    assert strict.chosen.on_choosing.points_lost <= 2
    assert loose.chosen.on_choosing.points_lost <= 10
    assert loose.share(loose.chosen) < strict.share(strict.chosen) < 1


def test_a_budget_that_cannot_be_met_is_refused_with_the_best_that_can(adviser) -> None:
    with pytest.raises(BudgetError, match=r"keeps as little as 0.1% .*: the least is \d"):
        adviser.advise(Budget(share=0.001))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "give one of them"),
        ({"share": 0.5, "max_drop": 1.0}, "give one of them"),
        ({"share": 0.0}, "more than 0"),
        ({"share": 1.5}, "at most 1"),
        ({"max_drop": -1.0}, "-1 points"),
        ({"max_drop": float("nan")}, "nan points"),
    ],
)
def test_budgets_that_ask_for_nothing_are_refused(settings, told) -> None:
    with pytest.raises(UserError, match=told):
        Budget(**settings)


# the network of a recipe


def test_statistics_are_those_of_training_images(found) -> None:
    network = realised(
        found.subject, chains_of(recipe_by_hand(found, stage2_conv=("OUT", 2)), found)
    )
    images, _ = found.subject.training_images(2_048)
    batches = torch.split(images[: len(images) // 128 * 128], 128)
    with torch.no_grad():
        means = torch.stack([network.stage1.conv(each).mean((0, 2, 3)) for each in batches])
    torch.testing.assert_close(network.stage1.norm.running_mean, means.mean(0))
    whole = realised(found.subject, {})
    assert torch.equal(
        whole.stage1.norm.running_mean, found.subject.network.stage1.norm.running_mean
    )


def test_in_the_metric_of_the_outputs_their_principal_components_are_kept(found) -> None:
    recipe = recipe_by_hand(found, stage2_conv=("OUT", 3, "outputs"))
    kernel = chains_of(recipe, found)["stage2.conv"].kernel()
    own = found.subject.kernel("stage2.conv")
    images, _ = found.subject.training_images(1_024)
    with torch.no_grad():
        inputs = found.subject.network.stage1(images).double()
        outputs = F.conv2d(inputs, torch.from_numpy(own), padding=1)
    U = np.linalg.svd(outputs.transpose(0, 1).flatten(1).numpy(), full_matrices=False)[0][:, :3]
    expected = U @ U.T @ own.reshape(len(own), -1)
    np.testing.assert_allclose(kernel.reshape(len(own), -1), expected, atol=1e-6)


@pytest.fixture(scope="module")
def written(found, tmp_path_factory) -> tuple[Path, object]:
    out = tmp_path_factory.mktemp("out") / "small"
    recipe = recipe_by_hand(
        found, stage1_conv=("OUT,KW", 2), stage2_conv=("OUT", 3, "outputs"), stage3_conv=("IN", 4)
    )
    return out, compress(found, recipe, out, state_folder=out.parent)


def test_a_folder_gives_its_network_back_to_the_last_bit(found, written) -> None:
    out, compressed = written
    again = compressibility.load(out)
    with torch.no_grad():
        logits = compressed.network(found.subject.images)
        assert torch.equal(again(found.subject.images), logits)
    assert not again.training
    right = int((logits.argmax(1) == found.subject.labels).sum())
    assert compressed.comparison.compressed.judgement.n_correct == right


def test_the_exported_network_runs_where_this_package_is_not(found, written, tmp_path) -> None:
    out, compressed = written
    torch.save(found.subject.images[:7].clone(), tmp_path / "images.pt")
    program = f"""
import sys, torch
sys.modules["compressibility"] = None
network = torch.export.load({str(out / folder.EXPORTED)!r}).module()
torch.save(network(torch.load({str(tmp_path / "images.pt")!r})), {str(tmp_path / "logits.pt")!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    with torch.no_grad():
        expected = compressed.network(found.subject.images[:7])
    torch.testing.assert_close(torch.load(tmp_path / "logits.pt"), expected)


def test_the_layers_are_pytorchs_own(written) -> None:
    out, _ = written
    for module in compressibility.load(out).modules():
        assert type(module).__module__.startswith("torch.nn")


def test_the_comparison_is_of_the_two_networks(found, written) -> None:
    out, compressed = written
    dense, small = compressed.comparison.dense, compressed.comparison.compressed
    assert dense.parameters == sum(p.numel() for p in found.subject.network.parameters())
    assert small.parameters == sum(p.numel() for p in compressed.network.parameters())
    assert small.bytes == (out / folder.WEIGHTS).stat().st_size
    assert (out / folder.EXPORTED).stat().st_size < 200_000
    assert dense.judgement.n_correct == int(
        found.data.dataset["baseline_n_correct"].sel(seed=0).item()
    )
    card = (out / "README.md").read_text()
    for number in (f"{small.parameters:,}", f"{small.macs:,}", f"{small.judgement.accuracy:.2%}"):
        assert number in card


def test_fine_tuning_goes_on_where_it_was_stopped(found, tmp_path) -> None:
    recipe = recipe_by_hand(found, stage2_conv=("OUT", 2))

    def stopping(progress) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    out = tmp_path / "tuned"
    with pytest.raises(KeyboardInterrupt):
        compress(found, recipe, out, epochs=3, state_folder=tmp_path / "state", report=stopping)
    assert list(tmp_path.glob("*tuned*")) == []
    epochs = []
    resumed = compress(found, recipe, out, epochs=3, state_folder=tmp_path / "state",
                       report=lambda each: epochs.append(each.epoch))  # fmt: skip
    assert epochs == [3]
    whole = compress(found, recipe, tmp_path / "whole", epochs=3, state_folder=tmp_path / "other")
    for one, other in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(one, other)
    assert list((tmp_path / "state").iterdir()) == []


# what does not fit


def test_a_recipe_of_another_network_or_layer_is_refused(found) -> None:
    good = recipe_by_hand(found, stage2_conv=("OUT", 2))
    for changed, told in (
        (replace(good, weights_hash="0" * 64), "of other network"),
        (replace(good, images_checksum="0" * 64), "of other images"),
        (replace(good, layers={"stage2.con": Truncated("OUT", 2)}), "did you mean stage2.conv"),
        (replace(good, layers={"stage2.conv": Truncated("OUT", 11)}), "rank 11 exceeds the 10"),
    ):
        with pytest.raises(RecipeError, match=told):
            chains_of(changed, found)


def test_a_recipe_is_read_as_it_was_saved_and_an_edited_one_predicts_nothing(
    advice, found, tmp_path
) -> None:
    from compressibility.compressing.recipe import recipe_of

    path = tmp_path / "recipe.json"
    recipe = recipe_of(
        advice, experiment="small", seed=0, weights_hash=found.subject.weights_hash,
        images_checksum=found.images_checksum, n_test=100,
    )  # fmt: skip
    recipe.save(path)
    assert read_recipe(path) == recipe
    assert recipe.prediction is not None
    data = json.loads(path.read_text())
    data["layers"].pop(next(iter(data["layers"])))
    path.write_text(json.dumps(data))
    edited = read_recipe(path)
    assert edited.prediction is None
    assert edited.front == ()
    assert edited.budget == "edited by hand"


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


# the commands


@pytest.fixture
def commands(home, call, monkeypatch, tmp_path):
    monkeypatch.setenv("COMPRESSIBILITY_CACHE", str(home))
    monkeypatch.chdir(tmp_path)
    return call


def test_from_a_dataset_to_a_folder(commands, tmp_path) -> None:
    status, out, _ = commands("advise", "small", "--macs", "60%", "--rounds", "1")
    assert status == 0
    assert "Predicted, without training" in out
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert (tmp_path / "recipe.svg").exists()
    status, out, _ = commands("compress", "small", "recipe.json", "--out", "smaller",
                              "--epochs", "1")  # fmt: skip
    assert status == 0
    assert "After fine-tuning" in out
    assert "faster here" in out or "slower here" in out
    names = {"model.safetensors", "config.json", "recipe.json", "README.md", "model.pt2",
             "front.svg"}  # fmt: skip
    assert names <= {path.name for path in (tmp_path / "smaller").iterdir()}
    assert json.loads((tmp_path / "smaller" / "recipe.json").read_text()) == recipe
    answer = commands("compress", "small", "recipe.json", "--out", "smaller")
    assert_taught(answer, "smaller is there already")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "no budget given"),
        (("--macs", "50%", "--max-drop", "1"), "--max-drop and --macs given"),
        (("--macs", "half"), "is no share"),
        (("--macs", "150%"), "at most 1"),
        (("--macs", "0.1%", "--rounds", "0"), "the least is"),
        (("--max-drop", "1", "--measure", "time"), "choose macs or parameters"),
        (("--macs", "50%", "--seed", "7"), "has no seed 7: choose from 0"),
        (("--macs", "50%", "--exclude", "x*"), "fits no layer"),
        (("--macs", "50%", "--out", "recipe.txt"), "ends in .json"),
    ],
)
def test_what_cannot_be_advised_is_told_in_a_line(commands, arguments, told, tmp_path) -> None:
    assert_taught(commands("advise", "small", *arguments), told)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_is_not_there_is_told_in_a_line(commands) -> None:
    assert_taught(
        commands("compress", "small", "none.json", "--out", "x"), "compressibility advise"
    )


def test_a_judge_counts_as_by_hand(found) -> None:
    judge = Judge(found.subject, found.subject.images, found.subject.labels)
    same = judge.judge(found.subject.network)
    assert same == judge.dense
    with torch.no_grad():
        right = found.subject.network(found.subject.images).argmax(1) == found.subject.labels
    assert same.n_correct == int(right.sum())
    assert (same.n_lost, same.n_gained) == (0, 0)
