"""Where a dataset and each of its tasks come from: history, versions, commit, device."""

import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final, Self

from compressibility.store.declarations import PAPER
from compressibility.store.keys import canonical_json
from compressibility.store.schema import N_CLASSES, SCHEMA_VERSION
from compressibility.version import __version__

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


@dataclass(frozen=True)
class TaskProvenance:
    """Where the values of one task come from.

    Attributes:
        key: Content key of the task.
        device: Name of the device, as `device_name` gives it.
        precision: Arithmetic of the network's evaluation.
        commit: Commit of the checkout, or ``unknown``.
        versions: JSON of the versions of this package, of Python and of the libraries.
        failure: Why the numbers did not come about; empty where they did.
    """

    key: str
    device: str
    precision: str
    commit: str
    versions: str
    failure: str = ""

    @classmethod
    def here(cls, key: str, device: str, precision: str, *, failure: str = "") -> Self:
        """That of a task done now, in this environment."""
        return cls(key, device, precision, here(), _versions(), failure)


def attributes(
    *,
    title: str,
    experiment: Mapping[str, object],
    images_checksum: str,
    event: str,
    left_out: Mapping[str, str] | None = None,
    n_classes: int | None = None,
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
        left_out: Why each layer that is not measured is left out; None where nobody recorded it.
        n_classes: Number of classes of the test images; None where nobody knows.
        moment: When; the present time if not given.
        source: How the data were produced, as the CF conventions mean it.
        references: Where the method is described.

    Returns:
        One value for each name in `compressibility.store.schema.ATTRIBUTES`, and the number of
        classes where it is known.

    Raises:
        TypeError: The experiment holds what JSON cannot.
        ValueError: The experiment holds NaN or infinity.
    """
    known: dict[str, str | int] = {} if n_classes is None else {N_CLASSES: n_classes}
    return {
        "title": title,
        "source": source,
        "history": history_line(event, moment),
        "references": references,
        "schema_version": SCHEMA_VERSION,
        "images_checksum": images_checksum,
        "experiment": canonical_json(experiment),
        "left_out": canonical_json(left_out),
        **known,
    }


def history_line(event: str, moment: datetime | None = None) -> str:
    """One line of a history: when, by which version and commit, and what was done."""
    stamp = (moment or datetime.now(UTC)).isoformat(timespec="seconds")
    return f"{stamp} compressibility {__version__} ({here()}): {event}"


@cache
def here() -> str:
    """The `commit` of this package, as it was when this process first asked."""
    return commit(Path(__file__).parents[1])


def library_versions() -> dict[str, str]:
    """Versions of this package, of Python and of the libraries that the numbers depend on."""
    versions = {"compressibility": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@cache
def _versions() -> str:
    return canonical_json(library_versions())


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
