"""One thread for each test process; the command line as it is called, in a cache of its own."""

import os
import sys

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

from compressibility import cli
from compressibility.store.cache import Cache


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
