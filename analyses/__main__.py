"""``python -m analyses [DATASETS...] [--report DIR]``: from stored datasets to the report."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from compressibility.errors import UserError
from compressibility.store.cache import default

USER_ERROR = 2
REPORT = Path("report")
"""Folder of the report on everything measured; that on chosen datasets lies in a folder of it."""
PROCESSES = min(os.cpu_count() or 1, 4)
"""Datasets read at once; each takes up to half a gigabyte."""
_RESERVED = ("index", "figures")

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
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the report; by default report, and report/NAMES for chosen datasets.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Analyse measured datasets: every claim tested over networks, with controls; write a report.

    The findings are printed too, with what the files do not allow to test, and why. A report on
    chosen datasets leaves that on everything measured as it is.
    """
    start, console, cache = time.monotonic(), Console(), default()
    paths = tuple(dict.fromkeys(map(cache.find, datasets or ()))) or cache.datasets()
    files = names(paths)
    folder = report or (REPORT / joined(list(files.values())) if datasets else REPORT)
    _refuse_what_cannot_be_written(folder)
    with console.status("loading") as status:
        # after the paths: a wrong name is told at once
        from analyses.report.reading import read_all
        from analyses.report.write import print_table, write

        found = []
        for chapter, seconds in read_all(files, processes=PROCESSES):
            found.append(chapter)
            status.update(f"{len(found)} of {len(files)} datasets")
            console.print(f"{chapter.name}: analysed and drawn in {seconds:.1f} s")
        order = list(files.values())
        chapters = sorted(
            found, key=lambda c: (0 if datasets else -c.n_networks, order.index(c.name))
        )
        status.update("writing the report")
        page = write(chapters, folder)
    print_table(chapters, console)
    console.print(
        f"Report: {page} ({time.monotonic() - start:.1f} s)", soft_wrap=True, highlight=False
    )


def joined(names: Sequence[str]) -> str:
    """One name for several datasets: all of up to three, and of more the first and how many."""
    return "+".join(names) if len(names) <= 3 else f"{names[0]}+{len(names) - 1}-others"


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
        taken = name in _RESERVED or name.endswith("-layers")
        found[path] = f"{name}-dataset" if taken else name
    return found


def _plain(part: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in part)


def _refuse_what_cannot_be_written(folder: Path) -> None:
    """So that minutes of analysis are not lost on a wrong folder."""
    place = next(p for p in (folder / "figures", folder, *folder.absolute().parents) if p.exists())
    if not place.is_dir():
        reason = "it is not a folder"
    elif not os.access(place, os.W_OK):
        reason = "no permission"
    else:
        try:
            with TemporaryDirectory(dir=place):
                return
        except OSError as error:  # root may write anywhere, but for places such as /proc
            reason = f"nothing can be made there ({error.strerror})"
    raise UserError(
        f"cannot write the report to {place}: {reason}; choose another folder with --report"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line on stderr and exit status 2."""
    try:
        app(args=arguments, prog_name="python -m analyses")
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(USER_ERROR)


if __name__ == "__main__":
    main()
