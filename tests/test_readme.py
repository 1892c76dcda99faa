import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from analyses.topics import TOPICS
from compressibility.networks.imported import built_by
from compressibility.store import netcdf
from compressibility.store.reading import LayerData
from tests.synthetic_dataset import make

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(autouse=True)
def _without_a_screen():
    with mpl.rc_context():
        mpl.use("agg")
        yield


def test_the_lines_that_open_a_dataset_plot_its_accuracy(tmp_path, monkeypatch) -> None:
    stages = make(n_seeds=2, names=tuple(f"stage{n}.conv" for n in range(1, 5)))
    netcdf.save(stages, tmp_path / "datasets_cache/layers/digits-vanilla.nc")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(BLOCKS[0], names)
    curve = names["plt"].gca().lines[0]
    expected = names["dataset"]["accuracy"].sel(layer="stage2.conv", mode="OUT").mean("seed")
    assert curve.get_ydata().tolist() == pytest.approx(expected.values.tolist())
    names["plt"].close("all")
    names["dataset"].close()


def test_the_file_that_passes_arguments_builds_a_network(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_model.py").write_text(BLOCKS[1])
    monkeypatch.syspath_prepend(str(tmp_path))
    assert built_by("my_model:build").fc.out_features == 10


def test_the_lines_for_a_notebook_run(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(BLOCKS[2], names)
    small, network = (
        sum(p.numel() for p in names[name].parameters()) for name in ("small", "network")
    )
    assert small < network
    assert names["critical"]["critical_norm_loss"].sel(layer="features.0").shape == (7, 1)
    assert 0 <= names["evaluation"].n_correct <= 20
    assert capsys.readouterr().out.split()[0] == str(names["evaluation"].n_correct)
    LayerData(netcdf.open_dataset(tmp_path / "my-network.nc"))


def test_the_house_is_drawn_with_every_place() -> None:
    [house] = re.findall(r"## The house\n\n```\n(.*?)```", README, flags=re.DOTALL)
    drawn = set(re.findall(r"[a-z_]+", house))
    places = {
        path.stem
        for path in (ROOT / "compressibility").iterdir()
        if (path.suffix == ".py" or path.is_dir()) and not path.name.startswith("_")
    }
    assert places <= drawn
    for package in ("tensors", "networks"):
        listed = {p.stem for p in (ROOT / "compressibility" / package).glob("[!_]*.py")}
        assert listed - {"arrays", "fitting", "devices"} <= drawn


def test_the_figure_is_one_that_the_report_draws() -> None:
    (name,) = re.findall(r"`report/figures/digits-vanilla-(.*?)\.svg`", README)
    assert name in {plot.name for topic in TOPICS for plot in topic.plots}
