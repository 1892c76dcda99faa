"""Oracles: exit statuses, lines on stderr, and the files that are there afterwards."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analyses.__main__ import joined, main, names
from analyses.report.reading import read_all
from analyses.report.write import write
from compressibility.store.netcdf import save
from tests.synthetic_dataset import Effects, make
from tests.tags import Tags
from tests.undrawn import undrawn


def small(n_seeds):
    return make(n_seeds=n_seeds, names=("a",), shapes=((6, 4, 3, 3),))


@pytest.fixture(scope="module")
def dataset():
    shapes = {"names": ("a", "b", "c"), "shapes": ((12, 8, 3, 3),) * 3}
    effects = Effects(structure=1.0, cut={"OUT": 0.6}, depth=1.0, perturbation=2.0, flatness=0.3)
    return make(effects, np.random.default_rng(2), n_seeds=6, **shapes)


@pytest.fixture(scope="module")
def cache(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("cache")
    save(dataset, root / "layers" / "digits-vanilla.nc")
    return root


@pytest.fixture
def here(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("COMPRESSIBILITY_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def exit_status(arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return left.value.code


def test_everything_is_written_and_told(here, capsys):
    assert exit_status([]) == 0
    out = capsys.readouterr().out
    assert "supported" in out
    assert "Report: report/index.html" in out
    pages = {p.name for p in (here / "report").iterdir() if p.is_file()}
    assert pages == {
        "index.html",
        "digits-vanilla.html",
        "digits-vanilla-layers.html",
        "claims.md",
        "findings.json",
        "findings.schema.json",
    }
    figures = sorted(p.name for p in (here / "report" / "figures").iterdir())
    assert "digits-vanilla-cuts-norm-loss.svg" in figures
    assert "digits-vanilla-cuts-norm-loss.csv" in figures
    assert len(figures) == 63
    assert not list((here / "report").rglob(".*"))
    for name in pages - {"findings.json", "findings.schema.json", "claims.md"}:
        for reference in Tags((here / "report" / name).read_text()).references:
            file = reference.partition("#")[0]
            assert reference.startswith("https:") or not file or (here / "report" / file).is_file()


@pytest.mark.usefixtures("_undrawn")
def test_of_all_datasets_those_of_most_networks_come_first(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPRESSIBILITY_CACHE", str(tmp_path))
    for name, n_seeds in (("few", 2), ("many", 3)):
        save(small(n_seeds), tmp_path / "layers" / f"{name}.nc")
    assert exit_status(["--report", str(tmp_path / "report")]) == 0
    text = (tmp_path / "report" / "index.html").read_text()
    assert text.index('id="many"') < text.index('id="few"')


@pytest.mark.usefixtures("_undrawn")
def test_a_report_on_chosen_files_leaves_that_on_everything(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMPRESSIBILITY_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for file in ("layers/digits-vanilla.nc", "my.nc", "other.nc"):
        save(small(1), Path(file))
    assert exit_status([]) == 0
    before = (tmp_path / "report" / "index.html").read_text()
    assert exit_status(["my.nc", "other.nc"]) == 0
    assert "Report: report/my+other/index.html" in capsys.readouterr().out
    assert (tmp_path / "report" / "index.html").read_text() == before
    text = (tmp_path / "report" / "my+other" / "my.html").read_text()
    assert "xr.open_dataset(&#34;my.nc&#34;)" in text
    assert joined(["a", "b", "c", "d"]) == "a+3-others"


def test_several_processes_give_what_one_gives(tmp_path):
    """Oracle: the same files read one after the other."""
    files = {}
    for name, n_seeds in (("few", 1), ("many", 2)):
        files[tmp_path / f"{name}.nc"] = name
        save(small(n_seeds), tmp_path / f"{name}.nc")
    one, two = (
        write(
            sorted((c for c, _ in read_all(files, processes=n)), key=lambda c: c.name),
            tmp_path / str(n),
        )
        for n in (1, 2)
    )
    names = sorted(p.relative_to(one.parent) for p in one.parent.rglob("*.*"))
    assert len(names) > 40
    for name in names:
        assert (one.parent / name).read_bytes() == (two.parent / name).read_bytes()


@pytest.fixture
def _undrawn(monkeypatch):
    monkeypatch.setattr("analyses.__main__.PROCESSES", 1)
    with undrawn():
        yield


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "compressibility experiments"),
        (["nowhere/x.nc"], "no dataset at nowhere/x.nc"),
        (["foreign.nc"], "foreign.nc"),
        (["--report", "taken"], "--report"),
        (["--report", "/proc/x"], "cannot write the report to"),
    ],
)
def test_bad_input_is_one_line_and_status_2(here, capsys, arguments, message):
    (here / "foreign.nc").write_bytes(b"not a dataset")
    (here / "taken").write_text("a file")
    assert exit_status(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (here / "report").exists()


def test_without_any_dataset_the_command_that_measures_one_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMPRESSIBILITY_CACHE", str(tmp_path))
    assert exit_status([]) == 2
    error = capsys.readouterr().err
    assert "compressibility measure digits-vanilla" in error
    assert error.count("\n") == 1


def test_the_command_itself_refuses_without_a_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "analyses", "nothing"],
        cwd=Path(__file__).parents[1],
        env={"COMPRESSIBILITY_CACHE": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_defect_is_a_traceback_and_status_1(cache):
    """Here a variable of another type than the schema's, behind the validation's back."""
    code = (
        "import analyses.__main__ as command\n"
        "import analyses.report.reading as reading\n"
        "reading.open_dataset = lambda path: 1\n"
        "command.main(['digits-vanilla'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env={"COMPRESSIBILITY_CACHE": str(cache), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_files_of_one_name_are_told_apart_by_their_folders():
    paths = [Path("/runs/a/x.nc"), Path("/runs/b/x.nc"), Path("/other/a/x.nc"), Path("/c/y.nc")]
    assert list(names(paths).values()) == ["runs-a-x", "b-x", "other-a-x", "y"]
    for name in ("index", "figures", "x-layers"):
        assert list(names([Path(f"/runs/{name}.nc")]).values()) == [f"{name}-dataset"]
