"""Where a dataset comes from, against git, the installed libraries, and SHA-256 itself."""

import hashlib
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from compressibility.store.keys import canonical_json, content_key
from compressibility.store.provenance import (
    TaskProvenance,
    attributes,
    commit,
    device_name,
    library_versions,
    merged_history,
)
from compressibility.store.schema import ATTRIBUTES, SCHEMA_VERSION
from compressibility.version import __version__

PACKAGE = Path(__file__).parents[1] / "compressibility"
MOMENT = datetime(2024, 3, 21, 12, 30, tzinfo=UTC)


def test_the_attributes_are_those_of_the_schema() -> None:
    made = attributes(
        title="digits",
        experiment={"seeds": (0, 1), "τ": 0.5},
        images_checksum="ab",
        event="measure digits",
        left_out={"head": "a linear layer"},
        moment=MOMENT,
    )
    assert set(made) == set(ATTRIBUTES)
    told = {"title": "digits", "experiment": {}, "images_checksum": "ab", "event": "measure"}
    assert attributes(**told, n_classes=7)["n_classes"] == 7
    version = f"{__version__} ({commit(PACKAGE)})"
    assert made["history"] == f"2024-03-21T12:30:00+00:00 compressibility {version}: measure digits"
    assert json.loads(str(made["experiment"])) == {"seeds": [0, 1], "τ": 0.5}
    assert made["left_out"] == '{"head":"a linear layer"}'
    assert made["schema_version"] == SCHEMA_VERSION


def test_what_nobody_recorded_is_not_told_as_nothing() -> None:
    made = attributes(title="digits", experiment={}, images_checksum="ab", event="measure digits")
    assert made["left_out"] == "null"


def test_a_task_tells_of_the_checkout_and_the_versions_that_did_it() -> None:
    done = TaskProvenance.here("key", "cpu", "float32", failure="diverged")
    assert (done.key, done.device, done.precision, done.failure) == (
        *("key", "cpu", "float32", "diverged"),
    )
    assert done.commit == commit(PACKAGE)
    versions = json.loads(done.versions)
    assert versions["compressibility"] == __version__
    assert versions["numpy"] == np.__version__


def test_versions_name_the_installed_libraries_without_importing_them() -> None:
    found = library_versions()
    assert found["torch"] == metadata.version("torch")
    assert {"compressibility", "python", "numpy", "xarray", "netCDF4"} <= set(found)
    check = (
        "import sys; from compressibility.store.provenance import library_versions; "
        "print('torch' in library_versions(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_an_experiment_that_json_cannot_hold_is_told() -> None:
    with pytest.raises(TypeError, match=r"Path.* has no place in JSON"):
        canonical_json({"folder": Path()})
    with pytest.raises(TypeError, match="name 1 is no text"):
        canonical_json({1: "a"})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})
    with pytest.raises(TypeError, match="holds objects"):
        content_key({}, {"names": np.array(["a", None], object)})


def test_equal_numbers_are_written_alike() -> None:
    assert canonical_json([0.0, -0.0, 2.0, np.float64(0.5), np.int64(3), True, None]) == (
        "[0,0,2,0.5,3,true,null]"
    )
    assert canonical_json({"b": 1, "a": (1,)}) == '{"a":[1],"b":1}'


def test_the_key_is_the_hash_of_framed_json_and_bytes() -> None:
    array = np.array([[1.0, 2.0]])
    blocks = [b'{"cut":"OUT"}', b'["kernel","<f8",[1,2]]', array.tobytes()]
    framed = b"".join(len(block).to_bytes(8, "little") + block for block in blocks)
    assert content_key({"cut": "OUT"}, {"kernel": array}) == hashlib.sha256(framed).hexdigest()


def test_a_merged_history_keeps_every_line_once_in_order_of_time() -> None:
    lines = [f"2024-0{month}-01T00:00:00+00:00 x: measure" for month in range(1, 10)]
    shuffled = ["\n".join(lines[5:]), lines[2], "", *lines[4::-1], lines[2]]
    assert merged_history(shuffled) == "\n".join(lines)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="the oracle is git itself")
def test_the_commit_is_that_of_the_checkout_which_tracks_the_folder(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    assert commit(package) == "unknown"
    git(tmp_path, "init", "-q")
    (package / "a.py").write_text("")
    (tmp_path / "measured.nc").write_text("")
    assert commit(package) == "unknown"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "a")
    assert git(tmp_path, "rev-parse", "HEAD").startswith(commit(package))
    (tmp_path / "measured.nc").write_text("1")
    assert git(tmp_path, "rev-parse", "HEAD").startswith(commit(package))
    (package / "a.py").write_text("1")
    assert commit(package).endswith("-dirty")
    (tmp_path / "installed").mkdir()
    assert commit(tmp_path / "installed") == "unknown"


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(Path(__file__).parent) == "unknown"


def test_a_device_is_named_by_kind_and_make() -> None:
    assert device_name("cuda", "NVIDIA H200") == "cuda (NVIDIA H200)"
    assert device_name("cpu").startswith("cpu (")
    assert device_name("cpu") != "cpu ()"
