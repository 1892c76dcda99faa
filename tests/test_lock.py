"""Two measurements of one experiment, against the operating system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from compressibility.measuring.lock import BusyError, exclusive
from compressibility.store.netcdf import DatasetError

ROOT = Path(__file__).parents[1]


def holder(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the dataset until it is killed."""
    program = f"""
import time
from compressibility.measuring.lock import exclusive
with exclusive({str(path)!r}, "drawn"):
    print("held", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_measurement_is_told_who_holds_the_first(tmp_path: Path) -> None:
    path = tmp_path / "layers" / "drawn.nc"
    process = holder(path)
    try:
        for _ in range(2):
            with pytest.raises(BusyError) as caught, exclusive(path, "drawn"):
                pass
            assert f"experiment drawn is being measured by process {process.pid}" in str(
                caught.value
            )
            assert "\n" not in str(caught.value)
    finally:
        process.kill()
        process.communicate()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "drawn.nc"
    process = holder(path)
    process.kill()
    process.communicate()
    with exclusive(path, "drawn"):
        pass


def test_the_lock_is_free_after_an_exception(tmp_path: Path) -> None:
    path = tmp_path / "drawn.nc"
    with pytest.raises(KeyboardInterrupt), exclusive(path, "drawn"):
        raise KeyboardInterrupt
    told = pytest.raises(BusyError, match=f"by process {os.getpid()}")
    with exclusive(path, "drawn"), told, exclusive(path, "drawn"):
        pass


def test_different_datasets_do_not_hinder_one_another(tmp_path: Path) -> None:
    with exclusive(tmp_path / "a.nc", "a"), exclusive(tmp_path / "b.nc", "b"):
        pass


def test_a_place_without_a_lock_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match="cannot lock"), exclusive(tmp_path / "file" / "a", "a"):
        pass
