"""Files that are missing, foreign or damaged, full disks, and processes that are killed."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from compressibility.store.netcdf import DatasetError, open_dataset, save
from compressibility.store.schema import SCHEMA_VERSION, declared
from compressibility.store.view import SchemaError
from property_tests.datasets import blank_dataset, measured, tasks

ROOT = Path(__file__).parents[1]
NOBODY = 65534


def whole(scale: int = 1) -> xr.Dataset:
    dataset = blank_dataset({"conv1": (4 * scale, 3, 3, 3), "conv2": (8, 4 * scale, 1, 1)})
    return measured(dataset, tasks(dataset), np.random.default_rng(0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A saved dataset."""
    save(whole(), tmp_path / "drawn.nc")
    return tmp_path / "drawn.nc"


def refused(path: Path, *words: str) -> None:
    with pytest.raises(DatasetError) as caught:
        open_dataset(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    refused(tmp_path / "none.nc", "No such file", "measure it first")


def test_a_folder_is_no_dataset(tmp_path: Path) -> None:
    refused(tmp_path, "directory")


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.nc").write_bytes(b"")
    refused(tmp_path / "empty.nc", "not a netCDF-4 file", "empty")


def test_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.nc").write_text("layer,rank\nconv1,3\n")
    refused(tmp_path / "text.nc", "not a netCDF-4 file")


def test_the_classic_format_is_told(tmp_path: Path) -> None:
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "old.nc", engine="scipy")
    refused(tmp_path / "old.nc", "not a netCDF-4 file")


@pytest.mark.parametrize("kept", [9, 100, 0.3, 0.9, 0.99])
def test_a_truncated_file_is_told(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    refused(path, "truncated or damaged", "delete it")


def test_a_netcdf_file_of_something_else_is_told(tmp_path: Path) -> None:
    xr.Dataset({"temperature": ("time", [1.0])}).to_netcdf(tmp_path / "x.nc", engine="netcdf4")
    refused(tmp_path / "x.nc", "not a valid layer dataset", "schema_version")


def test_the_mark_of_hdf5_alone_makes_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "x.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(4096))
    refused(tmp_path / "x.nc", "truncated or damaged")


def test_a_newer_schema_is_told(path: Path) -> None:
    with netCDF4.Dataset(path, "a") as file:
        file.schema_version = SCHEMA_VERSION + 1
    refused(path, f"schema_version {SCHEMA_VERSION + 1} is newer", "upgrade compressibility")


def test_a_damaged_value_is_told_with_its_place(path: Path) -> None:
    with netCDF4.Dataset(path, "a") as file:
        file["n_correct"][1, 0, 2, 0] = 101
    refused(path, "n_correct at layer conv2, mode OUT, threshold 0.5, seed 0: 101", "n_images")


def test_integers_have_no_fill_value_and_numbers_are_compressed(path: Path) -> None:
    with netCDF4.Dataset(path) as file:
        for name, variable in declared().items():
            stored = file[name]
            if variable.dtype in ("int64", "int8"):
                assert "_FillValue" not in stored.ncattrs()
                assert stored.dtype == np.dtype(variable.dtype)
            if variable.dtype != "str" and variable.dims:
                assert stored.filters()["zlib"]


def test_plain_xarray_sees_units_names_definitions_and_flags(path: Path) -> None:
    with xr.open_dataset(path, engine="netcdf4") as plain:
        assert list(plain.data_vars) == list(open_dataset(path).data_vars)
        assert plain["loss"].attrs["units"] == "nat"
        assert plain["loss"].sel(layer="conv2", mode="OUT", threshold=0.1, seed=1).dims == ()
        flags = plain["truncation_flag"]
        assert flags.dtype == np.int8
        assert flags.attrs["flag_values"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
        assert flags.attrs["flag_meanings"].split()[1] == "not_measured"
        assert plain["n_correct"].dtype == np.int64
        for name in plain.variables:
            assert plain[name].attrs["definition"]
            assert plain[name].attrs["long_name"]


def test_an_invalid_dataset_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="n_lost: missing variable"):
        save(whole().drop_vars("n_lost"), tmp_path / "new.nc")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match=r"cannot write .*file/new\.nc") as caught:
        save(whole(), tmp_path / "file" / "new.nc")
    assert "\n" not in str(caught.value)


@contextmanager
def without_privileges() -> Iterator[None]:
    """As a user who owns nothing, where this is the superuser, who may write everywhere."""
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if superuser:
            os.seteuid(0)


def test_a_read_only_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = whole()
    save(dataset, tmp_path / "first.nc")  # so that whatever is needed is imported
    tmp_path.chmod(0o555)
    monkeypatch.chdir(tmp_path)  # whose parents another user cannot enter
    with without_privileges(), pytest.raises(DatasetError, match="Permission denied"):
        save(dataset, "new.nc")
    assert [path.name for path in tmp_path.iterdir()] == ["first.nc"]


@pytest.mark.parametrize("step", ["write", "flush"])
@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), DatasetError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_what_fails_on_the_way_leaves_the_old_file_and_nothing_else(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    raised: BaseException,
    expected: type[BaseException],
) -> None:
    def fail(*_: object) -> None:
        raise raised

    before = path.read_bytes()
    if step == "flush":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(expected) as caught:
        save(whole(2), path)
    if expected is DatasetError:
        assert "No space left on device" in str(caught.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def child(code: str, path: Path, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    program = f"""
import os, sys, time
from pathlib import Path
from compressibility.store.netcdf import save
from tests.{Path(__file__).stem} import whole
path = Path({str(path)!r})
{code}
"""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


def test_a_disk_that_fills_up_in_the_middle_leaves_the_old_file(path: Path) -> None:
    """The kernel itself refuses the write, after 64 kB of it."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))

    before = path.read_bytes()
    process = child("save(whole(2), path)", path, limit)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode != 0
    last = complaint.strip().splitlines()[-1]
    assert last.startswith("compressibility.store.netcdf.DatasetError: cannot write")
    assert "the system refused to write on" in last
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_kill_in_the_middle_leaves_the_old_file_whole(path: Path) -> None:
    pause = """
def wait(descriptor):
    print("half-way", flush=True)
    time.sleep(60)
os.fsync = wait
save(whole(2), path)
"""
    process = child(pause, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "half-way\n"
    process.kill()
    process.communicate()
    xr.testing.assert_identical(open_dataset(path), whole())
    save(whole(2), path)
    xr.testing.assert_identical(open_dataset(path), whole(2))
