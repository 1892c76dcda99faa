"""``python -m analyses [DATASETS...] [--report DIR]``: from stored datasets to the report."""

import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from compressibility.errors import UserError
from compressibility.store.cache import default
from compressibility.store.netcdf import open_dataset

USER_ERROR = 2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Datasets are measured with `compressibility measure EXPERIMENT`.")
def analyse(
    datasets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATASET]...",
            help="An experiment's name or the path of a .nc file; by default everything measured.",
        ),
    ] = None,
    report: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the report.")] = Path(
        "report"
    ),
) -> None:
    """Analyse measured datasets: every claim tested over networks, with controls; write a report.

    The findings are printed too.
    """
    start, console, cache = time.monotonic(), Console(), default()
    paths = tuple(dict.fromkeys(map(cache.find, datasets or ()))) or cache.datasets()
    with console.status("loading") as status:
        from analyses.report.chapters import (
            chapter,
        )  # after the paths: a wrong name is told at once
        from analyses.report.write import print_table, write

        opened = [(name, path, open_dataset(path)) for path, name in names(paths).items()]
        if not datasets:
            opened.sort(key=lambda each: -each[2].sizes["seed"])
        _refuse_what_cannot_be_written(report)
        chapters = []
        for name, path, dataset in opened:
            begun = time.monotonic()

            def progress(what: str, name: str = name) -> None:
                status.update(f"{name}: {what}")

            checksum = hashlib.sha256(path.read_bytes()).hexdigest()
            chapters.append(chapter(name, dataset, file_checksum=checksum, progress=progress))
            console.print(f"{name}: analysed and drawn in {time.monotonic() - begun:.1f} s")
        status.update("writing the report")
        page = write(chapters, report)
    print_table(chapters, console)
    console.print(
        f"Report: {page} ({time.monotonic() - start:.1f} s)", soft_wrap=True, highlight=False
    )


def names(paths: Sequence[Path]) -> dict[Path, str]:
    """Short names for files: their stems, with as many of their folders as tell them apart."""
    found: dict[Path, str] = {}
    for path in paths:
        parts = [_plain(part) for part in path.resolve().with_suffix("").parts[1:]]
        others = [
            [_plain(part) for part in other.resolve().with_suffix("").parts[1:]]
            for other in paths
            if other != path
        ]
        n = next(n for n in range(1, len(parts) + 1) if parts[-n:] not in [o[-n:] for o in others])
        name = "-".join(parts[-n:])
        found[path] = f"{name}-dataset" if name == "index" else name
    return found


def _plain(part: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in part)


def _refuse_what_cannot_be_written(folder: Path) -> None:
    """So that minutes of analysis are not lost on a wrong folder."""
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write the report to {error.filename or folder}: {error.strerror}; choose "
            "another folder with --report"
        ) from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line on stderr and exit status 2."""
    try:
        app(args=arguments, prog_name="python -m analyses")
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(USER_ERROR)


if __name__ == "__main__":
    main()
