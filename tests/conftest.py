"""One thread for each test process, the command line in a cache of its own, shared datasets."""

import gc
import os
import sys

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import xarray as xr

from compressibility import cli
from compressibility.store.cache import Cache
from tests.synthetic_dataset import NULL, PLANTED, Effects, make

gc.set_threshold(200_000, 50, 50)  # as in analyses.report.reading


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Cache:
    monkeypatch.setenv("COMPRESSIBILITY_CACHE", str(tmp_path))
    return Cache(tmp_path)


@pytest.fixture
def call(cache, monkeypatch, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["compressibility", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


@pytest.fixture(scope="session")
def null() -> xr.Dataset:
    return make(NULL, np.random.default_rng(1))


@pytest.fixture(scope="session")
def planted() -> xr.Dataset:
    return make(PLANTED, np.random.default_rng(2))


@pytest.fixture(scope="session")
def planted_answers(planted):
    """Every claim answered of it."""
    from tests.answered import answers

    return answers(planted)


@pytest.fixture(scope="session")
def dataset() -> xr.Dataset:
    effects = Effects(structure=1.0, cut={"OUT": 0.6}, depth=1.0, perturbation=2.0, flatness=0.3)
    return make(effects, np.random.default_rng(2), title="planted <effects> & such")


@pytest.fixture(scope="session")
def three():
    """Every figure and its table, of three networks."""
    from tests.drawn import Drawn  # draws for seconds, which few modules need

    return Drawn(3)


@pytest.fixture(scope="session")
def learnt_home(tmp_path_factory):
    """A cache in which the small experiment that is compressed is measured."""
    from tests.learnt import LEARNT
    from tests.small_experiment import measure_in

    root = tmp_path_factory.mktemp("learnt")
    measure_in(root, LEARNT)
    return root


@pytest.fixture(scope="session")
def learnt(learnt_home):
    """Its network."""
    from compressibility.compressing.measured import measured
    from tests.small_experiment import place_in

    return measured(place_in(learnt_home).cache.dataset("small"), 0, place_in(learnt_home))


@pytest.fixture(scope="session")
def small_measured(tmp_path_factory):
    """A cache in which the small experiment is measured, and the dataset that was returned."""
    from tests.small_experiment import measure_in

    root = tmp_path_factory.mktemp("small")
    return root, measure_in(root)


@pytest.fixture(scope="session")
def small_home(small_measured):
    """The cache alone."""
    return small_measured[0]


@pytest.fixture(scope="session")
def small_dataset(small_measured) -> xr.Dataset:
    """The dataset alone."""
    return small_measured[1]
