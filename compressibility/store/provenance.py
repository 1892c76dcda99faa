"""Where a dataset comes from: versions, commit, device, experiment, and keys of content."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from compressibility import __version__
from compressibility.store.schema import PAPER, SCHEMA_VERSION

_LIBRARIES: Final = (
    "curvlinops-for-pytorch",
    "netCDF4",
    "numpy",
    "scikit-learn",
    "scipy",
    "tensorly",
    "torch",
    "torchvision",
    "xarray",
)
_UNKNOWN: Final = "unknown"


def attributes(
    *,
    title: str,
    experiment: Mapping[str, object],
    images_checksum: str,
    event: str,
    moment: datetime | None = None,
    source: str = "compressibility: singular values and evaluations of trained networks",
    references: str = PAPER,
) -> dict[str, str | int]:
    """The global attributes of a dataset that is made now, in this environment.

    Args:
        title: What the dataset holds, in one line.
        experiment: The experiment as data that JSON can hold.
        images_checksum: SHA-256 of the images.
        event: What is done, for the first line of the history, such as the command line.
        moment: When; the present time if not given.
        source: How the data were produced, as the CF conventions mean it.
        references: Where the method is described.

    Returns:
        One value for each name in `compressibility.store.schema.ATTRIBUTES`.

    Raises:
        TypeError: The experiment holds what JSON cannot.
        ValueError: The experiment holds NaN or infinity.
    """
    moment = datetime.now(UTC) if moment is None else moment
    stamp = moment.isoformat(timespec="seconds")
    version = commit(Path(__file__).parents[1])
    return {
        "title": title,
        "source": source,
        "history": f"{stamp} compressibility {__version__} ({version}): {event}",
        "references": references,
        "schema_version": SCHEMA_VERSION,
        "package_version": __version__,
        "library_versions": canonical_json(library_versions()),
        "commit": version,
        "images_checksum": images_checksum,
        "experiment": canonical_json(experiment),
    }


def library_versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that the numbers depend on."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def commit(folder: Path) -> str:
    """``git describe`` of the checkout that tracks a folder's files, else ``unknown``.

    It ends in ``-dirty`` where one of these files is modified. A folder that merely lies inside
    some checkout, such as an installation in its virtual environment, does not count.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        if not git("ls-files"):
            return _UNKNOWN
        modified = git("status", "--porcelain", "--untracked-files=no", "--", ".")
        return git("describe", "--always", "--abbrev=12") + ("-dirty" if modified else "")
    except (OSError, subprocess.CalledProcessError):
        return _UNKNOWN


def device_name(kind: str, accelerator: str | None = None) -> str:
    """The name of a device, as in ``cpu (AMD EPYC)`` or ``cuda (NVIDIA H200)``.

    Args:
        kind: The kind of device, such as ``cpu`` or ``cuda``.
        accelerator: The accelerator's own name, such as ``torch.cuda.get_device_name()``; the
            processor's is looked up where it is not given.
    """
    return f"{kind} ({accelerator or _processor()})"


def merged_history(histories: Iterable[str]) -> str:
    """The history of a dataset merged from others: every line once, in order of time."""
    lines = {line for history in histories for line in history.splitlines() if line.strip()}
    return "\n".join(sorted(lines))


def content_key(settings: Mapping[str, object], arrays: Mapping[str, NDArray[Any]]) -> str:
    """A key that two measurements share exactly if they would measure the same.

    Equal numbers give equal keys however they are written (0 and 0.0, tuple and list), and the
    order of names and the memory layout of arrays do not count; the arrays' dtype and shape do.

    Args:
        settings: What the values depend on, as data that JSON can hold.
        arrays: Arrays that the values depend on, by name.

    Returns:
        SHA-256 of the canonical JSON of the settings and of the arrays' bytes, in hexadecimal.

    Raises:
        TypeError: A setting is nothing that JSON can hold, or an array holds objects.
        ValueError: A setting is NaN or infinite.
    """
    digest = hashlib.sha256()

    def add(content: bytes) -> None:
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)

    add(canonical_json(settings).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        if array.dtype.hasobject:
            raise TypeError(f"array {name!r} holds objects, which have no bytes of their own")
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        add(canonical_json([name, little.dtype.str, little.shape]).encode())
        add(little.tobytes())
    return digest.hexdigest()


def canonical_json(value: object) -> str:
    """The one JSON text of a value: names sorted, no blanks, whole numbers without a point.

    Raises:
        TypeError: The value holds what JSON cannot.
        ValueError: The value holds NaN or infinity.
    """
    whole = _canonical(value)
    separators = (",", ":")
    return json.dumps(
        whole, sort_keys=True, separators=separators, allow_nan=False, ensure_ascii=False
    )


def _canonical(value: object) -> object:
    match value:
        case None | bool() | str() | int():
            return value
        case np.generic():
            return _canonical(value.item())
        case float():
            return int(value) if value.is_integer() else value
        case Mapping():
            if strange := [name for name in value if not isinstance(name, str)]:
                raise TypeError(f"name {strange[0]!r} is no text; JSON names things by text alone")
            return {name: _canonical(item) for name, item in value.items()}
        case list() | tuple():
            return [_canonical(item) for item in value]
    raise TypeError(f"{value!r} of type {type(value).__name__} has no place in JSON")


def _processor() -> str:
    try:
        if platform.system() == "Darwin":
            query = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
        told = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in told if line.startswith("model name")]
    except (OSError, subprocess.CalledProcessError):
        names = []
    return next(iter(names), platform.processor() or platform.machine() or _UNKNOWN)
