"""``python -m analyses [DATASETS...] [--report DIR]``: from stored datasets to the report."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import xarray as xr
from rich.console import Console

from compressibility.store.cache import DatasetNotFoundError, default
from compressibility.store.netcdf import DatasetError, open_dataset


class InputError(ValueError):
    """Input that cannot be used; the message is one line that says what to do."""


def run(names: Sequence[str], folder: Path, console: Console) -> Path:
    """Analyse the datasets, write the report, and print the table of findings.

    Raises:
        DatasetNotFoundError: if a dataset is missing.
        InputError: if a dataset is unreadable, or the report cannot be written.
    """
    start = time.monotonic()
    cache = default()
    paths = tuple(dict.fromkeys(map(cache.find, names))) or cache.datasets()
    with console.status("loading") as status:
        from analyses import report  # after the paths, so that a wrong name is told at once

        datasets = [_opened(path) for path in paths]
        try:
            (folder / "figures").mkdir(parents=True, exist_ok=True)
            chapters = []
            opened = list(zip(paths, _names(paths), datasets, strict=True))
            if not names:
                opened.sort(key=lambda each: -each[2].sizes["seed"])
            for path, name, dataset in opened:
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
    except (DatasetNotFoundError, InputError) as refusal:
        print(refusal, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
