import re
from pathlib import Path

import matplotlib as mpl
import pytest

from analyses.topics import TOPICS
from compressibility.store import netcdf
from tests.synthetic_dataset import make

README = (Path(__file__).parents[1] / "README.md").read_text()
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


def test_the_lines_for_a_network_of_ones_own_run(capsys) -> None:
    exec(BLOCKS[1], {})
    printed = capsys.readouterr().out.split()
    assert printed[0] == "conv1"
    assert len(printed) == 9


def test_the_figure_is_one_that_the_report_draws() -> None:
    (name,) = re.findall(r"`report/figures/digits-vanilla-(.*?)\.svg`", README)
    assert name in {plot.name for topic in TOPICS for plot in topic.plots}
