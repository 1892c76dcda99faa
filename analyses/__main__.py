"""``python -m analyses [DATASETS...] [--report DIR]``: from stored datasets to the report."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import xarray as xr
from rich.console import Console

from compressibility.store.netcdf import DatasetError, open_dataset

CHECKOUT: Final = Path(__file__).resolve().parent.parent


class InputError(ValueError):
    """Input that cannot be used; the message is one line that says what to do."""


def cache_root() -> Path:
    """Where datasets are kept: ``COMPRESSIBILITY_CACHE``, or ``datasets_cache`` of the checkout."""
    return Path(os.environ.get("COMPRESSIBILITY_CACHE") or CHECKOUT / "datasets_cache")


def dataset_paths(names: Sequence[str], root: Path) -> tuple[Path, ...]:
    """The files meant by names of experiments or paths; all measured ones where none is given.

    Raises:
        InputError: if there is no such file, or none at all.
    """
    layers = root / "layers"
    if not names:
        paths = tuple(sorted(layers.glob("*.nc")))
        if not paths:
            raise InputError(
                f"no dataset in {layers}: measure one with `compressibility measure digits-vanilla`"
            )
        return paths
    return tuple(dict.fromkeys(_path(name, layers) for name in names))


def _path(name: str, layers: Path) -> Path:
    if Path(name).is_file():
        return Path(name)
    named = layers / f"{name}.nc"
    if Path(name).name == name and named.is_file():
        return named
    if name.endswith(".nc") or Path(name).name != name:
        raise InputError(
            f"no dataset at {name}: give the path of a .nc file, or an experiment's name"
        )
    known = ", ".join(sorted(path.stem for path in layers.glob("*.nc"))) or "none"
    raise InputError(
        f"no dataset {name!r} in {layers} (there: {known}): measure it with "
        f"`compressibility measure {name}`"
    )


def run(names: Sequence[str], folder: Path, console: Console) -> Path:
    """Analyse the datasets, write the report, and print the table of findings.

    Raises:
        InputError: if a dataset is missing or unreadable, or the report cannot be written.
    """
    start = time.monotonic()
    paths = dataset_paths(names, cache_root())
    with console.status("loading") as status:
        from analyses import report  # after the paths, so that a wrong name is told at once

        datasets = [_opened(path) for path in paths]
        try:
            (folder / "figures").mkdir(parents=True, exist_ok=True)
            chapters = []
            for path, name, dataset in zip(paths, _names(paths), datasets, strict=True):
                begun = time.monotonic()

                def progress(what: str, name: str = name) -> None:
                    status.update(f"{name}: {what}")

                checksum = report.checksum(path)
                chapters.append(
                    report.chapter(name, dataset, file_checksum=checksum, progress=progress)
                )
                console.print(f"{name}: analysed and drawn in {time.monotonic() - begun:.1f} s")
            status.update("writing the report")
            page = report.write(chapters, folder)
        except OSError as error:
            raise InputError(
                f"cannot write the report to {error.filename or folder}: {error.strerror}; choose "
                "another folder with --report"
            ) from error
    report.print_table(chapters, console)
    console.print(
        f"Report: {page} ({time.monotonic() - start:.1f} s)", soft_wrap=True, highlight=False
    )
    return page


def _opened(path: Path) -> xr.Dataset:
    try:
        return open_dataset(path)
    except (DatasetError, OSError) as error:
        raise InputError(" ".join(str(error).split())) from error


def _names(paths: Sequence[Path]) -> list[str]:
    """The files' stems, numbered where two are the same."""
    names: list[str] = []
    for path in paths:
        stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in path.stem)
        taken = sum(name == stem or name.startswith(f"{stem}-copy") for name in names)
        names.append(f"{stem}-copy{taken + 1}" if taken else stem)
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit status 0, or 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m analyses",
        description="Analyse measured layer datasets: every claim tested over networks, with "
        "controls; writes a self-contained report and prints the findings.",
        epilog="Datasets are measured with `compressibility measure EXPERIMENT`.",
    )
    parser.add_argument(
        "datasets",
        nargs="*",
        metavar="DATASET",
        help="an experiment's name or the path of a .nc file (default: everything measured)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        default=Path("report"),
        metavar="DIR",
        help="folder of the report (default: report)",
    )
    options = parser.parse_args(arguments)
    try:
        run(options.datasets, options.report, Console())
    except InputError as refusal:
        print(refusal, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
