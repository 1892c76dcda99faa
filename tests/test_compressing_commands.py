"""Oracles: the files that are written, and what a user is told."""

import json

import pytest
import torch

from compressibility.compressing.realised import Judge
from tests.taught import assert_taught


@pytest.fixture
def commands(learnt_home, call, monkeypatch, tmp_path):
    monkeypatch.setenv("COMPRESSIBILITY_CACHE", str(learnt_home))
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
        (("--max-drop", "1", "--measure", "time"), "choose from macs, parameters"),
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


def test_a_judge_counts_as_by_hand(learnt) -> None:
    judge = Judge(learnt.subject, learnt.subject.images, learnt.subject.labels)
    same = judge.judge(learnt.subject.network)
    assert same == judge.dense
    with torch.no_grad():
        right = learnt.subject.network(learnt.subject.images).argmax(1) == learnt.subject.labels
    assert same.n_correct == int(right.sum())
    assert (same.n_lost, same.n_gained) == (0, 0)
